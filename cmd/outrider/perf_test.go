package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// runSidecar runs a sidecar beside a fake btcd and returns its data directory, when
// it has knobs.
func runSidecar(t *testing.T) (datadir string) {
	t.Helper()
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(3)
	cfg := sidecar.DefaultConfig()
	cfg.Datadir, cfg.HTTP, cfg.Nice = t.TempDir(), "127.0.0.1:0", 0
	cfg.Node = sidecar.NodeConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true}
	s, err := sidecar.New(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { err = s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if running.Wait(); err != nil {
			t.Error(err)
		}
	})
	deadline := time.After(30 * time.Second)
	for {
		if status, _, _ := outrider(t, "perf", "knobs", "--datadir", cfg.Datadir); status == 0 {
			return cfg.Datadir
		}
		select {
		case <-deadline:
			t.Fatal("waited in vain for a sidecar's knobs")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// The help for targets names each resource of the manual, and what the throughput counts of those
// that have one.
func TestPerfTargetHelp(t *testing.T) {
	manual, err := os.ReadFile("../../docs/perf.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## Targets\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, _, help := outrider(t, "perf", "target", "--help")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]*\\| ([a-z -]*)").FindAllStringSubmatch(section, -1)
	if len(rows) == 0 {
		t.Error("the manual names no resource")
	}
	for _, row := range rows {
		if !strings.Contains(help, row[1]) {
			t.Errorf("%s is not in the help:\n%s", row[1], help)
		}
		if row[2] != "" && !strings.Contains(help, "of "+row[1]+" "+strings.Fields(row[2])[0]) {
			t.Errorf("that %s counts %s is not in the help:\n%s", row[1], row[2], help)
		}
	}
}

func TestPerf(t *testing.T) {
	datadir := runSidecar(t)
	for _, tt := range []struct {
		line   string
		status int
		want   string // in what is printed or said
	}{
		{"status", 0, "observe"},
		{"knobs", 0, "sidecar.flight"},
		{"snap take", 0, "snapshot 1 is taken"},
		{"pin sidecar.flight 4", 0, "done"},
		{"pin sidecar.flight 5", 1, "is not one of"},
		{"pin sidecar.flight many", 2, "many"},
		{"pin sidecar.flight", 2, "2 words"},
		{"pin sidecar.nothing 5", 1, "sidecar.nothing"},
		{"release sidecar.flight", 0, "done"},
		{"freeze for a test", 0, "done"},
		{"status", 0, "for a test"},
		{"optimize", 1, "--perf optimize"},
		{"optimize --dry-run", 0, "what it buys is time"},
		{"thaw", 0, "done"},
		{"thaw", 1, "nothing is frozen"},
		{"target cpu --utilization 0.75", 0, "done"},
		{"target cpu --utilization 75", 1, "is not from 0 to 1"},
		{"target cpu --utilization 0", 2, "--utilization 0 is no target"},
		{"target cpu --utilization 0.75 --latency 0s", 2, "--latency 0s is no target"},
		{"target gold", 1, "gold"},
		{"snap restore 1", 0, "snapshot 1 is in force"},
		{"snap restore 99", 1, "99"},
		{"snap restore x", 2, "no number"},
		{"decisions", 0, "#1"},
		{"why 1", 0, "restored sidecar.flight 4→16"},
		{"why #1", 0, "an operator"},
		{"why 1", 0, "outrider perf snap restore 2"},
		{"why 99", 1, "99"},
		{"snap ls", 0, "pre-restore"},
		{"snap verify", 0, "asked"},
		{"curves", 0, "go.headroom"},
		{"curves extra", 2, "0 words"},
		{"defaults", 0, "done"},
		{"status extra", 2, "0 words"},
		{"snap", 2, "snap ls"},
	} {
		status, stdout, stderr := outrider(t, append([]string{"perf"}, append(strings.Fields(tt.line), flagsFor(tt.line, datadir)...)...)...)
		if status != tt.status || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("outrider perf %s: status %d, printed %q, said %q, want %d and %q", tt.line, status, stdout, stderr, tt.status, tt.want)
		}
	}
	for _, line := range []string{"status", "knobs", "decisions", "why 1", "optimize --dry-run", "snap ls", "snap take", "snap restore 1", "freeze", "thaw", "curves"} {
		status, stdout, stderr := outrider(t, append(append([]string{"perf"}, strings.Fields(line)...), "--json", "--datadir", datadir)...)
		if status != 0 || !json.Valid([]byte(stdout)) {
			t.Errorf("outrider perf %s --json: status %d, printed %q, said %q", line, status, stdout, stderr)
		}
	}
}

// flagsFor returns the flags for a line, which has none of its own that is not a
// verb.
func flagsFor(line, datadir string) []string {
	if line == "snap" {
		return nil
	}
	return []string{"--datadir", datadir}
}

// A command that is given shows in what is watched, until that is interrupted.
func TestPerfWatch(t *testing.T) {
	datadir := runSidecar(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var errs bytes.Buffer
	status := -1
	var watching sync.WaitGroup
	watching.Go(func() {
		defer w.Close()
		status = run(ctx, []string{"perf", "watch", "--datadir", datadir}, w, &errs)
	})
	lines := make(chan string)
	watching.Go(func() {
		defer close(lines)
		b := make([]byte, 1<<12)
		for {
			n, err := r.Read(b)
			if err != nil {
				return
			}
			lines <- string(b[:n])
		}
	})
	deadline := time.After(30 * time.Second)
	for seen := false; !seen; {
		// The watch may not have begun when the first ones are given.
		if got, _, said := outrider(t, "perf", "pin", "sidecar.flight", "4", "--datadir", datadir); got != 0 {
			t.Fatalf("status %d, said %q", got, said)
		}
		select {
		case line := <-lines:
			seen = strings.Contains(line, "command pin sidecar.flight 4")
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("the watch does not tell of the command")
		}
	}
	cancel()
	for range lines {
	}
	watching.Wait()
	if status != 0 {
		t.Errorf("an interrupted watch ends with %d, %q", status, errs.String())
	}
}

func TestPerfWithoutASidecar(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{"status", "thaw", "watch"} {
		status, _, stderr := outrider(t, "perf", line, "--datadir", dir)
		if status != 1 || !strings.Contains(stderr, "no sidecar with performance on uses "+dir) {
			t.Errorf("%s: status %d, said %q", line, status, stderr)
		}
	}
	if status, _, stderr := outrider(t, "perf", "status", "--datadir", dir, "--address", "127.0.0.1:1"); status != 1 || !strings.Contains(stderr, "does not answer") {
		t.Errorf("nobody at the address: status %d, said %q", status, stderr)
	}
}

// A trace is replayed without a sidecar.
func TestPerfReplay(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var b strings.Builder
	b.WriteString(`{"kind":"knobs","data":[{"name":"sidecar.flight","owner":"engine","ladder":[8,16],"carry":"warm","settle_seconds":10}]}` + "\n")
	for range 100 {
		b.WriteString(`{"kind":"slice","data":{"length_seconds":10,"regime":"tip idle","work_per_second":50,"effort_seconds":0.001,"knobs":{"sidecar.flight":16}}}` + "\n")
	}
	trace, spoilt, none := write("trace.jsonl", b.String()), write("spoilt.jsonl", b.String()+"{"), write("none.jsonl", "")
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{trace}, 0, "sidecar.flight  from 16 to 16"},
		{[]string{trace, "--seed", "7"}, 0, "100 slices"},
		{[]string{spoilt}, 1, "line 102: it is no event"},
		{[]string{none}, 1, "no line of knobs"},
		{[]string{filepath.Join(dir, "missing")}, 1, "no such file"},
		{nil, 2, "1 words"},
		{[]string{trace, trace}, 2, "1 words"},
	} {
		status, stdout, stderr := outrider(t, append([]string{"perf", "replay"}, tt.args...)...)
		if status != tt.status || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("outrider perf replay %v: status %d, printed %q, said %q, want %d and %q", tt.args, status, stdout, stderr, tt.status, tt.want)
		}
	}
	if status, stdout, stderr := outrider(t, "perf", "replay", trace, "--json"); status != 0 || !json.Valid([]byte(stdout)) || !strings.Contains(stdout, "limits") {
		t.Errorf("outrider perf replay --json: status %d, printed %q, said %q", status, stdout, stderr)
	}
}

