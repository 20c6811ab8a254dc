package header

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// btcdChain shows a Chain to btcd's rules. It is a blockchain.ChainCtx.
type btcdChain struct {
	headers Chain
	params  *chaincfg.Params
}

func (c *btcdChain) ChainParams() *chaincfg.Params { return c.params }
func (c *btcdChain) BlocksPerRetarget() int32 {
	return int32(c.params.TargetTimespan / c.params.TargetTimePerBlock)
}
func (c *btcdChain) MinRetargetTimespan() int64 {
	return int64(c.params.TargetTimespan/time.Second) / 4
}
func (c *btcdChain) MaxRetargetTimespan() int64 {
	return int64(c.params.TargetTimespan/time.Second) * 4
}
func (c *btcdChain) VerifyCheckpoint(int32, *chainhash.Hash) bool { return true }
func (c *btcdChain) FindPreviousCheckpoint() (blockchain.HeaderCtx, error) {
	return nil, nil
}

// node returns the header at height as a blockchain.HeaderCtx; nil below 0.
func (c *btcdChain) node(height int32) blockchain.HeaderCtx {
	if height < 0 {
		return nil
	}
	return btcdNode{c, height}
}

type btcdNode struct {
	chain  *btcdChain
	height int32
}

func (n btcdNode) header() *Header              { return &n.chain.headers[n.height] }
func (n btcdNode) Height() int32                { return n.height }
func (n btcdNode) Bits() uint32                 { return n.header().Bits() }
func (n btcdNode) Timestamp() int64             { return int64(n.header().Time()) }
func (n btcdNode) Parent() blockchain.HeaderCtx { return n.chain.node(n.height - 1) }
func (n btcdNode) RelativeAncestorCtx(distance int32) blockchain.HeaderCtx {
	return n.chain.node(n.height - distance)
}

// fixedClock is a blockchain.MedianTimeSource that stands still.
type fixedClock time.Time

func (c fixedClock) AdjustedTime() time.Time         { return time.Time(c) }
func (c fixedClock) AddTimeSample(string, time.Time) {}
func (c fixedClock) Offset() time.Duration           { return 0 }

// wireHeader decodes h with btcd's decoder.
func wireHeader(t testing.TB, h Header) *wire.BlockHeader {
	t.Helper()
	var w wire.BlockHeader
	if err := w.Deserialize(bytes.NewReader(h[:])); err != nil {
		t.Fatal(err)
	}
	return &w
}

// btcdRule returns the rule that btcd's error stands for; "" for nil.
func btcdRule(t testing.TB, err error) Rule {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[blockchain.RuleError](err)
	if !ok {
		t.Fatalf("btcd: %v", err)
	}
	rules := map[blockchain.ErrorCode]Rule{
		blockchain.ErrUnexpectedDifficulty: BadDiffBits,
		blockchain.ErrHighHash:             HighHash,
		blockchain.ErrTimeTooOld:           TimeTooOld,
		blockchain.ErrTimeTooNew:           TimeTooNew,
		blockchain.ErrTimewarpAttack:       TimeWarp,
		blockchain.ErrBlockVersionTooOld:   BadVersion,
	}
	rule, ok := rules[e.ErrorCode]
	if !ok {
		t.Fatalf("btcd: %v", err)
	}
	return rule
}

// ruleOf returns the rule that err says is broken; "" for nil.
func ruleOf(t testing.TB, err error) Rule {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*RuleError](err)
	if !ok {
		t.Fatalf("not a broken rule: %v", err)
	}
	return e.Rule
}

func TestHeaderAgainstBtcd(t *testing.T) {
	r := seeded(t)
	for range 1000 {
		var h Header
		for i := range h {
			h[i] = byte(r.Uint32())
		}
		w := wireHeader(t, h)
		got := fmt.Sprint(h.Version(), h.Prev(), h.MerkleRoot(), h.Time(), h.Bits(), h.Nonce(), h.Hash())
		want := fmt.Sprint(w.Version, w.PrevBlock, w.MerkleRoot, w.Timestamp.Unix(), w.Bits, w.Nonce, w.BlockHash())
		if got != want {
			t.Fatalf("header %x is %s, btcd: %s", h, got, want)
		}
	}
}

