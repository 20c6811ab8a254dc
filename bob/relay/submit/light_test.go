package submit

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
	"github.com/outrider-project/outrider/testvectors"
)

// lightProof is how many headers the LightRelay of these tests asks for on either side.
const lightProof = 8

// A lightWorld is a world with a LightRelay, and real headers across a retarget: it keeps 224
// bits of a target, and no header that a test mines has a target of so few.
type lightWorld struct {
	*world
	chain  []header.Header
	height uint32 // of the first of them
}

// newLight returns a world with a LightRelay that knows the epoch before the retarget, and
// asks for authorisation, which the account has if it is authorised.
func newLight(t *testing.T, authorised bool, unchecked string) *lightWorld {
	t.Helper()
	w := &lightWorld{world: newWorld(t, 0, unchecked)}
	f, err := relay.ParseHeadersFile(testvectors.Load(t, "relay/headersWithRetarget.json", unchecked))
	if err != nil {
		t.Fatal(err)
	}
	w.height = uint32(f.Genesis.Height)
	w.chain = append(w.chain, header.Header(f.Genesis.Raw))
	for _, h := range f.Chain {
		w.chain = append(w.chain, header.Header(h.Raw))
	}
	w.relay = w.Deploy(t, contract.LightRelay().Creation)
	epoch := uint64(w.height) / relaytest.Epoch
	w.Send(t, w.relay, relay.GenesisData(f.PeriodStart.Raw, epoch*relaytest.Epoch, lightProof))
	w.Send(t, w.relay, append([]byte{0xeb, 0x86, 0x95, 0xef}, common.LeftPadBytes([]byte{1}, 32)...))
	if authorised {
		account := w.account.Address()
		w.Send(t, w.relay, append([]byte{0xb6, 0xa5, 0xd7, 0xde}, common.LeftPadBytes(account[:], 32)...))
	}
	w.options.Target = planner.Target{Kind: relay.KindLight, Relay: w.relay, Costs: contract.Costs()}
	return w
}

// see has the submitters of the world see the headers up to a height.
func (w *lightWorld) see(t *testing.T, height uint64) {
	t.Helper()
	params, err := header.For("main")
	if err != nil {
		t.Fatal(err)
	}
	w.options.Tree, err = headers.NewTree(params, headers.Base{
		Height: w.height, Work: w.chain[0].Work(), Headers: w.chain[:height-uint64(w.height)+1],
	}, headers.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
}

// upTo returns a submitter that sees the headers up to a height.
func (w *lightWorld) upTo(t *testing.T, height uint64) *Submitter {
	t.Helper()
	w.see(t, height)
	return w.open(t)
}

// TestLightInTheFirstBlock tells a LightRelay of an epoch with the first block that it can be
// told with: not before, and in the next block of its own chain.
func TestLightInTheFirstBlock(t *testing.T) {
	w := newLight(t, true, "that a LightRelay is told in the first possible block")
	epoch := uint64(w.height)/relaytest.Epoch + 1
	first := epoch*relaytest.Epoch + lightProof - 1
	s := w.upTo(t, first-1)
	for range 2 {
		o, err := s.Step(t.Context())
		if err != nil || !o.Done || o.Sent != (common.Hash{}) || o.Situation.Verdict != planner.Waiting || o.Situation.NextHeight != first {
			t.Fatalf("a block before: %+v, %v", o, err)
		}
		w.Mine(t)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = w.upTo(t, first)
	o, err := s.Step(t.Context())
	if err != nil || o.Sent == (common.Hash{}) {
		t.Fatalf("%+v, %v", o, err)
	}
	planned, head := o.Situation.Plan.Gas, o.Head.Number
	w.Mine(t)
	if o, err = s.Step(t.Context()); err != nil || len(o.Mined) != 1 || !o.Mined[0].OK || o.Mined[0].Block != head+1 || !o.Done ||
		o.Situation.Verdict != planner.InStep || o.Situation.Epoch != epoch || o.Situation.NextHeight != first+relaytest.Epoch {
		t.Fatalf("%+v, %v", o, err)
	}
	used := o.Mined[0].Gas
	t.Logf("%d gas, %d planned", used, planned)
	if planned < used-used/50 || planned > used+used/50 {
		t.Errorf("%d gas were planned, %d used", planned, used)
	}
	if sent := w.SentBy(t, w.account.Address()); len(sent) != 1 {
		t.Errorf("%d transactions were sent", len(sent))
	}
}

// TestLightUnauthorised has a LightRelay take nothing from the account.
func TestLightUnauthorised(t *testing.T) {
	w := newLight(t, false, "that a LightRelay that does not take it is not told")
	s := w.upTo(t, uint64(w.height)+uint64(len(w.chain))-1)
	_, err := s.CatchUp(t.Context())
	if r := refusedFor(t, err, "unauthorized"); !r.Fatal {
		t.Error("it is not fatal")
	}
	w.nothingSent(t, s)
}

// TestLightDiverged has a LightRelay know another epoch than Bitcoin had.
func TestLightDiverged(t *testing.T) {
	w := newLight(t, true, "that a LightRelay of another chain is seen")
	s := w.upTo(t, uint64(w.height)+uint64(len(w.chain))-1)
	w.chain[0][70] ^= 1
	other := w.Deploy(t, contract.LightRelay().Creation)
	s.o.Target.Relay = other
	if o, err := s.Step(t.Context()); err != nil || o.Situation.Verdict != planner.Waiting || !o.Done {
		t.Errorf("before genesis: %+v, %v", o, err)
	}
	after := uint64(w.height)/relaytest.Epoch*relaytest.Epoch + relaytest.Epoch
	h := w.chain[after-uint64(w.height)+1] // the second of the epoch
	w.Send(t, other, relay.GenesisData(h[:], after, lightProof))
	if _, err := s.Step(t.Context()); !isDiverged(err) {
		t.Errorf("%v", err)
	}
	w.nothingSent(t, s)
}
