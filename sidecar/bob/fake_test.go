package bob

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/testvectors"
)

// A world is nodes of an L2, whose blocks are those that an anvil made in OP mode, with a
// relay that has been told of Bitcoin's first headers.
type world struct {
	t      *testing.T
	blocks []map[string]json.RawMessage // by height; none at 0
	// receipts are by the transaction's hash.
	receipts map[string]json.RawMessage
	headers  []header.Header
	heights  map[chainhash.Hash]int
	exec     *httptest.Server
	node     *httptest.Server

	mu sync.Mutex // guards what follows
	// kind is the relay's; marked and stored are a full relay's.
	kind           relay.Kind
	marked, stored int
	// answers replace those of the nodes, by method; an error is refused.
	answers map[string]any
	// down has neither node answer, offline not the Bitcoin node.
	down, offline bool
}

// refused is an error of a node.
type refused struct {
	code int
	text string
	data string
}

func (r refused) Error() string { return r.text }

// none is null.
type none struct{}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, receipts: map[string]json.RawMessage{}, heights: map[chainhash.Hash]int{}, kind: relay.KindFullWithVerify, answers: map[string]any{}}
	data, err := os.ReadFile("../../bob/opstack/testdata/anvil.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Method string
		Result json.RawMessage
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	w.blocks = make([]map[string]json.RawMessage, 5)
	for _, e := range recorded {
		switch e.Method {
		case "eth_getBlockByNumber":
			var b map[string]json.RawMessage
			if err := json.Unmarshal(e.Result, &b); err != nil {
				t.Fatal(err)
			}
			w.blocks[hexNumber(b["number"])] = b
		case "eth_getBlockReceipts":
			var list []json.RawMessage
			if err := json.Unmarshal(e.Result, &list); err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				var of struct{ TransactionHash string }
				if err := json.Unmarshal(r, &of); err != nil {
					t.Fatal(err)
				}
				w.receipts[of.TransactionHash] = r
			}
		}
	}
	raw := testvectors.Load(t, "headers/mainnet_0_10236.bin.zst", "what nodes of BOB are asked")
	for ; len(raw) > 0; raw = raw[header.Size:] {
		h := header.Header(raw[:header.Size])
		w.heights[h.Hash()] = len(w.headers)
		w.headers = append(w.headers, h)
	}
	w.marked, w.stored = len(w.headers)-1, len(w.headers)-1
	w.exec, w.node = httptest.NewServer(w.serve(w.execution)), httptest.NewServer(w.serve(w.opNode))
	t.Cleanup(w.exec.Close)
	t.Cleanup(w.node.Close)
	return w
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func hexNumber(raw json.RawMessage) int {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.Trim(string(raw), `"`), "0x"), 16, 32)
	if err != nil {
		panic(err)
	}
	return int(n)
}

type call struct {
	ID     json.RawMessage
	Method string
	Params []json.RawMessage
}

