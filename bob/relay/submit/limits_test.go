package submit

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
	"github.com/outrider-project/outrider/bob/signer"
)

// refusedFor fails the test unless err is a refusal for this reason.
func refusedFor(t *testing.T, err error, what string) *Refusal {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.What != what {
		t.Fatalf("%v, want a refusal for the %s", err, what)
	}
	return r
}

// nothingSent fails the test if the account has transactions, in blocks or not.
func (w *world) nothingSent(t *testing.T, s *Submitter) {
	t.Helper()
	w.Mine(t)
	if sent := w.SentBy(t, w.account.Address()); len(sent) != 0 || len(s.journal.slots) != 0 {
		t.Errorf("%d transactions are in the chain, %d in the journal", len(sent), len(s.journal.slots))
	}
}

// TestLimitsMustBeSet opens submitters with limits that nobody has set.
func TestLimitsMustBeSet(t *testing.T) {
	whole := Limits{ChainID: 1, MaxFee: big.NewInt(1), DailySpend: big.NewInt(1)}
	if err := whole.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Limits){
		"the chain id":    func(l *Limits) { l.ChainID = 0 },
		"the maximum fee": func(l *Limits) { l.MaxFee = nil },
		"the daily spend": func(l *Limits) { l.DailySpend = new(big.Int) },
	} {
		l := whole
		spoil(&l)
		_, err := Open(Options{Limits: l})
		if missing, ok := errors.AsType[*MissingLimitsError](err); !ok || !slices.Equal(missing.Names, []string{name}) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if err := (&Limits{}).Check(); err == nil || !strings.Contains(err.Error(), "the chain id, the maximum fee, the daily spend") {
		t.Errorf("without any: %v", err)
	}
	if _, err := Open(Options{Limits: whole}); err == nil {
		t.Error("a submitter without a chain, headers, signer and journal")
	}
}

// TestRefusals plans what limits, the account or the chain do not allow: nothing is sent.
func TestRefusals(t *testing.T) {
	w := newWorld(t, 5, "that limits keep transactions from being sent")
	w.mine(t, w.genesis, 2)
	for _, tt := range []struct {
		what  string
		spoil func(*Options)
	}{
		{"maximum fee", func(o *Options) { o.Limits.MaxFee = big.NewInt(100) }},
		{"daily spend", func(o *Options) { o.Limits.DailySpend = big.NewInt(1e12) }},
		{"balance", func(o *Options) { o.Signer = newTestSigner(t) }},
		{"preflight", func(o *Options) { o.Target.Multicall = relaytest.Deployer }}, // where there is no contract
	} {
		n := w.again(t, w.genesis)
		n.mine(t, n.genesis, 2)
		tt.spoil(&n.options)
		s := n.open(t)
		_, err := s.Step(t.Context())
		if r := refusedFor(t, err, tt.what); r.Fatal {
			t.Errorf("%s is fatal", tt.what)
		}
		n.nothingSent(t, s)
	}
}

// slotOf returns the slot of an entry of one of the relay's mappings.
func slotOf(mapping byte, key chainhash.Hash) common.Hash {
	return crypto.Keccak256Hash(key[:], common.LeftPadBytes([]byte{mapping}, 32))
}

// TestRepeated has the relay forget what it was told: what was mined once is not sent again.
func TestRepeated(t *testing.T) {
	w := newWorld(t, 5, "that what was mined is not sent again")
	tip := w.mine(t, w.genesis, 1)
	s := w.open(t)
	if _, err := s.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Mine(t)
	w.Must(t, nil, "anvil_setStorageAt", w.relay, common.Hash{31: 1}, common.Hash(w.genesis.Hash()))
	w.Must(t, nil, "anvil_setStorageAt", w.relay, slotOf(3, tip.Hash()), common.Hash{})
	w.Must(t, nil, "anvil_setStorageAt", w.relay, slotOf(4, tip.Hash()), common.Hash{})
	w.Mine(t)
	for range 3 {
		_, err := s.Step(t.Context())
		refusedFor(t, err, "repeated")
		w.Mine(t)
	}
	// A catch-up gives up.
	stop := w.MineAlways(t, 5*time.Millisecond)
	defer stop()
	_, err := s.CatchUp(t.Context())
	refusedFor(t, err, "repeated")
	stop()
	if sent := w.SentBy(t, w.account.Address()); len(sent) != 1 {
		t.Errorf("%d transactions were sent", len(sent))
	}
}

