package header

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"
)

// declaredRules returns the Rule constants that rule.go declares.
func declaredRules(t *testing.T) []Rule {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "rule.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var rules []Rule
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Rule" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, Rule(text))
		}
		return true
	})
	return rules
}

// TestEachRule breaks every rule by itself, one step past what it allows, in a
// header that is otherwise valid and has its proof of work. The step before must
// be allowed.
func TestEachRule(t *testing.T) {
	p := small(t, "testnet4")
	chain := grow(t, p, 60, 600)
	median := func(height int) uint32 { // of the block at height, in a chain this regular
		return chain[height-5].Time()
	}
	type header struct {
		height  int
		version int32
		time    uint32
		ahead   int64 // seconds that the time is ahead of the clock
	}
	good := func(height int) header { return header{height, 4, chain[height-1].Time() + 600, 0} }
	cases := []struct {
		rule    Rule
		allowed header
		spoil   func(*header)       // before its proof of work is made
		after   func(*Header)       // and after the rest is
		above   bool                // the hash above the target
		bits    func(uint32) uint32 // of the header that breaks the rule
	}{
		{rule: HighHash, allowed: good(30), above: true},
		{rule: BadPrevBlock, allowed: good(30), after: func(h *Header) { h[4] ^= 1; mine(t, h, false) }},
		{rule: BadDiffBits, allowed: good(30), bits: func(b uint32) uint32 { return b - 1 }},
		{rule: BadDiffBits, allowed: good(40), bits: func(b uint32) uint32 { return b - 1 }},
		{rule: TimeTooOld, allowed: header{30, 4, median(29) + 1, 0}, spoil: func(h *header) { h.time-- }},
		{rule: TimeWarp, allowed: header{40, 4, chain[39].Time() - 600, 0}, spoil: func(h *header) { h.time-- }},
		{rule: TimeTooNew, allowed: header{30, 4, chain[29].Time() + 600, 7200}, spoil: func(h *header) { h.ahead++ }},
		{rule: BadVersion, allowed: header{2, -1 << 31, chain[1].Time() + 600, 0}, spoil: func(h *header) { *h = good(3); h.version = 1 }},
		{rule: BadVersion, allowed: header{3, 2, chain[2].Time() + 600, 0}, spoil: func(h *header) { h.version = 1 }},
		{rule: BadVersion, allowed: header{5, 3, chain[4].Time() + 600, 0}, spoil: func(h *header) { h.version = 2 }},
		{rule: BadVersion, allowed: header{7, 4, chain[6].Time() + 600, 0}, spoil: func(h *header) { h.version = 3 }},
		{rule: BadVersion, allowed: header{59, 4, chain[58].Time() + 600, 0}, spoil: func(h *header) { h.version = -1 }},
	}
	var broken []Rule
	for i, c := range cases {
		t.Run(fmt.Sprintf("%d %s", i, c.rule), func(t *testing.T) {
			at := func(h header, bits func(uint32) uint32, above bool) (Header, Chain, time.Time) {
				below := chain[:h.height]
				b := oracleBits(p, below, h.time)
				if bits != nil {
					b = bits(b)
				}
				hdr := build(below[h.height-1], h.version, h.time, b)
				mine(t, &hdr, above)
				return hdr, below, time.Unix(int64(h.time)-h.ahead, 999_999_999)
			}
			hdr, below, now := at(c.allowed, nil, false)
			if err := p.Check(&hdr, uint32(len(below)), below, now); err != nil {
				t.Fatalf("the header that breaks no rule: %v", err)
			}
			h := c.allowed
			if c.spoil != nil {
				c.spoil(&h)
			}
			hdr, below, now = at(h, c.bits, c.above)
			if c.after != nil {
				c.after(&hdr)
			}
			if rules := rulesBroken(p, hdr, below, now); !slices.Equal(rules, []Rule{c.rule}) {
				t.Fatalf("the header breaks %v, want just %s", rules, c.rule)
			}
			err := p.Check(&hdr, uint32(len(below)), below, now)
			e, ok := errors.AsType[*RuleError](err)
			if !ok || e.Rule != c.rule || e.Detail == "" || !errors.Is(err, c.rule) {
				t.Fatalf("Check = %v, want %s", err, c.rule)
			}
		})
		broken = append(broken, c.rule)
	}
	for _, rule := range declaredRules(t) {
		if !slices.Contains(broken, rule) {
			t.Errorf("no header breaks %s", rule)
		}
	}
}

