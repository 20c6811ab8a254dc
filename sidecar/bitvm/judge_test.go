package bitvm

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/watch"
)

// committedIn returns an assertion as two transactions carry it, 300 inputs and 78, each
// with a witness as its leaf takes it, the leaf, and its control block.
func committedIn(raw *assertion.Raw) *watch.Committed {
	var secrets [assertion.Commitments][]byte
	for i := range secrets {
		secrets[i] = fmt.Appendf(nil, "secret %d", i)
	}
	signed := raw.Sign(&secrets)
	c := &watch.Committed{Claim: assertionClaim}
	for from, n := 0, 300; from < assertion.Commitments; from, n = from+n, 78 {
		commit := watch.Commit{Name: "commit", Tx: wire.NewMsgTx(2)}
		for i := range n {
			witness := append(wire.TxWitness(signed[from+i].Witness()), []byte{0x51}, make([]byte, 33))
			commit.Tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: uint32(i)}, nil, witness))
			commit.Inputs = append(commit.Inputs, i)
		}
		c.Transactions = append(c.Transactions, commit)
	}
	return c
}

// What the witnesses of both commits say is judged: an honest assertion is valid, one with
// a wrong hash is disproved by its leaf, and one that cannot be read is neither.
func TestJudge(t *testing.T) {
	s := groth16.NewSimulator(1, 5)
	key, err := assertion.Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	item := s.Item()
	raw, err := key.Assert(item.Proof, item.Inputs[0])
	if err != nil {
		t.Fatal(err)
	}
	verifier := claim.New(claim.Options{})
	defer verifier.Close()
	j := judge{s.Key, verifier.Verify}
	input := item.Inputs[0].Bytes()
	if got := j.Judge(t.Context(), committedIn(raw)); got.Finding != watch.Valid || got.Input != hex.EncodeToString(input[:]) {
		t.Errorf("an honest assertion: %+v", got)
	}
	raw.Hashes[217][3] ^= 1
	got := j.Judge(t.Context(), committedIn(raw))
	if got.Finding != watch.Disprovable || got.Leaf == nil || *got.Leaf != 217 || got.Reason != string(assertion.HashMismatch) ||
		got.Kind != "MillerPointOpsStep2" || differ(got.Claimed, got.Expected) != 1 {
		t.Errorf("a wrong hash: %+v", got)
	}
	for _, tt := range []struct {
		name   string
		change func(*watch.Committed)
		want   string
	}{
		{"another claim", func(c *watch.Committed) { c.Claim = "proof" }, `claims "proof" cannot be verified here`},
		{"too few", func(c *watch.Committed) { c.Transactions[1].Inputs = c.Transactions[1].Inputs[:77] }, "there are 377 inputs"},
		{"too many", func(c *watch.Committed) { c.Transactions[1].Inputs = append(c.Transactions[1].Inputs, 0) }, "there are 379 inputs"},
		{"an empty witness", func(c *watch.Committed) { c.Transactions[0].Tx.TxIn[7].Witness = nil }, "commitment 7: "},
		{"a digit too high", func(c *watch.Committed) { c.Transactions[0].Tx.TxIn[7].Witness[1] = []byte{16} }, "commitment 7: "},
		{"a key path", func(c *watch.Committed) { c.Transactions[0].Tx.TxIn[7].Witness = make(wire.TxWitness, 2) }, "commitment 7: "},
	} {
		c := committedIn(raw)
		tt.change(c)
		if got := j.Judge(t.Context(), c); got.Finding != watch.Undecided || !strings.Contains(got.Reason, tt.want) {
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
	}
	if other := (judge{groth16.NewSimulator(2, 5).Key, verifier.Verify}); other.Name() == j.Name() || j.Name() == "" {
		t.Error("judges with different keys have one name")
	}
	verifier.Close()
	if got := j.Judge(t.Context(), committedIn(raw)); got.Finding != watch.Undecided || !strings.Contains(got.Reason, claim.ErrClosed.Error()) {
		t.Errorf("nobody judges any more: %+v", got)
	}
}

// differ returns in how many digits two hashes differ; -1 if they are none.
func differ(a, b string) (n int) {
	if len(a) != 32 || len(b) != 32 {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// Without somebody who judges, whoever watches does, by the key of the settings.
func TestJudgeOfSettings(t *testing.T) {
	s := groth16.NewSimulator(1, 5)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, s.Key.EncodeEIP197(), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := false
	for _, claims := range []func(context.Context, *claim.Claim) (claim.Verdict, error){
		nil,
		func(ctx context.Context, c *claim.Claim) (claim.Verdict, error) {
			asked = true
			key, err := assertion.Prepare(c.Key)
			if err != nil {
				return claim.Verdict{}, err
			}
			return claim.Judge(ctx, key, c)
		},
	} {
		j, err := (&Config{Key: path, Claims: claims}).judge()
		if err != nil {
			t.Fatal(err)
		}
		key, err := assertion.Prepare(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		item := s.Item()
		raw, err := key.Assert(item.Proof, item.Inputs[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := j.Judge(t.Context(), committedIn(raw)); got.Finding != watch.Valid {
			t.Errorf("an honest assertion: %+v", got)
		}
	}
	if !asked {
		t.Error("who judges was not asked")
	}
}
