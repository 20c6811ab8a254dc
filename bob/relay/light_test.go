package relay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/blockval/header"
)

var owner, stranger = Address{1}, Address{2}

// newLight returns a relay that is ready, and the chain around its first retarget: the
// new epoch begins at index 10.
func newLight(t testing.TB, proofLength uint64) (*LightRelay, []FileHeader) {
	t.Helper()
	f := load(t, "relay/headersWithRetarget.json")
	r := NewLightRelay(owner)
	if _, err := r.Genesis(owner, f.PeriodStart.Raw, f.PeriodStart.Height, proofLength); err != nil {
		t.Fatal(err)
	}
	return r, append([]FileHeader{f.Genesis}, f.Chain...)
}

func copyLight(r *LightRelay) LightRelay {
	c := *r
	c.epochs, c.authorized = maps.Clone(r.epochs), maps.Clone(r.authorized)
	return c
}

func sameLight(a, b *LightRelay) bool {
	x, y := *a, *b
	x.epochs, y.epochs, x.authorized, y.authorized = nil, nil, nil, nil
	return fmt.Sprint(x) == fmt.Sprint(y) && maps.Equal(a.epochs, b.epochs) && maps.Equal(a.authorized, b.authorized)
}

// TestLightRelay tells a relay of a real retarget.
func TestLightRelay(t *testing.T) {
	r, chain := newLight(t, 9)
	if first, last := r.RelayRange(); first != 552_384 || last != 554_399 {
		t.Errorf("range %d to %d", first, last)
	}
	if _, _, err := r.ValidateChain(raw(chain)); err == nil {
		t.Error("headers of an epoch that is not known were believed")
	}
	receipt, err := r.Retarget(stranger, raw(chain[1:]), uint64(timeAt(chain[9].Raw, 0))+1)
	must(t, receipt, err)
	old, current := Uint256{5_646_403_851_534}, Uint256{5_106_422_924_659}
	if want := (Retarget{old, current}); !slices.Equal(receipt.Events, []Event{want}) {
		t.Errorf("events %v, want %v", receipt.Events, want)
	}
	if r.CurrentEpoch() != 275 || r.GenesisEpoch() != 274 || r.CurrentEpochDifficulty() != current || r.PrevEpochDifficulty() != old {
		t.Errorf("epoch %d, difficulties %v and %v", r.CurrentEpoch(), r.CurrentEpochDifficulty(), r.PrevEpochDifficulty())
	}
	for height, want := range map[uint64]Uint256{552_384: old, 554_399: old, 554_400: current, 556_415: current} {
		if got, err := r.BlockDifficulty(height); err != nil || got != want {
			t.Errorf("difficulty at %d: %v, %v, want %v", height, got, err, want)
		}
	}
	for from := range len(chain) - 1 {
		time, count, err := r.ValidateChain(raw(chain[from:]))
		if err != nil || time != timeAt(chain[from].Raw, 0) || count != len(chain)-from {
			t.Errorf("from %d: time %d, %d headers, %v", from, time, count, err)
		}
	}
	// Six times the old difficulty is a little less than seven headers across.
	if err := r.EvaluateProof(raw(chain[8:15]), 6); err != nil {
		t.Errorf("seven headers: %v", err)
	}
	reverts(t, "six headers across", r.EvaluateProof(raw(chain[8:14]), 6), "Insufficient accumulated difficulty in header chain")
	if n, ok := ProofHeaders(554_398, 6, old, current); !ok || n != 7 {
		t.Errorf("a proof needs %d headers, want 7", n)
	}
	if got := FirstRetarget(275, 9); got != chain[18].Height {
		t.Errorf("the retarget can be told at %d, want %d", got, chain[18].Height)
	}
}