// Snapshots that are damaged, or were when the sidecar started, fail their verification.
func TestPerfSnapVerify(t *testing.T) {
	var answer atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer.Load()) }))
	defer server.Close()
	for _, tt := range []struct {
		answer string
		status int
		want   string
	}{
		{`{"snapshots":[{"seq":1,"cause":"asked"}],"left_out":[],"problem":""}`, 0, "asked"},
		{`{"snapshots":[{"seq":1,"cause":"asked"}],"left_out":[{"seq":2,"why":"its sum is wrong"}],"problem":""}`, 1, "left out when the sidecar started: its sum is wrong"},
		{`{"snapshots":[{"seq":1,"cause":"asked"}],"left_out":[],"problem":"it is damaged"}`, 1, "it is damaged"},
	} {
		answer.Store(tt.answer)
		status, stdout, stderr := outrider(t, "perf", "snap", "verify", "--datadir", t.TempDir(), "--address", server.Listener.Addr().String())
		if status != tt.status || !strings.Contains(stdout, tt.want) || stderr != "" {
			t.Errorf("%s: status %d, printed %q, said %q", tt.answer, status, stdout, stderr)
		}
	}
}

// A told sidecar tells what it is told to, of which knobs there are from the third time on
// that it is asked.
type toldSidecar struct {
	events string
	asked  atomic.Int64
}

