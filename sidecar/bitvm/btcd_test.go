package bitvm

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// A regtest is a real btcd, the blocks that it is given, and coins for bridges on it. Its
// own miner is not used once there are coins: what leaves the chain comes into its
// mempool again, and with locks that are not over its miner then tries for ever.
type regtest struct {
	*nodetest.RealBtcd
	t      *testing.T
	chain  chain
	blocks []*wire.MsgBlock // the best chain's, from the height base on
	base   uint32
	coins  int // how many coinbases are spent
	made   uint32
	count  int // bridges
}

func newRegtest(t *testing.T) *regtest {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no real btcd was built, so that consensus has not enforced the locks of bridges")
	}
	real := nodetest.NewRealBtcd(t, nodetest.BuildRealBtcd(t))
	n, err := node.NewBtcd(node.BtcdConfig{
		Address: real.Addr(), Certificate: real.Certificate(), User: nodetest.User, Password: nodetest.Password,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	const blocks = 180 // 80 coinbases are mature
	hashes := real.Mine(blocks)
	r := &regtest{RealBtcd: real, t: t, chain: chain{n}, base: blocks}
	r.blocks = []*wire.MsgBlock{r.fetch(hashes[blocks-1])}
	return r
}

func (r *regtest) fetch(hash chainhash.Hash) *wire.MsgBlock {
	r.t.Helper()
	var raw string
	r.Call(&raw, "getblock", hash.String(), 0)
	msg := new(wire.MsgBlock)
	if err := msg.Deserialize(hex.NewDecoder(strings.NewReader(raw))); err != nil {
		r.t.Fatal(err)
	}
	return msg
}

// coin returns a coin that nothing else spends.
func (r *regtest) coin() watchtest.Coin {
	r.t.Helper()
	r.coins++
	hash, err := r.chain.BlockHash(r.t.Context(), uint32(r.coins))
	if err != nil {
		r.t.Fatal(err)
	}
	from := r.fetch(hash).Transactions[0]
	return watchtest.Coin{Outpoint: wire.OutPoint{Hash: from.TxHash()}, Value: from.TxOut[0].Value, Witness: wire.TxWitness{{txscript.OP_TRUE}}}
}

// height returns that of the best chain's tip.
func (r *regtest) height() uint32 { return r.base + uint32(len(r.blocks)) - 1 }

// block returns a block with the transactions behind the last one, with work.
func (r *regtest) block(txs ...*wire.MsgTx) *wire.MsgBlock {
	r.t.Helper()
	tip := r.blocks[len(r.blocks)-1]
	r.made++
	script, err := txscript.NewScriptBuilder().AddInt64(int64(r.height() + 1)).AddInt64(int64(r.made)).AddData(make([]byte, 4)).Script()
	if err != nil {
		r.t.Fatal(err)
	}
	var reserved [32]byte
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex}, SignatureScript: script, Witness: wire.TxWitness{reserved[:]}, Sequence: wire.MaxTxInSequenceNum})
	coinbase.AddTxOut(wire.NewTxOut(0, watchtest.Anyone()))
	all := []*btcutil.Tx{btcutil.NewTx(coinbase)}
	for _, tx := range txs {
		all = append(all, btcutil.NewTx(tx))
	}
	root := blockchain.CalcMerkleRoot(all, true)
	commitment := chainhash.DoubleHashB(append(root[:], reserved[:]...))
	coinbase.AddTxOut(wire.NewTxOut(0, append(slices.Clone(blockchain.WitnessMagicBytes), commitment...)))
	all[0] = btcutil.NewTx(coinbase)
	b := &wire.MsgBlock{
		Header: wire.BlockHeader{
			Version: 0x20000000, PrevBlock: tip.BlockHash(), MerkleRoot: blockchain.CalcMerkleRoot(all, false),
			Timestamp: tip.Header.Timestamp.Add(1e9), Bits: chaincfg.RegressionNetParams.PowLimitBits,
		},
		Transactions: append([]*wire.MsgTx{coinbase}, txs...),
	}
	for {
		hash := b.BlockHash()
		if blockchain.HashToBig(&hash).Cmp(chaincfg.RegressionNetParams.PowLimit) <= 0 {
			return b
		}
		b.Header.Nonce++
	}
}

// submit gives a block to the node; refusal is what it says against it.
func (r *regtest) submit(b *wire.MsgBlock) (refusal string) {
	r.t.Helper()
	var raw bytes.Buffer
	if err := b.Serialize(&raw); err != nil {
		r.t.Fatal(err)
	}
	return r.SubmitBlock(raw.Bytes())
}

