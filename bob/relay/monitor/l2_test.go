package monitor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

const (
	gasLimit = 1 << 32
	chainID  = 60808
)

// owner deploys contracts.
var owner = common.Address{19: 1}

// An l2Block is a block of an L2 with the state after it.
type l2Block struct {
	header *types.Header
	hash   common.Hash
	db     *state.StateDB
}

// An l2 is a chain on which contracts execute in go-ethereum's EVM. Several nodes may serve
// it.
type l2 struct {
	t       testing.TB
	address common.Address
	mu      sync.Mutex // guards what follows
	blocks  []l2Block
	// salt tells branches apart.
	salt byte
}

// newL2 returns a chain whose first block has a contract.
func newL2(t testing.TB, creation []byte) *l2 {
	t.Helper()
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		t.Fatal(err)
	}
	l := &l2{t: t}
	_, address, _, err := l.evm(db).Create(owner, creation, vm.NewGasBudget(gasLimit, 0), new(uint256.Int))
	if err != nil {
		t.Fatal(err)
	}
	l.address = address
	l.seal(db)
	return l
}

func (l *l2) evm(db *state.StateDB) *vm.EVM {
	evm := vm.NewEVM(vm.BlockContext{
		CanTransfer: core.CanTransfer, Transfer: core.Transfer,
		GetHash:     func(uint64) common.Hash { return common.Hash{} },
		BlockNumber: big.NewInt(1), Time: 2_000_000_000, GasLimit: gasLimit,
		Difficulty: new(big.Int), BaseFee: new(big.Int), BlobBaseFee: new(big.Int), Random: &common.Hash{},
	}, db, params.MergedTestChainConfig, vm.Config{})
	evm.SetTxContext(vm.TxContext{Origin: owner, GasPrice: new(uint256.Int)})
	db.Prepare(evm.GetRules(), owner, common.Address{}, nil, vm.ActivePrecompiles(evm.GetRules()), nil)
	return evm
}

// seal puts a block with a state on top.
func (l *l2) seal(db *state.StateDB) {
	db.Finalise(params.MergedTestChainConfig.Rules(big.NewInt(1), true, 0))
	h := &types.Header{
		Number: big.NewInt(int64(len(l.blocks))), Difficulty: new(big.Int), BaseFee: big.NewInt(1),
		GasLimit: 30_000_000, Time: 1_760_000_000 + 2*uint64(len(l.blocks)), Extra: []byte{l.salt}, UncleHash: types.EmptyUncleHash,
	}
	if n := len(l.blocks); n > 0 {
		h.ParentHash = l.blocks[n-1].hash
	}
	l.blocks = append(l.blocks, l2Block{h, h.Hash(), db})
}

// send calls the contract in a block of its own, and returns what it reverts with.
func (l *l2) send(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	db := l.blocks[len(l.blocks)-1].db.Copy()
	out, _, err := l.evm(db).Call(owner, l.address, data, vm.NewGasBudget(gasLimit, 0), new(uint256.Int))
	if err != nil {
		return fmt.Errorf("%w: %x", err, out)
	}
	l.seal(db)
	return nil
}

// must is send for what works.
func (l *l2) must(data []byte) {
	l.t.Helper()
	if err := l.send(data); err != nil {
		l.t.Fatal(err)
	}
}

// reorganise takes blocks away, and puts so many empty ones in their place.
func (l *l2) reorganise(depth, empty int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocks = l.blocks[:len(l.blocks)-depth]
	if depth > 0 {
		l.salt++
	}
	for range empty {
		l.seal(l.blocks[len(l.blocks)-1].db)
	}
}

func (l *l2) height() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.blocks) - 1
}

// An rpcCall is what a node is asked.
type rpcCall struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// An rpcError is an error of a node.
type rpcError struct {
	code    int
	message string
	data    []byte
}

func (e *rpcError) Error() string { return e.message }

// answer answers a call of a node that has blocks up to a height.
func (l *l2) answer(c rpcCall, upTo int) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	blocks := l.blocks[:min(upTo+1, len(l.blocks))]
	switch c.Method {
	case "eth_chainId":
		return hexutil.Uint64(chainID), nil
	case "eth_getBlockByNumber":
		at := len(blocks) - 1
		if tag := string(c.Params[0]); tag != `"latest"` {
			var n hexutil.Uint64
			if err := json.Unmarshal(c.Params[0], &n); err != nil {
				return nil, err
			}
			at = int(n)
		}
		if at >= len(blocks) {
			return nil, nil
		}
		return blocks[at].header, nil
	case "eth_call":
		return l.call(c, blocks)
	}
	return nil, &rpcError{code: -32601, message: "the method does not exist"}
}

