package blockval

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/perfcore"
)

// TestUnchecked checks which rules a verdict says it could not decide, for want
// of headers and of a complete view of the coins.
func TestUnchecked(t *testing.T) {
	headers := []Rule{header.BadPrevBlock, header.BadDiffBits, header.TimeTooOld}
	always := append(slices.Clone(headers), RepeatedTx) // BIP30 always holds on regtest
	lock := func(lockTime, sequence uint32) func(tx *wire.MsgTx) {
		return func(tx *wire.MsgTx) { tx.LockTime, tx.TxIn[0].Sequence = lockTime, sequence }
	}
	const mtp = 1_000_000_000 // before every block of the chain
	for _, tc := range []struct {
		name    string
		network string
		height  uint32
		edit    func(tx *wire.MsgTx)
		want    []Rule
		broken  Rule
	}{
		{name: "plain", want: always},
		{name: "known target", network: "main", want: headers},
		{name: "period begins", network: "testnet4", height: 2016,
			want: append(slices.Clone(headers), header.TimeWarp, RepeatedTx)},
		{name: "period ends", network: "testnet4", height: 2015, want: always},
		{name: "lock time in blocks", edit: lock(119, 0), want: always},
		{name: "lock time in blocks, not passed", edit: lock(120, 0), want: headers, broken: NonFinal},
		{name: "lock time in seconds", edit: lock(mtp, 0), want: append(slices.Clone(headers), NonFinal, RepeatedTx)},
		{name: "lock time in seconds, every sequence final", edit: lock(mtp, wire.MaxTxInSequenceNum), want: always},
		{name: "relative lock in blocks", edit: lock(0, 119), want: always},
		{name: "relative lock in blocks, not passed", edit: lock(0, 120), want: always, broken: NonFinal},
		{name: "relative lock in seconds", edit: lock(0, wire.SequenceLockTimeIsSeconds), want: append(slices.Clone(always), NonFinal)},
		{name: "relative lock off", edit: lock(0, wire.SequenceLockTimeDisabled|wire.SequenceLockTimeIsSeconds), want: always},
	} {
		t.Run(tc.name, func(t *testing.T) {
			network, height := tc.network, tc.height
			if network == "" || network == "main" {
				network = "regtest"
			}
			if height == 0 {
				height = 120
			}
			c := newTestChain(t, network, height)
			if tc.network == "main" {
				c.p.BIP34Hash = c.headers[1].Hash()
			}
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			if tc.edit != nil {
				tc.edit(tx)
			}
			raw := c.draft(tx).seal()
			coins := make(spentCoins)
			maps.Copy(coins, c.coins)
			got := checkRaw(t, c.validator(t, Options{}), raw, At{Height: height, Coins: coins})
			if rule := ruleOf(got); rule != tc.broken {
				t.Errorf("verdict %v, want %q", got.Err, tc.broken)
			}
			if !slices.Equal(got.Unchecked, tc.want) {
				t.Errorf("unchecked %q, want %q", got.Unchecked, tc.want)
			}
			if tc.broken == "" && got.Prevouts != Node {
				t.Errorf("prevouts %q, want %q", got.Prevouts, Node)
			}
			// With everything known, nothing stays unchecked.
			got = checkRaw(t, c.validator(t, Options{}), raw, c.at())
			if len(got.Unchecked) != 0 || ruleOf(got) != tc.broken {
				t.Errorf("with everything known: %v, unchecked %q", got.Err, got.Unchecked)
			}
		})
	}
}

// ruleOf returns the rule that a verdict says is broken, "" for none.
func ruleOf(v *Verdict) Rule {
	if v.Err == nil {
		return ""
	}
	return v.Err.Rule
}

// TestWithoutHeaders checks the rules about the header that its height and the
// clock decide.
func TestWithoutHeaders(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	old := c.draft()
	old.msg.Header.Version = 3
	early := c.draft()
	early.msg.Header.Timestamp = c.now.Add(2*time.Hour + time.Second)
	at := At{Height: 120, Coins: c.coins}
	for want, raw := range map[Rule][]byte{header.BadVersion: old.seal(), header.TimeTooNew: early.seal(), "": c.draft().seal()} {
		if got := checkRaw(t, c.validator(t, Options{}), raw, at); ruleOf(got) != want {
			t.Errorf("verdict %v, want %q", got.Err, want)
		}
	}
}

