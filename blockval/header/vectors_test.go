package header

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// loadChain returns the headers of a vector that holds them one after another.
func loadChain(t testing.TB, name, unchecked string, want int) Chain {
	t.Helper()
	data := testvectors.Load(t, name, unchecked)
	if len(data) != want*Size {
		t.Fatalf("%s has %d bytes, want %d headers", name, len(data), want)
	}
	chain := make(Chain, want)
	for i := range chain {
		chain[i] = Header(data[i*Size:])
	}
	return chain
}

// realChains returns the real chains among the vectors, by network.
func realChains(t testing.TB) map[string]Chain {
	t.Helper()
	const unchecked = "the rules on real headers of the main network and signet"
	return map[string]Chain{
		"main":   loadChain(t, "headers/mainnet_0_10236.bin.zst", unchecked, 10237),
		"signet": loadChain(t, "headers/signet_0_2015.bin.zst", unchecked, 2016),
	}
}

// TestRealChains verifies every header of the real chains, as one does that only
// has those below it, and their chain work.
func TestRealChains(t *testing.T) {
	// Up to here every target is the genesis block's: 10,237 blocks of
	// 0x100010001 hashes, and 2,016 of 0x49d414.
	works := map[string]string{"main": "27fd27fd27fd", "signet": "245661d80"}
	for network, chain := range realChains(t) {
		p, err := For(network)
		if err != nil {
			t.Fatal(err)
		}
		var work Work
		for i := range chain {
			if err := p.Check(&chain[i], uint32(i), chain[:i], clock(chain[i])); err != nil {
				t.Fatalf("%s: header %d: %v", network, i, err)
			}
			work = work.Add(chain[i].Work())
		}
		if want := uint256(t, works[network]); Uint256(work) != want {
			t.Errorf("%s: the chain's work is %s, want %s", network, work, want)
		}
	}
}

// TestRealHeadersFlipped flips each bit of real headers: the proof of work is
// gone every time, and the context breaks where it depends on that bit.
func TestRealHeadersFlipped(t *testing.T) {
	for network, chain := range realChains(t) {
		p, err := For(network)
		if err != nil {
			t.Fatal(err)
		}
		for _, height := range []int{1, 5, 11, 170, 1000, 2015, 2016, 2017, 4032, 6048, 8064, 10079, 10080, 10236} {
			if height >= len(chain) {
				continue
			}
			for bit := range 8 * Size {
				h, below := chain[height], chain[:height]
				h[bit/8] ^= 1 << (bit % 8)
				now := clock(chain[height])
				if err := p.Check(&h, uint32(height), below, now); !errors.Is(err, HighHash) {
					t.Fatalf("%s: header %d with bit %d flipped: %v, want %s", network, height, bit, err, HighHash)
				}
				rules := rulesBroken(p, h, below, now)
				var want Rule // after HighHash, which all of them break
				if len(rules) > 1 {
					want = rules[1]
				}
				if got := ruleOf(t, p.CheckContext(&h, uint32(height), below, now)); got != want {
					t.Fatalf("%s: context of header %d with bit %d flipped: %q, want %q", network, height, bit, got, want)
				}
				// By the field that the bit is in; the time's rules vary.
				switch {
				case 32 <= bit && bit < 288 && want != BadPrevBlock,
					576 <= bit && bit < 608 && want != BadDiffBits,
					(288 <= bit && bit < 544 || 608 <= bit) && want != "":
					t.Fatalf("%s: header %d with bit %d flipped breaks %q", network, height, bit, want)
				}
			}
		}
	}
}

// relayHeader is a header in the vectors of the relays.
type relayHeader struct {
	Hash   string `json:"digest_le"` // hexadecimal, internal order
	Hash2  string `json:"hash"`      // the same, in summa's file
	Height uint32 `json:"height"`
	Hex    string `json:"hex"`
	Raw    string `json:"raw"` // the same, in summa's file
}

// unhex returns the n bytes that s has in hexadecimal.
func unhex(t testing.TB, s string, n int) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || len(b) != n {
		t.Fatalf("%q is not %d bytes in hexadecimal: %v", s, n, err)
	}
	return b
}

// header returns the header.
func (r relayHeader) header(t testing.TB) Header {
	t.Helper()
	return Header(unhex(t, r.Hex+r.Raw, Size))
}

// verified returns the header, after comparing its hash with the vector's.
func (r relayHeader) verified(t testing.TB) Header {
	t.Helper()
	h := r.header(t)
	if want := chainhash.Hash(unhex(t, r.Hash+r.Hash2, chainhash.HashSize)); h.Hash() != want {
		t.Fatalf("the header at height %d has the hash %s, the vectors say %s", r.Height, h.Hash(), want)
	}
	return h
}