// serve answers JSON-RPC.
func (w *world) serve(answer func(c call) any) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.down {
			http.Error(rw, "no", http.StatusBadGateway)
			return
		}
		one := func(c call) string {
			result, replaced := w.answers[c.Method]
			if !replaced {
				result = answer(c)
			}
			if e, ok := result.(refused); ok {
				return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q,"data":%q}}`, c.ID, e.code, e.text, e.data)
			}
			if _, ok := result.(none); ok {
				result = nil
			}
			text, err := json.Marshal(result)
			if err != nil {
				panic(err)
			}
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, c.ID, text)
		}
		if !bytes.HasPrefix(body, []byte("[")) {
			var c call
			if err := json.Unmarshal(body, &c); err != nil {
				panic(err)
			}
			fmt.Fprint(rw, one(c))
			return
		}
		var calls []call
		if err := json.Unmarshal(body, &calls); err != nil {
			panic(err)
		}
		all := make([]string, len(calls))
		for i, c := range calls {
			all[i] = one(c)
		}
		fmt.Fprintf(rw, "[%s]", strings.Join(all, ","))
	})
}

// execution answers as an execution client.
func (w *world) execution(c call) any {
	switch c.Method {
	case "eth_chainId":
		return "0xed88"
	case "web3_clientVersion":
		return "reth/v2.3.3-abcdef/x86_64-unknown-linux-gnu"
	case "eth_config":
		return map[string]any{"current": map[string]any{"activationTime": 1773325801, "chainId": "0xed88"}}
	case "eth_syncing":
		return false
	case "net_peerCount":
		return "0x7"
	case "txpool_status":
		return map[string]string{"pending": "0x0", "queued": "0x0"}
	case "eth_maxPriorityFeePerGas":
		return "0x186a0"
	case "eth_estimateGas":
		return estimate(c)
	case "eth_getCode":
		return "0x6001"
	case "eth_getBlockByNumber":
		switch tag := string(c.Params[0]); tag {
		case `"latest"`:
			return w.blocks[4]
		case `"safe"`:
			return w.blocks[3]
		case `"finalized"`:
			return w.blocks[2]
		default:
			return w.blocks[hexNumber(c.Params[0])]
		}
	case "eth_getBlockByHash":
		for _, b := range w.blocks {
			if string(b["hash"]) == string(c.Params[0]) {
				return b
			}
		}
		return none{}
	case "eth_getTransactionReceipt":
		if r, ok := w.receipts[strings.Trim(string(c.Params[0]), `"`)]; ok {
			return r
		}
		return none{}
	case "eth_call":
		return w.relay(c)
	}
	return refused{-32601, "the method does not exist", ""}
}

// estimate returns what gas a transaction without code takes (EIP-2028, EIP-2930, EIP-7702).
func estimate(c call) string {
	var tx struct {
		Input             string
		AccessList        []struct{ StorageKeys []string }
		AuthorizationList []struct{ ChainID, Address, Nonce, YParity, R, S string }
	}
	if err := json.Unmarshal(c.Params[0], &tx); err != nil {
		panic(err)
	}
	data, err := hex.DecodeString(strings.TrimPrefix(tx.Input, "0x"))
	if err != nil {
		panic(err)
	}
	gas := 21_000
	for _, b := range data {
		if gas += 4; b != 0 {
			gas += 12
		}
	}
	for _, l := range tx.AccessList {
		gas += 2_400 + 1_900*len(l.StorageKeys)
	}
	for _, a := range tx.AuthorizationList {
		if a.Address == "" || a.R == "" {
			panic("an authorization is not whole")
		}
		gas += 25_000
	}
	return fmt.Sprintf("%#x", gas)
}

func wordOf(n int) string { return fmt.Sprintf("0x%064x", n) }

func reverted(reason string) refused {
	return refused{3, "execution reverted: " + reason, fmt.Sprintf("0x08c379a0%064x%064x%-64s", 32, len(reason), hex.EncodeToString([]byte(reason+strings.Repeat("\x00", 32-len(reason)))))}
}

// relay answers as the contract.
func (w *world) relay(c call) any {
	var tx struct{ Data string }
	if err := json.Unmarshal(c.Params[0], &tx); err != nil {
		panic(err)
	}
	digest := func(height int) string { h := w.headers[height].Hash(); return "0x" + hex.EncodeToString(h[:]) }
	selector, args := tx.Data[2:10], tx.Data[10:]
	if w.kind == relay.KindLight {
		n, ok := map[string]int{"6defbf80": 1, "95410d2b": 0, "f5619fda": 5, "b70e6be6": 0, "76671808": w.marked / 2016, "113764be": 1, "2b97be24": 1}[selector]
		if !ok {
			return refused{3, "execution reverted", "0x"}
		}
		return wordOf(n)
	}
	about := func() (int, bool) {
		raw, err := hex.DecodeString(args[:64])
		if err != nil {
			panic(err)
		}
		height, ok := w.heights[chainhash.Hash(raw)]
		return height, ok && height <= w.stored
	}
	switch selector {
	case "1910d973", "c58242cd":
		return digest(w.marked)
	case "e3d8d8d8":
		return digest(1)
	case "113764be", "2b97be24":
		return wordOf(1)
	case "60b5c390":
		height, ok := about()
		if !ok {
			return reverted("Unknown block")
		}
		return wordOf(height)
	}
	return refused{3, "execution reverted", "0x"}
}