// TestRulesInOrder checks random headers, most of which break several rules:
// Check must name the first in Bitcoin Core's order, and accept what breaks
// none.
func TestRulesInOrder(t *testing.T) {
	r := seeded(t)
	seen := map[Rule]int{}
	for _, network := range Networks() {
		p := small(t, network)
		chain := grow(t, p, 45, 600)
		for range 4000 {
			below := chain[:1+r.IntN(len(chain)-1)]
			if r.IntN(3) == 0 {
				below = chain[:20*(1+r.IntN(2))]
			}
			prev := below[len(below)-1]
			middle := below[max(0, len(below)-6)]
			stamp := pick(r, middle.Time(), middle.Time()+1, prev.Time()-601, prev.Time()-600, prev.Time()+600,
				prev.Time()+600, prev.Time()+1200, prev.Time()+1201, 0, 1<<32-1, r.Uint32())
			bits := oracleBits(p, below, stamp)
			bits = pick(r, bits, bits, bits, bits, bits-1, 0x207fffff, 0x207fff00, 0x201fffff, 0x1d00ffff, weirdCompact(r))
			h := build(prev, pick[int32](r, 4, 4, 4, 4, 3, 2, 1, 0, -1, 1<<31-1, -1<<31), stamp, bits)
			h.setNonce(r.Uint32())
			if r.IntN(8) == 0 {
				h[4+r.IntN(32)] ^= 1 << r.IntN(8)
			}
			now := clock(h).Add(-time.Second * pick[time.Duration](r, 0, 0, 7199, 7200, 7201))
			want := rulesBroken(p, h, below, now)
			err := p.Check(&h, uint32(len(below)), below, now)
			if len(want) == 0 {
				if err != nil {
					t.Fatalf("%s: valid header %x at height %d: %v", network, h, len(below), err)
				}
				seen[""]++
				continue
			}
			if e, ok := errors.AsType[*RuleError](err); !ok || e.Rule != want[0] {
				t.Fatalf("%s: header %x at height %d: %v, want %s of %v", network, h, len(below), err, want[0], want)
			}
			seen[want[0]]++
		}
	}
	for _, rule := range append(declaredRules(t), "") {
		if seen[rule] < 10 {
			t.Errorf("only %d of the headers were to be refused for %q: the test is too weak", seen[rule], rule)
		}
	}
}

// TestGenesis has height 0 hold the genesis block and nothing else.
func TestGenesis(t *testing.T) {
	for _, network := range Networks() {
		p, err := For(network)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * Size {
			h := p.Genesis
			h[bit/8] ^= 1 << (bit % 8)
			if err := p.CheckContext(&h, 0, Chain(nil), time.Unix(1<<40, 0)); !errors.Is(err, BadPrevBlock) {
				t.Errorf("%s: genesis block with bit %d flipped: %v", network, bit, err)
			}
		}
		if bits, err := p.NextBits(Chain(nil), 0, 0); err != nil || bits != p.Genesis.Bits() {
			t.Errorf("%s: NextBits at height 0 = %08x, %v", network, bits, err)
		}
	}
}