// loadRelay decodes a JSON vector of the relays.
func loadRelay(t testing.TB, name string, v any) {
	t.Helper()
	data := testvectors.Load(t, name, "the rules on the vectors of the Bitcoin relays")
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// checkRelayChain checks headers that follow one another: all of each that the
// known ones allow, which must be everything for the last full headers.
func checkRelayChain(t *testing.T, p *Params, known sparse, chain []relayHeader, full int) {
	t.Helper()
	checked := 0
	for _, r := range chain {
		h := r.verified(t)
		if err := p.CheckProofOfWork(&h); err != nil {
			t.Errorf("header %d: %v", r.Height, err)
		}
		if prev := known[r.Height-1]; h.Prev() != prev.Hash() {
			t.Errorf("header %d does not follow the one before", r.Height)
		}
		if bits, err := p.NextBits(known, r.Height, h.Time()); err != nil || bits != h.Bits() {
			t.Errorf("header %d: NextBits = %08x, %v, want %08x", r.Height, bits, err, h.Bits())
		}
		err := p.Check(&h, r.Height, known, clock(h))
		if _, ok := errors.AsType[*RuleError](err); ok {
			t.Errorf("header %d: %v", r.Height, err)
		}
		if err == nil {
			checked++
		}
		known[r.Height] = h
	}
	if checked != full {
		t.Errorf("%d headers were checked in full, want %d", checked, full)
	}
}

// TestRelayRetarget goes across the main network's retargets at 554400 and
// 437472.
func TestRelayRetarget(t *testing.T) {
	p, err := For("main")
	if err != nil {
		t.Fatal(err)
	}
	type retarget struct {
		OldPeriodStart, Genesis relayHeader
		Chain                   []relayHeader
	}
	var bob retarget
	loadRelay(t, "relay/headersWithRetarget.json", &bob)
	var summa struct {
		Chain struct {
			IsMostRecentCommonAncestor struct {
				OldPeriodStart, Genesis             relayHeader
				PreRetargetChain, PostRetargetChain []relayHeader
			}
		}
	}
	loadRelay(t, "relay/summa_testVectors.json", &summa)
	s := summa.Chain.IsMostRecentCommonAncestor
	for _, c := range []struct {
		retarget
		at   uint32
		full int // headers with eleven known below them
	}{
		{bob, 554400, 8},
		{retarget{s.OldPeriodStart, s.Genesis, append(s.PreRetargetChain, s.PostRetargetChain...)}, 437472, 3},
	} {
		t.Run(fmt.Sprint(c.at), func(t *testing.T) {
			first := c.OldPeriodStart.verified(t)
			known := sparse{c.OldPeriodStart.Height: first, c.Genesis.Height: c.Genesis.verified(t)}
			checkRelayChain(t, p, known, c.Chain, c.full)
			before, after := known[c.at-1], known[c.at]
			if before.Bits() == after.Bits() {
				t.Errorf("the bits stay %08x: this is no retarget", after.Bits())
			}
			// A period that began 100 s earlier would have had other bits.
			first.setTime(first.Time() - 100)
			known[c.OldPeriodStart.Height] = first
			if bits, err := p.NextBits(known, c.at, 0); err != nil || bits == after.Bits() {
				t.Errorf("with another first block: NextBits = %08x, %v", bits, err)
			}
		})
	}
}

// TestRelayHeaders checks a chain at height 562622, an orphan of it and a header
// that belongs elsewhere.
func TestRelayHeaders(t *testing.T) {
	p, err := For("main")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Orphan    relayHeader `json:"orphan_562630"`
		BadHeader relayHeader
		Genesis   relayHeader
		Chain     []relayHeader
	}
	loadRelay(t, "relay/headers.json", &v)
	known := sparse{v.Genesis.Height: v.Genesis.verified(t)}
	checkRelayChain(t, p, known, v.Chain, 8)

	orphan := v.Orphan.verified(t)
	if err := p.CheckProofOfWork(&orphan); err != nil {
		t.Errorf("the orphan: %v", err)
	}
	if got, want := orphan.Prev(), known[562630]; got != want.Prev() || orphan == want {
		t.Errorf("the orphan follows %s, not its sibling's predecessor", got)
	}
	after := known[562631]
	known[562630] = orphan
	if err := p.CheckContext(&after, 562631, known, clock(after)); !errors.Is(err, BadPrevBlock) {
		t.Errorf("the best chain on top of the orphan: %v, want %s", err, BadPrevBlock)
	}
	bad := v.BadHeader.verified(t)
	if err := p.Check(&bad, 562640, known, time.Now()); !errors.Is(err, BadPrevBlock) {
		t.Errorf("a header of another place: %v, want %s", err, BadPrevBlock)
	}
}

// TestRelayValidateDifficultyChange has summa's cases of a retarget at 306432.
// Its relay compares claims that a caller makes; here only the first block's
// bits are of interest.
func TestRelayValidateDifficultyChange(t *testing.T) {
	p, err := For("main")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Header struct {
			ValidateDifficultyChange []struct {
				Comment        string
				Headers        []relayHeader
				PrevEpochStart relayHeader
				Anchor         relayHeader
			}
		}
	}
	loadRelay(t, "relay/summa_testVectors.json", &v)
	cases := v.Header.ValidateDifficultyChange
	if len(cases) != 5 {
		t.Fatalf("%d cases, want 5", len(cases))
	}
	for _, c := range cases {
		// Some of these headers were altered, which their hashes give away.
		first := c.Headers[0].header(t)
		known := sparse{304416: c.PrevEpochStart.header(t), 306431: c.Anchor.header(t)}
		bits, err := p.NextBits(known, 306432, first.Time())
		if err != nil {
			t.Fatalf("%s: %v", c.Comment, err)
		}
		if same, want := bits == first.Bits(), c.Comment != "invalid retarget"; same != want {
			t.Errorf("%s: NextBits = %08x, the header has %08x", c.Comment, bits, first.Bits())
		}
	}
}