// TestLightReverts makes calls that a LightRelay refuses, one for each of its reasons.
func TestLightReverts(t *testing.T) {
	r, chain := newLight(t, 3)
	now := uint64(timeAt(chain[9].Raw, 0)) + 1
	proof := raw(chain[7:13])
	spoil := func(i, at int) []byte {
		spoilt := slices.Clone(proof)
		spoilt[i*header.Size+at] ^= 1
		return spoilt
	}
	with := func(replace ...int) []byte {
		var headers []FileHeader
		for _, i := range replace {
			headers = append(headers, chain[i])
		}
		return raw(headers)
	}
	empty := NewLightRelay(owner)
	genesis := load(t, "relay/headersWithRetarget.json").PeriodStart.Raw
	begin := func(sender Address, h []byte, height, length uint64) func() error {
		return func() error { _, err := empty.Genesis(sender, h, height, length); return err }
	}
	retarget := func(r *LightRelay, headers []byte, now uint64) func() error {
		return func() error { _, err := r.Retarget(stranger, headers, now); return err }
	}
	validate := func(headers []byte) func() error {
		return func() error { _, _, err := r.ValidateChain(headers); return err }
	}
	difficulty := func(epoch uint64) func() error {
		return func() error { _, err := r.EpochDifficulty(epoch); return err }
	}
	noTarget := slices.Concat(genesis[:72], []byte("\x00\x00\x00\x17"), genesis[76:])
	early := slices.Concat(genesis[:68], []byte("\x01\x00\x00\x00"), genesis[72:])
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		{"genesis by a stranger", begin(stranger, genesis, 2016, 9), "OwnableUnauthorizedAccount(address)"},
		{"a torn genesis", begin(owner, genesis[1:], 2016, 9), "Invalid genesis header length"},
		{"a genesis inside an epoch", begin(owner, genesis, 2017, 9), "Invalid height of relay genesis block"},
		{"a proof of an epoch", begin(owner, genesis, 2016, 2016), "Proof length excessive"},
		{"a proof of nothing", begin(owner, genesis, 2016, 0), "Proof length may not be zero"},
		{"a genesis without a target", begin(owner, noTarget, 2016, 9), "panic 0x12"},
		{"a retarget before genesis", retarget(empty, proof, now), "Relay is not ready for use"},
		{"a proof length before genesis", func() error { _, err := empty.SetProofLength(owner, 3); return err }, "Relay is not ready for use"},
		{"another genesis", func() error { _, err := r.Genesis(owner, genesis, 2016, 9); return err }, "Genesis already performed"},

		{"too few headers", retarget(r, proof[80:], now), "Invalid header length"},
		{"too many headers", retarget(r, raw(chain[6:14]), now), "Invalid header length"},
		{"no work", retarget(r, spoil(0, 40), now), "Invalid work"},
		{"a gap before", retarget(r, with(7, 9, 9, 10, 11, 12), now), "Invalid chain"},
		{"new headers before", retarget(r, with(8, 9, 10, 11, 12, 13), now), "Invalid target in pre-retarget headers"},
		{"an epoch that ends now", retarget(r, proof, now-1), "Epoch cannot end in the future"},
		{"no work after", retarget(r, spoil(5, 40), now), "Invalid work"},
		{"no retarget", retarget(r, raw(chain[4:10]), now), "Invalid target in new epoch"},

		{"a torn chain", validate(proof[1:]), "Invalid header length"},
		{"one header", validate(proof[:80]), "Invalid number of headers"},
		{"a period of headers", validate(make([]byte, 2016*80)), "Invalid number of headers"},
		{"no work in a chain", validate(slices.Concat(early, proof)), "Invalid work"},
		{"a chain of strangers", validate(chainOn(first(easyBits), 2, easyBits, 0)), "Invalid target in header chain"},
		{"a gap in a chain", validate(with(1, 3)), "Invalid chain"},
		{"a chain into an unknown epoch", validate(raw(chain[8:12])), "Invalid target in header chain"},

		{"an epoch before", difficulty(273), "Epoch is before relay genesis"},
		{"an epoch after", difficulty(275), "Epoch is not proven to the relay yet"},
		{"a length by a stranger", func() error { _, err := r.SetProofLength(stranger, 4); return err }, "OwnableUnauthorizedAccount(address)"},
		{"a length of an epoch", func() error { _, err := r.SetProofLength(owner, 2016); return err }, "Proof length excessive"},
		{"a length of nothing", func() error { _, err := r.SetProofLength(owner, 0); return err }, "Proof length may not be zero"},
		{"the same length", func() error { _, err := r.SetProofLength(owner, 3); return err }, "Proof length unchanged"},
		{"a status by a stranger", func() error { _, err := r.SetAuthorizationStatus(stranger, true); return err }, "OwnableUnauthorizedAccount(address)"},
		{"authorised by oneself", func() error { _, err := r.Authorize(stranger, stranger); return err }, "OwnableUnauthorizedAccount(address)"},

		{"a proof at another difficulty", func() error { return r.EvaluateProof(raw(chain[11:14]), 1) }, "Not at current or previous difficulty"},
		{"a torn proof", func() error { return r.EvaluateProof(proof[:150], 1) }, "Invalid length of the headers chain"},
		{"a proof with a gap", func() error { return r.EvaluateProof(with(1, 3), 1) }, "Invalid headers chain"},
		{"a proof without work", func() error { return r.EvaluateProof(spoil(1, 40), 1) }, "Insufficient work in a header"},
		{"a proof without headers", func() error { return r.EvaluateProof(nil, 1) }, "panic 0x32"},
		{"too few headers for a proof", func() error { return r.EvaluateProof(with(1, 2), 3) }, "Insufficient accumulated difficulty in header chain"},
	} {
		before, beforeEmpty := copyLight(r), copyLight(empty)
		reverts(t, tt.name, tt.call(), tt.want)
		if !sameLight(&before, r) || !sameLight(&beforeEmpty, empty) {
			t.Errorf("%s: reverted and left its mark", tt.name)
		}
	}

	if _, err := r.SetAuthorizationStatus(owner, true); err != nil || r.MayRetarget(stranger) {
		t.Errorf("authorisation required: %v", err)
	}
	_, err := r.Retarget(stranger, proof, now)
	reverts(t, "a submitter who may not", err, "Submitter unauthorized")
	if _, err := r.Authorize(owner, stranger); err != nil || !r.MayRetarget(stranger) {
		t.Errorf("authorised: %v", err)
	}
	if _, err := r.Retarget(stranger, proof, now); err != nil {
		t.Errorf("a submitter who may: %v", err)
	}
	// The same once more: it is the next epoch's turn.
	_, err = r.Retarget(stranger, proof, now)
	reverts(t, "a retarget told twice", err, "Invalid target in pre-retarget headers")
}

