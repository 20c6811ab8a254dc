package script

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/sigverify"
)

// TestBatchOfMany collects many spends into one batch, with a Settle now and then,
// so that multisig operations that are open mix with what comes after them. Each
// input must come out as it does alone.
func TestBatchOfMany(t *testing.T) {
	f, j := newForge(seedOf(t, 4)), newJudge(t)
	n := 1500
	if testing.Short() {
		n = 400
	}
	exact := make([]Error, n)
	var taken, failed, alone []int
	var b Batch
	settle := func() {
		valid := make([]bool, len(b.Items))
		if err := j.v.Verify(t.Context(), b.Items, valid); err != nil {
			t.Fatal(err)
		}
		failed = b.Settle(valid, failed)
	}
	for label := range n {
		tx, input := f.spend()
		flags := f.flags()
		before := j.proved
		exact[label] = j.run(t, tx, input, flags)
		reason := j.m.Collect(tx, input, flags, &b, label)
		if reason == OK {
			taken = append(taken, label)
			if j.proved == before {
				alone = append(alone, label)
			}
		}
		if f.one(20) {
			settle()
		}
	}
	rounds := 0
	for ; len(b.Items) > 0; rounds++ {
		settle()
	}
	if rounds > 2*maxMultisigKeys || len(b.claims) != 0 || len(b.groups) != 0 || len(b.refs) != 0 {
		t.Errorf("%d rounds, and left in the batch: %+v", rounds, b.work)
	}
	for _, label := range taken {
		if !slices.Contains(failed, label) && exact[label] != OK {
			t.Errorf("input %d: all checks hold, but %v", label, exact[label])
		}
	}
	slices.Sort(failed)
	if !slices.Equal(failed, alone) {
		t.Errorf("failed: %v, one by one: %v", failed, alone)
	}
	t.Logf("%d collected, %d failed, %d rounds at the end", len(taken), len(failed), rounds)
	if len(taken) < n/3 || len(failed) < n/100 {
		t.Error("the spends are of no use")
	}
}

// TestSettleGivesUp has multisig operations whose signers are where they are looked
// for last. The batch must turn to the exact run in time, with all that belongs to
// the input, and leave the others alone.
func TestSettleGivesUp(t *testing.T) {
	const keys = maxMultisigKeys
	rng := rand.New(rand.NewPCG(seedOf(t, 18), 0))
	gaveUp := 0
	for range 100 {
		var b Batch
		var signers [][]int // of each group
		want := make(map[int]bool)
		pairs := 0
		for label := range 4 {
			at := b.begin(label)
			b.add(33)
			for range 2 {
				var signer []int
				var asked int
				// Half of them are of the few that take long.
				for tries := rng.IntN(2) * 100; ; tries-- {
					signer = rng.Perm(keys)[:1+rng.IntN(keys-1)]
					slices.Sort(signer)
					_, asked = decide(t, len(signer), keys, func(i, j int) bool { return signer[i] == j })
					if asked > 2*keys || tries <= 0 {
						break
					}
				}
				want[label] = want[label] || asked > 2*keys+len(signer)
				b.addGroup(len(signer), keys).data[0] = byte(len(signers))
				b.ask(len(b.groups) - 1)
				signers = append(signers, signer)
				pairs += 2*keys + len(signer)
			}
			b.end(at)
		}
		var failed []int
		for round := 0; len(b.Items) > 0; round++ {
			if round > 2*keys {
				t.Fatal("too many rounds")
			}
			valid := make([]bool, len(b.Items))
			for i, ref := range b.refs {
				if valid[i] = ref.group == noGroup; valid[i] {
					continue
				}
				g := &b.groups[ref.group]
				if g.claim != ref.claim {
					t.Fatalf("an item is for claim %d, its group for %d", ref.claim, g.claim)
				}
				valid[i] = signers[g.data[0]][ref.signature] == int(ref.key)
				pairs--
			}
			failed = b.Settle(valid, failed)
		}
		if pairs < 0 || len(b.claims) != 0 || len(b.groups) != 0 || len(b.refs) != 0 {
			t.Fatalf("%d pairs too many were asked for, or something is left: %+v", -pairs, b.work)
		}
		gaveUp += len(failed)
		if slices.Sort(failed); len(slices.Compact(slices.Clone(failed))) != len(failed) {
			t.Errorf("failed: %v, want each once", failed)
		}
		for label := range want {
			if want[label] && !slices.Contains(failed, label) {
				t.Errorf("input %d was not given up: %v", label, signers)
			}
		}
	}
	t.Logf("%d inputs were given up", gaveUp)
	if gaveUp < 20 || gaveUp > 380 {
		t.Error("the signers are of no use")
	}
}

// TestSettlePanics hands in too few verdicts.
func TestSettlePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b := Batch{Items: make([]sigverify.Item, 1)}
	b.Settle(nil, nil)
}

// A brokenVerifier fails at call n, counted from 0, and at no other.
type brokenVerifier struct {
	v    Verifier
	n    int
	with error
}

func (b *brokenVerifier) Verify(ctx context.Context, items []sigverify.Item, valid []bool) error {
	if b.n--; b.n == -1 {
		return b.with
	}
	return b.v.Verify(ctx, items, valid)
}

// TestVerifierError lets the verifier fail at every call of a multisig operation:
// that is never a verdict, not even where the script would succeed by a signature
// that fails.
func TestVerifierError(t *testing.T) {
	j, f := newJudge(t), newForge(0)
	script := append(countOp(2), 0)[:1]
	for k := range 3 {
		script = appendPush(script, f.keys[k].PubKey().SerializeCompressed())
	}
	script = append(append(script, countOp(3)...), opCheckMultisig, opNot)
	tx := multisigSpend(f.keys, script, 3+5*3, 2) // both by a stranger
	broken := errors.New("broken")
	for n := range 3 {
		reason, err := j.m.Execute(t.Context(), tx, 0, consensus, &brokenVerifier{j.v, n, broken})
		switch {
		case n < 2 && (!errors.Is(err, broken) || reason != Undecided):
			t.Errorf("failure of call %d: %v, %v", n, reason, err)
		case n == 2 && (err != nil || reason != OK):
			t.Errorf("no failure: %v, %v", reason, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if reason, err := j.m.Execute(ctx, tx, 0, consensus, j.v); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", reason, err)
	}
}