func (s *toldSidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case perf.Prefix + "knobs":
		if s.asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `[{"name":"sidecar.flight","owner":"engine","ladder":[8,16],"carry":"warm","settle_seconds":10}]`)
	case perf.Prefix + "events":
		fmt.Fprint(w, s.events)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// A watch that begins before there are knobs, and goes on behind another start of the
// sidecar, is a trace that can be replayed.
func TestPerfWatchBeforeThereAreKnobs(t *testing.T) {
	const slice = `{"length_seconds":10,"regime":"tip idle","work_per_second":50,"effort_seconds":0.001,"knobs":{"sidecar.flight":16}}`
	var b strings.Builder
	tell := func(kind, data string) { fmt.Fprintf(&b, "id: 1-1\nevent: %s\ndata: %s\n\n", kind, data) }
	tell("alert", `{"name":"node_missing"}`)
	for range 50 {
		tell("slice", slice)
	}
	tell("gap", `{"lost":5}`)
	tell("slice", slice)
	tell("gap", `{"lost":0}`)
	for range 50 {
		tell("slice", slice)
	}
	tell("command", `{"did":"last"}`)
	s := &toldSidecar{events: b.String()}
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, w := io.Pipe()
	var errs bytes.Buffer
	var watching sync.WaitGroup
	watching.Go(func() {
		defer w.Close()
		if status := run(ctx, []string{"perf", "watch", "--json", "--datadir", t.TempDir(), "--address", server.Listener.Addr().String()}, w, &errs); status != 0 {
			t.Errorf("status %d, said %q", status, errs.String())
		}
	})
	var trace bytes.Buffer
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		trace.Write(append(lines.Bytes(), '\n'))
		if bytes.Contains(lines.Bytes(), []byte(`"last"`)) {
			cancel()
		}
	}
	watching.Wait()
	if n, said := strings.Count(trace.String(), `"kind":"knobs"`), errs.String(); n != 2 || s.asked.Load() != 4 || strings.Count(said, "slices are left out") != 1 {
		t.Errorf("the knobs stand in it %d times, were asked for %d times, and it said %q", n, s.asked.Load(), said)
	}
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	if err := os.WriteFile(file, trace.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := outrider(t, "perf", "replay", file); status != 0 || !strings.Contains(stdout, "99 slices") {
		t.Errorf("replayed: status %d, printed %q, said %q", status, stdout, stderr)
	}
}

// What is watched as JSON has the knobs before its slices, so that it can be replayed.
func TestPerfWatchIsATrace(t *testing.T) {
	datadir := runSidecar(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var errs bytes.Buffer
	var watching sync.WaitGroup
	watching.Go(func() {
		defer w.Close()
		if status := run(ctx, []string{"perf", "watch", "--json", "--datadir", datadir}, w, &errs); status != 0 {
			t.Errorf("status %d, said %q", status, errs.String())
		}
	})
	var trace bytes.Buffer
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		trace.Write(append(lines.Bytes(), '\n'))
		if bytes.Contains(lines.Bytes(), []byte(`"kind":"slice"`)) {
			break
		}
	}
	cancel()
	_, _ = io.Copy(io.Discard, r) // what comes before it has heard
	watching.Wait()
	read, err := perf.ReadTrace(&trace)
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Slices) != 1 || len(read.Slices[0].Knobs) != len(read.Knobs) || len(read.Knobs) < 10 {
		t.Errorf("the trace has %d knobs and the slices %+v", len(read.Knobs), read.Slices)
	}
}
