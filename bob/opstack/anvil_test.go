package opstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

var record = flag.String("record", "", "record the answers again with this anvil (see make record-anvil)")

// recording is where the answers of an anvil in OP mode are.
var recording = filepath.Join("testdata", "anvil.json")

// An exchange is a call and what anvil answered.
type exchange struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
}

// A replay is a Caller that answers as anvil did.
type replay []exchange

func (r replay) Call(_ context.Context, method string, params ...any) (json.RawMessage, error) {
	want, err := json.Marshal(append([]any{}, params...))
	if err != nil {
		return nil, err
	}
	for _, e := range r {
		var compact bytes.Buffer
		if err := json.Compact(&compact, e.Params); err != nil {
			return nil, err
		}
		if e.Method == method && compact.String() == string(want) {
			return e.Result, nil
		}
	}
	return nil, fmt.Errorf("%s %s was not recorded", method, want)
}

// A live is a Caller that asks a node and keeps what it answered.
type live struct {
	url  string
	kept []exchange
}

func (l *live) Call(ctx context.Context, method string, params ...any) (json.RawMessage, error) {
	p, err := json.Marshal(append([]any{}, params...))
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": json.RawMessage(p)})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<24)).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, fmt.Errorf("%s: %s", method, answer.Error)
	}
	l.kept = append(l.kept, exchange{method, p, answer.Result})
	return answer.Result, nil
}

