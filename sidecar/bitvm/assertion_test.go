package bitvm

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
)

// writeKey writes a key as contracts have it.
func writeKey(t *testing.T, path string, vk *groth16.VerifyingKey) {
	t.Helper()
	if err := os.WriteFile(path, vk.EncodeEIP197(), 0o600); err != nil {
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

// Assertions of several files are told of in the files' order, and each file that is of no
// use is named.
func TestEvaluateAssertions(t *testing.T) {
	s := groth16.NewSimulator(1, 31)
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
	keyPath := filepath.Join(dir, "vk")
	writeKey(t, keyPath, s.Key)
	var paths []string
	for i := range 8 {
		wrong := *raw
		if i > 0 {
			wrong.Hashes[10*i][0] ^= 1
		}
		paths = append(paths, filepath.Join(dir, strconv.Itoa(i)))
		if err := os.WriteFile(paths[i], wrong.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := EvaluateAssertions(t.Context(), paths, keyPath)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range rep.Assertions {
		if alone, err := EvaluateAssertion(paths[i], keyPath); err != nil || f.File != paths[i] || !reflect.DeepEqual(f.AssertionReport, alone) {
			t.Errorf("file %d: %+v, alone %+v, %v", i, f, alone, err)
		}
	}
	var table strings.Builder
	if err := rep.WriteTable(&table); err != nil || rep.Good() || !strings.Contains(table.String(), paths[7]+": 70 of 363") {
		t.Errorf("%v %s", err, table.String())
	}
	if encoded, err := json.Marshal(rep); err != nil || !strings.Contains(string(encoded), `"file":"`+paths[7]+`","valid":false,"segments":70,"leaf":70`) {
		t.Errorf("%s %v", encoded, err)
	}
	if rep, err := EvaluateAssertions(t.Context(), paths[:1], keyPath); err != nil || !rep.Good() {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, err := EvaluateAssertions(t.Context(), []string{paths[0], keyPath, paths[1], dir}, keyPath); err == nil ||
		!strings.Contains(err.Error(), keyPath) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := EvaluateAssertions(ended, paths, keyPath); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