// TestOwner hands a relay over, and gives it up.
func TestOwner(t *testing.T) {
	r := NewLightRelay(owner)
	for _, tt := range []struct {
		name  string
		does  func(sender Address) ([]Event, error)
		event Event
		check func() bool
	}{
		{"authorize", func(by Address) ([]Event, error) { return r.Authorize(by, stranger) }, SubmitterAuthorized{stranger}, func() bool { return r.IsAuthorized(stranger) }},
		{"require", func(by Address) ([]Event, error) { return r.SetAuthorizationStatus(by, true) }, AuthorizationRequirementChanged{true}, r.AuthorizationRequired},
		{"deauthorize", func(by Address) ([]Event, error) { return r.Deauthorize(by, stranger) }, SubmitterDeauthorized{stranger}, func() bool { return !r.MayRetarget(stranger) }},
		{"transfer to itself", func(by Address) ([]Event, error) { return r.TransferOwnership(by, by) }, OwnershipTransferred{owner, owner}, func() bool { return r.Owner() == owner }},
		{"renounce", r.RenounceOwnership, OwnershipTransferred{owner, Address{}}, func() bool { return r.Owner() == Address{} }},
	} {
		_, err := tt.does(stranger)
		reverts(t, tt.name+" by a stranger", err, "OwnableUnauthorizedAccount(address)")
		events, err := tt.does(owner)
		if err != nil || !slices.Equal(events, []Event{tt.event}) || !tt.check() {
			t.Errorf("%s: %v, %v, want %v", tt.name, events, err, tt.event)
		}
	}
	_, err := r.TransferOwnership(Address{}, Address{})
	reverts(t, "a transfer to nobody", err, "OwnableInvalidOwner(address)")
}

