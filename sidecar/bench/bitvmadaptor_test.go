package bench

import "testing"

// A claim that is not read as it is, or that is not valid, is measured by nobody.
func TestAdaptorStopsAtAWrongClaim(t *testing.T) {
	verifier := newAdaptorVerifier()
	defer verifier.Close()
	b, err := newAdaptorBench(t.Context(), verifier, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]task{"claim": b.claim, "extract": b.extract, "engine": b.engine} {
		if n, err := run(t.Context()); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	b.message[1] ^= 1
	for name, run := range map[string]task{"claim": b.claim, "extract": b.extract} {
		if _, err := run(t.Context()); err == nil {
			t.Errorf("%s: another message is taken", name)
		}
	}
	b.message[1] ^= 1
	b.tx.TxIn[0].Witness[1][40] ^= 1
	for name, run := range map[string]task{"claim": b.claim, "engine": b.engine} {
		if _, err := run(t.Context()); err == nil {
			t.Errorf("%s: a wrong signature is taken", name)
		}
	}
}
