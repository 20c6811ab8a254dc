package headers

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// An oracle is the rules of btcd for one network. It is a blockchain.ChainCtx.
type oracle struct{ params *chaincfg.Params }

func (o *oracle) ChainParams() *chaincfg.Params { return o.params }
func (o *oracle) BlocksPerRetarget() int32 {
	return int32(o.params.TargetTimespan / o.params.TargetTimePerBlock)
}
func (o *oracle) MinRetargetTimespan() int64                            { return int64(o.params.TargetTimespan/time.Second) / 4 }
func (o *oracle) MaxRetargetTimespan() int64                            { return int64(o.params.TargetTimespan/time.Second) * 4 }
func (o *oracle) VerifyCheckpoint(int32, *chainhash.Hash) bool          { return true }
func (o *oracle) FindPreviousCheckpoint() (blockchain.HeaderCtx, error) { return nil, nil }

// A known is a valid header and its parent. It is a blockchain.HeaderCtx.
type known struct {
	header header.Header
	height int32
	work   header.Work
	parent *known
}

func (k *known) Height() int32    { return k.height }
func (k *known) Bits() uint32     { return k.header.Bits() }
func (k *known) Timestamp() int64 { return int64(k.header.Time()) }
func (k *known) Parent() blockchain.HeaderCtx {
	if k.parent == nil {
		return nil
	}
	return k.parent
}
func (k *known) RelativeAncestorCtx(distance int32) blockchain.HeaderCtx {
	for ; distance > 0 && k != nil; distance-- {
		k = k.parent
	}
	if k == nil {
		return nil
	}
	return k
}

// At makes a known the Ancestors of what comes after it.
func (k *known) At(height uint32) (header.Header, error) {
	for k != nil && uint32(k.height) > height {
		k = k.parent
	}
	if k == nil || uint32(k.height) < height {
		return header.Header{}, errors.New("no such header")
	}
	return k.header, nil
}

// standing is a blockchain.MedianTimeSource that stands still.
type standing time.Time

func (c standing) AdjustedTime() time.Time         { return time.Time(c) }
func (c standing) AddTimeSample(string, time.Time) {}
func (c standing) Offset() time.Duration           { return 0 }

// verdict returns the rule that btcd says h breaks on top of parent; "" for none.
func (o *oracle) verdict(t *testing.T, h *header.Header, parent *known, now time.Time) header.Rule {
	t.Helper()
	var w wire.BlockHeader
	if err := w.Deserialize(bytes.NewReader(h[:])); err != nil {
		t.Fatal(err)
	}
	err := blockchain.CheckBlockHeaderSanity(&w, o.params.PowLimit, standing(now), blockchain.BFNone)
	if err == nil {
		err = blockchain.CheckBlockHeaderContext(&w, parent, blockchain.BFNone, o, true)
	}
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[blockchain.RuleError](err)
	if !ok {
		t.Fatalf("btcd: %v", err)
	}
	switch e.ErrorCode {
	case blockchain.ErrHighHash:
		return header.HighHash
	case blockchain.ErrTimeTooNew:
		return header.TimeTooNew
	case blockchain.ErrTimeTooOld:
		return header.TimeTooOld
	case blockchain.ErrTimewarpAttack:
		return header.TimeWarp
	case blockchain.ErrBlockVersionTooOld:
		return header.BadVersion
	case blockchain.ErrUnexpectedDifficulty:
		// Of bits that are no target, too.
		if target := blockchain.CompactToBig(h.Bits()); target.Sign() <= 0 || target.Cmp(o.params.PowLimit) > 0 {
			return header.HighHash
		}
		return header.BadDiffBits
	}
	t.Fatalf("btcd: %v", err)
	return ""
}

// cases is how many headers TestAgainstBtcd has judged.
const cases = 100_000

