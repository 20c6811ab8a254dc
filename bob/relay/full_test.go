package relay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// TestReverts makes calls that a FullRelay refuses, one for each of its reasons, and
// expects its words and an unchanged state.
func TestReverts(t *testing.T) {
	f := load(t, "relay/headersWithRetarget.json")
	pre, post := raw(f.Chain[:9]), raw(f.Chain[9:])
	oldStart, oldEnd := f.PeriodStart.Raw, f.Chain[8].Raw
	r, err := NewFullRelayWithVerify(f.Genesis.Raw, f.Genesis.Height, f.PeriodStart.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddHeaders(f.Genesis.Raw, pre); err != nil {
		t.Fatal(err)
	}
	spoil := func(headers []byte, at int) []byte {
		spoilt := slices.Clone(headers)
		spoilt[at] ^= 1
		return spoilt
	}
	stranger := chainOn(first(easyBits), 1, easyBits, 5)
	withBits := func(h []byte, bits string) []byte { return slices.Concat(h[:72], []byte(bits), h[76:]) }
	add := func(anchor, headers []byte) func() error {
		return func() error { _, err := r.AddHeaders(anchor, headers); return err }
	}
	retargets := func(start, end, headers []byte) func() error {
		return func() error { _, err := r.AddHeadersWithRetarget(start, end, headers); return err }
	}
	mark := func(ancestor chainhash.Hash, best, next []byte, limit uint64) func() error {
		return func() error { _, err := r.MarkNewHeaviest(ancestor, best, next, limit); return err }
	}
	verify := func(digest chainhash.Hash, confs uint8) func() error {
		return func() error { _, err := r.VerifyHeaderHash(digest, confs); return err }
	}
	prove := func(h, proof []byte) func() error {
		return func() error { _, err := r.VerifyProof(h, proof, chainhash.Hash{}, 0, 0); return err }
	}
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		{"a torn header", add(f.Genesis.Raw, pre[:81]), "Header array length must be divisible by 80"},
		{"a torn anchor", add(f.Genesis.Raw[1:], pre), "Anchor must be 80 bytes"},
		{"an unknown anchor", add(stranger, pre), "Unknown block"},
		{"no headers", add(f.Genesis.Raw, nil), "panic 0x32"},
		{"a retarget", add(oldEnd, post), "Unexpected retarget on external call"},
		{"no work", add(f.Genesis.Raw, spoil(pre, 40)), "Header work is insufficient"},
		{"no work in the second", add(f.Genesis.Raw, spoil(pre, 80+40)), "Header work is insufficient"},
		{"a retarget inside", add(f.Chain[7].Raw, raw(f.Chain[8:10])), "Target changed unexpectedly"},
		{"a gap", add(f.Genesis.Raw, slices.Concat(pre[:80], pre[160:])), "Headers do not form a consistent chain"},
		{"a size below 3", add(withBits(f.Genesis.Raw, "\x01\x00\x00\x02"), pre), "Unknown block"},
		{"a target with a size below 3", add(f.Genesis.Raw, withBits(at(pre, 0), "\x01\x00\x00\x02")), "panic 0x11"},
		{"a target beyond 256 bits", add(f.Genesis.Raw, withBits(at(pre, 0), "\x00\x00\x01\x22")), "panic 0x11"},

		{"a torn start", retargets(oldStart[1:], oldEnd, post), "Bad args. Check header and array byte lengths."},
		{"a torn end", retargets(oldStart, oldEnd[1:], post), "Bad args. Check header and array byte lengths."},
		{"torn headers", retargets(oldStart, oldEnd, post[1:]), "Bad args. Check header and array byte lengths."},
		{"an unknown start", retargets(stranger, oldEnd, post), "Unknown block"},
		{"an unknown end", retargets(oldStart, stranger, post), "Unknown block"},
		{"an end before the end", retargets(oldStart, f.Chain[7].Raw, post), "Must provide the last header of the closing difficulty period"},
		{"a start after the start", retargets(f.Genesis.Raw, oldEnd, post), "Must provide exactly 1 difficulty period"},
		{"a retarget to nothing", retargets(oldStart, oldEnd, nil), "panic 0x32"},
		{"a wrong retarget", retargets(oldStart, oldEnd, spoil(post, 73)), "Invalid retarget provided"},
		{"no work after the retarget", retargets(oldStart, oldEnd, spoil(post, 40)), "Header work is insufficient"},

		{"a torn best", mark(f.Genesis.Digest, f.Genesis.Raw[1:], oldEnd, 20), "Bad args. Check header and array byte lengths."},
		{"a torn new best", mark(f.Genesis.Digest, f.Genesis.Raw, oldEnd[1:], 20), "Bad args. Check header and array byte lengths."},
		{"a limit too high", mark(f.Genesis.Digest, f.Genesis.Raw, oldEnd, 2017), "Requested limit is greater than 1 difficulty period"},
		{"another best", mark(f.Genesis.Digest, oldEnd, oldEnd, 20), "Passed in best is not best known"},
		{"an unknown new best", mark(f.Genesis.Digest, f.Genesis.Raw, stranger, 20), "New best is unknown"},
		{"the genesis header", mark(f.Genesis.Digest, f.Genesis.Raw, f.Genesis.Raw, 20), "New best is unknown"},
		{"a limit too low", mark(f.Genesis.Digest, f.Genesis.Raw, oldEnd, 8), "Ancestor must be heaviest common ancestor"},
		{"an ancestor above the best", mark(f.Chain[2].Digest, f.Genesis.Raw, oldEnd, 20), "Ancestor must be heaviest common ancestor"},

		{"a header above the best", verify(f.Chain[3].Digest, 0), "Block is not in longest chain"},
		{"too few confirmations", verify(f.Genesis.Digest, 1), "Insufficient confirmations"},
		{"a proof in a torn header", prove(oldEnd[1:], nil), "Bad header block"},
		{"a torn proof", prove(oldEnd, make([]byte, 33)), "Bad merkle array proof"},
		{"a proof of another", prove(oldEnd, make([]byte, 32)), "Bad inclusion proof"},
		{"a proof without levels", prove(oldEnd, nil), "Bad inclusion proof"},
	} {
		before := copyFull(&r.FullRelay)
		reverts(t, tt.name, tt.call(), tt.want)
		if !sameFull(&before, &r.FullRelay) {
			t.Errorf("%s: reverted and left its mark", tt.name)
		}
	}

	// What reverts must not have been what works.
	if _, err := r.AddHeadersWithRetarget(oldStart, oldEnd, post); err != nil {
		t.Error(err)
	}
	if _, err := r.MarkNewHeaviest(f.Genesis.Digest, f.Genesis.Raw, last(post), 18); err != nil {
		t.Error(err)
	}
	best := copyFull(&r.FullRelay)
	_, err = r.MarkNewHeaviest(f.Chain[16].Digest, last(post), f.Chain[16].Raw, 5)
	reverts(t, "a lower one", err, "New best hash does not have more work than previous")
	if !sameFull(&best, &r.FullRelay) {
		t.Error("a lower one: reverted and left its mark")
	}
}