func (l *l2) call(c rpcCall, blocks []l2Block) (any, error) {
	var tx struct {
		To   common.Address
		Data hexutil.Bytes
	}
	var at struct {
		BlockHash        common.Hash
		RequireCanonical bool
	}
	if err := errors.Join(json.Unmarshal(c.Params[0], &tx), json.Unmarshal(c.Params[1], &at)); err != nil {
		return nil, err
	}
	if !at.RequireCanonical {
		return nil, &rpcError{code: -32602, message: "the question is not about one block"}
	}
	for i := range slices.Backward(blocks) {
		if blocks[i].hash != at.BlockHash {
			continue
		}
		db := blocks[i].db
		before := db.Snapshot()
		out, _, err := l.evm(db).StaticCall(common.Address{}, tx.To, tx.Data, vm.NewGasBudget(gasLimit, 0))
		db.RevertToSnapshot(before)
		switch {
		case errors.Is(err, vm.ErrExecutionReverted):
			return nil, &rpcError{code: 3, message: "execution reverted", data: out}
		case err != nil:
			return nil, &rpcError{code: -32000, message: err.Error()}
		}
		return hexutil.Bytes(out), nil
	}
	return nil, &rpcError{code: -32000, message: "header not found"}
}

// A server is a node of an l2 that speaks JSON-RPC.
type server struct {
	*httptest.Server
	l2 *l2
	mu sync.Mutex // guards what follows
	// lag is how many blocks it is behind.
	lag int
	// exchange, unless nil, may answer a whole exchange; call may answer one call.
	exchange func(w http.ResponseWriter, r *http.Request, body []byte) bool
	call     func(c rpcCall) (result any, err error, answered bool)
	posts    int
}

func newServer(t testing.TB, l *l2) *server {
	s := &server{l2: l}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) set(f func(s *server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left
	}
	s.mu.Lock()
	s.posts++
	exchange := s.exchange
	s.mu.Unlock()
	if exchange != nil && exchange(w, r, body) {
		return
	}
	fmt.Fprint(w, s.answers(body))
}

// answers returns what the node answers to an exchange.
func (s *server) answers(body []byte) string {
	var calls []rpcCall
	if strings.HasPrefix(string(body), "[") {
		if err := json.Unmarshal(body, &calls); err != nil {
			panic(err)
		}
		all := make([]string, len(calls))
		for i := range calls {
			all[i] = s.one(calls[i])
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	var c rpcCall
	if err := json.Unmarshal(body, &c); err != nil {
		panic(err)
	}
	return s.one(c)
}

func (s *server) one(c rpcCall) string {
	s.mu.Lock()
	call, lag := s.call, s.lag
	s.mu.Unlock()
	var result any
	var err error
	answered := false
	if call != nil {
		result, err, answered = call(c)
	}
	if !answered {
		result, err = s.l2.answer(c, max(s.l2.height()-lag, 0))
	}
	if err != nil {
		e, ok := errors.AsType[*rpcError](err)
		if !ok {
			panic(err)
		}
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q,"data":"0x%s"}}`, c.ID, e.code, e.message, hex.EncodeToString(e.data))
	}
	raw, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, c.ID, raw)
}

// options are of a pool of servers called a, b, c…
func options(servers ...*server) endpoint.Options {
	opts := endpoint.Options{Layer: "l2", ChainID: chainID}
	for i, s := range servers {
		opts.Endpoints = append(opts.Endpoints, endpoint.Endpoint{Name: string(rune('a' + i)), URL: s.URL, Rate: 1e6, Burst: 1e6})
	}
	return opts
}

// A fresh is a pool that has just been opened, each time that it is renewed: its endpoints
// have not failed yet.
type fresh struct {
	opts endpoint.Options
	*endpoint.Pool
}

func newFresh(t testing.TB, servers ...*server) *fresh {
	f := &fresh{opts: options(servers...)}
	f.renew(t)
	return f
}

func (f *fresh) renew(t testing.TB) {
	t.Helper()
	f.close()
	p, err := endpoint.New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	f.Pool = p
}

// close closes the connections of the pool, as its Run does when it ends.
func (f *fresh) close() {
	if f.Pool != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = f.Run(ctx)
	}
}

// fullRelay returns an L2 with a relay that begins at beginAt of a chain.
func fullRelay(t testing.TB, chain []header.Header, creation []byte) *l2 {
	start := chain[interval].Hash()
	return newL2(t, append(creation, relay.ConstructorData(chain[beginAt][:], beginAt, start)...))
}

// add adds the headers of a chain from a height up to another, in one call or, at a
// retarget, two.
func (l *l2) add(chain []header.Header, from, to int) {
	l.t.Helper()
	for from <= to {
		last := to
		if from < retargetAt && to >= retargetAt {
			last = retargetAt - 1
		}
		var raw []byte
		for _, h := range chain[from : last+1] {
			raw = append(raw, h[:]...)
		}
		if from == retargetAt {
			l.must(relay.AddHeadersWithRetargetData(chain[from-interval][:], chain[from-1][:], raw))
		} else {
			l.must(relay.AddHeadersData(chain[from-1][:], raw))
		}
		from = last + 1
	}
}

// mark returns the call that marks a header after another, whose last common ancestor is at
// a height.
func mark(ancestor int, from, to []header.Header) []byte {
	return relay.MarkNewHeaviestData(to[ancestor].Hash(), from[len(from)-1][:], to[len(to)-1][:], uint64(max(len(from), len(to))-ancestor))
}

// lightRelay returns an L2 with a LightRelay that was begun with the second period, and a
// proof length.
func lightRelay(t testing.TB, chain []header.Header, length uint64) *l2 {
	l := newL2(t, contract.LightRelay().Creation)
	l.must(relay.GenesisData(chain[interval][:], interval, length))
	return l
}