// TestMinVersion has each network at the heights where versions rise.
func TestMinVersion(t *testing.T) {
	const any = -1 << 31
	for _, c := range []struct {
		network string
		height  uint32
		want    int32
	}{
		{"main", 227930, any}, {"main", 227931, 2}, {"main", 363724, 2}, {"main", 363725, 3},
		{"main", 388380, 3}, {"main", 388381, 4}, {"main", 1<<32 - 1, 4},
		{"test", 21110, any}, {"test", 21111, 2}, {"test", 330775, 2}, {"test", 330776, 3},
		{"test", 581884, 3}, {"test", 581885, 4},
		{"testnet4", 1, 4}, {"signet", 1, 4}, {"regtest", 1, 4}, {"simnet", 1, 4},
	} {
		p, err := For(c.network)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.MinVersion(c.height); got != c.want {
			t.Errorf("%s at height %d: version %d, want %d", c.network, c.height, got, c.want)
		}
	}
}

func TestMedianTimePast(t *testing.T) {
	chain := make(Chain, 13)
	for i, time := range []uint32{50, 10, 40, 30, 20, 1 << 31, 7, 1<<32 - 1, 0, 60, 60, 5, 45} {
		chain[i].setTime(time)
	}
	for height, want := range []uint32{50, 50, 40, 40, 30, 40, 30, 40, 30, 40, 40, 30, 40} {
		if got, err := MedianTimePast(chain, uint32(height)); err != nil || got != want {
			t.Errorf("height %d: %d, %v, want %d", height, got, err, want)
		}
	}
	if _, err := MedianTimePast(chain, 13); err == nil {
		t.Error("the median time past of a block that is not there")
	}
	if _, err := MedianTimePast(chain[:12], 1<<32-1); err == nil {
		t.Error("the median time past at the greatest height")
	}
}

// failing is a chain whose header at one height cannot be read.
type failing struct {
	Ancestors
	height uint32
	err    error
}

func (f failing) At(height uint32) (Header, error) {
	if height == f.height {
		return Header{}, f.err
	}
	return f.Ancestors.At(height)
}

// TestAncestorErrors has each header that a check reads fail, with errors of
// every kind: none may look like a broken rule.
func TestAncestorErrors(t *testing.T) {
	p := small(t, "testnet4")
	chain := grow(t, p, 41, 600)
	h := chain[40]
	for height := range uint32(40) {
		for _, cause := range []error{
			io.ErrUnexpectedEOF,
			HighHash,
			&RuleError{Rule: TimeTooOld, Detail: "of another header"},
			errors.Join(io.EOF, fmt.Errorf("wrapped: %w", BadPrevBlock)),
		} {
			err := p.Check(&h, 40, failing{chain, height, cause}, clock(h))
			if needed := height == 20 || height >= 29; needed != (err != nil) {
				t.Fatalf("without header %d: %v, needed: %t", height, err, needed)
			}
			if _, ok := errors.AsType[*RuleError](err); ok {
				t.Fatalf("without header %d: %v is a *RuleError", height, err)
			}
			if rule, ok := errors.AsType[Rule](err); ok {
				t.Fatalf("without header %d: %v is the rule %s", height, err, rule)
			}
			if cause == io.ErrUnexpectedEOF && err != nil && !errors.Is(err, cause) {
				t.Fatalf("without header %d: %v does not wrap its cause", height, err)
			}
		}
	}
}

// TestAllocations has a valid header cost none, at a retarget and elsewhere,
// whatever the network.
func TestAllocations(t *testing.T) {
	for _, network := range Networks() {
		p := small(t, network)
		chain := grow(t, p, 60, 1300)
		for _, height := range []uint32{1, 39, 40, 59} {
			var a Ancestors = chain
			var work Work
			allocs := testing.AllocsPerRun(100, func() {
				h := chain[height]
				if err := p.Check(&h, height, a, time.Unix(1<<32, 0)); err != nil {
					t.Fatal(err)
				}
				work = work.Add(h.Work())
			})
			if allocs != 0 {
				t.Errorf("%s: a valid header at height %d costs %g allocations", network, height, allocs)
			}
		}
	}
}