func TestRevertText(t *testing.T) {
	for _, tt := range []struct {
		revert Revert
		want   string
	}{
		{Revert{Reason: "Unknown block"}, "reverted: Unknown block"},
		{Revert{Panic: PanicArithmetic}, "reverted: panic 0x11"},
		{Revert{Custom: "OwnableUnauthorizedAccount(address)"}, "reverted: OwnableUnauthorizedAccount(address)"},
	} {
		if got := tt.revert.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestNearerAncestor marks a branch by an ancestor below the one where it forks off.
func TestNearerAncestor(t *testing.T) {
	genesis := first(easyBits)
	r := newRelay(t, genesis, 20_200)
	trunk := chainOn(genesis, 3, easyBits, 1)
	old, long := chainOn(last(trunk), 2, easyBits, 2), chainOn(last(trunk), 3, easyBits, 3)
	for _, add := range [][2][]byte{{genesis, trunk}, {last(trunk), old}, {last(trunk), long}} {
		if _, err := r.AddHeaders(add[0], add[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.MarkNewHeaviest(hash256(genesis), genesis, last(old), 5); err != nil {
		t.Fatal(err)
	}
	_, err := r.MarkNewHeaviest(hash256(at(trunk, 1)), last(old), last(long), 5)
	reverts(t, "an ancestor below the fork", err, "Ancestor must be heaviest common ancestor")
	if _, err := r.MarkNewHeaviest(hash256(at(trunk, 2)), last(old), last(long), 5); err != nil {
		t.Errorf("the fork: %v", err)
	}
}

func TestConstructorReverts(t *testing.T) {
	genesis := first(easyBits)
	noTarget, hugeTarget := slices.Clone(genesis), slices.Clone(genesis)
	clear(noTarget[72:75])
	hugeTarget[75] = 0x23
	for _, tt := range []struct {
		header []byte
		want   string
	}{
		{genesis[:79], "Bad genesis block"},
		{nil, "Bad genesis block"},
		{noTarget, "panic 0x12"},
		{hugeTarget, "panic 0x11"},
	} {
		_, err := NewFullRelay(tt.header, 1, chainhash.Hash{})
		reverts(t, fmt.Sprintf("a constructor with %x", tt.header), err, tt.want)
	}
}

// TestGenesisAtHeight0 has a relay whose genesis header is at height 0: it does not know
// it, as a height of 0 is none.
func TestGenesisAtHeight0(t *testing.T) {
	genesis := first(easyBits)
	r := newRelay(t, genesis, 0)
	_, err := r.AddHeaders(genesis, chainOn(genesis, 1, easyBits, 0))
	reverts(t, "a relay from height 0", err, "Unknown block")
}

// TestRetargetNearHeight0 adds a retarget while the best header is below height 2016:
// the contract subtracts a period from that, but only where it looks at the previous
// difficulty.
func TestRetargetNearHeight0(t *testing.T) {
	const bits = 0x2000ffff // one of 256; of easier targets the contract's sum overflows
	genesis := first(bits)
	chain := chainOn(genesis, 2016, bits, 0)
	r := newRelay(t, genesis, 2015)
	if _, err := r.AddHeaders(genesis, chain); err != nil {
		t.Fatal(err)
	}
	target, err := targetOf(genesis)
	if err != nil {
		t.Fatal(err)
	}
	next, err := retarget(target, timeAt(chain, 0), timeAt(last(chain), 0))
	if err != nil {
		t.Fatal(err)
	}
	h := chainOn(last(chain), 1, next.Compact(), 0)
	r.prevEpochDiff = Uint256{7}
	before := copyFull(&r.FullRelay)
	_, err = r.AddHeadersWithRetarget(at(chain, 0), last(chain), h)
	reverts(t, "a retarget with another previous difficulty", err, "panic 0x11")
	if !sameFull(&before, &r.FullRelay) {
		t.Error("reverted and left its mark")
	}
	r.prevEpochDiff = Uint256{}
	if _, err := r.AddHeadersWithRetarget(at(chain, 0), last(chain), h); err != nil {
		t.Errorf("a retarget with the same previous difficulty: %v", err)
	}
}

// TestRetargetOfThePast adds a retarget while the best header is a period above it, and one
// less: the previous difficulty is only the tip's.
func TestRetargetOfThePast(t *testing.T) {
	f := load(t, "relay/headersWithRetarget.json")
	for above, counts := range map[uint64]bool{2015: true, 2016: false, 5000: false} {
		r, err := NewFullRelay(f.Genesis.Raw, f.Genesis.Height, f.PeriodStart.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.AddHeaders(f.Genesis.Raw, raw(f.Chain[:9])); err != nil {
			t.Fatal(err)
		}
		r.best = chainhash.Hash{7}
		r.heights[r.best] = f.Chain[8].Height + above
		if _, err := r.AddHeadersWithRetarget(f.PeriodStart.Raw, f.Chain[8].Raw, raw(f.Chain[9:])); err != nil {
			t.Fatal(err)
		}
		if got := r.PrevEpochDifficulty() != (Uint256{}); got != counts {
			t.Errorf("best %d above the period's end: counts %t, want %t", above, got, counts)
		}
	}
}

// TestRetargetOfRegtest has a relay on a chain with the easiest target told of a change:
// the contract multiplies before it divides, and panics.
func TestRetargetOfRegtest(t *testing.T) {
	target, err := targetOf(first(easyBits))
	if err != nil {
		t.Fatal(err)
	}
	_, err = retarget(target, 1_600_000_000, 1_600_000_000+retargetPeriod)
	reverts(t, "a period of the easiest target", err, "panic 0x11")
	_, err = retarget(target, 1, 0)
	reverts(t, "a period that ends before it begins", err, "Underflow during subtraction.")
}

// TestConfirmationsWrap proves a header at every depth: what is 256 to 261 headers below
// the best has too few confirmations.
func TestConfirmationsWrap(t *testing.T) {
	genesis := first(easyBits)
	chain := chainOn(genesis, 600, easyBits, 0)
	r := newRelay(t, genesis, 20_160)
	if _, err := r.AddHeaders(genesis, chain); err != nil {
		t.Fatal(err)
	}
	if _, err := r.MarkNewHeaviest(hash256(genesis), genesis, last(chain), 600); err != nil {
		t.Fatal(err)
	}
	for depth := range uint64(600) {
		_, err := r.VerifyHeaderHash(hash256(at(chain, 599-int(depth))), 6)
		fails := depth%256 < 6
		if fails {
			reverts(t, fmt.Sprintf("depth %d", depth), err, "Insufficient confirmations")
		} else if err != nil {
			t.Errorf("depth %d: %v", depth, err)
		}
		next, ok := NextProvable(depth, 6)
		if !ok || (next != depth) != fails || Confirmations(next) < 6 {
			t.Errorf("depth %d: provable at %d, %t", depth, next, ok)
		}
	}
	if _, ok := NextProvable(proofWindow-1, 255); !ok {
		t.Error("the last header of the window is not provable")
	}
	if _, ok := NextProvable(proofWindow-2, 0); !ok {
		t.Error("a header that needs no confirmations is not provable")
	}
	if _, ok := NextProvable(proofWindow, 0); ok {
		t.Error("a header below the window is provable")
	}
}

// TestWedge has a chain of low difficulty reorganised across a change of the target:
// the relay never adopts the longer branch, and Wedged says so before.
func TestWedge(t *testing.T) {
	for _, tt := range []struct {
		bits   uint32
		height uint64
		wedged bool
	}{
		{easyBits, 2016*10 - 3, true},   // across, difficulty 0
		{easyBits, 2016*10 + 50, false}, // within a period
	} {
		genesis := first(tt.bits)
		r := newRelay(t, genesis, tt.height)
		// The period's first header is not known here, and the target stays.
		old := chainOn(genesis, 4, tt.bits, 1)
		long := chainOn(genesis, 8, tt.bits, 2)
		for _, chain := range [][]byte{old, long} {
			if _, err := r.AddHeaders(genesis, chain); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.MarkNewHeaviest(hash256(genesis), genesis, last(old), 10); err != nil {
			t.Fatal(err)
		}
		wedged, err := r.Wedged(hash256(genesis))
		if err != nil || wedged != tt.wedged {
			t.Errorf("height %d: wedged %t, %v", tt.height, wedged, err)
		}
		_, err = r.MarkNewHeaviest(hash256(genesis), last(old), last(long), 10)
		if tt.wedged {
			reverts(t, "a longer branch", err, "New best hash does not have more work than previous")
		} else if err != nil {
			t.Errorf("height %d: %v", tt.height, err)
		}
	}
}

// TestReplayFull replays real headers, with an orphan and a header that belongs nowhere.
func TestReplayFull(t *testing.T) {
	const (
		difficulty = `"current_epoch_difficulty":"6061518831027","prev_epoch_difficulty":"0"`
		genesis    = "4615614beedb06491a82e78b38eb6650e29116cc9cce21000000000000000000"
		tip        = "48417c9cd5"
	)
	f := load(t, "relay/headers.json")
	report, err := Replay("full", f)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range report.Calls {
		got = append(got, fmt.Sprint(c.Call, " ", c.About, " ", c.Headers, " ", c.FromHeight, " ", c.Revert, " ", c.Events,
			" ", c.Full.BestHeight, " ", c.Full.StoredHeaders, " ", c.Full.StoredHeight))
	}
	want := []string{
		"constructor  0 0  [] 562621 0 562621",
		"addHeaders  18 562622  [Extension] 562621 18 562639",
		"markNewHeaviest  1 562639  [NewTip] 562639 18 562639",
		"addHeaders orphan_562630 1 562630  [Extension] 562639 19 562639",
		"markNewHeaviest orphan_562630 1 562630 New best hash does not have more work than previous [] 562639 19 562639",
		"addHeaders badHeader 1 562640 Unexpected retarget on external call [] 562639 19 562639",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	encoded, err := json.Marshal(report.Calls[2])
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"call":"markNewHeaviest","headers":1,"from_height":562639,"ok":true,"gas":100445,"events":["NewTip"],"full":{` +
		`"relay_genesis":"` + genesis + `","best_known_digest":"` + fmt.Sprintf("%x", f.Chain[17].Digest[:]) + `","best_height":562639,` +
		`"last_reorg_common_ancestor":"` + genesis + `",` + difficulty + `,"stored_headers":18,"stored_height":562639}}`; string(encoded) != want {
		t.Errorf(" got %s\nwant %s", encoded, want)
	}
	if digest := report.Calls[2].Full.BestKnownDigest; !strings.HasPrefix(digest, tip) {
		t.Errorf("the tip is %s", digest)
	}

	f = load(t, "relay/headersWithRetarget.json")
	if report, err = Replay("full", f); err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, c := range report.Calls {
		got = append(got, fmt.Sprint(c.Call, " ", c.Headers, " ", c.FromHeight, " ", c.Revert, " ", c.Full.BestHeight, " ",
			c.Full.CurrentEpochDifficulty, " ", c.Full.PrevEpochDifficulty))
	}
	want = []string{
		"constructor 0 0  554390 5646403851534 0",
		"addHeaders 9 554391  554390 5646403851534 0",
		"markNewHeaviest 1 554399  554399 5646403851534 0",
		"addHeadersWithRetarget 9 554400  554399 5646403851534 5646403851534",
		"markNewHeaviest 1 554408  554408 5106422924659 5646403851534",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := Replay("fool", f); err == nil {
		t.Error("a relay of no kind was replayed")
	}
}

func TestParseHeadersFile(t *testing.T) {
	genesis := fmt.Sprintf(`{"hex":"0x%x","height":7}`, first(easyBits))
	child := fmt.Sprintf(`{"raw":"%x","height":8}`, chainOn(first(easyBits), 1, easyBits, 0))
	for _, tt := range []struct{ name, file, want string }{
		{"well", `{"genesis":` + genesis + `,"chain":[` + child + `]}`, ""},
		{"in two parts", `{"genesis":` + genesis + `,"preRetargetChain":[` + child + `],"postRetargetChain":[]}`, ""},
		{"no object", `[]`, "no object"},
		{"nothing", ``, "no object"},
		{"torn", `{"genesis":`, "no object"},
		{"no genesis", `{"chain":[` + child + `]}`, "no genesis"},
		{"no chain", `{"genesis":` + genesis + `}`, "a chain of 0"},
		{"a gap in the heights", `{"genesis":` + genesis + `,"chain":[` + child + `,` + child + `]}`, "has height 8, want 9"},
		{"a short header", `{"genesis":{"hex":"00"}}`, "2 hexadecimal digits, want 160"},
		{"no digits", `{"genesis":{"digest_le":"` + strings.Repeat("zz", 32) + `"}}`, "invalid byte"},
		{"nothing in a header", `{"genesis":{}}`, "neither"},
		{"another digest", `{"genesis":` + strings.TrimSuffix(genesis, "}") + `,"hash":"` + strings.Repeat("00", 32) + `"}}`, "the digest of"},
		{"another root", `{"genesis":` + strings.TrimSuffix(genesis, "}") + `,"merkle_root":"` + strings.Repeat("00", 32) + `"}}`, "the merkle_root of"},
		{"a number", `{"genesis":5}`, "genesis:"},
		{"an orphan without bytes", `{"genesis":` + genesis + `,"chain":[` + child + `],"orphan":{"hash":"` + strings.Repeat("00", 32) + `"}}`, "orphan has no bytes"},
	} {
		_, err := ParseHeadersFile([]byte(tt.file))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzReplay parses any bytes as a file of headers and replays it: no panic, and what
// reverts leaves the state as it was.
func FuzzReplay(f *testing.F) {
	genesis := first(easyBits)
	chain := chainOn(genesis, 4, easyBits, 0)
	var headers []string
	for i := range 4 {
		headers = append(headers, fmt.Sprintf(`{"hex":"%x","height":%d}`, at(chain, i), 2014+i))
	}
	f.Add(fmt.Appendf(nil, `{"genesis":{"hex":"%x","height":2013},"oldPeriodStart":{"hex":"%x","height":0},"chain":[%s],"other":%s}`,
		genesis, genesis, strings.Join(headers, ","), headers[2]))
	f.Add([]byte(`{"genesis":{"digest_le":"0x00"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseHeadersFile(data)
		if err != nil {
			return
		}
		for _, kind := range []string{"full", "light"} {
			report, err := Replay(kind, file)
			if err != nil {
				continue
			}
			for i, c := range report.Calls[1:] {
				if !c.OK && c.Full != nil && *c.Full != *report.Calls[i].Full {
					t.Errorf("%s reverted with %q and changed the state", c.Call, c.Revert)
				}
				if !c.OK && c.Light != nil && *c.Light != *report.Calls[i].Light {
					t.Errorf("%s reverted with %q and changed the state", c.Call, c.Revert)
				}
			}
		}
	})
}