// mine adds a block with the transactions, which must be valid.
func (r *regtest) mine(txs ...*wire.MsgTx) {
	r.t.Helper()
	b := r.block(txs...)
	if refusal := r.submit(b); refusal != "" {
		r.t.Fatal(refusal)
	}
	r.blocks = append(r.blocks, b)
}

// refused returns why the node refuses a block with the transactions.
func (r *regtest) refused(txs ...*wire.MsgTx) string {
	r.t.Helper()
	b := r.block(txs...)
	refusal := r.submit(b)
	if refusal == "" {
		r.blocks = append(r.blocks, b)
	}
	return refusal
}

// leave has the last blocks leave the chain, for one more than they were: what is in the
// new ones is told for each, and the node must find all of it valid.
func (r *regtest) leave(depth int, fill func(i int) []*wire.MsgTx) {
	r.t.Helper()
	r.blocks = r.blocks[:len(r.blocks)-depth]
	for i := range depth + 1 {
		r.mine(fill(i)...)
	}
	best, err := r.chain.Best(r.t.Context())
	if err != nil || best.Hash != r.blocks[len(r.blocks)-1].BlockHash() || best.Height != r.height() {
		r.t.Fatalf("the node is at %v, %v, want height %d", best, err, r.height())
	}
}

// A dispute is a bridge on a real chain, and who watches it.
type dispute struct {
	*regtest
	t      *testing.T
	graph  *watch.Graph
	bridge *watchtest.Bridge
	in     *watch.Instance
	dir    string
	judge  watch.Judge
	w      *watch.Watcher
	sent   map[chainhash.Hash]string
}

func (r *regtest) dispute(t *testing.T, g *watch.Graph, j watch.Judge) *dispute {
	t.Helper()
	r.count++
	d := &dispute{regtest: r, t: t, graph: g, bridge: watchtest.New(t, g, "regtest", fmt.Sprintf("bridge-%d", r.count)), dir: t.TempDir(), judge: j, sent: make(map[chainhash.Hash]string)}
	for _, tx := range g.Transactions {
		if len(tx.Inputs) == 0 && tx.Name != "peg_out" {
			d.bridge.Fund(tx.Name, r.coin())
		}
	}
	d.in = d.bridge.Instance(d.height() + 1)
	d.start()
	return d
}

// start begins to watch, or begins again.
func (d *dispute) start() {
	d.t.Helper()
	d.w = watch.New(watch.Options{Dir: d.dir, Judge: d.judge, Blocks: d.chain})
	if err := d.w.Add(d.in); err != nil {
		d.t.Fatal(err)
	}
	d.sync()
}

func (d *dispute) sync() {
	d.t.Helper()
	if err := d.w.Sync(d.t.Context(), d.chain); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dispute) status() watch.Status { return d.w.Status()[0] }

func (d *dispute) tx(name string) watch.TransactionStatus {
	d.t.Helper()
	for _, tx := range d.status().Transactions {
		if tx.Name == name {
			return tx
		}
	}
	d.t.Fatalf("there is no transaction %s", name)
	return watch.TransactionStatus{}
}

// confirm has a transaction of the graph confirmed in the first block that may have it by
// the watcher's word: the node refuses it in the one before.
func (d *dispute) confirm(name string) {
	d.t.Helper()
	tx := d.bridge.Tx(name)
	st := d.tx(name)
	if st.State == watch.Locked {
		if st.Opens <= d.height()+1 {
			d.t.Fatalf("%s is locked, and opens at %d", name, st.Opens)
		}
		for d.height()+2 < st.Opens {
			d.mine()
		}
		if refusal := d.refused(tx); !strings.Contains(refusal, "sequence locks are not met") {
			d.t.Fatalf("%s a block before %d: %q", name, st.Opens, refusal)
		}
		d.mine()
	}
	d.mine(tx)
	d.sent[tx.TxHash()] = name
	d.sync()
	if st = d.tx(name); st.State != watch.Confirmed || st.Height != d.height() {
		d.t.Fatalf("%s is %+v, and was mined at %d", name, st, d.height())
	}
}