// TestContextAgainstBtcd grows random chains on every network, and has each of
// many candidates for the next header judged here and by btcd.
func TestContextAgainstBtcd(t *testing.T) {
	r := seeded(t)
	seen := map[Rule]int{}
	for _, network := range Networks() {
		p, err := For(network)
		if err != nil {
			t.Fatal(err)
		}
		p.TargetTimespan = 20 * p.TargetSpacing
		p.BIP34Height, p.BIP66Height, p.BIP65Height = 100, 150, 200
		b := *btcdParams()[network]
		b.TargetTimespan = 20 * b.TargetTimePerBlock
		b.BIP0034Height, b.BIP0066Height, b.BIP0065Height = 100, 150, 200

		chain := &btcdChain{Chain{p.Genesis}, &b}
		for len(chain.headers) < 300 {
			height := len(chain.headers)
			prev := chain.headers[height-1]
			median := uint32(blockchain.CalcPastMedianTime(chain.node(int32(height - 1))).Unix())
			if got, err := MedianTimePast(chain.headers, uint32(height-1)); err != nil || got != median {
				t.Fatalf("%s: median time past at height %d: %d, %v, btcd's is %d", network, height-1, got, err, median)
			}
			stamp := pick(r, median, median+1, prev.Time()-601, prev.Time()-600, prev.Time()+1, prev.Time()+300,
				prev.Time()+600, prev.Time()+1200, prev.Time()+1201, prev.Time()+uint32(r.IntN(4000)))
			bits, err := p.NextBits(chain.headers, uint32(height), stamp)
			if err != nil {
				t.Fatal(err)
			}
			bits = pick(r, bits, bits, bits, bits, bits, bits-1, p.PowLimit.Compact(), prev.Bits())
			h := build(prev, pick[int32](r, 4, 4, 4, 4, 3, 2, 1, -1), stamp, bits)

			want := btcdRule(t, blockchain.CheckBlockHeaderContext(
				wireHeader(t, h), chain.node(int32(height-1)), blockchain.BFNone, chain, true))
			got := ruleOf(t, p.CheckContext(&h, uint32(height), chain.headers, clock(h)))
			if got != want {
				t.Fatalf("%s: header %x at height %d: %q, btcd: %q", network, h, height, got, want)
			}
			seen[got]++
			// The first block of a period has a rule to itself: it is tried
			// several times.
			if got == "" && (height%20 != 0 || r.IntN(5) == 0) {
				chain.headers = append(chain.headers, h)
			}
		}
	}
	for _, rule := range []Rule{"", BadDiffBits, TimeTooOld, TimeWarp, BadVersion} {
		if seen[rule] < 3 {
			t.Errorf("only %d headers met %q: the test is too weak", seen[rule], rule)
		}
	}
}

// TestProofOfWorkAgainstBtcd has the proof of work of random headers judged here
// and by btcd.
func TestProofOfWorkAgainstBtcd(t *testing.T) {
	r := seeded(t)
	seen := map[Rule]int{}
	for _, network := range Networks() {
		p := small(t, network)
		for range 1000 {
			bits := pick(r, 0x207fffff, 0x207fffff, 0x207fff00, 0x20008000, 0x20800000, 0x2100ffff, weirdCompact(r))
			h := build(p.Genesis, 4, r.Uint32(), bits)
			err := blockchain.CheckBlockHeaderSanity(wireHeader(t, h), toBig(p.PowLimit), fixedClock(clock(h)), blockchain.BFNone)
			var want Rule
			if err != nil {
				want = HighHash // btcd has another error for bits that are no target
			}
			got := ruleOf(t, p.CheckProofOfWork(&h))
			if got != want {
				t.Fatalf("%s: header %x: %q, btcd: %v", network, h, got, err)
			}
			seen[got]++
		}
	}
	if seen[""] < 500 || seen[HighHash] < 500 {
		t.Errorf("%d headers with proof of work and %d without: the test is too weak", seen[""], seen[HighHash])
	}
}

// TestClockAgainstBtcd has a header's time compared with the clock here and by
// btcd, around the two hours.
func TestClockAgainstBtcd(t *testing.T) {
	p := small(t, "regtest")
	h := grow(t, p, 2, 600)[1]
	for _, ahead := range []time.Duration{0, 7199, 7200, 7201, 7202, 1 << 20} {
		for _, fraction := range []time.Duration{0, 1, 999_999_999} {
			now := clock(h).Add(-ahead*time.Second + fraction)
			err := blockchain.CheckBlockHeaderSanity(wireHeader(t, h), toBig(p.PowLimit), fixedClock(now), blockchain.BFNone)
			want := btcdRule(t, err)
			if got := ruleOf(t, p.Check(&h, 1, Chain{p.Genesis}, now)); got != want {
				t.Errorf("%d s less %d ns ahead of the clock: %q, btcd: %q", ahead, fraction, got, want)
			}
		}
	}
}
