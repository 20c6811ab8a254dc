package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBenchSigMistakes(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--rounds", "0"}, statusUsage, "--rounds"},
		{[]string{"--rounds", "1001"}, statusUsage, "--rounds"},
		{[]string{"here"}, statusUsage, "here"},
		{[]string{"--vectors", "/nonexistent/vectors"}, statusFailed, "--vectors"},
		{[]string{"--vectors", t.TempDir()}, statusFailed, "holds no vectors"},
	} {
		status, stdout, stderr := outrider(t, append([]string{"bench", "sig"}, tt.args...)...)
		if status != tt.status || !strings.Contains(stderr, tt.want) || stdout != "" {
			t.Errorf("%v: status %d, said %q, want %d and a word on %q", tt.args, status, stderr, tt.status, tt.want)
		}
	}
}

// Benchmarks of signatures take the path that the environment asks for.
func TestBenchPath(t *testing.T) {
	for _, tt := range []struct {
		path   string
		args   []string
		status int
		want   string // in what is printed, or said
	}{
		{"decred", []string{"bench", "sig"}, statusUsage, `OUTRIDER_SIGVERIFY: "decred": must be one of auto`},
		{"decred", []string{"bench", "block"}, statusUsage, `OUTRIDER_SIGVERIFY: "decred": must be one of auto`},
		{"scalar", []string{"bench", "block", "--transactions", "2", "--rounds", "1", "--cores", "1", "--warm", "0"}, statusDone,
			"path scalar: it was asked for (OUTRIDER_SIGVERIFY is scalar)"},
	} {
		t.Setenv("OUTRIDER_SIGVERIFY", tt.path)
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), tt.args, &stdout, &stderr); status != tt.status || !strings.Contains(stdout.String()+stderr.String(), tt.want) {
			t.Errorf("%s, %v: status %d, want %d and %q:\n%s%s", tt.path, tt.args, status, tt.status, tt.want, &stdout, &stderr)
		}
	}
}

// A vector whose published verdict is not ours makes the program fail, with the
// report all the same.
func TestBenchSigFailsByAVector(t *testing.T) {
	const vectors = "index,secret key,public key,aux_rand,message,signature,verification result,comment\n" +
		"0,,F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9,," +
		"0000000000000000000000000000000000000000000000000000000000000000," +
		"E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA821525F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0,"
	if testing.Short() {
		t.Skip("it measures, too, which takes seconds")
	}
	for verdict, want := range map[string]int{"TRUE": statusDone, "FALSE": statusFailed} {
		path := filepath.Join(t.TempDir(), "v.csv")
		if err := os.WriteFile(path, []byte(vectors+verdict+","), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, "bench", "sig", "--rounds", "1", "--vectors", path, "--json")
		var rep struct {
			Vectors struct{ Passed, Failed int }
			Rows    []struct{ Name string }
		}
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		if status != want || rep.Vectors.Passed != 1-want || rep.Vectors.Failed != want || len(rep.Rows) == 0 {
			t.Errorf("%s: status %d, want %d; %+v", verdict, status, want, rep)
		}
	}
}
