package sidecar

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// Who asks a sidecar for its verifier of claims has one with the sidecar's metrics and
// knobs, until the sidecar has run; and who does not has none.
func TestClaims(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(3)
	r.run(t)
	r.awaitTip(t)
	ours := func(k perfcore.Knob) bool { return strings.HasPrefix(k.Name, "bitvm.") }
	if slices.ContainsFunc(r.s.Knobs(), ours) {
		t.Error("there are knobs of claims that nobody judges")
	}
	v := r.s.Claims()
	if r.s.Claims() != v {
		t.Error("there are two verifiers")
	}
	manual, err := os.ReadFile("../docs/perf.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, k := range r.s.Knobs() {
		if !ours(k) {
			continue
		}
		n++
		if !engine.Registrable(k.Name) || !strings.Contains(string(manual), "`"+k.Name+"`") {
			t.Errorf("%s cannot be handed to an optimizer, or is not in docs/perf.md", k.Name)
		}
	}
	if n != 3 {
		t.Errorf("%d knobs of claims", n)
	}
	c := &claim.Claim{Key: groth16.NewSimulator(1, 1).Key, Keys: new(assertion.Keys), Load: new(claim.Stacks).Load}
	got, err := v.Verify(t.Context(), c)
	if err != nil || got.Outcome != claim.Refused || len(got.Refusals) != assertion.Commitments {
		t.Errorf("%+v, %v", got, err)
	}
	if code, body := r.get(t, "/metrics"); code != 200 || !strings.Contains(string(body), `outrider_bitvm_claims_total{outcome="refused"} 1`) {
		t.Errorf("the claim is not among the metrics: %d", code)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), c); !errors.Is(err, claim.ErrClosed) {
		t.Errorf("when the sidecar has run: %v", err)
	}
	if _, err := r.s.Claims().Verify(t.Context(), c); !errors.Is(err, claim.ErrClosed) {
		t.Errorf("when the sidecar has run: %v", err)
	}
}