// TestTimeTaken has the clock judge a block's time once: whoever took the
// header did. Every other rule on the time stays.
func TestTimeTaken(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	early, late := c.draft(), c.draft()
	early.msg.Header.Timestamp = c.now.Add(100 * time.Hour)
	median, err := header.MedianTimePast(c.headers, c.height()-1)
	if err != nil {
		t.Fatal(err)
	}
	late.msg.Header.Timestamp = time.Unix(int64(median), 0)
	at := c.at()
	for _, tt := range []struct {
		taken bool
		raw   []byte
		want  Rule
	}{
		{false, early.seal(), header.TimeTooNew},
		{true, early.seal(), ""},
		{true, late.seal(), header.TimeTooOld},
	} {
		at.TimeTaken = tt.taken
		if got := checkRaw(t, c.validator(t, Options{}), tt.raw, at); ruleOf(got) != tt.want {
			t.Errorf("time taken %v: verdict %v, want %q", tt.taken, got.Err, tt.want)
		}
	}
	at.TimeTaken, at.Ancestors = true, nil
	if got := checkRaw(t, c.validator(t, Options{}), early.seal(), at); !got.Valid() {
		t.Errorf("without headers: %v", got.Err)
	}
}

// failing is a view of the coins and a chain whose n-th question fails.
type failing struct {
	testCoins
	header.Chain
	left *int
	err  error
}

func (f failing) ask() error {
	*f.left--
	if *f.left < 0 {
		return f.err
	}
	return nil
}

func (f failing) Prevouts(ctx context.Context, ops []wire.OutPoint, coins []Coin) (Source, error) {
	if err := f.ask(); err != nil {
		return Own, err
	}
	return f.testCoins.Prevouts(ctx, ops, coins)
}

func (f failing) Unspent(ctx context.Context, ops []wire.OutPoint) (int, bool, error) {
	if err := f.ask(); err != nil {
		return 0, true, err
	}
	return f.testCoins.Unspent(ctx, ops)
}

func (f failing) At(height uint32) (header.Header, error) {
	if err := f.ask(); err != nil {
		return header.Header{}, err
	}
	return f.Chain.At(height)
}

// TestFailingSources fails every question that a validation asks, one by one: it
// never looks like a broken rule, not even where the failure is another block's.
func TestFailingSources(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	c.p.BIP34Hash = c.headers[2].Hash() // so that the header at BIP34Height is read
	in := c.addCoin(1, anyone)
	in.Sequence = wire.SequenceLockTimeIsSeconds
	raw := c.draft(pay([]*wire.TxIn{in}, 1)).seal()
	b, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	disk := errors.New("disk on fire")
	for _, failure := range []error{
		disk, context.DeadlineExceeded, MissingInputs, header.TimeTooOld,
		brokenAt(BadScript, 1, 0, "of another block"),
		fmt.Errorf("refill: %w", &header.RuleError{Rule: header.HighHash}),
	} {
		questions := 0
		for n := 0; ; n++ {
			left := n
			f := failing{c.coins, c.headers, &left, failure}
			got, err := c.validator(t, Options{}).Check(t.Context(), b, At{Height: 120, Ancestors: f, Coins: f})
			if err == nil {
				if !got.Valid() {
					t.Fatalf("all %d questions answered: %v", n, got.Err)
				}
				questions = n
				break
			}
			_, isBlock := errors.AsType[*RuleError](err)
			_, isHeader := errors.AsType[*header.RuleError](err)
			if _, isRule := errors.AsType[Rule](err); isBlock || isHeader || isRule || got != nil {
				t.Fatalf("question %d fails with %v: verdict %v, error %v", n, failure, got, err)
			}
			if (failure == disk || failure == context.DeadlineExceeded) && !errors.Is(err, failure) {
				t.Fatalf("question %d fails with %v: error %v", n, failure, err)
			}
		}
		if questions < 20 {
			t.Errorf("only %d questions were asked", questions)
		}
	}
}

