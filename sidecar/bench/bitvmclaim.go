package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
)

// ClaimFigures are what many whole claims took on all cores, one after the other being
// handed to a verifier that judges several at once.
type ClaimFigures struct {
	// Mode is full, or validated: the signatures are those of a block that one's own
	// node validated.
	Mode   string `json:"mode"`
	Claims int    `json:"claims"`
	// Parallel is how many goroutines judged them, Chunk how many claims one takes.
	Parallel  int     `json:"parallel"`
	Chunk     int     `json:"chunk"`
	PerSecond float64 `json:"claims_per_second"`
	// CPUSeconds are those of the process for a thousand claims, and PeakRSS the most
	// memory that was resident meanwhile, with all that the program holds besides;
	// where the system does not tell them apart, since the program started, or 0.
	CPUSeconds float64 `json:"cpu_seconds_per_1000_claims"`
	PeakRSS    uint64  `json:"peak_rss_bytes"`
}

// A claimBench is whole claims by one key, whose witnesses are at hand, in the form of
// BitVM's assert transactions.
type claimBench struct {
	key    *assertion.Key
	claims []*claim.Claim
	at     int
}

func newClaimBench(count int) (*claimBench, error) {
	s := groth16.NewSimulator(1, 1)
	key, err := assertion.Prepare(s.Key)
	if err != nil {
		return nil, err
	}
	b := &claimBench{key: key}
	for n := range count {
		item := s.Item()
		raw, err := key.Assert(item.Proof, item.Inputs[0])
		if err != nil {
			return nil, err
		}
		var secrets [assertion.Commitments][]byte
		keys, stacks := new(assertion.Keys), new(claim.Stacks)
		for i := range secrets {
			secrets[i] = fmt.Appendf(nil, "secret %d of claim %d", i, n)
			keys[i] = assertion.Scheme(i).PublicKey(secrets[i])
		}
		for i, sig := range raw.Sign(&secrets) {
			stacks[i] = sig.Witness()
		}
		b.claims = append(b.claims, &claim.Claim{Key: s.Key, Keys: keys, Load: stacks.Load})
	}
	return b, nil
}

// next returns the next claim.
func (b *claimBench) next(validated bool) *claim.Claim {
	b.at = (b.at + 1) % len(b.claims)
	c := *b.claims[b.at]
	c.Validated = validated
	return &c
}

// judge returns a task that judges one claim after the other.
func (b *claimBench) judge(validated bool) task {
	return func(ctx context.Context) (int, error) {
		v, err := claim.Judge(ctx, b.key, b.next(validated))
		return 1, b.check(v, err)
	}
}

func (b *claimBench) check(v claim.Verdict, err error) error {
	if err == nil && v.Outcome != claim.Valid {
		err = fmt.Errorf("valid claim %d is %v", b.at, v.Outcome)
	}
	return err
}

// scalar judges the next claim with every chain hashed for itself by btcd's HASH160; all
// else is as in ours.
func (b *claimBench) scalar(ctx context.Context) (int, error) {
	c := b.next(true)
	stacks, err := c.Load(ctx)
	if err != nil {
		return 0, err
	}
	for i, stack := range stacks {
		sig, err := assertion.Scheme(i).DecodeWitness(stack)
		if err != nil {
			return 0, err
		}
		if at, ok := chainsEnd(sig, c.Keys[i]); !ok {
			return 0, fmt.Errorf("btcd's HASH160 refuses digit %d of valid signature %d", at, i)
		}
	}
	v, err := claim.Judge(ctx, b.key, c)
	return 1, b.check(v, err)
}

// many judges so many claims on all cores.
func (b *claimBench) many(ctx context.Context, validated bool, count int) (ClaimFigures, error) {
	f := ClaimFigures{Mode: "full", Claims: count}
	if validated {
		f.Mode = "validated"
	}
	v := claim.New(claim.Options{Parallel: runtime.GOMAXPROCS(0)})
	defer v.Close()
	for _, k := range v.Knobs() {
		switch k.Name {
		case "bitvm.claims":
			f.Parallel = int(k.Read())
		case "bitvm.chunk":
			f.Chunk = int(k.Read())
		}
	}
	forgetPeakMemory()
	start, began := time.Now(), processTime()
	claims := func(yield func(*claim.Claim) bool) {
		for range count {
			if !yield(b.next(validated)) {
				return
			}
		}
	}
	for verdict, err := range v.All(ctx, claims) {
		if err := b.check(verdict, err); err != nil {
			return f, err
		}
	}
	f.PerSecond = float64(count) / time.Since(start).Seconds()
	f.CPUSeconds = (processTime() - began).Seconds() / float64(count) * 1000
	f.PeakRSS, _ = peakMemory()
	return f, nil
}

// forgetPeakMemory gives unused memory back and, where the system can (Linux, proc(5)),
// has the peak begin anew.
func forgetPeakMemory() {
	debug.FreeOSMemory()
	const peak = "5"
	_ = os.WriteFile("/proc/self/clear_refs", []byte(peak), 0) // else it is since the start
}

// figures are whole claims on one core; the anchor of both is a verifier of one hash
// at a time.
func (b *claimBench) figures() []*bitvmFigure {
	const anchor = "the same, chains by btcd's HASH160"
	return []*bitvmFigure{
		{name: "claim/full", ours: b.judge(false), anchor: anchor, theirs: b.scalar},
		{name: "claim/validated", ours: b.judge(true), anchor: anchor, theirs: b.scalar},
	}
}