// ref is a block as op-node names it.
func (w *world) ref(height int) map[string]any {
	b := w.blocks[height]
	return map[string]any{"hash": b["hash"], "number": height, "parentHash": b["parentHash"], "timestamp": hexNumber(b["timestamp"])}
}

// hash parses a hash.
func (w *world) hash(raw json.RawMessage) (id opstack.ID) {
	if err := json.Unmarshal(raw, &id.Hash); err != nil {
		panic(err)
	}
	return id
}

// opNode answers as an op-node.
func (w *world) opNode(c call) any {
	switch c.Method {
	case "optimism_rollupConfig":
		config := map[string]any{
			"l1_chain_id": 1, "l2_chain_id": 60808, "block_time": 2, "seq_window_size": 3600,
			"genesis": map[string]any{"l2": map[string]any{"hash": w.blocks[1]["hash"], "number": 0}, "l2_time": 1},
		}
		for _, f := range []string{"regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus"} {
			config[f+"_time"] = 0
		}
		config["jovian_time"] = 1773325801
		return config
	case "optimism_version":
		return "v1.19.1"
	case "optimism_syncStatus":
		return map[string]any{"unsafe_l2": w.ref(4), "safe_l2": w.ref(3), "finalized_l2": w.ref(2), "current_l1": map[string]any{"number": 5}}
	case "optimism_safeHeadAtL1Block":
		return map[string]any{"l1Block": map[string]any{}, "safeHead": map[string]any{}}
	case "optimism_outputAtBlock":
		n := hexNumber(c.Params[0])
		b := w.blocks[n]
		root := opstack.OutputRoot(w.hash(b["stateRoot"]).Hash, w.hash(b["withdrawalsRoot"]).Hash, w.hash(b["hash"]).Hash)
		return map[string]any{
			"version": "0x" + strings.Repeat("00", 32), "outputRoot": root, "blockRef": w.ref(n),
			"withdrawalStorageRoot": b["withdrawalsRoot"], "stateRoot": b["stateRoot"],
		}
	}
	return refused{-32601, "the method does not exist", ""}
}

// watch returns a Watch of the world's nodes, after a change of the configuration.
func (w *world) watch(change func(c *Config)) *Watch {
	w.t.Helper()
	c := DefaultConfig()
	c.Execution = []endpoint.Endpoint{{Name: "exec", URL: w.exec.URL, Rate: 1e6}}
	c.OpNodes = []endpoint.Endpoint{{Name: "node", URL: w.node.URL, Rate: 1e6}}
	c.Relay, c.Kind = relay.Address{1}, w.kind
	if change != nil {
		change(&c)
	}
	watch, err := New(c, w, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return watch
}

// A world is a Bitcoin node, too.

func (w *world) BlockHash(_ context.Context, height uint32) (chainhash.Hash, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.offline || int(height) >= len(w.headers) {
		return chainhash.Hash{}, errors.New("block height out of range")
	}
	return w.headers[height].Hash(), nil
}

func (w *world) Header(_ context.Context, hash chainhash.Hash) (header.Header, error) {
	height, ok := w.heights[hash]
	if !ok {
		return header.Header{}, errors.New("block not found")
	}
	return w.headers[height], nil
}

func (w *world) Headers(_ context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	for _, l := range locator {
		if height, ok := w.heights[l]; ok {
			return w.headers[height+1 : min(height+2001, len(w.headers))], nil
		}
	}
	return w.headers[1:2001], nil
}

// outputRoot returns the output root of parts.
func outputRoot(w *world, state, withdrawals, block json.RawMessage) any {
	return opstack.OutputRoot(w.hash(state).Hash, w.hash(withdrawals).Hash, w.hash(block).Hash)
}
