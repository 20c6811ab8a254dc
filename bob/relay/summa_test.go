package relay

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// hexBytes are bytes in hexadecimal, with 0x or without.
type hexBytes []byte

func (b *hexBytes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	*b = decoded
	return err
}

func (b hexBytes) digest() chainhash.Hash { return chainhash.Hash(b) }

// summa are the vectors of github.com/summa-tx/relays, whose contract FullRelay comes
// from. They were written for a relay that is told heights, and have its error codes.
type summa struct {
	Link struct {
		IsAncestor struct {
			TestCases []struct {
				Digest, Ancestor hexBytes
				Limit            uint64
				Output           bool
			}
		}
		FindAncestor struct {
			TestCases []struct {
				Digest hexBytes
				Offset uint64
				Error  int
				Output hexBytes
			}
		}
	}
	Header struct {
		ValidateDifficultyChange []struct {
			Comment        string
			Headers        []looseHeader
			PrevEpochStart looseHeader
			Anchor         looseHeader
			Output         int
		}
		ValidateHeaderChain []struct {
			Comment             string
			Headers             []json.RawMessage
			Anchor              json.RawMessage
			Internal, IsMainnet bool
			Output              int
		}
		CompareTargets []struct {
			Full, Truncated hexBytes
			Output          bool
		}
	}
	Chain struct {
		IsMostRecentCommonAncestor struct {
			Orphan, OldPeriodStart, Genesis     FileHeader
			PreRetargetChain, PostRetargetChain []FileHeader
			TestCases                           []struct {
				Ancestor, Left, Right hexBytes
				Limit                 uint64
				Output                bool
			}
		}
		HeaviestFromAncestor struct {
			Orphan, Genesis FileHeader
			Headers         []FileHeader
			TestCases       []struct {
				Ancestor, CurrentBest, NewBest hexBytes
				Error                          int
				Output                         hexBytes
			}
		}
		MarkNewHeaviest []struct {
			BestKnownDigest, Ancestor, CurrentBest, NewBest hexBytes
			Limit                                           uint64
			Error                                           int
		}
	}
}

// A looseHeader is a header whose digest and height need not be its own.
type looseHeader struct {
	Raw    hexBytes
	Height uint64
}

// codes are summa's error codes, and what FullRelay says instead.
var codes = map[int]string{
	102: "A descendant height is below the ancestor height",
	104: "Unknown block",
	107: "Unknown ancestor",
	201: "Unexpected retarget on external call",
	301: "Must provide the last header of the closing difficulty period",
	302: "Must provide exactly 1 difficulty period",
	303: "Period header difficulties do not match",
	304: "Invalid retarget provided",
	403: "Passed in best is not best known",
	405: "New best hash does not have more work than previous",
}