// check compares the watcher with what the node's blocks hold.
func (d *dispute) check() {
	d.t.Helper()
	want := make(map[string]uint32)
	for h := d.in.Start; h <= d.height(); h++ {
		hash, err := d.chain.BlockHash(d.t.Context(), h)
		if err != nil {
			d.t.Fatal(err)
		}
		b, err := d.chain.Block(d.t.Context(), watch.Tip{Height: h, Hash: hash})
		if err != nil {
			d.t.Fatal(err)
		}
		for _, id := range b.Txids {
			if name, ok := d.sent[id]; ok {
				want[name] = h
			}
		}
	}
	st := d.status()
	if !st.Complete || st.Tip.Height != d.height() || len(st.Unknown) > 0 {
		d.t.Errorf("complete: %v, at %d of %d, %d unknown", st.Complete, st.Tip.Height, d.height(), len(st.Unknown))
	}
	for _, tx := range st.Transactions {
		if tx.Height != want[tx.Name] || (tx.State == watch.Confirmed) != (want[tx.Name] != 0) {
			d.t.Errorf("%s is %+v, and in block %d", tx.Name, tx, want[tx.Name])
		}
	}
}

// A bad finds every claim disprovable at leaf 217.
type bad struct{}

func (bad) Judge(_ context.Context, c *watch.Committed) watch.Judgement {
	leaf := 217
	return watch.Judgement{Finding: watch.Disprovable, Leaf: &leaf, Reason: "hash mismatch"}
}

func (bad) Name() string { return "bad" }

var (
	pegIn     = []string{"peg_in_deposit", "peg_in_confirm"}
	kickedOff = []string{"peg_out_confirm", "kick_off_1"}
	asserted  = []string{"start_time", "kick_off_2", "challenge", "assert_initial", "assert_commit_1", "assert_commit_2", "assert_final"}
)

