package relay

import (
	"errors"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/blockval/header"
)

// stored returns headers of a chain with their heights, the first of which is at height.
func stored(chain []byte, height uint64) (all []Stored) {
	for i := range len(chain) / header.Size {
		all = append(all, Stored{header.Header(at(chain, i)), height + uint64(i)})
	}
	return all
}

// TestRestore plans on a relay, and on a model that was given no more of it than a plan
// touches: the same transactions, with the same gas, whether the relay's first header is
// near or not, over a retarget and over a reorganisation.
func TestRestore(t *testing.T) {
	whole, all := catchUp(t)
	chain := period()
	for _, known := range []int{0, 3, 900} {
		done := copyFull(whole)
		best, anchor := chain.genesis, chain.genesis
		if known > 0 {
			if _, err := done.AddHeaders(chain.genesis, chain.before[:known*header.Size]); err != nil {
				t.Fatal(err)
			}
			anchor = at(chain.before, known-1)
			best = at(chain.before, known-2)
			if _, err := done.MarkNewHeaviest(hash256(chain.genesis), chain.genesis, best, uint64(known)); err != nil {
				t.Fatal(err)
			}
		}
		// A branch that is not the best, from the anchor's parent.
		req := all
		req.Headers = all.Headers[known*header.Size:]
		req.Height, req.Anchor, req.Best, req.Ancestor = all.Height+uint64(known), anchor, best, hash256(best)
		from := max(0, known-1-HeightInterval-1)
		state := &FullKnown{
			Genesis: done.genesis, Best: done.best, LastReorgAncestor: done.lastReorgAncestor,
			CurrentEpochDiff: done.currentEpochDiff, PrevEpochDiff: done.prevEpochDiff,
			Headers: append(stored(chain.start, 2016*10), stored(chain.before[from*header.Size:known*header.Size], all.Height+uint64(from))...),
		}
		if known < HeightInterval+2 {
			state.Headers = append(state.Headers, stored(chain.genesis, all.Height-1)...)
		}
		for _, via := range []Address{multicall, {}} {
			req.Multicall = via
			want, err := done.Plan(req, DefaultCaps())
			if err != nil {
				t.Fatal(err)
			}
			got, err := RestoreFullRelay(state).Plan(req, DefaultCaps())
			if err != nil {
				t.Fatal(err)
			}
			same := slices.EqualFunc(got.Transactions, want.Transactions, func(a, b Transaction) bool {
				return a.To == b.To && string(a.Data) == string(b.Data) && a.Gas == b.Gas && a.GasLimit == b.GasLimit && a.Headers == b.Headers
			})
			if !same || got.Gas != want.Gas {
				t.Errorf("%d known: %d transactions with %d gas, want %d with %d", known, len(got.Transactions), got.Gas, len(want.Transactions), want.Gas)
			}
		}
	}
}

// TestPlanMark plans the mark of what is stored.
func TestPlanMark(t *testing.T) {
	r, req := catchUp(t)
	if _, err := r.AddHeaders(req.Anchor, req.Headers[:5*header.Size]); err != nil {
		t.Fatal(err)
	}
	req.Anchor, req.Height = at(req.Headers, 4), req.Height+5
	if _, err := r.PlanMark(req, DefaultCaps()); err == nil {
		t.Error("a mark with headers is planned")
	}
	req.Headers = nil
	p, err := r.PlanMark(req, DefaultCaps())
	if err != nil {
		t.Fatal(err)
	}
	done := copyFull(r)
	follow(t, &done, p, DefaultCaps())
	if done.best != hash256(req.Anchor) || len(p.Transactions) != 1 {
		t.Errorf("the best is %v after %d transactions", done.best, len(p.Transactions))
	}
	if _, err := done.PlanMark(req, DefaultCaps()); err == nil {
		t.Error("a mark of another best than the relay's is planned")
	}
	if _, err := r.PlanMark(req, Caps{TransactionGas: 40_000, BlockGas: 1 << 24}); !errors.Is(err, ErrCaps) {
		t.Errorf("too little gas: %v", err)
	}
}

// TestPlanRetargets plans the retarget of a relay that was given no more than that needs.
func TestPlanRetargets(t *testing.T) {
	f := load(t, "relay/headersWithRetarget.json")
	const proofLength = 8
	chain := slices.Concat(f.Genesis.Raw, raw(f.Chain))
	boundary := int(2016 - f.Genesis.Height%2016)
	epoch := f.Genesis.Height / 2016
	proof := chain[(boundary-proofLength)*header.Size : (boundary+proofLength)*header.Size]
	owner, other := Address{1}, Address{2}

	whole := NewLightRelay(owner)
	if _, err := whole.Genesis(owner, f.PeriodStart.Raw, epoch*2016, proofLength); err != nil {
		t.Fatal(err)
	}
	state := &LightKnown{
		Ready: true, ProofLength: proofLength, GenesisEpoch: epoch, CurrentEpoch: epoch,
		CurrentDiff: whole.currentDiff, Latest: whole.Epoch(epoch),
	}
	const now = 1_900_000_000
	r := RestoreLightRelay(state)
	p, err := r.PlanRetargets(contract, owner, [][]byte{proof}, now, DefaultCaps())
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := whole.Retarget(owner, proof, now)
	if err != nil {
		t.Fatal(err)
	}
	tx := p.Transactions[0]
	if len(p.Transactions) != 1 || tx.To != contract || string(tx.Data) != string(RetargetData(proof)) || tx.Gas != receipt.Gas || p.Gas != tx.Gas ||
		tx.GasLimit <= tx.Gas || tx.FromHeight != (epoch+1)*2016-proofLength || tx.Headers != 2*proofLength || string(tx.Calls[0].Data()) != string(tx.Data) {
		t.Errorf("%+v, want %d gas from height %d", tx, receipt.Gas, (epoch+1)*2016-proofLength)
	}
	if r.CurrentEpoch() != epoch || r.Epoch(epoch+1) != (Epoch{}) {
		t.Error("planning changed the relay")
	}
	_, err = r.PlanRetargets(contract, owner, [][]byte{proof, proof}, now, DefaultCaps())
	reverts(t, "the same again", err, "Invalid target in pre-retarget headers")
	_, err = r.PlanRetargets(contract, owner, [][]byte{proof}, 1, DefaultCaps())
	reverts(t, "in the future", err, "Epoch cannot end in the future")
	if _, err := r.PlanRetargets(contract, owner, [][]byte{proof}, now, Caps{TransactionGas: 50_000, BlockGas: 1 << 24}); !errors.Is(err, ErrCaps) {
		t.Errorf("too little gas: %v", err)
	}
	state.AuthorizationRequired, state.Authorized = true, []Address{other}
	r = RestoreLightRelay(state)
	_, err = r.PlanRetargets(contract, owner, [][]byte{proof}, now, DefaultCaps())
	reverts(t, "unauthorised", err, "Submitter unauthorized")
	if _, err := r.PlanRetargets(contract, other, [][]byte{proof}, now, DefaultCaps()); err != nil {
		t.Error(err)
	}
}
