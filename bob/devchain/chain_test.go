package devchain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/txpool"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"

	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

// begin is the time of the genesis block of the tests' chains.
var begin = time.Unix(1_700_000_000, 0)

// newChain returns a chain and an account that is rich there.
func newChain(t testing.TB, o Options) (*Chain, *Account) {
	t.Helper()
	a, err := NewAccount()
	if err != nil {
		t.Fatal(err)
	}
	o.Time, o.Rich = begin, append(o.Rich, a)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, a
}

// mine mines a block two seconds after the last.
func mine(t testing.TB, c *Chain) *block {
	t.Helper()
	n, err := c.Mine(time.Unix(int64(c.latest().Time()), 0).Add(2 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if n != c.Number() || c.latest().NumberU64() != n {
		t.Fatalf("mined block %d, and the latest is %d", n, c.Number())
	}
	return c.latest()
}

// A transfer is a transaction that pays a wei to nobody.
type transfer struct {
	nonce    uint64
	tip, cap int64 // in gwei
	gas      uint64
	data     []byte
	value    *big.Int
	chain    int64
	creates  bool
	cheap    bool // pays a wei for its gas
}

// sign signs a transfer, whose zero fields have values that are accepted.
func (f transfer) sign(t testing.TB, c *Chain, a *Account) *types.Transaction {
	t.Helper()
	if f.tip == 0 && f.cap == 0 {
		f.tip = 1
	}
	if f.cap == 0 {
		f.cap = f.tip + 10
	}
	if f.gas == 0 {
		f.gas = params.TxGas
	}
	if f.value == nil {
		f.value = big.NewInt(1)
	}
	id := new(big.Int).SetUint64(c.ChainID())
	if f.chain != 0 {
		id.SetInt64(f.chain)
	}
	to := &common.Address{0xaa}
	if f.creates {
		to = nil
	}
	gwei := big.NewInt(params.GWei)
	if f.cheap {
		f.tip, f.cap, gwei = 0, 1, big.NewInt(1)
	}
	return types.MustSignNewTx(a.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: f.nonce, To: to, Value: f.value, Gas: f.gas, Data: f.data,
		GasTipCap: new(big.Int).Mul(gwei, big.NewInt(f.tip)), GasFeeCap: new(big.Int).Mul(gwei, big.NewInt(f.cap)),
	})
}

// Blocks follow one another, have the times that they are told, and are forgotten with all
// that was in them.
func TestBlocks(t *testing.T) {
	c, a := newChain(t, Options{ChainID: 60808, Keep: 3})
	if c.ChainID() != 60808 || c.Number() != 0 || c.latest().Time() != uint64(begin.Unix()) || c.latest().GasLimit() != 30_000_000 {
		t.Errorf("chain %d, genesis %+v", c.ChainID(), c.latest().Header())
	}
	genesis := c.latest()
	hash, err := c.Transact(a, [20]byte{0xaa}, nil, params.TxGas)
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range []struct {
		after time.Duration
		want  int64
	}{{2 * time.Second, 2}, {2 * time.Second, 3}, {0, 4}, {time.Hour, 3600}} {
		parent := c.latest()
		n, err := c.Mine(begin.Add(at.after))
		b := c.latest()
		if err != nil || n != uint64(i+1) || b.Time() != uint64(begin.Unix()+at.want) || b.ParentHash() != parent.Hash() {
			t.Errorf("block %d (%v) at %d, want %d", n, err, b.Time(), begin.Unix()+at.want)
		}
		if i == 0 {
			if len(b.receipts) != 1 || b.receipts[0].TxHash != hash || b.receipts[0].Status != 1 || b.receipts[0].BlockHash != b.Hash() || b.GasUsed() != params.TxGas {
				t.Errorf("receipts %+v", b.receipts)
			}
		}
	}
	if len(c.blocks) != 3 || c.at(1) != nil || c.at(2) == nil || c.at(4) != c.latest() || c.at(5) != nil || len(c.byHash) != 3 || len(c.mined) != 0 {
		t.Errorf("%d blocks, %d by hash, %d transactions are kept", len(c.blocks), len(c.byHash), len(c.mined))
	}
	if _, err := state.New(c.at(2).Root(), c.db); err != nil {
		t.Errorf("the state of the first block that is kept: %v", err)
	}
	if _, err := state.New(genesis.Root(), c.db); err == nil {
		t.Error("the state of the genesis block is not forgotten")
	}
	if got := c.at(2).receipts; len(got) != 0 {
		t.Errorf("block 2 has receipts %v", got)
	}
	if _, err := New(Options{Keep: -1}); err == nil {
		t.Error("a chain that keeps a negative number of blocks")
	}
}

// A transaction is refused with the error that go-ethereum has for it.
func TestRefused(t *testing.T) {
	c, a := newChain(t, Options{})
	poor, err := NewAccount()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(transfer{}.sign(t, c, a)); err != nil {
		t.Fatal(err)
	}
	mine(t, c)
	if err := c.Send(transfer{nonce: 1, tip: 10}.sign(t, c, a)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		tx   *types.Transaction
		want error
	}{
		{"another chain's", transfer{chain: 1}.sign(t, c, a), txpool.ErrInvalidSender},
		{"known", transfer{nonce: 1, tip: 10}.sign(t, c, a), txpool.ErrAlreadyKnown},
		{"pays hardly more", transfer{nonce: 1, tip: 10, cap: 25}.sign(t, c, a), txpool.ErrReplaceUnderpriced},
		{"is ready to pay hardly more", transfer{nonce: 1, tip: 11, cap: 21}.sign(t, c, a), txpool.ErrReplaceUnderpriced},
		{"old nonce", transfer{}.sign(t, c, a), core.ErrNonceTooLow},
		{"far nonce", transfer{nonce: 2 + maxAhead}.sign(t, c, a), core.ErrNonceTooHigh},
		{"no money", transfer{}.sign(t, c, poor), core.ErrInsufficientFunds},
		{"too much value", transfer{nonce: 2, value: new(big.Int).Lsh(big.NewInt(1), 90)}.sign(t, c, a), core.ErrInsufficientFunds},
		{"tip above the most", transfer{nonce: 2, tip: 2, cap: 1}.sign(t, c, a), core.ErrTipAboveFeeCap},
		{"too little gas", transfer{nonce: 2, gas: params.TxGas - 1}.sign(t, c, a), core.ErrIntrinsicGas},
		{"too little gas for data", transfer{nonce: 2, gas: params.TxGas + 399, data: slices.Repeat([]byte{1}, 10)}.sign(t, c, a), core.ErrIntrinsicGas},
		{"more gas than a transaction may have", transfer{nonce: 2, gas: params.MaxTxGas + 1}.sign(t, c, a), core.ErrGasLimitTooHigh},
		{"more gas than a block has", transfer{nonce: 2, gas: 30_000_001}.sign(t, c, a), txpool.ErrGasLimit},
		{"too long", transfer{nonce: 2, gas: params.MaxTxGas, data: make([]byte, maxTransaction)}.sign(t, c, a), txpool.ErrOversizedData},
		{"creates too much", transfer{nonce: 2, gas: params.MaxTxGas, data: make([]byte, params.MaxInitCodeSize+1), creates: true}.sign(t, c, a), vm.ErrMaxInitCodeSizeExceeded},
		{"a blob", types.MustSignNewTx(a.key, c.signer, &types.BlobTx{Nonce: 2, Gas: params.TxGas}), core.ErrTxTypeNotSupported},
	} {
		if err := c.Send(tt.tx); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, ok := range []transfer{{nonce: 1 + maxAhead}, {nonce: 2, gas: params.MaxTxGas}, {nonce: 1, tip: 11, cap: 22}, {nonce: 3, gas: params.TxGas + 400, data: slices.Repeat([]byte{1}, 10)}} {
		if err := c.Send(ok.sign(t, c, a)); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	if c.pool.count != 4 {
		t.Errorf("%d wait, want 4", c.pool.count)
	}
	c.pool.count = maxPending
	if err := c.Send(transfer{nonce: 5}.sign(t, c, a)); !errors.Is(err, errPoolFull) {
		t.Errorf("into a full pool: %v", err)
	}
	if err := c.Send(transfer{nonce: 1, tip: 20}.sign(t, c, a)); err != nil {
		t.Errorf("a replacement into a full pool: %v", err)
	}
}

// A block has those that pay most first, each account's in the order of their nonces, and
// leaves what it cannot have.
func TestOrder(t *testing.T) {
	b, err := NewAccount()
	if err != nil {
		t.Fatal(err)
	}
	c, a := newChain(t, Options{GasLimit: 8 * params.TxGas, Rich: []*Account{b}})
	var want []common.Hash
	send := func(from *Account, f transfer) common.Hash {
		tx := f.sign(t, c, from)
		if err := c.Send(tx); err != nil {
			t.Fatal(err)
		}
		return tx.Hash()
	}
	a1 := send(a, transfer{nonce: 1, tip: 9})
	replaced := send(a, transfer{nonce: 0, tip: 1})
	b0 := send(b, transfer{nonce: 0, tip: 3})
	b1 := send(b, transfer{nonce: 1, tip: 2})
	a0 := send(a, transfer{nonce: 0, tip: 2, cap: 20})
	send(a, transfer{nonce: 3})              // waits for 2
	send(b, transfer{nonce: 2, cheap: true}) // the base fee is more
	want = append(want, b0, b1, a0, a1)      // of equals, the one that came first
	got := mine(t, c).Transactions()
	var hashes []common.Hash
	for _, tx := range got {
		hashes = append(hashes, tx.Hash())
	}
	if !slices.Equal(hashes, want) {
		t.Errorf("mined %v,\nwant  %v", hashes, want)
	}
	if _, ok := c.mined[replaced]; ok || c.pool.find(replaced) != nil {
		t.Error("what was replaced is still there")
	}
	if c.pool.count != 2 || c.pool.next(b.address, 2) != 3 || c.pool.next(a.address, 2) != 2 {
		t.Errorf("%d wait", c.pool.count)
	}
	// Seven do not fit beside one of four times the gas; the rest comes next.
	for n := range uint64(8) {
		if n != 1 {
			send(a, transfer{nonce: 2 + n, tip: 5})
		}
	}
	dear := send(b, transfer{nonce: 2, tip: 50, gas: 4 * params.TxGas})
	first := mine(t, c)
	if n := len(first.Transactions()); n != 8 || first.Transactions()[0].Hash() != dear || first.GasUsed() != 8*params.TxGas {
		t.Errorf("%d transactions, gas %d", n, first.GasUsed())
	}
	if n := len(mine(t, c).Transactions()); n != 1 || c.pool.count != 0 || len(c.pool.by) != 0 {
		t.Errorf("%d transactions, %d wait", n, c.pool.count)
	}
}

// A transaction that does not fit leaves its place to those that pay less, but for its
// sender's.
func TestDoesNotFit(t *testing.T) {
	b, err := NewAccount()
	if err != nil {
		t.Fatal(err)
	}
	c, a := newChain(t, Options{GasLimit: 8 * params.TxGas, Rich: []*Account{b}})
	var want []common.Hash
	for n := range uint64(6) {
		tip := int64(9)
		if n == 5 {
			tip = 1
		}
		tx := transfer{nonce: n, tip: tip}.sign(t, c, a)
		if err := c.Send(tx); err != nil {
			t.Fatal(err)
		}
		want = append(want, tx.Hash())
	}
	for n, gas := range []uint64{4 * params.TxGas, params.TxGas} {
		if err := c.Send(transfer{nonce: uint64(n), tip: 5, gas: gas}.sign(t, c, b)); err != nil {
			t.Fatal(err)
		}
	}
	var got []common.Hash
	first := mine(t, c)
	for _, tx := range first.Transactions() {
		got = append(got, tx.Hash())
	}
	if !slices.Equal(got, want) || first.GasUsed() != 6*params.TxGas || c.pool.count != 2 {
		t.Errorf("mined %v with %d gas, %d wait,\nwant  %v", got, first.GasUsed(), c.pool.count, want)
	}
	if second := mine(t, c); len(second.Transactions()) != 2 || c.pool.count != 0 {
		t.Errorf("then %d, %d wait", len(second.Transactions()), c.pool.count)
	}
	// The fee of a transaction that is sent in vain may be gone when its turn comes.
	all := new(big.Int).Sub(c.balance(t, b), new(big.Int).SetUint64(params.TxGas*12*params.GWei))
	for n, value := range []*big.Int{all, all} {
		if err := c.Send(transfer{nonce: uint64(2 + n), tip: 1, value: value}.sign(t, c, b)); err != nil {
			t.Fatal(err)
		}
	}
	if third := mine(t, c); len(third.Transactions()) != 1 || third.GasUsed() != params.TxGas || c.pool.count != 1 {
		t.Errorf("of two that one's money is enough for, %d are mined, %d wait", len(third.Transactions()), c.pool.count)
	}
}

const easyBits = 0x207fffff

// mineHeaders returns Bitcoin headers of a target that half of all hashes meet, each on
// the one before.
func mineHeaders(n int) [][]byte {
	all := make([][]byte, n)
	var prev [32]byte
	for i := range all {
		h := make([]byte, 80)
		binary.LittleEndian.PutUint32(h, 0x20000000)
		copy(h[4:], prev[:])
		binary.LittleEndian.PutUint32(h[68:], uint32(1_600_000_000+600*i))
		binary.LittleEndian.PutUint32(h[72:], easyBits)
		for nonce := uint32(0); ; nonce++ {
			binary.LittleEndian.PutUint32(h[76:], nonce)
			if prev = hash256(h); prev[31] < 0x7f {
				break
			}
		}
		all[i] = h
	}
	return all
}

func hash256(data []byte) [32]byte {
	first := sha256.Sum256(data)
	return sha256.Sum256(first[:])
}

// deployRelay deploys a relay whose first header is the first of these, at height 1000.
func deployRelay(t testing.TB, c *Chain, a *Account, headers [][]byte) (at [20]byte) {
	t.Helper()
	creation := slices.Concat(contract.FullRelayWithVerify().Creation, relay.ConstructorData(headers[0], 1000, [32]byte{1}))
	hash, at, err := c.Deploy(a, creation, 5_000_000)
	if err != nil {
		t.Fatal(err)
	}
	mine(t, c)
	receipt, err := c.Await(t.Context(), hash)
	if err != nil || receipt.Status != 1 || receipt.ContractAddress != common.Address(at) {
		t.Fatalf("receipt %+v, %v; want a contract at %x", receipt, err, at)
	}
	return at
}

// A relay that is deployed does what its model does, in as much gas, and reverts with its
// words.
func TestRelay(t *testing.T) {
	c, a := newChain(t, Options{})
	headers := mineHeaders(20)
	at := deployRelay(t, c, a, headers)
	model, err := relay.NewFullRelay(headers[0], 1000, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	model.SetCosts(contract.Costs())
	for _, call := range []relay.Call{
		{Function: "addHeaders", Args: [][]byte{headers[0], slices.Concat(headers[1:]...)}},
		{Function: "markNewHeaviest", Args: [][]byte{headers[0], headers[19]}, Ancestor: hash256(headers[0]), Limit: 19},
	} {
		hash, err := c.Transact(a, at, call.Data(), 2_000_000)
		if err != nil {
			t.Fatal(err)
		}
		mine(t, c)
		receipt, err := c.Await(t.Context(), hash)
		if err != nil || receipt.Status != 1 || len(receipt.Logs) != 1 {
			t.Fatalf("%s: %+v, %v", call.Function, receipt, err)
		}
		estimate, err := model.Do(&call)
		if err != nil {
			t.Fatal(err)
		}
		if off := float64(estimate.Gas)/float64(receipt.GasUsed) - 1; off < -0.02 || off > 0.02 {
			t.Errorf("%s used %d gas, its model estimates %d", call.Function, receipt.GasUsed, estimate.Gas)
		}
	}
	best, err := c.Call(t.Context(), at, []byte{0x19, 0x10, 0xd9, 0x73})
	if err != nil || [32]byte(best) != hash256(headers[19]) {
		t.Errorf("best %x, %v", best, err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"words", relay.AddHeadersData(headers[3], headers[5]), "Headers do not form a consistent chain"},
		{"panic", relay.AddHeadersData(headers[3], nil), "out-of-bounds access of an array or bytesN"},
		{"nothing", []byte{1, 2, 3, 4}, ""},
	} {
		_, err := c.Call(t.Context(), at, tt.data)
		reverted, ok := errors.AsType[*RevertError](err)
		if !ok || reverted.Reason != tt.want || !errors.Is(err, vm.ErrExecutionReverted) {
			t.Errorf("%s: %v, want a revert with %q", tt.name, err, tt.want)
		}
	}
	// What reverts in a block is there, and did nothing.
	hash, err := c.Transact(a, at, relay.AddHeadersData(headers[3], headers[5]), 2_000_000)
	if err != nil {
		t.Fatal(err)
	}
	mine(t, c)
	if receipt, err := c.Await(t.Context(), hash); err != nil || receipt.Status != 0 {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
}

// A caller's end ends an execution.
func TestCallEnds(t *testing.T) {
	c, a := newChain(t, Options{})
	// JUMPDEST PUSH1 0 JUMP, for ever, as runtime code.
	code := []byte{0x5b, 0x60, 0x00, 0x56}
	creation := append([]byte{0x63}, code...)                                   // PUSH4 code
	creation = append(creation, 0x60, 0x00, 0x52, 0x60, 0x04, 0x60, 0x1c, 0xf3) // MSTORE at 0; RETURN(28, 4)
	_, at, err := c.Deploy(a, creation, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	mine(t, c)
	if _, err := c.Call(t.Context(), at, nil); !errors.Is(err, vm.ErrOutOfGas) {
		t.Errorf("a loop without an end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ctx, at, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a call of nobody: %v", err)
	}
	if _, err := c.Await(ctx, [32]byte{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait of nobody: %v", err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newChain(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx, 2*time.Second) }()
		hash, err := c.Transact(a, [20]byte{}, nil, params.TxGas)
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if receipt, err := c.Await(ctx, hash); err != nil || receipt.BlockNumber.Uint64() != 1 || time.Since(before) != 2*time.Second {
			t.Errorf("receipt %+v (%v) after %v", receipt, err, time.Since(before))
		}
		time.Sleep(9 * time.Second)
		cancel()
		if err := <-ended; err != nil || c.Number() != 5 {
			t.Errorf("%v after %d blocks, want 5", err, c.Number())
		}
	})
}
