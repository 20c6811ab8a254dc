package demo

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb"
	"github.com/btcsuite/btcd/wire/v2"
)

// A chain is btcd's consensus code in this process.
type chain struct {
	t *testing.T
	*blockchain.BlockChain
}

func newChain(t *testing.T) chain {
	t.Helper()
	db, err := database.Create("ffldb", t.TempDir(), chaincfg.RegressionNetParams.Net)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	bc, err := blockchain.New(&blockchain.Config{
		DB: db, ChainParams: &chaincfg.RegressionNetParams, TimeSource: blockchain.NewMedianTime(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return chain{t, bc}
}

// take hands a block to the chain, which has to take it.
func (c chain) take(b *Block) {
	c.t.Helper()
	err := blockchain.CheckBlockSanity(btcutil.NewBlock(b.Msg), chaincfg.RegressionNetParams.PowLimit, blockchain.NewMedianTime())
	if err != nil {
		c.t.Fatalf("block %d: %v", b.Height, err)
	}
	if _, orphan, err := c.ProcessBlock(btcutil.NewBlock(b.Msg), blockchain.BFNone); err != nil || orphan {
		c.t.Fatalf("block %d: orphan %v, %v", b.Height, orphan, err)
	}
}

// at checks that the chain's tip is b.
func (c chain) at(b *Block) {
	c.t.Helper()
	if best := c.BestSnapshot(); best.Hash != b.Hash || best.Height != int32(b.Height) {
		c.t.Fatalf("the chain is at block %d %v, not at %d %v", best.Height, best.Hash, b.Height, b.Hash)
	}
}

// bootstrapped returns a workload that has coins to spend. Every block goes to
// take.
func bootstrapped(t *testing.T, seed uint64, take func(*Block)) *workload {
	t.Helper()
	w := newWorkload(seed)
	start := time.Now().Add(-bootstrapBlocks * bootstrapSpacing)
	for i := range bootstrapBlocks {
		b, err := w.miner.mineAt(w.ledger.tip, nil, start.Add(time.Duration(i)*bootstrapSpacing))
		if err != nil {
			t.Fatal(err)
		}
		take(b)
		w.connect(b)
	}
	if _, err := w.fanOut(bootstrapCoins, []int{0}); err != nil {
		t.Fatal(err)
	}
	mineMost(t, w, 0, take)
	return w
}

// mineBlock mines a block of most pending transactions.
func mineBlock(t *testing.T, w *workload, take func(*Block)) *Block {
	t.Helper()
	return mineMost(t, w, leaveOut, take)
}

func mineMost(t *testing.T, w *workload, leaveOut float64, take func(*Block)) *Block {
	t.Helper()
	b, err := w.block(leaveOut)
	if err != nil {
		t.Fatal(err)
	}
	take(b)
	w.connect(b)
	return b
}

func makeTraffic(t *testing.T, w *workload, count int) []*Tx {
	t.Helper()
	txs, err := w.traffic(count, []int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	return txs
}

// long leaves a test out of short runs: one goroutine makes many blocks, and has btcd's
// engine run all their scripts.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not checked with -short: what the traffic is made of")
	}
}

// TestBlocksAreValid lets btcd's own consensus code judge the blocks and
// reorganisations of a workload, and the flags of its mempool the scripts.
func TestBlocksAreValid(t *testing.T) {
	long(t)
	const blocks = 60
	c := newChain(t)
	w := bootstrapped(t, 1, c.take)
	kinds, locks := make(map[Kind]int), make(map[string]int)
	replacements, children := 0, 0
	for i := range blocks {
		spent, created := make(map[wire.OutPoint]bool), make(map[chainhash.Hash]bool)
		for _, tx := range makeTraffic(t, w, 12) {
			if err := checkScripts(tx); err != nil {
				t.Fatal(err)
			}
			if spent[tx.Spent[0].OutPoint] {
				replacements++
			}
			if created[tx.Spent[0].Hash] {
				children++
			}
			for _, coin := range tx.Spent {
				kinds[coin.Kind]++
				spent[coin.OutPoint] = true
			}
			created[tx.Hash] = true
			locks[lockKind(tx)]++
		}
		if mineable := w.choose(w.ledger.clone(), w.pending, 0); !slices.Equal(mineable, w.pending) {
			t.Fatalf("%d of %d pending transactions can be mined", len(mineable), len(w.pending))
		}
		if i%10 != 9 {
			mineBlock(t, w, c.take)
			continue
		}
		r, err := w.reorg(1 + uint32(i)%MaxReorg)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Connected {
			c.take(b)
		}
		w.switchTo(r)
		c.at(w.ledger.tip)
	}
	for _, kind := range Kinds() {
		if kinds[kind] == 0 {
			t.Errorf("no %v coin was spent", kind)
		}
	}
	for _, lock := range []string{"final", "replaceable", "height", "time", "relative height", "relative time"} {
		if locks[lock] == 0 {
			t.Errorf("no transaction has lock %q", lock)
		}
	}
	if replacements == 0 || children == 0 {
		t.Errorf("%d replacements, %d children of unconfirmed transactions", replacements, children)
	}
	if n := len(w.ledger.coins); n > 2*manyCoins {
		t.Errorf("%d coins", n)
	}
	if n := len(w.pending); n > 100 {
		t.Errorf("%d pending transactions", n)
	}
	checkUnspent(t, c, w)
}

// lockKind names the lock of a transaction.
func lockKind(tx *Tx) string {
	sequence := tx.Msg.TxIn[0].Sequence
	switch {
	case sequence == replaceable:
		return "replaceable"
	case sequence < 100:
		return "relative height"
	case sequence < replaceable:
		return "relative time"
	case tx.Msg.LockTime >= 500_000_000:
		return "time"
	case tx.Msg.LockTime > 0:
		return "height"
	}
	return "final"
}

// checkUnspent checks that the workload's coins are the chain's, and that they are
// worth as much as was ever mined.
func checkUnspent(t *testing.T, c chain, w *workload) {
	t.Helper()
	var total, mined int64
	for height := range int32(w.ledger.tip.Height) {
		mined += blockchain.CalcBlockSubsidy(height+1, &chaincfg.RegressionNetParams)
	}
	for op, coin := range w.ledger.coins {
		total += coin.Value
		entry, err := c.FetchUtxoEntry(op)
		if err != nil {
			t.Fatal(err)
		}
		if entry == nil || entry.IsSpent() {
			t.Errorf("%v is not unspent", op)
			continue
		}
		if entry.Amount() != coin.Value || entry.BlockHeight() != int32(coin.Height) ||
			entry.IsCoinBase() != coin.Coinbase || string(entry.PkScript()) != string(coin.Script) {
			t.Errorf("%v is another coin", op)
		}
	}
	if total != mined {
		t.Errorf("the coins are worth %d, but %d was mined", total, mined)
	}
}

// TestTrafficFollowsFromSeed checks that two runs make the same transactions,
// whatever the clock says.
func TestTrafficFollowsFromSeed(t *testing.T) {
	long(t)
	run := func(seed uint64, ahead time.Duration) []chainhash.Hash {
		w := bootstrapped(t, seed, func(*Block) {})
		w.miner.now = func() time.Time { return time.Now().Add(ahead) }
		var ids []chainhash.Hash
		for i := range 12 {
			for _, tx := range makeTraffic(t, w, 10) {
				ids = append(ids, tx.Hash)
			}
			if i%4 != 3 {
				mineBlock(t, w, func(*Block) {})
				continue
			}
			r, err := w.reorg(2)
			if err != nil {
				t.Fatal(err)
			}
			w.switchTo(r)
		}
		return ids
	}
	first := run(7, 0)
	if !slices.Equal(first, run(7, time.Hour)) {
		t.Error("one seed makes two histories")
	}
	if slices.Equal(first, run(8, 0)) {
		t.Error("two seeds make one history")
	}
}

// TestReorgLosesNothing checks that each transaction is mined, pending, or in
// conflict with a mined one after a reorganisation, and that some are in conflict.
func TestReorgLosesNothing(t *testing.T) {
	long(t)
	w := bootstrapped(t, 3, func(*Block) {})
	conflicts := 0
	const reorgs = 25
	for range reorgs {
		for range 3 {
			makeTraffic(t, w, 6)
			mineBlock(t, w, func(*Block) {})
		}
		r, err := w.reorg(3)
		if err != nil {
			t.Fatal(err)
		}
		w.switchTo(r)
		known := make(map[chainhash.Hash]bool)
		for _, tx := range w.pending {
			known[tx.Hash] = true
		}
		for _, b := range r.Connected {
			for _, tx := range b.Txs {
				known[tx.Hash] = true
			}
		}
		for _, tx := range r.candidates {
			if known[tx.Hash] {
				continue
			}
			conflicts++
			if w.ledger.has(tx) {
				t.Errorf("%v is lost", tx.Hash)
			}
		}
	}
	if conflicts == 0 {
		t.Errorf("no conflict in %d reorganisations", reorgs)
	}
}

// TestLedgerUndo checks that disconnecting takes back what connecting did.
func TestLedgerUndo(t *testing.T) {
	w := bootstrapped(t, 4, func(*Block) {})
	for range 2 {
		before, tip := maps.Clone(w.ledger.coins), w.ledger.tip
		for range 3 {
			makeTraffic(t, w, 30)
			mineBlock(t, w, func(*Block) {})
		}
		back := w.ledger.clone()
		for range 3 {
			back.disconnect()
		}
		same := func(a, b Coin) bool { return a.OutPoint == b.OutPoint && a.Height == b.Height && a.past == b.past }
		if back.tip != tip || !maps.EqualFunc(back.coins, before, same) {
			t.Fatal("the coins are not those from before")
		}
	}
}

// TestInvalidBlocks lets btcd's own consensus code judge every kind of invalid
// block, on the tip and on branches.
func TestInvalidBlocks(t *testing.T) {
	long(t)
	want := map[InvalidKind]blockchain.ErrorCode{
		BadSignature: blockchain.ErrScriptValidation, BadSchnorrSignature: blockchain.ErrScriptValidation,
		MissingInput: blockchain.ErrMissingTxOut, SpentInput: blockchain.ErrMissingTxOut,
		DoubleSpend: blockchain.ErrMissingTxOut, OutOfOrder: blockchain.ErrMissingTxOut,
		ValueCreated: blockchain.ErrSpendTooHigh, ImmatureSpend: blockchain.ErrImmatureSpend,
		SequenceLocked: blockchain.ErrUnfinalizedTx, ExcessCoinbase: blockchain.ErrBadCoinbaseValue,
		NonFinal: blockchain.ErrUnfinalizedTx, DuplicateInput: blockchain.ErrDuplicateTxInputs,
		NoCoinbase: blockchain.ErrFirstTxNotCoinbase, SecondCoinbase: blockchain.ErrMultipleCoinbases,
		CoinbaseHeight: blockchain.ErrBadCoinbaseHeight, MerkleRoot: blockchain.ErrBadMerkleRoot,
		RepeatedTxs: blockchain.ErrDuplicateTx, WitnessCommitment: blockchain.ErrWitnessCommitmentMismatch,
		UnexpectedWitness: blockchain.ErrUnexpectedWitness,
	}
	c := newChain(t)
	w := bootstrapped(t, 5, c.take)
	for range 5 {
		makeTraffic(t, w, 20)
		mineBlock(t, w, c.take)
	}
	for _, kind := range InvalidKinds() {
		t.Run(kind.String(), func(t *testing.T) {
			code, ok := want[kind]
			if !ok {
				t.Fatal("no error is expected of it")
			}
			for _, shape := range []struct{ depth, above uint32 }{{0, 0}, {3, 0}, {3, 2}} {
				if shape.above > 0 && !kind.Stored() {
					continue
				}
				br, err := w.invalid(kind, shape.depth, shape.above)
				if err != nil {
					t.Fatal(err)
				}
				refuse(t, c, br, code)
				c.at(w.ledger.tip)
			}
		})
	}
	makeTraffic(t, w, 20)
	c.at(mineBlock(t, w, c.take))
	checkUnspent(t, c, w)
}

// refuse hands an invalid branch to the chain, which has to take all of its
// blocks but the last, and refuse that with code.
func refuse(t *testing.T, c chain, br *InvalidBranch, code blockchain.ErrorCode) {
	t.Helper()
	last := len(br.Blocks) - 1
	for _, b := range br.Blocks[:last] {
		if _, _, err := c.ProcessBlock(btcutil.NewBlock(b.Msg), blockchain.BFNone); err != nil {
			t.Fatalf("block %d of the branch: %v", b.Height, err)
		}
	}
	_, _, err := c.ProcessBlock(btcutil.NewBlock(br.Blocks[last].Msg), blockchain.BFNone)
	if rule, ok := errors.AsType[blockchain.RuleError](err); !ok || rule.ErrorCode != code {
		t.Errorf("depth %d: %v, want %v", last, err, code)
	}
	status := ""
	for _, tip := range c.ChainTips() {
		if tip.BlockHash == br.Blocks[last].Hash {
			status = tip.Status.String()
		}
	}
	if stored := status == "invalid"; stored != br.Kind.Stored() {
		t.Errorf("depth %d: getchaintips says %q", last, status)
	}
}

func TestInvalidRefusesImpossibleBranches(t *testing.T) {
	w := newWorkload(1)
	for _, c := range []struct {
		kind         InvalidKind
		depth, above uint32
	}{
		{BadSignature, MaxReorg + 1, 0}, {BadSignature, 1, 2}, {MerkleRoot, 2, 1},
	} {
		if _, err := w.invalid(c.kind, c.depth, c.above); err == nil {
			t.Errorf("%v: a branch %d deep with %d on top", c.kind, c.depth, c.above)
		}
	}
}

// TestBlockTime checks that blocks keep to the clock, and to the median time past
// when they come faster.
func TestBlockTime(t *testing.T) {
	w := newWorkload(1)
	now := time.Unix(1_700_000_000, 0)
	w.miner.now = func() time.Time { return now }
	for range 600 {
		mineBlock(t, w, func(*Block) {})
	}
	ahead := w.ledger.tip.Msg.Header.Timestamp.Sub(now)
	if ahead < time.Second || ahead > 2*time.Minute {
		t.Errorf("after 600 blocks in no time, the chain is %v ahead", ahead)
	}
	now = now.Add(time.Hour)
	b := mineBlock(t, w, func(*Block) {})
	if !b.Msg.Header.Timestamp.Equal(now) {
		t.Errorf("the block is of %v, not of %v", b.Msg.Header.Timestamp, now)
	}
	if w.ledger.tip.ancestor(keptBlocks+1) != nil {
		t.Error("old blocks are kept")
	}
}