// stalling is a view of the coins that gives its answer when ctx has ended.
type stalling struct {
	testCoins
	obey bool
}

func (s stalling) Prevouts(ctx context.Context, ops []wire.OutPoint, coins []Coin) (Source, error) {
	<-ctx.Done()
	if s.obey {
		return Own, ctx.Err()
	}
	return s.testCoins.Prevouts(ctx, ops, coins)
}

// TestCancelled ends the context before a validation, while it waits for coins,
// and just before the scripts. A goroutine that stays fails the test.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestChain(t, "regtest", 120)
		ins := make([]*wire.TxIn, 1000)
		for i := range ins {
			ins[i] = c.addCoin(1, []byte{txscript.OP_FALSE})
		}
		b, err := Parse(c.draft(pay(ins, 1)).seal())
		if err != nil {
			t.Fatal(err)
		}
		before, cancel := context.WithCancel(t.Context())
		cancel()
		for name, tc := range map[string]struct {
			ctx   context.Context
			coins Coins
		}{
			"before":             {before, c.coins},
			"during the look-up": {t.Context(), stalling{c.coins, true}},
			"before the scripts": {t.Context(), stalling{c.coins, false}},
		} {
			ctx, cancel := context.WithTimeout(tc.ctx, time.Second)
			got, err := c.validator(t, Options{Workers: 4}).Check(ctx, b, At{Height: 120, Ancestors: c.headers, Coins: tc.coins})
			if got != nil || !errors.Is(err, ctx.Err()) || ctx.Err() == nil {
				t.Errorf("%s: verdict %+v, error %v, want %v", name, got, err, ctx.Err())
			}
			cancel()
		}
	})
}

// TestFirstFailingInput makes many inputs fail, in the batch and in the engine,
// and wants the first of them reported however many workers there are.
func TestFirstFailingInput(t *testing.T) {
	// Multiples of 97 are signed, and of those multiples the ones from
	// signature on badly; the multiples of 3 from script on are false.
	for _, tc := range []struct{ signature, script, want int }{
		{457, 457, 459}, {457, 500, 485}, {1000, 998, 999},
	} {
		t.Run(fmt.Sprint(tc.want), func(t *testing.T) { firstFailing(t, tc.signature, tc.script, tc.want) })
	}
}

func firstFailing(t *testing.T, badSignature, badScript, want int) {
	const txs, insPerTx = 20, 50
	c := newTestChain(t, "regtest", 120)
	form := spendForms()[2] // P2WPKH
	key := testKey(1)
	var all []*wire.MsgTx
	for i := range txs {
		tx := pay(nil, 1)
		s := &spendTx{tx: tx}
		for j := range insPerTx {
			pkScript := anyone
			switch k := i*insPerTx + j; {
			case k%97 == 0:
				pkScript = form.lock(key)
			case k >= badScript && k%3 == 0:
				pkScript = []byte{txscript.OP_FALSE}
			}
			tx.TxIn = append(tx.TxIn, c.addCoin(1, pkScript))
			s.prevouts = append(s.prevouts, wire.TxOut{Value: 1, PkScript: pkScript})
		}
		for j, in := range tx.TxIn {
			if !isP2WPKH(s.prevouts[j].PkScript) {
				continue
			}
			if err := form.sign(s, j, txscript.SigHashAll, key); err != nil {
				t.Fatal(err)
			}
			if i*insPerTx+j >= badSignature {
				in.Witness[0][40] ^= 1
			}
		}
		all = append(all, tx)
	}
	raw := c.draft(all...).seal()
	for _, workers := range []int{1, 2, 7, 64} {
		for range 5 {
			got := checkRaw(t, c.validator(t, Options{Workers: workers}), raw, c.at())
			if got.Valid() || got.Err.Rule != BadScript || got.Err.Tx != 1+want/insPerTx || got.Err.Input != want%insPerTx {
				t.Fatalf("%d workers: %v, want %s at transaction %d input %d", workers, got.Err, BadScript, 1+want/insPerTx, want%insPerTx)
			}
			if got.Signatures != 11 {
				t.Fatalf("%d signatures, want 11", got.Signatures)
			}
		}
	}
}