func loadSumma(t *testing.T) *summa {
	t.Helper()
	var s summa
	if err := json.Unmarshal(testvectors.Load(t, "relay/summa_testVectors.json", "summa's vectors of relays"), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// expect fails the test if err is not what FullRelay says for a code.
func expect(t *testing.T, what string, err error, code int) {
	t.Helper()
	switch want, known := codes[code]; {
	case code == 0 && err != nil:
		t.Errorf("%s: %v", what, err)
	case code != 0 && !known:
		t.Errorf("%s: code %d has no words", what, code)
	case code != 0:
		reverts(t, what, err, want)
	}
}

func TestSummaLinks(t *testing.T) {
	s := loadSumma(t)
	f := load(t, "relay/headers.json")
	// These begin with the first header of the chain.
	r := newRelay(t, f.Chain[0].Raw, f.Chain[0].Height)
	cases := s.Link.FindAncestor.TestCases
	if len(cases) != 3 || len(s.Link.IsAncestor.TestCases) != 3 {
		t.Fatal("want three cases each")
	}
	// The first is asked of a relay that has nothing. The contract does not tell an
	// unknown header from one without so many ancestors.
	_, err := r.FindAncestor(cases[0].Digest.digest(), cases[0].Offset)
	if cases[0].Error != 104 {
		t.Errorf("the first case has code %d", cases[0].Error)
	}
	expect(t, "findAncestor of an unknown header", err, 107)
	if _, err := r.AddHeaders(f.Chain[0].Raw, raw(f.Chain[1:])); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases[1:] {
		got, err := r.FindAncestor(c.Digest.digest(), c.Offset)
		expect(t, fmt.Sprint("findAncestor ", i+1), err, c.Error)
		if err == nil && got != c.Output.digest() {
			t.Errorf("findAncestor %d: %s", i+1, got)
		}
	}
	for i, c := range s.Link.IsAncestor.TestCases {
		if got := r.IsAncestor(c.Ancestor.digest(), c.Digest.digest(), c.Limit); got != c.Output {
			t.Errorf("isAncestor %d: %t", i, got)
		}
	}
}

func TestSummaHeaders(t *testing.T) {
	s := loadSumma(t)
	if len(s.Header.ValidateDifficultyChange) != 5 || len(s.Header.ValidateHeaderChain) != 7 || len(s.Header.CompareTargets) != 5 {
		t.Fatal("want 5, 7 and 5 cases")
	}
	for _, c := range s.Header.ValidateDifficultyChange {
		r := newRelay(t, c.Anchor.Raw, c.Anchor.Height)
		r.heights[hash256(c.Anchor.Raw)] = c.Anchor.Height
		r.heights[hash256(c.PrevEpochStart.Raw)] = c.PrevEpochStart.Height
		var headers []byte
		for _, h := range c.Headers {
			headers = append(headers, h.Raw...)
		}
		_, err := r.AddHeadersWithRetarget(c.PrevEpochStart.Raw, c.Anchor.Raw, headers)
		expect(t, c.Comment, err, c.Output)
	}
	for _, c := range s.Header.ValidateHeaderChain {
		// A header that is not what its vector says is refused where files are
		// read, and so are heights that are not consecutive: the contract is
		// not told these.
		var text strings.Builder
		text.WriteString(`{"genesis":` + string(c.Anchor) + `,"chain":[`)
		for i, h := range c.Headers {
			if i > 0 {
				text.WriteString(",")
			}
			text.WriteString(string(h))
		}
		f, err := ParseHeadersFile([]byte(text.String() + "]}"))
		switch c.Output {
		case 103:
			if err == nil || !strings.Contains(err.Error(), "has height 562625, want 562624") {
				t.Errorf("%s: %v", c.Comment, err)
			}
			continue
		case 108:
			if err == nil || !strings.Contains(err.Error(), "of header") {
				t.Errorf("%s: %v", c.Comment, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Comment, err)
		}
		r := newRelay(t, f.Genesis.Raw, f.Genesis.Height)
		// The contract knows no network: what summa's relay allows on a test
		// network it does for addHeadersWithRetarget only.
		_, err = r.addHeaders(&meter{}, f.Genesis.Raw, raw(f.Chain), c.Internal || !c.IsMainnet)
		expect(t, c.Comment, err, c.Output)
	}
	for _, c := range s.Header.CompareTargets {
		var full, truncated [32]byte
		for i, b := range c.Full {
			full[len(c.Full)-1-i] = b
		}
		for i, b := range c.Truncated {
			truncated[len(c.Truncated)-1-i] = b
		}
		if got := isTruncated(littleEndian(truncated), littleEndian(full)); got != c.Output {
			t.Errorf("full %x, truncated %x: %t", c.Full, c.Truncated, got)
		}
	}
}

// summaFork returns a relay with the chain and the orphan of a real reorganisation
// around a retarget, and its headers by digest.
func summaFork(t *testing.T, s *summa) *FullRelay {
	t.Helper()
	c := s.Chain.IsMostRecentCommonAncestor
	r, err := NewFullRelay(c.Genesis.Raw, c.Genesis.Height, c.OldPeriodStart.Digest)
	if err != nil {
		t.Fatal(err)
	}
	pre, post := c.PreRetargetChain, c.PostRetargetChain
	if _, err := r.AddHeaders(c.Genesis.Raw, raw(pre)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddHeadersWithRetarget(c.OldPeriodStart.Raw, pre[len(pre)-1].Raw, raw(post)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddHeaders(post[len(post)-3].Raw, c.Orphan.Raw); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSummaChains(t *testing.T) {
	s := loadSumma(t)
	if len(s.Chain.IsMostRecentCommonAncestor.TestCases) != 5 || len(s.Chain.HeaviestFromAncestor.TestCases) != 9 || len(s.Chain.MarkNewHeaviest) != 4 {
		t.Fatal("want 5, 9 and 4 cases")
	}
	r := summaFork(t, s)
	for i, c := range s.Chain.IsMostRecentCommonAncestor.TestCases {
		if got := r.isMostRecentAncestor(&meter{}, c.Ancestor.digest(), c.Left.digest(), c.Right.digest(), c.Limit); got != c.Output {
			t.Errorf("isMostRecentCommonAncestor %d: %t", i, got)
		}
	}

	heaviest := s.Chain.HeaviestFromAncestor
	h := newRelay(t, heaviest.Genesis.Raw, heaviest.Genesis.Height)
	// The relay has the first nine, and the orphan that competes with the ninth.
	if _, err := h.AddHeaders(heaviest.Genesis.Raw, raw(heaviest.Headers[:9])); err != nil {
		t.Fatal(err)
	}
	if _, err := h.AddHeaders(heaviest.Headers[7].Raw, heaviest.Orphan.Raw); err != nil {
		t.Fatal(err)
	}
	byDigest := map[chainhash.Hash][]byte{heaviest.Orphan.Digest: heaviest.Orphan.Raw}
	for _, f := range heaviest.Headers {
		byDigest[f.Digest] = f.Raw
	}
	for i, c := range heaviest.TestCases {
		got, err := h.HeaviestFromAncestor(c.Ancestor.digest(), byDigest[c.CurrentBest.digest()], byDigest[c.NewBest.digest()])
		expect(t, fmt.Sprint("heaviestFromAncestor ", i), err, c.Error)
		if err == nil && got != c.Output.digest() {
			t.Errorf("heaviestFromAncestor %d: %s", i, got)
		}
	}

	for i, c := range s.Chain.MarkNewHeaviest {
		r := summaFork(t, s)
		r.best = c.BestKnownDigest.digest()
		_, err := r.MarkNewHeaviest(c.Ancestor.digest(), c.CurrentBest, c.NewBest, c.Limit)
		if c.Error == 104 {
			// The contract has words of its own for this one.
			reverts(t, "an unknown new best", err, "New best is unknown")
			continue
		}
		expect(t, fmt.Sprint("markNewHeaviest ", i), err, c.Error)
		if err == nil && r.best != hash256(c.NewBest) {
			t.Errorf("markNewHeaviest %d: the best is %s", i, r.best)
		}
	}
}