// TestReverted has a transaction revert in its block: the same is not sent again at once, and
// is sent when there was time for somebody to see why.
func TestReverted(t *testing.T) {
	w := newWorld(t, 5, "that what reverted is sent again, and not at once")
	w.mine(t, w.genesis, 1)
	s := w.open(t)
	if _, err := s.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	var code string
	w.Must(t, &code, "eth_getCode", w.relay, "latest")
	w.Must(t, nil, "anvil_setCode", w.relay, "0xfe")
	w.Mine(t)
	w.Must(t, nil, "anvil_setCode", w.relay, code)
	w.Mine(t)
	o, err := s.Step(t.Context())
	if r := refusedFor(t, err, "repeated"); r.Fatal || !strings.Contains(r.Error(), "reverted") {
		t.Errorf("%v", r)
	}
	if o == nil || len(o.Mined) != 1 || o.Mined[0].OK {
		t.Fatalf("%+v", o)
	}
	for range afterRevert {
		w.Mine(t)
	}
	if o, err = s.Step(t.Context()); err != nil || o.Sent == (common.Hash{}) || o.Again {
		t.Fatalf("%+v, %v", o, err)
	}
	w.Mine(t)
	if o, err = s.Step(t.Context()); err != nil || !o.Done || len(o.Mined) != 1 || !o.Mined[0].OK {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestPreflight has a relay revert where its model does not: that is seen before anything is
// sent, in the contract's words.
func TestPreflight(t *testing.T) {
	w := newWorld(t, 5, "that a preflight sees a revert")
	w.options.Target.Multicall = common.Address{}
	s := w.open(t)
	old := w.mine(t, w.genesis, 3) // at a height that is stored
	w.catchUp(t, s)
	tip := w.mine(t, w.genesis, 4)
	w.Must(t, nil, "anvil_setStorageAt", w.relay, slotOf(3, old.Hash()), common.Hash{1})
	w.Mine(t)
	if o, err := s.Step(t.Context()); err != nil || o.Sent == (common.Hash{}) {
		t.Fatalf("the headers: %+v, %v", o, err)
	}
	w.Mine(t)
	_, err := s.Step(t.Context())
	r := refusedFor(t, err, "preflight")
	if revert, ok := errors.AsType[*relay.Revert](r); !ok || revert.Reason != "Ancestor must be heaviest common ancestor" || r.Fatal {
		t.Errorf("the mark of %v: %v", tip.Hash(), err)
	}
}

// TestEstimateFails has nodes fail to estimate: the error is theirs, and nothing is sent.
func TestEstimateFails(t *testing.T) {
	w := newWorld(t, 5, "that nothing is sent without an estimate")
	f := newFront(t, w.URL, func(methods []string) harm {
		if slices.Contains(methods, "eth_estimateGas") {
			return internalError
		}
		return noHarm
	})
	w.options.Chain = w.pool(t, f.URL)
	w.mine(t, w.genesis, 1)
	s := w.open(t)
	_, err := s.Step(t.Context())
	if e, ok := errors.AsType[*endpoint.Error](err); !ok || e.Method != "eth_estimateGas" {
		t.Errorf("%v", err)
	}
	w.nothingSent(t, s)
}

// TestDailySpend spends until the limit, over a restart, and goes on a day later.
func TestDailySpend(t *testing.T) {
	w := newWorld(t, 5, "that the spend of a day is bounded over restarts")
	clock := time.Unix(1_800_000_000, 0)
	w.options.Now = func() time.Time { return clock }
	one := func(s *Submitter) error {
		w.mine(t, w.tree.Tip().Header, 1)
		for range 10 {
			o, err := s.Step(t.Context())
			if err != nil {
				return err
			}
			if o.Done {
				return nil
			}
			w.Mine(t)
		}
		t.Fatal("it is not done after 10 blocks")
		return nil
	}
	s := w.open(t)
	if err := one(s); err != nil {
		t.Fatal(err)
	}
	// Room for a second one, and not for a third.
	spent := s.Spent()
	w.options.Limits.DailySpend = new(big.Int).Mul(spent, big.NewInt(5))
	w.options.Limits.DailySpend.Div(w.options.Limits.DailySpend, big.NewInt(2))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = w.open(t)
		if s.Spent().Cmp(spent) != 0 {
			t.Errorf("%v wei are spent after a restart, %v were before", s.Spent(), spent)
		}
		err := one(s)
		if err != nil {
			refusedFor(t, err, "daily spend")
			break
		}
		spent = s.Spent()
	}
	if s.Spent().Cmp(w.options.Limits.DailySpend) > 0 {
		t.Errorf("%v wei are spent of %v", s.Spent(), w.options.Limits.DailySpend)
	}
	_, err := s.Step(t.Context())
	refusedFor(t, err, "daily spend")
	clock = clock.Add(24*time.Hour + time.Second)
	if err := one(s); err != nil {
		t.Errorf("a day later: %v", err)
	}
	w.checkInStep(t)
}

// TestCostsMore has L1's fees rise a thousandfold between a signature and its block, which no
// limit can foresee: what was paid counts, and nothing more is signed.
func TestCostsMore(t *testing.T) {
	w := newWorld(t, 5, "that what cost more than a limit is the last of its day")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	w.options.Limits.DailySpend = big.NewInt(1e16)
	s := w.open(t)
	w.mine(t, w.genesis, 1)
	if _, err := s.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.set(func(method string, result json.RawMessage) json.RawMessage {
		if method != "eth_getTransactionReceipt" || string(result) == "null" {
			return result
		}
		return append(result[:len(result)-1:len(result)-1], `,"l1Fee":"0x2386f26fc10000","l1GasUsed":"0x640","l1GasPrice":"0x1"}`...) // 0.01 ether
	})
	w.Mine(t)
	w.mine(t, w.tree.Tip().Header, 1)
	o, err := s.Step(t.Context())
	refusedFor(t, err, "daily spend")
	if len(o.Mined) != 1 || s.Spent().Cmp(w.options.Limits.DailySpend) <= 0 || s.Spent().Cmp(o.Mined[0].Cost) != 0 {
		t.Errorf("%v wei are spent of %v, %+v", s.Spent(), w.options.Limits.DailySpend, o.Mined)
	}
	if n := f.count(); n != 1 {
		t.Errorf("%d transactions were sent", n)
	}
}

func (w *world) checkInStep(t *testing.T) {
	t.Helper()
	if !w.inStep(t) {
		t.Error("the relay is not in step")
	}
}

// TestReplacement leaves a transaction without a block: it is replaced by itself with a tenth
// more, again and again up to the maximum fee, and one of them is mined.
func TestReplacement(t *testing.T) {
	w := newWorld(t, 5, "that a transaction that waits is replaced with a higher fee")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	w.options.Patience = 2
	w.options.Limits.MaxFee = big.NewInt(1_300_000_000) // 1 gwei, and two tenths more
	s := w.open(t)
	w.mine(t, w.genesis, 2)
	first, err := s.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As long as the node has it, it waits.
	if o, err := s.Step(t.Context()); err != nil || o.Sent != (common.Hash{}) || o.Done {
		t.Errorf("while it waits: %+v, %v", o, err)
	}
	var replaced []common.Hash
	last := first.Sent
	for i := range 12 {
		// The node forgets it, and makes blocks without it.
		w.Must(t, nil, "anvil_removePoolTransactions", w.account.Address())
		w.Mine(t)
		o, err := s.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if o.Replaces != (common.Hash{}) {
			if o.Replaces != last {
				t.Errorf("%v replaces %v, not %v", o.Sent, o.Replaces, last)
			}
			replaced = append(replaced, o.Sent)
			last = o.Sent
		} else if o.Sent != last || !o.Again {
			t.Errorf("%+v, want %v again", o, last)
		}
		if i < 2 && len(replaced) != i { // a patience of 2 blocks
			t.Errorf("%d replacements after %d blocks", len(replaced), i+1)
		}
	}
	if len(replaced) != 2 {
		t.Errorf("%d replacements", len(replaced))
	}
	w.Mine(t)
	o, err := s.Step(t.Context())
	if err != nil || len(o.Mined) != 1 || o.Mined[0].Hash != last || !o.Done {
		t.Fatalf("%+v, %v", o, err)
	}
	f.checkSent(t, w.options.Limits)
	w.checkChain(t, s)
}

// TestLowerMaximum starts again with a lower maximum fee while a transaction is on its way that
// the node forgot: it is not sent again, until the maximum is as high as before.
func TestLowerMaximum(t *testing.T) {
	w := newWorld(t, 5, "that what offers more than the maximum fee is not sent again")
	s := w.open(t)
	w.mine(t, w.genesis, 1)
	first, err := s.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	offered, before := s.journal.slots[0].last().tx.GasFeeCap(), w.options.Limits.MaxFee
	w.Must(t, nil, "anvil_removePoolTransactions", w.account.Address())
	again := func(most *big.Int) (*Outcome, error) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		w.options.Limits.MaxFee = most
		s = w.open(t)
		return s.Step(t.Context())
	}
	o, err := again(new(big.Int).Sub(offered, big.NewInt(1)))
	if r := refusedFor(t, err, "maximum fee"); r.Fatal || o.Sent != (common.Hash{}) || o.Again {
		t.Errorf("%+v, %v", o, r)
	}
	w.Mine(t)
	if sent := w.SentBy(t, w.account.Address()); len(sent) != 0 {
		t.Errorf("%d transactions were mined", len(sent))
	}
	if o, err = again(before); err != nil || o.Sent != first.Sent || !o.Again {
		t.Errorf("with the maximum of before: %+v, %v", o, err)
	}
	w.Mine(t)
	if o, err = s.Step(t.Context()); err != nil || len(o.Mined) != 1 || !o.Done {
		t.Errorf("mined: %+v, %v", o, err)
	}
}

