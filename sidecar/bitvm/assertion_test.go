package bitvm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
)

// writeKey writes a key as contracts have it.
func writeKey(t *testing.T, path string, vk *groth16.VerifyingKey) {
	t.Helper()
	var b []byte
	b = append(b, vk.Alpha.Marshal()...)
	b = append(append(append(b, vk.Beta.Marshal()...), vk.Gamma.Marshal()...), vk.Delta.Marshal()...)
	for i := range vk.IC {
		b = append(b, vk.IC[i].Marshal()...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// An honest assertion, one with a wrong hash, and files that are none.
func TestEvaluateAssertion(t *testing.T) {
	s := groth16.NewSimulator(1, 30)
	item := s.Item()
	key, err := assertion.Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Assert(item.Proof, item.Inputs[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, keyPath := filepath.Join(dir, "raw"), filepath.Join(dir, "vk")
	writeKey(t, keyPath, s.Key)
	evaluate := func() (*AssertionReport, string, string) {
		t.Helper()
		if err := os.WriteFile(path, raw.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := EvaluateAssertion(path, keyPath)
		if err != nil {
			t.Fatal(err)
		}
		var table strings.Builder
		if err := rep.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(rep)
		if err != nil {
			t.Fatal(err)
		}
		return rep, table.String(), string(encoded)
	}
	rep, table, encoded := evaluate()
	if !rep.Good() || rep.Segments != 363 || encoded != `{"valid":true,"segments":363,"leaf":null}` || !strings.Contains(table, "no leaf") {
		t.Errorf("%s %s", encoded, table)
	}
	raw.Hashes[77][3] ^= 1
	if rep, table, encoded = evaluate(); rep.Good() || *rep.Leaf != 77 || rep.Reason != assertion.HashMismatch || len(rep.Claimed) != 32 ||
		rep.Claimed == rep.Expected || !strings.Contains(table, "leaf 77") || !strings.Contains(encoded, `"leaf":77`) {
		t.Errorf("%s %s", encoded, table)
	}
	raw.Elements[0] = [32]byte{}
	if rep, _, encoded = evaluate(); *rep.Leaf != 0 || rep.Reason != assertion.InvalidInput || rep.Claimed != "" {
		t.Error(encoded)
	}
	for _, bad := range [][2]string{{keyPath, keyPath}, {path, path}, {path, dir}, {dir, keyPath}} {
		if _, err := EvaluateAssertion(bad[0], bad[1]); err == nil {
			t.Errorf("%v are taken", bad)
		}
	}
	writeKey(t, keyPath, groth16.NewSimulator(2, 1).Key)
	if _, err := EvaluateAssertion(path, keyPath); err == nil || !strings.Contains(err.Error(), "one public input") {
		t.Error(err)
	}
}
