package sidecar_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sigverify"
)

// notLive are the rules for which no block is handed to a node, and why.
var notLive = map[blockval.Rule]string{
	blockval.OversizeTx:        "a block with such a transaction breaks bad-blk-length before",
	blockval.FeeOutOfRange:     "the rules on values leave no block that can break it",
	blockval.InputsOutOfRange:  "no chain has a coin of so much money",
	blockval.FeesOutOfRange:    "no chain has coins of so much money",
	blockval.BadSignetSolution: "TestSignetBesideCore does",
	header.BadPrevBlock:        "a node takes a header for one on top of whatever it names",
	header.TimeWarp:            "TestBIP94BesideCore does",
	blockval.RepeatedTx:        "TestBIP30BesideCore does",
}

// ruleLine is a line of the source that declares a rule.
var ruleLine = regexp.MustCompile(`(?m)^\t\w+\s+(?:header\.)?Rule = "([^"]+)"`)

// Every rule that the source declares is broken by a block that real nodes are
// given, or it says here why not.
func TestEveryRuleGoesToANode(t *testing.T) {
	var declared []blockval.Rule
	for _, pattern := range []string{"../blockval/*.go", "../blockval/header/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range ruleLine.FindAllStringSubmatch(string(source), -1) {
				declared = append(declared, blockval.Rule(m[1]))
			}
		}
	}
	if len(declared) < 35 {
		t.Fatalf("found only %d rules", len(declared))
	}
	live := make(map[blockval.Rule]bool)
	for _, b := range nodetest.Breaches() {
		live[blockval.Rule(b.Rule)] = true
	}
	for _, rule := range declared {
		if _, not := notLive[rule]; not == live[rule] {
			t.Errorf("%s: handed to a node: %v; said not to be: %v", rule, live[rule], not)
		}
	}
}

// A second is a validator that has seen every block of a chain of its own.
type second struct {
	validator *blockval.Validator
	chain     header.Chain
	coins     map[wire.OutPoint]blockval.Coin
}

// newSecond returns a second at the genesis block of a network, whose rules
// change, if not nil, changes before it judges.
func newSecond(t *testing.T, network string, change func(*blockval.Params)) *second {
	t.Helper()
	p, err := blockval.ParamsFor(network)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(p)
	}
	verifier := sigverify.New(sigverify.Options{})
	t.Cleanup(verifier.Close)
	return &second{
		validator: blockval.New(p, blockval.Options{Verifier: verifier}),
		chain:     header.Chain{p.Genesis}, coins: make(map[wire.OutPoint]blockval.Coin),
	}
}

// Prevouts implements blockval.Coins: what it has not seen made does not exist.
func (s *second) Prevouts(_ context.Context, ops []wire.OutPoint, into []blockval.Coin) (blockval.Source, error) {
	for i, op := range ops {
		coin, ok := s.coins[op]
		coin.Missing = !ok
		into[i] = coin
	}
	return blockval.Own, nil
}

// Unspent implements blockval.Coins.
func (s *second) Unspent(_ context.Context, ops []wire.OutPoint) (first int, known bool, err error) {
	return slices.IndexFunc(ops, func(op wire.OutPoint) bool { _, ok := s.coins[op]; return ok }), true, nil
}

// judge returns the rule that raw breaks as the next block; "" if none.
func (s *second) judge(t *testing.T, raw []byte) (broken blockval.Rule, detail error) {
	t.Helper()
	b, err := blockval.Parse(raw)
	if err != nil {
		return blockval.BlockDecode, err
	}
	v, err := s.validator.Check(t.Context(), b, blockval.At{Height: uint32(len(s.chain)), Ancestors: s.chain, Coins: s})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Unchecked) > 0 {
		t.Errorf("block %s: unchecked %v", b.Hash, v.Unchecked)
	}
	if v.Valid() {
		return "", nil
	}
	return v.Err.Rule, v.Err
}

// connect judges raw, which must be valid, and connects it.
func (s *second) connect(t *testing.T, what string, raw []byte) {
	t.Helper()
	if rule, detail := s.judge(t, raw); rule != "" {
		t.Fatalf("%s: %v", what, detail)
	}
	b, err := blockval.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	height := uint32(len(s.chain))
	for i, tx := range b.Msg.Transactions {
		for vout, out := range tx.TxOut {
			s.coins[wire.OutPoint{Hash: b.Txids[i], Index: uint32(vout)}] = blockval.Coin{
				Value: out.Value, Script: out.PkScript, Height: height, Coinbase: i == 0,
			}
		}
		for _, in := range tx.TxIn {
			delete(s.coins, in.PreviousOutPoint)
		}
	}
	s.chain = append(s.chain, b.Header)
}