// TestInvalidRestsOnExactRun spoils one signature and wants the reason of an exact
// run.
func TestInvalidRestsOnExactRun(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	var reg perfcore.Registry
	v := c.validator(t, Options{Recorder: &reg})
	for _, spoil := range []bool{false, true} {
		tx := pay(nil, 1)
		s := &spendTx{tx: tx}
		for i, form := range spendForms() {
			tx.TxIn = append(tx.TxIn, c.addCoin(1, form.lock(testKey(byte(i)))))
			s.prevouts = append(s.prevouts, wire.TxOut{Value: 1, PkScript: form.lock(testKey(byte(i)))})
		}
		for i, form := range spendForms() {
			if err := form.sign(s, i, txscript.SigHashAll, testKey(byte(i))); err != nil {
				t.Fatal(err)
			}
		}
		if spoil {
			tx.TxIn[3].Witness[0][10] ^= 1
		}
		got := checkRaw(t, v, c.draft(tx).seal(), c.at())
		if got.Valid() == spoil {
			t.Fatalf("spoilt %v: %v", spoil, got.Err)
		}
		if spoil {
			if want := script.ErrEvalFalse.Error(); got.Err.Input != 3 || got.Err.Detail != want {
				t.Errorf("verdict %v, want %s", got.Err, want)
			}
		}
	}
	counts := make(map[string]uint64)
	for _, s := range reg.Series() {
		if s.Counter != nil && len(s.Metric.Labels) > 0 {
			counts[s.Metric.Name+" "+s.Metric.Labels[1]] = s.Counter.Value()
		}
		if s.Timer != nil && s.Timer.Snapshot().Count == 0 {
			t.Errorf("%s %v observed nothing", s.Metric.Name, s.Metric.Labels)
		}
	}
	for name, want := range map[string]uint64{
		"outrider_blockval_verdicts_total valid": 1, "outrider_blockval_verdicts_total invalid": 1,
		"outrider_blockval_inputs_total collected": 11, "outrider_blockval_inputs_total exact": 1,
	} {
		if counts[name] != want {
			t.Errorf("%s is %d, want %d", name, counts[name], want)
		}
	}
}

