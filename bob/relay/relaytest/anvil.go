package relaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

// ChainID is BOB's, and that of every Anvil.
const ChainID = 60808

// Deployer is an account that anvil has the key of, and that deploys.
var Deployer = common.HexToAddress("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")

// An Anvil is a chain of the OP Stack: anvil, whose blocks begin with L1 attributes as a
// sequencer's do, and the answers of an op-node beside it. It makes a block when it is
// told, or all the time.
type Anvil struct {
	// URL is the node's address, and OpNode the op-node's.
	URL, OpNode string

	client http.Client
	mu     sync.Mutex // held while a block begins, so that nothing comes before its deposit
	number uint64
	time   uint64
}

// BlockTime is the time between two blocks, as on BOB, by the clock of the chain, which goes
// on with its blocks only.
const BlockTime = 2 * time.Second

// NewAnvil starts an anvil, or skips the test where there is none (OUTRIDER_ANVIL; see
// make anvil). unchecked says what is then not checked. In CI its absence is a failure.
func NewAnvil(t testing.TB, unchecked string) *Anvil {
	t.Helper()
	path := os.Getenv("OUTRIDER_ANVIL")
	if path == "" {
		missing := "OUTRIDER_ANVIL names no anvil (make anvil runs what needs one): not checked: " + unchecked
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	a := &Anvil{URL: fmt.Sprintf("http://127.0.0.1:%d", port), time: 1_900_000_000}
	a.client.Timeout = 30 * time.Second
	// The process ends with the test: the context is canceled before the cleanups.
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--optimism", "--chain-id", strconv.Itoa(ChainID), "--port", strconv.Itoa(port),
		"--no-mining", "--order", "fifo", "--timestamp", strconv.FormatUint(a.time, 10), "--gas-limit", "30000000",
		"--base-fee", "1000000", "--silent")
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		if _, err := a.Call("web3_clientVersion"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	op := httptest.NewServer(http.HandlerFunc(a.serveOpNode))
	t.Cleanup(op.Close)
	a.OpNode = op.URL
	if err := a.begin(); err != nil {
		t.Fatal(err)
	}
	return a
}

// Call calls a method of the node itself.
func (a *Anvil) Call(method string, params ...any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": append([]any{}, params...)})
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Post(a.URL, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<26)).Decode(&answer); err != nil {
		return nil, err
	}
	if len(answer.Error) > 0 {
		return nil, fmt.Errorf("%s: %s", method, answer.Error)
	}
	return answer.Result, nil
}

// Must calls a method, and decodes what it returns into v unless that is nil.
func (a *Anvil) Must(t testing.TB, v any, method string, params ...any) {
	t.Helper()
	raw, err := a.Call(method, params...)
	if err == nil && v != nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// attributes are those of the next block.
func (a *Anvil) attributes() *opstack.Attributes {
	return &opstack.Attributes{
		Form:   opstack.FormJovian,
		Number: 22_000_000 + a.number, Time: a.time, Hash: common.BigToHash(new(big.Int).SetUint64(a.number + 1)),
		BaseFee: *uint256.NewInt(277_459_069), BlobBaseFee: *uint256.NewInt(1),
		BaseFeeScalar: 2_000, BlobBaseFeeScalar: 611_590, OperatorFeeConstant: 15e9, DAFootprintGasScalar: 30,
	}
}

// begin puts the deposit of the next block into the node's pool.
func (a *Anvil) begin() error {
	a.number++
	_, err := a.Call("eth_sendTransaction", a.attributes().Deposit())
	return err
}

// Mine makes a block of what is in the pool.
func (a *Anvil) Mine(t testing.TB) {
	t.Helper()
	if err := a.mine(); err != nil {
		t.Fatal(err)
	}
}

func (a *Anvil) mine() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.time += uint64(BlockTime / time.Second)
	if _, err := a.Call("evm_mine", a.time); err != nil {
		return err
	}
	return a.begin()
}

// Number returns the height of the last block.
func (a *Anvil) Number(t testing.TB) uint64 {
	t.Helper()
	var n hexutil.Uint64
	a.Must(t, &n, "eth_blockNumber")
	return uint64(n)
}

// Time returns the last block's time, in Unix seconds.
func (a *Anvil) Time(t testing.TB) uint64 {
	t.Helper()
	var block struct{ Timestamp hexutil.Uint64 }
	a.Must(t, &block, "eth_getBlockByNumber", "latest", false)
	return uint64(block.Timestamp)
}

// MineAlways makes blocks, with a pause between two, until stop is called.
func (a *Anvil) MineAlways(t testing.TB, pause time.Duration) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var mining sync.WaitGroup
	mining.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := a.mine(); err != nil {
					t.Error(err)
					return
				}
			case <-end:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		mining.Wait()
	})
}

// Snapshot returns the name of the state of the chain, and Revert goes back to it: blocks
// since then and what was in the pool are gone, as after a reorganisation. Nobody else may
// make blocks meanwhile.
func (a *Anvil) Snapshot(t testing.TB) string {
	t.Helper()
	var id string
	a.Must(t, &id, "evm_snapshot")
	return id
}