// Every transaction of both graphs on a real btcd, whose consensus enforces the locks:
// each is refused in the block before the one that the watcher tells.
func TestBridgesOnBtcd(t *testing.T) {
	r := newRegtest(t)
	// The whole assertion is made once.
	bitvm2, whole := watchtest.Small(), watch.BitVM2()
	garbled, err := watch.Builtin("garbled", 2)
	if err != nil {
		t.Fatal(err)
	}
	contested := []string{"deposit", "stake", "claim", "contest"}
	for _, tt := range []struct {
		name  string
		graph *watch.Graph
		path  []string
	}{
		{"refund", bitvm2, []string{"peg_in_deposit", "peg_in_refund"}},
		{"take 1", bitvm2, slices.Concat(pegIn, kickedOff, []string{"start_time", "kick_off_2", "take_1"})},
		{"start time timeout", bitvm2, slices.Concat(kickedOff, []string{"start_time_timeout"})},
		{"kick-off timeout", bitvm2, slices.Concat(kickedOff, []string{"start_time", "kick_off_timeout"})},
		{"disprove chain", bitvm2, slices.Concat(kickedOff, []string{"start_time", "kick_off_2", "disprove_chain"})},
		{"take 2", bitvm2, slices.Concat(pegIn, kickedOff, asserted, []string{"take_2"})},
		{"disprove", whole, slices.Concat(kickedOff, asserted, []string{"disprove"})},
		{"uncontested", garbled, []string{"deposit", "stake", "claim", "uncontested_payout"}},
		{"stopped", garbled, []string{"claim", "admin_burn"}},
		{"leaving", garbled, []string{"claim", "unstaking_burn"}},
		{"unproved", garbled, slices.Concat(contested, []string{"bridge_proof_timeout", "slash"})},
		{"proved", garbled, slices.Concat(contested, []string{"bridge_proof", "contested_payout"})},
		{"refuted", garbled, slices.Concat(contested, []string{"bridge_proof", "counterproof_0", "counterproof_1", "counterproof_ack_1", "slash"})},
		{"wrongly refuted", garbled, slices.Concat(contested, []string{"bridge_proof", "counterproof_0", "counterproof_nack_0", "contested_payout"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := r.dispute(t, tt.graph, bad{})
			for _, name := range tt.path {
				d.confirm(name)
			}
			d.check()
		})
	}
	t.Run("take and disprove race", func(t *testing.T) { testRace(r.dispute(t, bitvm2, bad{})) })
	t.Run("unknown spend", func(t *testing.T) { testStray(r.dispute(t, bitvm2, bad{})) })
	for depth := 1; depth <= deepest(t); depth++ {
		t.Run(fmt.Sprintf("reorganisation of %d", depth), func(t *testing.T) { testReorganised(r.dispute(t, bitvm2, bad{}), depth) })
	}
}

// deepest is how deep reorganisations of a real chain are tried: OUTRIDER_BITVM_BULK
// tries as deep as that.
func deepest(t *testing.T) int {
	s := os.Getenv("OUTRIDER_BITVM_BULK")
	if s == "" {
		return 6
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return min(n, 40)
}

// testRace: before a height only disprove may come, and from there on whichever is first,
// never both.
func testRace(d *dispute) {
	t := d.t
	for _, name := range slices.Concat(pegIn, kickedOff, asserted) {
		d.confirm(name)
	}
	final := d.height()
	if st := d.tx("disprove"); st.Deadline != final+2 || st.Left != 1 || st.Rival != "take_2" {
		t.Errorf("disprove is %+v", st)
	}
	if a := d.status().Next[0]; !a.Urgent || !strings.Contains(a.Text, fmt.Sprintf("invalid at leaf 217 (hash mismatch); broadcast disprove. It must be in a block before height %d", final+2)) {
		t.Errorf("%+v", a)
	}
	take, disprove := d.bridge.Tx("take_2"), d.bridge.Tx("disprove")
	if refusal := d.refused(take); !strings.Contains(refusal, "sequence locks") {
		t.Errorf("take_2 in the block behind assert_final: %q", refusal)
	}
	d.mine()
	d.sync()
	if st := d.tx("disprove"); st.Left != 0 || st.State != watch.Open {
		t.Errorf("disprove is %+v", st)
	}
	if got := d.w.Peek(take); len(got) != 1 || got[0].Transaction != "take_2" {
		t.Errorf("before it is in a block: %+v", got)
	}
	if refusal := d.refused(take, disprove); refusal == "" {
		t.Error("disprove and take_2 are both in a block")
	}
	d.mine(take)
	d.sent[take.TxHash()] = "take_2"
	d.sync()
	d.check()
	told := func() bool {
		return slices.ContainsFunc(d.w.Events(d.in.Name, 0), func(e watch.Event) bool {
			return e.Transaction == "take_2" && e.Kind == watch.Seen && e.Urgent
		})
	}
	if !told() || d.tx("disprove").State != watch.Over {
		t.Errorf("take_2 was told of: %v; disprove is %+v", told(), d.tx("disprove"))
	}
	// The block leaves, and the other wins.
	d.sent[disprove.TxHash()] = "disprove"
	d.leave(1, func(i int) []*wire.MsgTx {
		if i == 1 {
			return []*wire.MsgTx{disprove}
		}
		return nil
	})
	d.sync()
	d.check()
}

// testStray: the operator spends an output in a way that the graph does not have.
func testStray(d *dispute) {
	for _, name := range kickedOff {
		d.confirm(name)
	}
	d.mine(d.bridge.Stray("A", "0"))
	d.sync()
	st := d.status()
	if len(st.Unknown) != 1 || st.Unknown[0].Height != d.height() || !st.Next[0].Urgent {
		d.t.Errorf("%+v", st.Unknown)
	}
}

// testReorganised: the last blocks of a dispute leave the chain, in its middle, before and
// behind a restart.
func testReorganised(d *dispute, depth int) {
	t := d.t
	for _, name := range slices.Concat(kickedOff, asserted) {
		d.confirm(name)
		if name == "assert_commit_1" {
			d.start() // the last watcher was killed
		}
	}
	if c := d.status().Claims[0]; c.Judgement == nil || c.Judgement.Finding != watch.Disprovable {
		t.Errorf("%+v", c)
	}
	// What was in them comes again a block later, so that the locks that begin there end
	// later, too; the last is not mined again.
	left := d.blocks[len(d.blocks)-depth:]
	d.leave(depth, func(i int) []*wire.MsgTx {
		if i == 0 || i == depth {
			return nil
		}
		return left[i-1].Transactions[1:]
	})
	if depth%2 == 0 {
		d.start()
	} else {
		d.sync()
	}
	d.check()
	for _, name := range asserted {
		if d.tx(name).State != watch.Confirmed {
			d.confirm(name)
		}
	}
	if d.tx("disprove").State == watch.Open {
		d.confirm("disprove")
	}
	d.check()
	if c := d.status().Claims[0]; c.Answered != "disprove" || c.Judgement == nil {
		t.Errorf("%+v", c)
	}
	numbers := d.w.Events(d.in.Name, 0)
	for i, e := range numbers {
		if e.Number != uint64(i+1) {
			t.Fatalf("event %d has number %d", i, e.Number)
		}
	}
}