// take has a node take raw, a valid block on q's tip, and everybody with it.
func (s *second) take(t *testing.T, node nodetest.Taker, what string, raw []byte) {
	t.Helper()
	s.connect(t, what, raw)
	if refusal := node.SubmitBlock(raw); refusal != "" {
		t.Fatalf("%s: the node refuses it: %s", what, refusal)
	}
}

// reasonOf returns the rule that Bitcoin Core's words against a block name.
func reasonOf(refusal string) blockval.Rule {
	if strings.HasPrefix(refusal, "Block decode failed") {
		return blockval.BlockDecode
	}
	name, _, _ := strings.Cut(refusal, "(")
	return blockval.Rule(strings.TrimSpace(name))
}

// breakRules hands a node every breach and, after it, the same block without it.
// agree says whether the node's words against a block are right. It returns the
// hashes of the blocks that were refused.
func breakRules(t *testing.T, node nodetest.Taker, s *second, q *nodetest.Quarry, agree func(refusal string, rule blockval.Rule) bool) map[chainhash.Hash]nodetest.Breach {
	t.Helper()
	refused := make(map[chainhash.Hash]nodetest.Breach)
	for _, breach := range nodetest.Breaches() {
		bad, good := q.Build(breach)
		rule, detail := s.judge(t, bad)
		if string(rule) != breach.Rule {
			t.Errorf("%s: our verdict is %v, want %s", breach.Name, detail, breach.Rule)
		}
		if refusal := node.SubmitBlock(bad); !agree(refusal, rule) {
			t.Errorf("%s: the node says %q, our verdict is %v", breach.Name, refusal, detail)
		}
		refused[chainhash.DoubleHashH(bad[:header.Size])] = breach
		s.take(t, node, breach.Name+", kept", good)
		q.Extend(t, good)
	}
	return refused
}

// TestRulesBesideBtcd compares with a real btcd, for every rule that can be
// broken on regtest: both must refuse the block that breaks it, and take the
// same block without. btcd has names of its own for what is broken.
func TestRulesBesideBtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that a real btcd refuses what we refuse")
	}
	node := nodetest.NewRealBtcd(t, nodetest.BuildRealBtcd(t))
	s, q := begin(t, node, nil)
	breakRules(t, node, s, q, func(refusal string, _ blockval.Rule) bool { return refusal != "" })
}

// begin returns a second and a quarry at the tip of a new node's chain, by rules
// that change, if not nil, has changed.
func begin(t *testing.T, node nodetest.Taker, change func(*blockval.Params)) (*second, *nodetest.Quarry) {
	t.Helper()
	s := newSecond(t, "regtest", change)
	q, first := nodetest.NewQuarry(t)
	for _, raw := range first {
		s.take(t, node, "one of the first blocks", raw)
	}
	return s, q
}