// These are accounts that anvil has the keys of.
var (
	alice = common.HexToAddress("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
	bob   = common.HexToAddress("0x70997970c51812dc3a010c7d01b50e0d17dc79c8")
)

// loadRecording returns what anvil answered.
func loadRecording(t testing.TB) replay {
	t.Helper()
	data, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	var answers replay
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// blocksOfAnvil are the L1 attributes that the recorded blocks begin with.
func blocksOfAnvil() []Attributes {
	all := []Attributes{
		{Form: FormBedrock, Overhead: *uint256.NewInt(188), Scalar: *uint256.NewInt(684_000)},
		{Form: FormEcotone, BaseFeeScalar: 2_000_000, BlobBaseFeeScalar: 611_590},
		{Form: FormIsthmus, BaseFeeScalar: 2_000_000, BlobBaseFeeScalar: 611_590, OperatorFeeConstant: 15e12},
		{Form: FormJovian, BaseFeeScalar: 2_000_000, BlobBaseFeeScalar: 611_590, OperatorFeeScalar: 7, OperatorFeeConstant: 15e12, DAFootprintGasScalar: 400},
	}
	for i := range all {
		a := &all[i]
		a.Number, a.Time = 22_000_000+uint64(i), 1_750_000_000+12*uint64(i)
		a.Hash, a.BatcherHash = common.Hash{31: byte(i + 1)}, common.HexToHash("0x08f9f14ff43e112b18c96f0986f28cb1878f1d11")
		a.BaseFee = *uint256.NewInt(277_459_069)
		a.Sequence = uint64(i)
		if a.Form > FormBedrock {
			a.BlobBaseFee = *uint256.NewInt(1)
		}
	}
	return all
}

// deposits are the deposits of a recorded block.
func deposits(a *Attributes, block uint64) []*Deposit {
	// anvil takes one transaction of a sender, whose nonce is 0.
	from := func(n byte) common.Address { return common.Address{0xde, 18: byte(block), 19: n} }
	return []*Deposit{
		a.Deposit(),
		{SourceHash: UserSourceHash(a.Hash, block), From: from(1), To: &bob, Mint: *uint256.NewInt(1e18), Value: *uint256.NewInt(5), Gas: 100_000, Data: []byte("mint")},
		// It creates a contract that does nothing.
		{SourceHash: UserSourceHash(a.Hash, block+100), From: from(2), Gas: 200_000, Data: hexutil.MustDecode("0x60006000f3")},
		// It reverts.
		{SourceHash: UserSourceHash(a.Hash, block+200), From: from(3), Gas: 100_000, Data: hexutil.MustDecode("0x60006000fd")},
	}
}

// TestAnvil decodes the blocks that anvil made of deposits and other transactions.
func TestAnvil(t *testing.T) {
	if *record != "" {
		recordAnvil(t)
	}
	c := Client{loadRecording(t)}
	ctx := t.Context()
	for i, a := range blocksOfAnvil() {
		number := uint64(i + 1)
		block, err := c.BlockByNumber(ctx, number)
		if err != nil {
			t.Fatal(err)
		}
		if number == 1 {
			checkByHash(t, c, block)
		}
		if got, err := block.Attributes(); err != nil || *got != a {
			t.Errorf("block %d: attributes %+v, %v; want %+v", number, got, err, a)
		}
		want := deposits(&a, number)
		if len(block.Transactions) != len(want)+1 {
			t.Fatalf("block %d has %d transactions", number, len(block.Transactions))
		}
		for j, d := range want {
			tx := block.Transactions[j]
			if !tx.IsDeposit() || tx.Hash != d.Hash() || tx.From != d.From || tx.Block == nil || tx.Block.Index != uint64(j) {
				t.Errorf("block %d, transaction %d: %+v, want the deposit %+v", number, j, tx, d)
			}
		}
		last := block.Transactions[len(want)]
		if sender, err := last.Sender(); err != nil || sender != bob || last.From != bob || last.IsDeposit() {
			t.Errorf("block %d: the last transaction is %v's, %v", number, sender, err)
		}
		checkBinary(t, block)
		checkAnvilReceipts(t, c, block)
	}
}

// checkByHash asks for a block and what is in it by their hashes.
func checkByHash(t *testing.T, c Client, block *Block) {
	t.Helper()
	if again, err := c.BlockByHash(t.Context(), block.Hash); err != nil || again.Hash != block.Hash {
		t.Errorf("block %v by its hash: %v", block.Hash, err)
	}
	for _, tx := range block.Transactions {
		if single, err := c.Transaction(t.Context(), tx.Hash); err != nil || single.Hash != tx.Hash || *single.Block != *tx.Block {
			t.Errorf("transaction %v by its hash: %+v, %v", tx.Hash, single, err)
		}
		if single, err := c.Receipt(t.Context(), tx.Hash); err != nil || single.TxHash != tx.Hash {
			t.Errorf("receipt of %v: %v", tx.Hash, err)
		}
	}
}

// checkBinary encodes and decodes a block in RLP.
func checkBinary(t *testing.T, block *Block) {
	t.Helper()
	data, err := block.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var again Block
	if err := again.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if again.Hash != block.Hash || len(again.Transactions) != len(block.Transactions) {
		t.Errorf("block %v is %v with %d transactions in RLP", block.Hash, again.Hash, len(again.Transactions))
	}
	for i := range again.Transactions {
		if again.Transactions[i].Hash != block.Transactions[i].Hash {
			t.Errorf("transaction %d is another in RLP", i)
		}
	}
}

// checkAnvilReceipts compares the receipts with the block. The header commits to them.
func checkAnvilReceipts(t *testing.T, c Client, block *Block) {
	t.Helper()
	receipts, err := c.Receipts(t.Context(), block.Header)
	if err != nil {
		t.Fatal(err)
	}
	for i := range receipts {
		r := &receipts[i]
		tx := &block.Transactions[i]
		if r.TxHash != tx.Hash || r.Type != tx.Type || r.From != tx.From {
			t.Errorf("receipt %d is of %v, type %#x, from %v", i, r.TxHash, r.Type, r.From)
		}
		if failed := i == 3; (r.Status == 0) != failed {
			t.Errorf("receipt %d: status %d", i, r.Status)
		}
		if tx.IsDeposit() != (r.DepositNonce != nil) || tx.IsDeposit() != (r.DepositReceiptVersion != nil) {
			t.Errorf("receipt %d: deposit nonce %v, version %v", i, r.DepositNonce, r.DepositReceiptVersion)
		}
		if fees, err := r.Fees(Jovian); tx.IsDeposit() && (err != nil || fees != Fees{}) {
			t.Errorf("deposit %d pays %v, %v", i, fees, err)
		}
		data, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again Receipt
		if err := again.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if back, err := again.MarshalBinary(); err != nil || !bytes.Equal(back, data) {
			t.Errorf("receipt %d is another after decoding, %v", i, err)
		}
	}
	receipts[1].DepositNonce = nil
	receipts[1].DepositReceiptVersion = nil
	if err := CheckReceipts(block.Header, receipts); !errors.Is(err, ErrRoot) {
		t.Errorf("receipts of before Canyon: %v, want %v", err, ErrRoot)
	}
}

// recordAnvil runs an anvil and records what it answers.
func recordAnvil(t *testing.T) {
	port := freePort(t)
	const start = 1_760_000_000
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, *record, "--optimism", "--chain-id", "60808", "--port", strconv.Itoa(port),
		"--no-mining", "--order", "fifo", "--timestamp", strconv.Itoa(start), "--silent")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}()
	node := &live{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	for {
		if _, err := node.Call(ctx, "web3_clientVersion"); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	must := func(method string, params ...any) json.RawMessage {
		t.Helper()
		result, err := node.Call(ctx, method, params...)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	for i, a := range blocksOfAnvil() {
		number := uint64(i + 1)
		for _, d := range deposits(&a, number) {
			must("eth_sendTransaction", d)
		}
		must("eth_sendTransaction", map[string]any{"from": bob, "to": alice, "value": "0x7", "gas": "0x5208"})
		must("evm_mine", start+2*number)
		node.kept = node.kept[:max(0, len(node.kept)-6)]
		var block Block
		if err := block.UnmarshalJSON(must("eth_getBlockByNumber", hexutil.Uint64(number), true)); err != nil {
			t.Fatal(err)
		}
		must("eth_getBlockReceipts", block.Hash)
		if number > 1 {
			continue // one block is enough for the rest
		}
		must("eth_getBlockByHash", block.Hash, true)
		for _, tx := range block.Transactions {
			must("eth_getTransactionByHash", tx.Hash)
			must("eth_getTransactionReceipt", tx.Hash)
		}
	}
	var out bytes.Buffer
	out.WriteString("[\n")
	for i, e := range node.kept {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
		if i < len(node.kept)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("]\n")
	if err := os.WriteFile(recording, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freePort returns a port of this machine that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
