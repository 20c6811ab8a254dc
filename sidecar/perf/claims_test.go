package perf

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// loadTime is how long the node takes for the witnesses of a claim.
const loadTime = time.Second

// A watchtower is a real verifier of claims with many callers. The witnesses come from a
// node that is slow, which is all that time passes by in a bubble.
type watchtower struct {
	verifier *claim.Verifier
	key      *groth16.VerifyingKey
	stacks   claim.Stacks
}

// newWatchtower returns one whose claims are quickly judged: A is no point.
func newWatchtower(registry *perfcore.Registry) *watchtower {
	w := &watchtower{
		verifier: claim.New(claim.Options{Parallel: 1, Chunk: 1, Recorder: registry}),
		key:      groth16.NewSimulator(1, 1).Key,
	}
	raw := new(assertion.Raw)
	for i := range w.stacks {
		w.stacks[i] = assertion.Scheme(i).Sign([]byte{byte(i), byte(i >> 8)}, raw.Message(i)).Witness()
	}
	return w
}

// load is the node's answer.
func (w *watchtower) load(ctx context.Context) (*claim.Stacks, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(loadTime):
		return &w.stacks, nil
	}
}

// watch hands in one claim after the other until ctx ends.
func (w *watchtower) watch(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		v, err := w.verifier.Verify(ctx, &claim.Claim{Key: w.key, Validated: true, Load: w.load})
		if ctx.Err() == nil && (err != nil || v.Outcome != claim.Disprovable || v.Leaf.Leaf != 0) {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

// Slow claims miss their target, so that a knob is turned until they meet it; and where
// no value of it is of use, the status says so.
func TestSlowClaims(t *testing.T) {
	if testing.Short() {
		t.Skip("that slow claims change a status and a knob was not checked: it takes a minute under the race detector")
	}
	const callers = 8
	for _, tt := range []struct {
		what   string
		target time.Duration
		want   perfcore.OptimizationStatus
	}{
		{"a target that more goroutines meet", 3 * loadTime, perfcore.Optimized},
		{"a target below what a claim takes", loadTime / 2, perfcore.Failed},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := new(perfcore.Registry)
				w := newWatchtower(registry)
				ctx, cancel := context.WithCancel(t.Context())
				var working sync.WaitGroup
				for range callers {
					working.Go(func() { w.watch(ctx, t) })
				}
				p, err := New(Config{
					Mode: Optimize, Datadir: t.TempDir(), Registry: registry, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), seed: 1,
				})
				if err != nil {
					t.Fatal(err)
				}
				p.system = func() collect.Source { return machine{} }
				knobs := w.verifier.Knobs()[:1] // how many are judged at once
				working.Go(func() {
					if err := p.Follow(ctx, Plant{
						Network: "regtest", Dir: filepath.Join(t.TempDir(), "perf"), Knobs: knobs,
						Behind: func() (float64, bool) { return 100, true },
					}); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(time.Minute)
				if err := p.target(claim.Resource(), perfcore.Targets{Latency: tt.target, Quantile: latencyQuantile}); err != nil {
					t.Fatal(err)
				}
				claims := func() Resource {
					list := p.status().Resources
					return list[slices.IndexFunc(list, func(r Resource) bool { return r.Resource == claim.Resource().String() })]
				}
				var path []string
				missed := make(map[string]bool) // once, by status
				for range 12 * 60 {
					time.Sleep(time.Minute)
					r := claims()
					if len(path) == 0 || path[len(path)-1] != r.Status {
						path = append(path, r.Status)
					}
					missed[r.Status] = missed[r.Status] || r.Missed != ""
					if r.Status == tt.want.String() {
						break
					}
				}
				want := []string{perfcore.NotOptimized.String(), perfcore.Optimizing.String(), tt.want.String()}
				if !slices.Equal(path, want) {
					t.Errorf("the statuses were %v, want %v", path, want)
				}
				// What was promoted is held against what was before once more, so that
				// some slices may miss the target still.
				met := false
				for range 30 {
					time.Sleep(time.Minute)
					met = met || claims().Missed == ""
				}
				if !missed[perfcore.Optimizing.String()] || met != (tt.want == perfcore.Optimized) {
					t.Errorf("the target was missed while %v, and met then: %v", missed, met)
				}
				list, err := p.decisions(0)
				if err != nil {
					t.Fatal(err)
				}
				promoted := slices.ContainsFunc(list, func(d Decision) bool {
					return d.Verdict == "promoted" && slices.ContainsFunc(d.Moves, func(m Move) bool { return m.Knob == "bitvm.claims" && m.To > m.From })
				})
				cancel()
				working.Wait()
				w.verifier.Close()
				if got := knobs[0].Read(); !promoted || got < 4 {
					t.Errorf("bitvm.claims is %d, promoted %v", got, promoted)
				}
			})
		})
	}
}