// TestRulesBesideCore compares with a real bitcoind, whose reject reason must
// name the rule that we found broken, for every rule that can be broken on
// regtest. A sidecar that rides beside it must agree with it on every block of
// its chain, and on every one that it calls invalid and has a body of; and then
// through reorganisations of up to 20 blocks.
func TestRulesBesideCore(t *testing.T) {
	program := nodetest.RealCoreProgram(t, "that a bitcoind gives our reasons against our blocks")
	core := nodetest.NewRealCore(t, program, "-rest=1", "-zmqpubsequence="+nodetest.FreeZMQ(t))
	s, q := begin(t, core, nil)
	got := newReports()
	ride(t, sidecar.NodeConfig{
		Kind: sidecar.KindBitcoind, Address: core.Addr(), Cookie: core.CookieFile(), BlocksDir: core.BlocksDir(),
	}, got)
	got.await(t, "the last of the first blocks", q.Tip())
	refused := breakRules(t, core, s, q, func(refusal string, rule blockval.Rule) bool { return reasonOf(refusal) == rule })
	got.await(t, "the last block", q.Tip())
	for depth := 1; depth <= 20; depth++ {
		for _, raw := range q.Reorg(t, depth) {
			if refusal := core.SubmitBlock(raw); refusal != "" {
				t.Fatalf("a reorganisation of %d blocks: %s", depth, refusal)
			}
		}
		got.await(t, "the tip after a reorganisation", q.Tip())
	}
	var tips []struct{ Hash, Status string }
	core.Call(&tips, "getchaintips")
	judged := 0
	for _, tip := range tips {
		if tip.Status != "invalid" {
			continue
		}
		hash, err := chainhash.NewHashFromStr(tip.Hash)
		if err != nil {
			t.Fatal(err)
		}
		rep := got.await(t, "an invalid block", *hash)
		breach, ours := refused[*hash]
		switch {
		case !ours:
			t.Errorf("the node calls %s invalid, which it took", hash)
		case rep.Verdict.Err == nil && rep.Outcome == sidecar.Undecided && strings.Contains(rep.Reason, "only the header"):
			// The node refused it before it stored it.
		case rep.Outcome != sidecar.Agree || string(rep.Verdict.Err.Rule) != breach.Rule:
			t.Errorf("%s: %s, %v", breach.Name, rep.Outcome, rep.Verdict.Err)
		default:
			judged++
		}
	}
	if judged < 10 {
		t.Errorf("only %d invalid blocks were judged", judged)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	valid := 0
	for _, rep := range got.all {
		if rep.Outcome == sidecar.Differ || rep.NodeValid && rep.Outcome != sidecar.Agree {
			t.Errorf("block %d %v: %s: %s", rep.Verdict.Height, rep.Verdict.Hash, rep.Outcome, rep.Reason)
		}
		if rep.NodeValid {
			valid++
		}
	}
	t.Logf("%d blocks refused, of which the node kept %d; %d verdicts on blocks that it took", len(refused), judged, valid)
}

// TestBIP30BesideCore repeats a coinbase whose output is unspent, on a regtest
// without BIP34, which makes that impossible.
func TestBIP30BesideCore(t *testing.T) {
	program := nodetest.RealCoreProgram(t, "that a bitcoind names BIP30 as we do")
	core := nodetest.NewRealCore(t, program, "-testactivationheight=bip34@1000")
	s, q := begin(t, core, func(p *blockval.Params) { p.BIP34Height = 1000 })
	bad := q.Repeat(50)
	rule, detail := s.judge(t, bad)
	if refusal := core.SubmitBlock(bad); rule != blockval.RepeatedTx || reasonOf(refusal) != rule {
		t.Errorf("the node says %q, our verdict is %v", refusal, detail)
	}
	// The output of the first one is spent.
	s.take(t, core, "a coinbase again that is spent", q.Repeat(1))
}

// TestBIP94BesideCore lets a period of difficulty begin too early, on a regtest
// with testnet4's rule.
func TestBIP94BesideCore(t *testing.T) {
	program := nodetest.RealCoreProgram(t, "that a bitcoind names BIP94's rule as we do")
	core := nodetest.NewRealCore(t, program, "-test=bip94")
	var interval uint32
	s, q := begin(t, core, func(p *blockval.Params) { p.BIP94, interval = true, p.Interval() })
	for q.Height()+1 < interval {
		s.take(t, core, "a block of the first period", q.Next(t))
	}
	bad := q.Early(601 * time.Second)
	rule, detail := s.judge(t, bad)
	if refusal := core.SubmitBlock(bad); rule != header.TimeWarp || reasonOf(refusal) != rule {
		t.Errorf("the node says %q, our verdict is %v", refusal, detail)
	}
	s.take(t, core, "the first block of a period", q.Early(600*time.Second))
}

// TestSignetBesideCore hands a block without a solution to a signet that asks for
// none, and to one that asks for what is impossible. A sidecar beside the first
// learns from it what it asks for, and agrees.
func TestSignetBesideCore(t *testing.T) {
	program := nodetest.RealCoreProgram(t, "that a bitcoind names signet's rule as we do")
	raw := nodetest.SignetBlock()
	for challenge, want := range map[string]blockval.Rule{"51": "", "00": blockval.BadSignetSolution} {
		core := nodetest.NewRealCore(t, program, "-signet", "-signetchallenge="+challenge)
		s := newSecond(t, "signet", func(p *blockval.Params) {
			p.SignetChallenge = map[string][]byte{"51": {0x51}, "00": {0}}[challenge]
		})
		rule, detail := s.judge(t, raw)
		if refusal := core.SubmitBlock(raw); rule != want || reasonOf(refusal) != rule {
			t.Errorf("challenge %s: the node says %q, our verdict is %v", challenge, refusal, detail)
		}
		if want != "" {
			continue
		}
		got := newReports()
		ride(t, sidecar.NodeConfig{
			Kind: sidecar.KindBitcoind, Address: core.Addr(), Cookie: core.CookieFile(), BlocksDir: core.BlocksDir(),
		}, got)
		rep := got.await(t, "the signet's block", chainhash.DoubleHashH(raw[:header.Size]))
		if rep.Outcome != sidecar.Agree || !rep.Verdict.Valid() {
			t.Errorf("challenge %s: the sidecar's verdict is %s, %v", challenge, rep.Outcome, rep.Verdict.Err)
		}
	}
}