// TestLightEpochs judges chains by two epochs that a test can mine for. The contract
// keeps 224 bits of a target, which no such header meets: they are set up in full.
func TestLightEpochs(t *testing.T) {
	const harderBits = 0x203fffff
	genesis := first(easyBits)
	easy, err := targetOf(genesis)
	if err != nil {
		t.Fatal(err)
	}
	harder, err := targetOf(first(harderBits))
	if err != nil {
		t.Fatal(err)
	}
	start := timeAt(genesis, 0) + 600
	if epochOf(start, easy).Target == easy || epochOf(start, harder).Target != epochOf(start, easy).Target {
		t.Error("an epoch keeps more than 224 bits of a target")
	}
	old := chainOn(genesis, 4, easyBits, 0)            // from start on
	next := chainOn(last(old), 4, harderBits, 0)       // from start+2400 on
	wrong := chainOn(last(old), 4, hardBits, 0)        // of neither
	late := chainOn(last(old), 1, easyBits, 0)         // of the old one, when the new has begun
	later := chainOn(late, 1, harderBits, 0)           // at start+3000
	early := chainOn(make([]byte, 80), 2, easyBits, 0) // in 1970
	const invalid = "Invalid target in header chain"
	for _, tt := range []struct {
		name   string
		begins uint32 // when the new epoch does, after start
		chain  []byte
		want   string
	}{
		{"the old epoch", 2400, old, ""},
		{"the new one", 2400, next, ""},
		{"both", 2400, slices.Concat(old, next), ""},
		{"a target of neither", 2400, wrong, invalid},
		{"a change to neither", 2400, slices.Concat(old, wrong), invalid},
		{"a change at another time", 2400, slices.Concat(old, late, later), invalid},
		{"a change at another time, by the epoch", 2401, slices.Concat(old, next), invalid},
		{"a first header before its epoch's time", 2401, next, ""},
		{"a first header after its epoch's end", 2400, slices.Concat(late, later), invalid},
		{"a first header after its epoch's end, and the change", 3000, slices.Concat(late, later), ""},
		{"a change back", 2400, slices.Concat(next, chainOn(last(next), 1, easyBits, 0)), invalid},
		{"before the relay", 2400, early, "Cannot validate chains before relay genesis"},
	} {
		r := NewLightRelay(owner)
		r.ready, r.currentEpoch, r.genesisEpoch = true, 6, 5
		r.epochs = map[uint64]Epoch{5: {start, easy}, 6: {start + tt.begins, harder}}
		_, _, err := r.ValidateChain(tt.chain)
		if tt.want != "" {
			reverts(t, tt.name, err, tt.want)
		} else if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// Below epoch 0 there is none.
	r := NewLightRelay(owner)
	r.epochs = map[uint64]Epoch{0: {start, harder}}
	_, _, err = r.ValidateChain(early)
	reverts(t, "before epoch 0", err, "panic 0x11")
	_, _, err = r.ValidateChain(old)
	reverts(t, "another target than epoch 0's", err, "panic 0x11")
}

func TestProofHeaders(t *testing.T) {
	for _, tt := range []struct {
		height, factor uint64
		before, after  uint64
		want           uint64
		ok             bool
	}{
		{2014, 6, 50, 30, 9, true}, // two at 50, and seven at 30: 310 of 300
		{2015, 6, 50, 30, 10, true},
		{2010, 6, 50, 30, 6, true}, // all at 50
		{2011, 6, 50, 30, 7, true},
		{2014, 6, 50, 50, 6, true},
		{2014, 6, 50, 100, 4, true}, // it rises: fewer
		{2016, 6, 50, 30, 6, true},  // a new epoch, whose difficulty before is
		{2014, 6, 50, 0, 0, false},
		{2014, 2, 50, 0, 2, true},
	} {
		got, ok := ProofHeaders(tt.height, tt.factor, Uint256{tt.before}, Uint256{tt.after})
		if got != tt.want || ok != tt.ok {
			t.Errorf("%+v: %d, %t", tt, got, ok)
		}
	}
}

func TestReplayLight(t *testing.T) {
	report, err := Replay("light", load(t, "relay/headersWithRetarget.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range report.Calls {
		got = append(got, fmt.Sprint(c.Call, " ", c.Headers, " ", c.FromHeight, " ", c.Revert, " ", c.Events, " ", *c.Light))
	}
	want := []string{
		"constructor 0 0  [] {false 0 0 0 0 0}",
		"genesis 1 552384  [Genesis] {true 9 274 274 5646403851534 0}",
		"retarget 18 554391  [Retarget] {true 9 274 275 5106422924659 5646403851534}",
		"validateChain 19 554390  [] {true 9 274 275 5106422924659 5646403851534}",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := Replay("light", load(t, "relay/headers.json")); err == nil || !strings.Contains(err.Error(), "does not have it") {
		t.Errorf("a file without the first header of the period: %v", err)
	}
}