// largeTx returns a transaction of n inputs, P2PKH where legacy says so and else
// P2WPKH: large enough for a state of SHA-256 to be kept from input to input.
func largeTx(tb testing.TB, c *testChain, n int, legacy func(i int) bool) *spendTx {
	tb.Helper()
	s := &spendTx{tx: pay(nil, 1)}
	form := func(i int) spendForm {
		if legacy(i) {
			return spendForms()[0]
		}
		return spendForms()[2]
	}
	for i := range n {
		pkScript := form(i).lock(testKey(byte(i)))
		s.tx.TxIn = append(s.tx.TxIn, c.addCoin(1, pkScript))
		s.prevouts = append(s.prevouts, wire.TxOut{Value: 1, PkScript: pkScript})
	}
	for i := range n {
		if err := form(i).sign(s, i, txscript.SigHashAll, testKey(byte(i))); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// A Validator keeps memory from block to block, and nothing that a verdict could rest
// on. Here the second block would be taken for the first in part: it was once called
// invalid, and with a signature of the first's inputs, valid.
func TestNothingIsKeptOfABlock(t *testing.T) {
	const n = 60
	c := newTestChain(t, "regtest", 120)
	first := largeTx(t, c, n, func(i int) bool { return i == 1 })
	second := largeTx(t, c, n, func(i int) bool { return i == n-1 })
	forged := &spendTx{second.tx.Copy(), second.prevouts}
	mixture := second.tx.Copy()
	mixture.TxIn[0].PreviousOutPoint = first.tx.TxIn[0].PreviousOutPoint
	script, err := txscript.SignatureScript(mixture, n-1, second.prevouts[n-1].PkScript, txscript.SigHashAll, testKey(n-1), true)
	if err != nil {
		t.Fatal(err)
	}
	forged.tx.TxIn[n-1].SignatureScript = script
	for name, s := range map[string]*spendTx{"valid": second, "forged": forged} {
		v := c.validator(t, Options{Workers: 1})
		for i, tx := range []*spendTx{first, s, first, s} {
			want := true
			for j := range tx.tx.TxIn {
				want = want && tx.execute(j, todaysFlags) == nil
			}
			if got := checkRaw(t, v, c.draft(tx.tx).seal(), c.at()); got.Valid() != want {
				t.Errorf("%s, block %d: %v, btcd says %v", name, i, got.Err, want)
			}
		}
	}
}

// One Validator gives each block of a random sequence the verdict that a new one
// gives.
func TestOneValidatorForManyBlocks(t *testing.T) {
	const seed = 11
	c := newTestChain(t, "regtest", 120)
	rng := rand.New(rand.NewPCG(seed, 0))
	shared := c.validator(t, Options{Workers: 2})
	valid, blocks := 0, 60
	if testing.Short() {
		blocks = 20
	}
	for n := range blocks {
		var txs []*wire.MsgTx
		for range 1 + rng.IntN(4) {
			forms := rng.Uint64()
			s := largeTx(t, c, 1+rng.IntN(70), func(i int) bool { return forms>>(i%64)&1 == 0 })
			if rng.IntN(8) == 0 {
				in := s.tx.TxIn[rng.IntN(len(s.tx.TxIn))]
				if len(in.Witness) > 0 {
					in.Witness[0][20] ^= 1
				} else {
					in.SignatureScript[20] ^= 1
				}
			}
			txs = append(txs, s.tx)
		}
		raw := c.draft(txs...).seal()
		got, want := checkRaw(t, shared, raw, c.at()), checkRaw(t, c.validator(t, Options{Workers: 1}), raw, c.at())
		if (got.Err == nil) != (want.Err == nil) || got.Err != nil && *got.Err != *want.Err || got.Signatures != want.Signatures {
			t.Errorf("seed %d, block %d: %v, a new Validator says %v", seed, n, got.Err, want.Err)
		}
		if want.Valid() {
			valid++
		}
	}
	if valid < blocks/3 || valid > blocks*11/12 {
		t.Errorf("%d of %d blocks are valid: the test means little", valid, blocks)
	}
}

// The reason why a caller gave up is never taken for a rule that a block broke, and a
// Pending is finished once.
func TestFinish(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	v := c.validator(t, Options{})
	b, err := Parse(c.draft(manyForms(t, c, 7).tx).seal())
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Begin(t.Context(), b, c.at())
	if err != nil || !p.Valid() {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(brokenAt(BadScript, 1, 0, "of another block"))
	_, err = p.Finish(ctx)
	if _, rule := errors.AsType[*RuleError](err); err == nil || rule {
		t.Errorf("cancelled: %v, which is a rule: %v", err, rule)
	}
	defer func() {
		if recover() == nil {
			t.Error("Finish can be called again")
		}
	}()
	p.Finish(t.Context())
}

func TestRuleErrorText(t *testing.T) {
	for _, tc := range []struct {
		err  *RuleError
		want string
	}{
		{broken(BadBlockWeight, "weight %d", 5), "bad-blk-weight: weight 5"},
		{brokenAt(InBelowOut, 3, -1, "spends 1"), "bad-txns-in-belowout: transaction 3: spends 1"},
		{brokenAt(BadScript, 0, 2, ""), "block-script-verify-flag-failed: transaction 0 input 2"},
	} {
		if tc.err.Error() != tc.want || !errors.Is(tc.err, tc.err.Rule) || errors.Is(tc.err, BlockDecode) {
			t.Errorf("%q, want %q", tc.err, tc.want)
		}
	}
}