// TestAgainstBtcd grows random trees on every network, and has each of many
// candidates on top of random headers, spoilt in random ways, judged by the tree
// and by btcd's rules. The tip is compared with the header that has the most work.
func TestAgainstBtcd(t *testing.T) {
	count := cases
	if testing.Short() {
		count /= 20
	}
	r := seeded(t)
	seen := map[header.Rule]int{}
	reorganised, unworked := 0, 0
	btcd := map[string]chaincfg.Params{
		"main": chaincfg.MainNetParams, "test": chaincfg.TestNet3Params, "testnet4": chaincfg.TestNet4Params,
		"signet": chaincfg.SigNetParams, "regtest": chaincfg.RegressionNetParams, "simnet": chaincfg.SimNetParams,
	}
	networks := header.Networks()
	for done := 0; done < count; {
		network := networks[r.IntN(len(networks))]
		p := small(t, network)
		o := btcd[network]
		o.TargetTimespan = 20 * o.TargetTimePerBlock
		o.BIP0034Height, o.BIP0066Height, o.BIP0065Height = 3, 5, 7
		o.PowLimit = blockchain.CompactToBig(easyBits)
		o.PowLimit.SetString("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", 16)
		o.PowLimitBits = easyBits
		rules := &oracle{&o}

		// Everything fits: what the limits remove has its own tests.
		tree := newTree(t, p, Limits{Depth: 600, Stale: 600})
		tip := &known{header: p.Genesis, work: p.Genesis.Work()}
		all := []*known{tip}
		for range 500 {
			parent := tip
			if r.IntN(3) == 0 {
				parent = all[max(0, len(all)-1-r.IntN(pick(r, 4, 60)))]
			}
			height := uint32(parent.height) + 1
			median, err := header.MedianTimePast(parent, height-1)
			if err != nil {
				t.Fatal(err)
			}
			last := parent.header.Time()
			stamp := pick(r, last+300, last+600, last+600, last+1200, last+1201, last+uint32(r.IntN(4000)),
				median, median+1, last-601, last-600)
			bits, err := p.NextBits(parent, height, stamp)
			if err != nil {
				t.Fatal(err)
			}
			bits = pick(r, bits, bits, bits, bits, bits, bits, bits, bits-1, bits+1, easyBits, easyBits-1,
				parent.header.Bits(), 0, 0x20800000, 0x1d00ffff, r.Uint32())
			h := build(parent.header, pick[int32](r, 4, 4, 4, 4, 4, 0x20000000, 3, 2, 1, -1), stamp, bits, r.Uint32())
			// Half of all hashes meet the easiest target, and some no target.
			if target, _, _ := header.FromCompact(bits); target[3] > 1<<52 && r.IntN(8) > 0 && bits&0x800000 == 0 && bits>>24 == 0x20 {
				mine(t, p, &h)
			}
			now := clock(h).Add(-pick(r, 0, 0, 0, 0, 7200*time.Second, 7201*time.Second))

			want := rules.verdict(t, &h, parent, now)
			before := tree.Tip()
			change, addErr := tree.Add([]header.Header{h}, now)
			got := ruleOf(t, addErr)
			// btcd looks at the clock before the context, Core after.
			if got != want && !(want == header.TimeTooNew && got != "") {
				t.Fatalf("%s: header %x at height %d: %v, btcd: %q", network, h, height, addErr, want)
			}
			seen[got]++
			done++
			if got != "" {
				if tree.Tip() != before {
					t.Fatalf("%s: header %x moved the tip: %v", network, h, addErr)
				}
				if header.BlockWork(bits) == (header.Work{}) {
					unworked++
				}
				continue
			}
			k := &known{header: h, height: int32(height), work: parent.work.Add(h.Work()), parent: parent}
			all = append(all, k)
			if k.work.Cmp(tip.work) > 0 {
				tip = k
			}
			if change.To.Hash != tip.header.Hash() || change.To.Work != tip.work {
				t.Fatalf("%s: the tip is %s at height %d, not %s at %d", network, change.To.Hash, change.To.Height, tip.header.Hash(), tip.height)
			}
			if change.Depth() > 0 {
				reorganised++
			}
		}
		checkTree(t, tree)
	}
	for _, rule := range []header.Rule{"", header.HighHash, header.BadDiffBits, header.TimeTooOld, header.TimeWarp, header.TimeTooNew, header.BadVersion} {
		if seen[rule] < count/10_000 {
			t.Errorf("only %d headers met %q: the test is too weak", seen[rule], rule)
		}
	}
	if reorganised < count/5000 || unworked < count/100 {
		t.Errorf("%d reorganisations, %d headers without work: the test is too weak", reorganised, unworked)
	}
	t.Logf("verdicts: %v; %d reorganisations; %d headers without work", seen, reorganised, unworked)
}
