package devchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/ethereum/go-ethereum/trie"

	"github.com/outrider-project/outrider/bob/relay"
)

// serve serves a chain until the test ends, and returns where.
func serve(t testing.TB, c *Chain) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestClient is go-ethereum's own client at the chain: it recomputes hashes, decodes
// strictly, and knows what errors say.
func TestClient(t *testing.T) {
	c, a := newChain(t, Options{})
	client, err := ethclient.Dial(serve(t, c))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := t.Context()
	if id, err := client.ChainID(ctx); err != nil || id.Uint64() != defaultChainID {
		t.Errorf("chain %v, %v", id, err)
	}
	if id, err := client.NetworkID(ctx); err != nil || id.Uint64() != defaultChainID {
		t.Errorf("network %v, %v", id, err)
	}
	if syncing, err := client.SyncProgress(ctx); err != nil || syncing != nil {
		t.Errorf("syncing %v, %v", syncing, err)
	}
	headers := mineHeaders(10)
	at := common.Address(deployRelay(t, c, a, headers))
	if code, err := client.CodeAt(ctx, at, nil); err != nil || len(code) == 0 {
		t.Errorf("%d bytes of code, %v", len(code), err)
	}
	if code, err := client.CodeAt(ctx, at, big.NewInt(0)); err != nil || len(code) != 0 {
		t.Errorf("%d bytes of code before it was deployed, %v", len(code), err)
	}
	stored, err := client.StorageAt(ctx, at, common.BigToHash(big.NewInt(1)), nil)
	if best := hash256(headers[0]); err != nil || !bytes.Equal(stored, best[:]) {
		t.Errorf("slot 1 is %x, %v", stored, err)
	}

	// A transaction by eth_estimateGas, eth_feeHistory and eth_sendRawTransaction.
	data := relay.AddHeadersData(headers[0], slices.Concat(headers[1:]...))
	estimate, err := client.EstimateGas(ctx, ethereum.CallMsg{From: a.address, To: &at, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := client.PendingNonceAt(ctx, a.address)
	if err != nil || nonce != 1 {
		t.Fatalf("next nonce %d, %v", nonce, err)
	}
	price, err := client.SuggestGasPrice(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tip, err := client.SuggestGasTipCap(ctx)
	if err != nil || tip.Int64() != params.GWei || price.Cmp(new(big.Int).Add(tip, c.latest().BaseFee())) != 0 {
		t.Errorf("price %v, tip %v, %v", price, tip, err)
	}
	tx := types.MustSignNewTx(a.key, c.signer, &types.DynamicFeeTx{
		ChainID: c.config.ChainID, Nonce: nonce, GasTipCap: tip, GasFeeCap: new(big.Int).Lsh(price, 1), Gas: estimate, To: &at, Data: data,
	})
	if err := client.SendTransaction(ctx, tx); err != nil {
		t.Fatal(err)
	}
	if err := client.SendTransaction(ctx, tx); err == nil || err.Error() != "already known" {
		t.Errorf("sent twice: %v", err)
	}
	if got, pending, err := client.TransactionByHash(ctx, tx.Hash()); err != nil || !pending || got.Hash() != tx.Hash() {
		t.Errorf("a pending transaction: %v, %t, %v", got, pending, err)
	}
	if _, err := client.TransactionReceipt(ctx, tx.Hash()); !errors.Is(err, ethereum.NotFound) {
		t.Errorf("the receipt of a pending transaction: %v", err)
	}
	if n, err := client.PendingNonceAt(ctx, a.address); err != nil || n != 2 {
		t.Errorf("pending nonce %d, %v", n, err)
	}
	if n, err := client.NonceAt(ctx, a.address, nil); err != nil || n != 1 {
		t.Errorf("nonce %d, %v", n, err)
	}
	mined := mine(t, c)
	receipt, err := client.TransactionReceipt(ctx, tx.Hash())
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Status != 1 || receipt.BlockHash != mined.Hash() || receipt.BlockNumber.Uint64() != 2 || receipt.EffectiveGasPrice.Cmp(new(big.Int).Add(tip, mined.BaseFee())) != 0 {
		t.Errorf("receipt %+v", receipt)
	}
	if estimate < receipt.GasUsed || float64(estimate) > 1.02*float64(receipt.GasUsed) {
		t.Errorf("estimated %d gas, used %d", estimate, receipt.GasUsed)
	}
	if got, pending, err := client.TransactionByHash(ctx, tx.Hash()); err != nil || pending || got.Hash() != tx.Hash() {
		t.Errorf("a mined transaction: %v, %t, %v", got, pending, err)
	}

	// Blocks, whole, by number, tag and hash; the client computes roots and hash.
	for _, number := range []*big.Int{nil, big.NewInt(2), big.NewInt(int64(rpc.SafeBlockNumber)), big.NewInt(int64(rpc.FinalizedBlockNumber))} {
		b, err := client.BlockByNumber(ctx, number)
		if err != nil || b.Hash() != mined.Hash() || len(b.Transactions()) != 1 || b.Transactions()[0].Hash() != tx.Hash() {
			t.Errorf("block %v: %v, %v", number, b, err)
		}
	}
	if b, err := client.BlockByHash(ctx, mined.ParentHash()); err != nil || b.NumberU64() != 1 {
		t.Errorf("block 1: %v, %v", b, err)
	}
	if h, err := client.HeaderByNumber(ctx, big.NewInt(int64(rpc.EarliestBlockNumber))); err != nil || h.Hash() != c.at(0).Hash() {
		t.Errorf("genesis %v, %v", h, err)
	}
	if _, err := client.BlockByNumber(ctx, big.NewInt(3)); !errors.Is(err, ethereum.NotFound) {
		t.Errorf("a block that is not there: %v", err)
	}
	all, err := client.BlockReceipts(ctx, rpc.BlockNumberOrHashWithHash(mined.Hash(), false))
	if err != nil || len(all) != 1 || all[0].TxHash != tx.Hash() || types.DeriveSha(types.Receipts(all), newHasher()) != mined.ReceiptHash() {
		t.Errorf("receipts %v, %v", all, err)
	}
	if n, err := client.BlockNumber(ctx); err != nil || n != 2 {
		t.Errorf("number %d, %v", n, err)
	}

	// What the state was, and is.
	height := ethereum.CallMsg{To: &at, Data: append([]byte{0x60, 0xb5, 0xc3, 0x90}, digestOf(headers[9])...)}
	if answer, err := client.CallContract(ctx, height, nil); err != nil || new(big.Int).SetBytes(answer).Uint64() != 1009 {
		t.Errorf("height %x, %v", answer, err)
	}
	_, err = client.CallContract(ctx, height, big.NewInt(1))
	reverted, ok := err.(rpc.DataError)
	if !ok || err.Error() != "execution reverted: Unknown block" || !strings.HasPrefix(fmt.Sprint(reverted.ErrorData()), "0x08c379a0") {
		t.Errorf("height before: %v", err)
	}
	if _, err := client.CallContractAtHash(ctx, height, mined.Hash()); err != nil {
		t.Errorf("height by the block's hash: %v", err)
	}
	if _, err := client.EstimateGas(ctx, ethereum.CallMsg{To: &at, Data: relay.AddHeadersData(headers[3], headers[5])}); err == nil || err.Error() != "execution reverted: Headers do not form a consistent chain" {
		t.Errorf("the gas of what reverts: %v", err)
	}
	if _, err := client.CallContract(ctx, height, big.NewInt(3)); err == nil || err.Error() != errNoBlock.Error() {
		t.Errorf("height at a block that is not there: %v", err)
	}
	if balance, err := client.BalanceAt(ctx, a.address, nil); err != nil || balance.Sign() != 1 || balance.Cmp(c.balance(t, a)) != 0 {
		t.Errorf("balance %v, %v", balance, err)
	}
	testLogs(t, client, at, headers, mined)
	testFeeHistory(t, client, c)
}

func newHasher() types.ListHasher { return trie.NewListHasher() }

// digestOf returns a header's digest.
func digestOf(h []byte) []byte { digest := hash256(h); return digest[:] }

// balance returns what an account has, by its own path.
func (c *Chain) balance(t *testing.T, a *Account) *big.Int {
	statedb, err := state.New(c.latest().Root(), c.db)
	if err != nil {
		t.Fatal(err)
	}
	return statedb.GetBalance(a.address).ToBig()
}

// testLogs asks for the logs of a block in which headers were added.
func testLogs(t *testing.T, client *ethclient.Client, at common.Address, headers [][]byte, mined *block) {
	extension := crypto.Keccak256Hash([]byte("Extension(bytes32,bytes32)"))
	first, last, hash := common.Hash(hash256(headers[0])), common.Hash(hash256(headers[9])), mined.Hash()
	for _, tt := range []struct {
		name string
		q    ethereum.FilterQuery
		want int
	}{
		{"latest", ethereum.FilterQuery{}, 1},
		{"all", ethereum.FilterQuery{FromBlock: new(big.Int)}, 1},
		{"before", ethereum.FilterQuery{FromBlock: new(big.Int), ToBlock: big.NewInt(1)}, 0},
		{"by hash", ethereum.FilterQuery{BlockHash: &hash}, 1},
		{"of the relay", ethereum.FilterQuery{Addresses: []common.Address{{1}, at}}, 1},
		{"of another", ethereum.FilterQuery{Addresses: []common.Address{{1}}}, 0},
		{"by topic", ethereum.FilterQuery{Topics: [][]common.Hash{{extension}, {first}, {{1}, last}}}, 1},
		{"by a later topic", ethereum.FilterQuery{Topics: [][]common.Hash{{}, {}, {last}}}, 1},
		{"by another topic", ethereum.FilterQuery{Topics: [][]common.Hash{{extension}, {last}}}, 0},
		{"by more topics than there are", ethereum.FilterQuery{Topics: [][]common.Hash{{}, {}, {}, {}}}, 0},
	} {
		logs, err := client.FilterLogs(t.Context(), tt.q)
		if err != nil || len(logs) != tt.want {
			t.Errorf("%s: %d logs, %v, want %d", tt.name, len(logs), err, tt.want)
		}
		for _, l := range logs {
			if l.Address != at || !slices.Equal(l.Topics, []common.Hash{extension, first, last}) || l.BlockHash != hash || l.BlockNumber != 2 || l.TxHash != mined.Transactions()[0].Hash() {
				t.Errorf("%s: log %+v", tt.name, l)
			}
		}
	}
	for _, q := range []ethereum.FilterQuery{
		{FromBlock: big.NewInt(2), ToBlock: big.NewInt(1)}, {ToBlock: big.NewInt(3), FromBlock: big.NewInt(1)},
		{BlockHash: &common.Hash{1}}, {Topics: make([][]common.Hash, 5)},
	} {
		if logs, err := client.FilterLogs(t.Context(), q); err == nil {
			t.Errorf("%+v: %d logs, want an error", q, len(logs))
		}
	}
}

// testFeeHistory asks for the fees of a chain whose last block of three is not empty.
func testFeeHistory(t *testing.T, client *ethclient.Client, c *Chain) {
	h, err := client.FeeHistory(t.Context(), 2, nil, []float64{0, 50, 100})
	if err != nil || h.OldestBlock.Uint64() != 1 || len(h.BaseFee) != 3 || len(h.Reward) != 2 || len(h.GasUsedRatio) != 2 {
		t.Fatalf("history %+v, %v", h, err)
	}
	for i, number := range []uint64{1, 2} {
		if b := c.at(number); h.BaseFee[i].Cmp(b.BaseFee()) != 0 || h.GasUsedRatio[i] != float64(b.GasUsed())/float64(b.GasLimit()) {
			t.Errorf("block %d: %v, %v", number, h.BaseFee[i], h.GasUsedRatio[i])
		}
	}
	for _, reward := range h.Reward[1] {
		if reward.Int64() != params.GWei {
			t.Errorf("rewards %v", h.Reward)
		}
	}
	mine(t, c)
	if next := c.latest().BaseFee(); h.BaseFee[2].Cmp(next) != 0 {
		t.Errorf("the next base fee is %v, told was %v", next, h.BaseFee[2])
	}
	for _, percentiles := range [][]float64{{101}, {-1}, {50, 40}, make([]float64, maxPercentiles+1)} {
		if _, err := client.FeeHistory(t.Context(), 1, nil, percentiles); err == nil {
			t.Errorf("percentiles %.4v are accepted", percentiles)
		}
	}
	if _, err := client.FeeHistory(t.Context(), 1, big.NewInt(99), []float64{}); err == nil {
		t.Error("fees of a block that is not there")
	}
	if h, err := client.FeeHistory(t.Context(), 1<<40, nil, []float64{}); err != nil || len(h.GasUsedRatio) != len(c.blocks) || h.OldestBlock.Sign() != 0 {
		t.Errorf("fees of everything: %+v, %v", h, err)
	}
}

// Rewards are by the gas that was used.
func TestRewards(t *testing.T) {
	c, a := newChain(t, Options{})
	for n, tip := range []int64{4, 3, 2, 1} {
		if err := c.Send(transfer{nonce: uint64(n), tip: tip}.sign(t, c, a)); err != nil {
			t.Fatal(err)
		}
	}
	b := mine(t, c)
	var got []int64
	for _, r := range b.rewards([]float64{0, 25, 26, 75, 100}) {
		got = append(got, r.ToInt().Int64()/params.GWei)
	}
	if want := []int64{1, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("rewards %v, want %v", got, want)
	}
	if got := mine(t, c).rewards([]float64{50}); len(got) != 1 || got[0].ToInt().Sign() != 0 {
		t.Errorf("rewards of an empty block: %v", got)
	}
}

// What is asked for too much is refused, and so is who asks from elsewhere.
func TestRefusedRequests(t *testing.T) {
	c, _ := newChain(t, Options{})
	handler, err := c.handler()
	if err != nil {
		t.Fatal(err)
	}
	call := `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`
	many := "[" + strings.Repeat(call+",", maxBatch) + call + "]"
	for _, tt := range []struct {
		name, method, host, body string
		status                   int
		says                     string
	}{
		{"a call", "POST", "127.0.0.1:8545", call, 200, `"result":"0x539"`},
		{"by name", "POST", "localhost:8545", call, 200, `"result":"0x539"`},
		{"by name alone", "POST", "localhost", call, 200, `"result":"0x539"`},
		{"IPv6", "POST", "[::1]:8545", call, 200, `"result":"0x539"`},
		{"a batch", "POST", "localhost", "[" + call + "," + call + "]", 200, `"result":"0x539"},{`},
		{"rebound name", "POST", "evil.example:8545", call, 403, "loopback"},
		{"another address", "POST", "10.0.0.1", call, 403, "loopback"},
		{"no host", "POST", "", call, 403, "loopback"},
		{"get", "GET", "localhost", "", 405, "posted"},
		{"preflight", "OPTIONS", "localhost", "", 405, "posted"},
		{"too long", "POST", "localhost", strings.Repeat(" ", maxBody+1), 413, "too large"},
		{"too many", "POST", "localhost", many, 200, "batch too large"},
		{"no method", "POST", "localhost", `{"jsonrpc":"2.0","id":1,"method":"debug_setHead"}`, 200, "-32601"},
		{"no JSON", "POST", "localhost", `{`, 200, "-32700"},
	} {
		r := httptest.NewRequest(tt.method, "/", strings.NewReader(tt.body))
		r.Host = tt.host
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d %.200s, want %d with %s", tt.name, w.Code, w.Body, tt.status, tt.says)
		}
	}
	// A page may not post without asking first: only JSON is taken.
	r := httptest.NewRequest("POST", "/", strings.NewReader(call))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d", w.Code)
	}
}

func TestServe(t *testing.T) {
	c, _ := newChain(t, Options{})
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "loopback only") {
		t.Errorf("served to everybody: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is not closed: %v", err)
	}
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("served at a closed listener: %v", err)
	}
	// An open connection does not outlive the server.
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Serve(ctx, l) }()
	resp, err := http.Post("http://"+l.Addr().String(), "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"web3_clientVersion"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.Body.Close(); err != nil || !strings.Contains(string(body), "outrider-devchain") {
		t.Errorf("answer %s, %v", body, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not end")
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

// FuzzRequest has the server answer anything with JSON or an error of HTTP, without a
// crash in a method, and without a block or a transaction of its own.
func FuzzRequest(f *testing.F) {
	c, a := newChain(f, Options{})
	at := deployRelay(f, c, a, mineHeaders(3))
	handler, err := c.handler()
	if err != nil {
		f.Fatal(err)
	}
	// Another chain's, so that no change of it makes a transaction of somebody with money.
	raw, err := transfer{nonce: 1, chain: 1}.sign(f, c, a).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`"method":"eth_call","params":[{"to":"` + common.Address(at).Hex() + `","data":"0x1910d973","value":"0x0","gas":"0x10000"},"latest"]`,
		`"method":"eth_estimateGas","params":[{"input":"0x6000","from":"0x0000000000000000000000000000000000000001"}]`,
		`"method":"eth_getLogs","params":[{"fromBlock":"0x0","toBlock":"latest","address":["` + common.Address(at).Hex() + `"],"topics":[null,"0x01",["0x02"]]}]`,
		`"method":"eth_feeHistory","params":["0xffffffffffffffff","pending",[1.5,99]]`,
		`"method":"eth_getBlockByNumber","params":["earliest",true]`,
		`"method":"eth_getBlockByHash","params":["` + c.latest().Hash().Hex() + `",true]`,
		`"method":"eth_getBlockReceipts","params":["0x1"]`,
		`"method":"eth_getTransactionReceipt","params":["` + c.latest().Transactions()[0].Hash().Hex() + `"]`,
		`"method":"eth_getTransactionCount","params":["0x0000000000000000000000000000000000000001","pending"]`,
		`"method":"eth_getStorageAt","params":["0x0000000000000000000000000000000000000001","0x1",{"blockHash":"` + c.latest().Hash().Hex() + `"}]`,
		`"method":"eth_sendRawTransaction","params":["` + fmt.Sprintf("%#x", raw) + `"]`,
	} {
		f.Add([]byte(`{"jsonrpc":"2.0","id":1,` + seed + `}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if answer := w.Body.Bytes(); len(answer) > 0 && w.Code == 200 && !json.Valid(answer) || bytes.Contains(answer, []byte("crashed")) {
			t.Fatalf("%d %s", w.Code, answer)
		}
		if c.Number() != 1 || c.pool.count != 0 {
			t.Fatalf("block %d, %d wait", c.Number(), c.pool.count)
		}
	})
}