// Revert goes back to a snapshot, and makes another block in the place of the next.
func (a *Anvil) Revert(t testing.TB, id string) {
	t.Helper()
	var ok bool
	a.Must(t, &ok, "evm_revert", id)
	a.Must(t, nil, "anvil_dropAllTransactions")
	if !ok {
		t.Fatal("there is no such snapshot")
	}
	if err := a.begin(); err != nil {
		t.Fatal(err)
	}
	a.Mine(t)
}

// Deploy deploys a contract, and returns its address.
func (a *Anvil) Deploy(t testing.TB, creation []byte) common.Address {
	t.Helper()
	var hash common.Hash
	a.Must(t, &hash, "eth_sendTransaction", map[string]any{
		"from": Deployer, "data": hexutil.Bytes(creation), "gas": hexutil.Uint64(8_000_000),
	})
	a.Mine(t)
	r := a.Receipt(t, hash)
	if r.Status != 1 {
		t.Fatalf("the deployment failed: %+v", r)
	}
	return *r.Contract
}

// DeployFull deploys a FullRelay that begins with a header at a height, whose period began
// with another.
func (a *Anvil) DeployFull(t testing.TB, genesis []byte, height uint64, periodStart [32]byte) common.Address {
	t.Helper()
	return a.Deploy(t, slices.Concat(contract.FullRelayWithVerify().Creation, relay.ConstructorData(genesis, height, periodStart)))
}

// Send sends a call as the deployer, in a block of its own, which must work.
func (a *Anvil) Send(t testing.TB, to common.Address, data []byte) *Receipt {
	t.Helper()
	var hash common.Hash
	a.Must(t, &hash, "eth_sendTransaction", map[string]any{
		"from": Deployer, "to": to, "data": hexutil.Bytes(data), "gas": hexutil.Uint64(16_000_000),
	})
	a.Mine(t)
	r := a.Receipt(t, hash)
	if r.Status != 1 {
		t.Fatalf("a call of %v failed", to)
	}
	return r
}

// Fund gives an account 100 ether.
func (a *Anvil) Fund(t testing.TB, account common.Address) {
	t.Helper()
	a.Must(t, nil, "anvil_setBalance", account, "0x56bc75e2d63100000")
}

// A Receipt is the part of one that tests look at.
type Receipt struct {
	Status   hexutil.Uint64  `json:"status"`
	Block    hexutil.Uint64  `json:"blockNumber"`
	GasUsed  hexutil.Uint64  `json:"gasUsed"`
	Price    hexutil.Uint64  `json:"effectiveGasPrice"`
	Contract *common.Address `json:"contractAddress"`
}

// Receipt returns the receipt of a transaction that is in a block.
func (a *Anvil) Receipt(t testing.TB, hash common.Hash) *Receipt {
	t.Helper()
	var r *Receipt
	a.Must(t, &r, "eth_getTransactionReceipt", hash)
	if r == nil {
		t.Fatalf("%v is in no block", hash)
	}
	return r
}

// A Sent is a transaction of the chain.
type Sent struct {
	Hash  common.Hash     `json:"hash"`
	From  common.Address  `json:"from"`
	To    *common.Address `json:"to"` // nil where it creates a contract
	Nonce hexutil.Uint64  `json:"nonce"`
	Input hexutil.Bytes   `json:"input"`
}

// SentBy returns the transactions of an account that are in the chain, in order.
func (a *Anvil) SentBy(t testing.TB, account common.Address) []Sent {
	t.Helper()
	var all []Sent
	for number := range a.Number(t) + 1 {
		var block struct {
			Transactions []Sent `json:"transactions"`
		}
		a.Must(t, &block, "eth_getBlockByNumber", hexutil.Uint64(number), true)
		for _, tx := range block.Transactions {
			if tx.From == account {
				all = append(all, tx)
			}
		}
	}
	return all
}

// serveOpNode answers as the op-node of the chain.
func (a *Anvil) serveOpNode(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&q); err != nil {
		http.Error(w, "no request", http.StatusBadRequest)
		return
	}
	result := `null`
	if q.Method == "optimism_rollupConfig" {
		result = fmt.Sprintf(`{"genesis":{"l1":{"hash":"%[1]v","number":1},"l2":{"hash":"%[1]v","number":0},"l2_time":1},"block_time":2,`+
			`"max_sequencer_drift":600,"seq_window_size":3600,"l1_chain_id":1,"l2_chain_id":%[2]d,"regolith_time":0,"canyon_time":0,`+
			`"delta_time":0,"ecotone_time":0,"fjord_time":0,"granite_time":0,"holocene_time":0,"isthmus_time":0,"jovian_time":0}`, common.Hash{1}, ChainID)
	}
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, result)
}

// Keystore writes a keystore file with a new key, and a file with its passphrase, and
// returns their paths and the account.
func Keystore(t testing.TB) (path, passphrase string, account common.Address) {
	t.Helper()
	dir := t.TempDir()
	const secret = "correct horse"
	a, err := keystore.StoreKey(dir, secret, keystore.LightScryptN, keystore.LightScryptP)
	if err != nil {
		t.Fatal(err)
	}
	passphrase = filepath.Join(dir, "passphrase")
	if err := os.WriteFile(passphrase, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return a.URL.Path, passphrase, a.Address
}