// TestOvertaken has somebody else tell the relay of the header that a transaction on its way
// brings: it is obsolete, and the next plan takes its nonce.
func TestOvertaken(t *testing.T) {
	w := newWorld(t, 5, "that a transaction that is obsolete is replaced")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	w.options.Limits.MaxFee = big.NewInt(3e9)
	s := w.open(t)
	tip := w.mine(t, w.genesis, 1)
	first, err := s.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Must(t, nil, "anvil_removePoolTransactions", w.account.Address())
	w.Send(t, w.relay, relay.AddHeadersData(w.genesis[:], tip[:]))
	w.Send(t, w.relay, relay.MarkNewHeaviestData(w.genesis.Hash(), w.genesis[:], tip[:], 1))
	o, err := s.Step(t.Context())
	if err != nil || o.Sent != (common.Hash{}) || !o.Done || o.Situation.Verdict != planner.InStep {
		t.Fatalf("overtaken: %+v, %v", o, err)
	}
	w.mine(t, tip, 1)
	if o, err = s.Step(t.Context()); err != nil || o.Replaces != first.Sent {
		t.Fatalf("the next header: %+v, %v", o, err)
	}
	w.Mine(t)
	if o, err = s.Step(t.Context()); err != nil || !o.Done || len(o.Mined) != 1 {
		t.Fatalf("mined: %+v, %v", o, err)
	}
	w.checkInStep(t)
	f.checkSent(t, w.options.Limits)
	if sent := w.SentBy(t, w.account.Address()); len(sent) != 1 {
		t.Errorf("%d transactions were mined", len(sent))
	}
}

