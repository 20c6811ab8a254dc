package contract

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/relay"
)

// within is how far an estimate may be from an execution.
const within = 0.02

// near fails the test if an estimate is too far from an execution.
func near(t *testing.T, what string, estimate, executed uint64) {
	t.Helper()
	off := float64(estimate)/float64(executed) - 1
	t.Logf("%s: %d executed, estimate %+.2f %%", what, executed, 100*off)
	if math.Abs(off) > within {
		t.Errorf("%s: estimate %d, executed %d: %+.2f %%", what, estimate, executed, 100*off)
	}
}

// A pair is a contract and its model in the same state.
type pair struct {
	d *deployed
	m *relay.FullRelayWithVerify
}

func newPair(t *testing.T, genesis []byte, height uint64, periodStart chainhash.Hash) *pair {
	t.Helper()
	m, err := relay.NewFullRelayWithVerify(genesis, height, periodStart)
	if err != nil {
		t.Fatal(err)
	}
	m.SetCosts(Costs())
	c := FullRelayWithVerify()
	d, r := deploy(t, parseABI(t, c.ABI), relay.Address{1}, slices.Concat(c.Creation, relay.ConstructorData(genesis, height, periodStart)))
	if r.err != nil {
		t.Fatal(r.describe())
	}
	return &pair{d, m}
}

// do makes a call of both, which works.
func (p *pair) do(t *testing.T, what string, c relay.Call) {
	t.Helper()
	receipt, err := p.m.Do(&c)
	r := p.d.call(relay.Address{7}, c.Data(), 0)
	if err != nil || r.err != nil {
		t.Fatalf("%s: %v, %s", what, err, r.describe())
	}
	near(t, what, receipt.Exec, r.exec)
}

// TestGas compares estimates with executions in the cases in which the gas of BOB's relays
// is known.
func TestGas(t *testing.T) {
	real := histories(t)
	chain, height := real[0].chain, real[0].height
	genesis := chain[0]
	for _, n := range []int{1, 2, 5, 10, 18} {
		p := newPair(t, genesis, height, chainhash.Hash{1})
		add := relay.Call{Function: "addHeaders", Args: [][]byte{genesis, slices.Concat(chain[1 : n+1]...)}}
		p.do(t, fmt.Sprintf("addHeaders of %d", n), add)
		p.do(t, fmt.Sprintf("addHeaders of %d that are known", n), add)
		p.do(t, fmt.Sprintf("markNewHeaviest over %d", n), relay.Call{
			Function: "markNewHeaviest", Args: [][]byte{genesis, chain[n]}, Ancestor: hash256(genesis), Limit: uint64(n),
		})
		receipt, _ := p.m.VerifyHeaderHash(chainhash.Hash{5}, 0)
		r := p.d.view(relay.VerifyHeaderHashData(chainhash.Hash{5}, 0))
		near(t, "verifyHeaderHash of one that is nowhere", receipt.Exec, r.exec)
	}

	rng := newRand(1)
	mined := [][]byte{mine(rng, make([]byte, headerSize), easyBits, 1_600_000_000)}
	for i := range 700 {
		mined = append(mined, mine(rng, mined[i], easyBits, timeOf(mined[i])+600))
	}
	for _, n := range []int{100, 400, 700} {
		p := newPair(t, mined[0], 20_160, chainhash.Hash{1})
		p.do(t, fmt.Sprintf("addHeaders of %d", n), relay.Call{Function: "addHeaders", Args: [][]byte{mined[0], slices.Concat(mined[1 : n+1]...)}})
		p.do(t, fmt.Sprintf("markNewHeaviest over %d", n), relay.Call{
			Function: "markNewHeaviest", Args: [][]byte{mined[0], mined[n]}, Ancestor: hash256(mined[0]), Limit: uint64(n),
		})
		for _, depth := range []int{6, 100, 255, 256, 261, 262, 390} {
			if depth >= n {
				continue
			}
			digest := hash256(mined[n-depth])
			receipt, err := p.m.VerifyHeaderHash(digest, 6)
			r := p.d.view(relay.VerifyHeaderHashData(digest, 6))
			near(t, fmt.Sprintf("verifyHeaderHash %d below", depth), receipt.Exec, r.exec)
			// The confirmations have eight bits.
			wraps := depth >= 256 && depth <= 261
			if (err != nil) != wraps || (r.err != nil) != wraps {
				t.Errorf("verifyHeaderHash %d below: %v, %q, want a revert: %t", depth, err, r.describe(), wraps)
			}
		}
	}

	for _, h := range real {
		b := h.boundary()
		if b == 0 {
			continue
		}
		for n := 1; n <= len(h.chain)-b; n += 4 {
			p := newPair(t, h.chain[0], h.height, hash256(h.periodStart))
			p.do(t, fmt.Sprintf("addHeaders of %d", b-1), relay.Call{Function: "addHeaders", Args: [][]byte{h.chain[0], slices.Concat(h.chain[1:b]...)}})
			p.do(t, fmt.Sprintf("addHeadersWithRetarget of %d", n), relay.Call{
				Function: "addHeadersWithRetarget", Args: [][]byte{h.periodStart, h.chain[b-1], slices.Concat(h.chain[b : b+n]...)},
			})
			p.do(t, fmt.Sprintf("markNewHeaviest over a retarget and %d", n), relay.Call{
				Function: "markNewHeaviest", Args: [][]byte{h.chain[0], h.chain[b+n-1]}, Ancestor: hash256(h.chain[0]), Limit: uint64(b + n),
			})
		}
		if len(h.chain)-b > 3 {
			// An ancestor before the period of both: where nothing is known below, any does.
			p := newPair(t, h.chain[b-1], h.height+uint64(b-1), hash256(h.periodStart))
			p.do(t, "addHeadersWithRetarget of 3", relay.Call{
				Function: "addHeadersWithRetarget", Args: [][]byte{h.periodStart, h.chain[b-1], slices.Concat(h.chain[b : b+3]...)},
			})
			p.do(t, "markNewHeaviest over a retarget", relay.Call{
				Function: "markNewHeaviest", Args: [][]byte{h.chain[b-1], h.chain[b]}, Ancestor: hash256(h.chain[b-1]), Limit: 1,
			})
			p.do(t, "markNewHeaviest by the work of a new period", relay.Call{
				Function: "markNewHeaviest", Args: [][]byte{h.chain[b], h.chain[b+2]}, Ancestor: hash256(h.periodStart), Limit: 4,
			})
		}
		for _, length := range []int{1, 4, 8, 9} {
			if b < length || len(h.chain)-b < length {
				continue
			}
			owner := relay.Address{1}
			m := relay.NewLightRelay(owner)
			m.SetCosts(Costs())
			d, _ := deploy(t, parseABI(t, LightRelay().ABI), owner, LightRelay().Creation)
			height := h.height / epoch * epoch
			receipt, err := m.Genesis(owner, h.periodStart, height, uint64(length))
			r := d.call(owner, relay.GenesisData(h.periodStart, height, uint64(length)), 1<<40)
			if err != nil || r.err != nil {
				t.Fatal(err, r.describe())
			}
			near(t, "genesis", receipt.Exec, r.exec)
			proof := slices.Concat(h.chain[b-length : b+length]...)
			receipt, err = m.Retarget(owner, proof, 1<<40)
			r = d.call(owner, relay.RetargetData(proof), 1<<40)
			if err != nil || r.err != nil {
				t.Fatal(err, r.describe())
			}
			near(t, fmt.Sprintf("retarget with %d on either side", length), receipt.Exec, r.exec)
		}
	}
}