// TestForeignNonce has another program send from the account: what is on its way can never be
// mined, and an operator must know.
func TestForeignNonce(t *testing.T) {
	w := newWorld(t, 5, "that another program's transactions are seen")
	s := w.open(t)
	w.mine(t, w.genesis, 1)
	if _, err := s.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	most := s.Spent()
	w.Must(t, nil, "anvil_removePoolTransactions", w.account.Address())
	other, err := w.account.Sign(t.Context(), &types.DynamicFeeTx{
		ChainID: big.NewInt(relaytest.ChainID), GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(2e9), Gas: 21_000,
		To: new(w.account.Address()), Value: new(big.Int),
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := other.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	w.Must(t, nil, "eth_sendRawTransaction", "0x"+common.Bytes2Hex(raw))
	for i := 0; ; i++ {
		w.Mine(t)
		o, err := s.Step(t.Context())
		if err == nil && i < takenAfter && o.Sent == (common.Hash{}) && !o.Done {
			continue // a receipt may come
		}
		if r := refusedFor(t, err, "foreign nonce"); !r.Fatal || i != takenAfter-1 {
			t.Errorf("after %d blocks: %v", i+1, r)
		}
		break
	}
	// It may have been ours that was mined: it counts, over a restart, too. Who starts it again
	// has been told.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = w.open(t)
	if s.Spent().Sign() == 0 || s.Spent().Cmp(most) != 0 {
		t.Errorf("%v wei are spent, want %v", s.Spent(), most)
	}
	w.catchUp(t, s)
}

// TestWrongChain opens a pool for another chain than the node's.
func TestWrongChain(t *testing.T) {
	w := newWorld(t, 0, "that a node of another chain is refused")
	_, err := endpoint.Open(t.Context(), endpoint.Options{
		Layer: "l2", ChainID: relaytest.ChainID + 1, Endpoints: []endpoint.Endpoint{{Name: "a", URL: w.URL}},
	})
	if !errors.Is(err, endpoint.WrongChain) {
		t.Errorf("%v", err)
	}
}

// A lyingSigner signs something else.
type lyingSigner struct {
	*testSigner
	change func(*types.DynamicFeeTx)
}

func (l lyingSigner) Sign(ctx context.Context, tx *types.DynamicFeeTx) (*types.Transaction, error) {
	other := *tx
	l.change(&other)
	signed, err := l.testSigner.Sign(ctx, &other)
	if err != nil {
		return nil, err
	}
	return signed, signer.Check(tx, signed, l.Address())
}

// TestLyingSigner has the signer change a transaction: it is neither sent nor written down.
func TestLyingSigner(t *testing.T) {
	w := newWorld(t, 5, "that what a signer changed is not sent")
	w.mine(t, w.genesis, 1)
	w.options.Signer = lyingSigner{w.account, func(tx *types.DynamicFeeTx) { tx.Value = big.NewInt(1) }}
	s := w.open(t)
	_, err := s.CatchUp(t.Context())
	if m, ok := errors.AsType[*signer.MismatchError](err); !ok || m.Field != "value" {
		t.Fatalf("%v", err)
	}
	w.nothingSent(t, s)
}

// TestMost counts all gas at the maximum fee, and the L1 fee twice.
func TestMost(t *testing.T) {
	head := &planner.Head{Fork: opstack.Jovian, BaseFee: big.NewInt(1), Attributes: &opstack.Attributes{
		Form: opstack.FormJovian, BaseFee: *uint256.NewInt(1e9), BaseFeeScalar: 1_000_000, OperatorFeeConstant: 5,
	}}
	cost, err := head.Cost(common.Address{1}, []byte{1}, 1000, big.NewInt(7))
	if err != nil || cost.L1.Sign() <= 0 {
		t.Fatalf("%+v, %v", cost, err)
	}
	got, err := most(head, common.Address{1}, []byte{1}, 1000, planner.Fees{Base: big.NewInt(1), Tip: big.NewInt(1), Max: big.NewInt(7)})
	want := new(big.Int).Add(big.NewInt(7*1000+5), new(big.Int).Lsh(cost.L1, 1))
	if err != nil || got.Cmp(want) != 0 {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func isDiverged(err error) bool { return errors.Is(err, planner.ErrDiverged) }
