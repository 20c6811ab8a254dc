package sidecar

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// A journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// dialPerf returns a client of the rider's API, when it follows its node.
func (r *rider) dialPerf(t *testing.T) *perf.Client {
	t.Helper()
	deadline := time.After(patience)
	for {
		if c, err := perf.Dial(r.cfg.Datadir, ""); err == nil {
			var s perf.Status
			if c.Get(t.Context(), "status", &s) == nil && s.Following {
				return c
			}
		}
		select {
		case <-deadline:
			t.Fatal("waited in vain for the performance of a sidecar")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Every knob of a running sidecar is the optimizer's to hold; one that an operator
// pins is where it was in the next run; and the token is in no log.
func TestPerformance(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.UTXOMode, r.cfg.Perf, r.cfg.PerfSnapshots = UTXOFull, perf.Optimize, 1
	j := new(journal)
	r.log = slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	c := r.dialPerf(t)
	var knobs []perf.Knob
	if err := c.Get(t.Context(), "knobs", &knobs); err != nil {
		t.Fatal(err)
	}
	owners := make(map[string]string)
	for _, k := range knobs {
		owners[k.Name] = k.Owner
	}
	for _, k := range r.s.Knobs() {
		if owners[k.Name] == "" {
			t.Errorf("%s is left out", k.Name)
		}
		delete(owners, k.Name)
	}
	if len(owners) != 0 {
		t.Errorf("there are knobs that the sidecar does not have: %v", owners)
	}
	for name, want := range map[string]string{"go.gogc": "engine", "sigverify.workers": "engine", "sidecar.flight": "engine", "coindb.memory": "arbiter", "utxocache.budget": "arbiter", "go.headroom": "arbiter", "coindb.readers": "engine", "sidecar.mempool_share": "operator"} {
		for _, k := range knobs {
			if k.Name == name && k.Owner != want {
				t.Errorf("%s is the %s's, want the %s's", name, k.Owner, want)
			}
		}
	}
	if err := c.Post(t.Context(), "pin", perf.PinRequest{Knob: "sidecar.flight", Value: 4}, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.s.tuning.flight.Load(); got != 4 {
		t.Errorf("a pinned knob is at %d", got)
	}
	r.btcd.AddTxs(5)
	r.btcd.Mine(1)
	r.awaitTip(t)
	checkQuantities(t, c, &r.cfg)
	checkCurves(t, c, &r.cfg)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	token, err := os.ReadFile(filepath.Join(r.cfg.Datadir, "api-token"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := perf.Dial(r.cfg.Datadir, ""); err == nil {
		t.Error("a sidecar that has ended can still be found")
	}

	r.run(t)
	r.dialPerf(t)
	if got := r.s.tuning.flight.Load(); got != 4 {
		t.Errorf("in the next run it is at %d, want 4", got)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.checkAgreement(t)
	if strings.Contains(j.String(), strings.TrimSpace(string(token))) {
		t.Error("the token is in the log")
	}
	if !strings.Contains(j.String(), "an operator's command") {
		t.Error("the operator's command is not in the log")
	}
}

// checkCurves fails the test unless the memory that was configured is what is divided,
// and all of it.
func checkCurves(t *testing.T, c *perf.Client, cfg *Config) {
	t.Helper()
	var curves perf.Curves
	if err := c.Get(t.Context(), "curves", &curves); err != nil {
		t.Fatal(err)
	}
	_, headroom := divide(cfg.MemoryLimit, cfg.UTXOBytes, collect.Linux().Limit())
	if curves.Limit != cfg.UTXOBytes+headroom || curves.Free != 0 || curves.Next == nil || curves.Problem != "" || curves.Late != "" {
		t.Errorf("of %d bytes are divided %+v", cfg.UTXOBytes+headroom, curves)
	}
	want := map[string]int64{"utxocache.budget": cfg.UTXOBytes - cfg.DBBytes, "coindb.memory": cfg.DBBytes, "go.headroom": headroom}
	for _, m := range curves.Memories {
		if m.Has != want[m.Knob] || m.Floor <= 0 || m.Floor > m.Has || m.Held < 0 || m.Why != "" && m.Would != m.Has {
			t.Errorf("a memory is %+v", m)
		}
		if points := m.Points; m.Knob != "go.headroom" && (len(points) < 32 || points[0].Bytes != 0 || *points[0].MissRatio != 1) {
			t.Errorf("the curve of %s is %+v", m.Knob, points)
		}
		delete(want, m.Knob)
	}
	if len(want) != 0 {
		t.Errorf("there is no curve of %v", want)
	}
}

// checkQuantities fails the test unless what alerts, targets and the cost are made of
// is measured. What only some systems tell of, or a slice with a cycle of the garbage
// collector, is not among it.
func checkQuantities(t *testing.T, c *perf.Client, cfg *Config) {
	t.Helper()
	var q perf.Measurements
	for deadline := time.After(patience); len(q.Values) == 0; {
		if err := c.Get(t.Context(), "quantities", &q); err != nil {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatal("waited in vain for a slice")
		case <-time.After(20 * time.Millisecond):
		}
	}
	want := []string{
		"work_per_second", "chain_blocks_behind", "go_goroutines", "go_sched_latency_p99_seconds",
		"block_verdicts_differ_per_second", "coindb_stalls_per_second", "coindb_batch_per_second", "feed_fetch_per_second",
		"network_exchanges_per_second", "cache_used_ratio", "cache_lookups_per_second", "perf_knobs_drifted",
		"utxo_bytes_ristretto", "perfcore_regret_ratio", "perfcore_budget_used_ratio", "perf_targets_missed", "perf_knobs_isolated",
		"perf_trials_aborted", "perf_miscalibrated", "perf_optimizer_ended", "perf_anomalies",
	}
	if runtime.GOOS == "linux" {
		want = append(want, "process_cpu_cores", "effort_cores", "process_cpu_ratio", "memory_ratio")
	}
	for _, name := range want {
		if _, ok := q.Values[name]; !ok {
			t.Errorf("%s is not measured", name)
		}
	}
	if limit, _ := divide(cfg.MemoryLimit, cfg.UTXOBytes, collect.Linux().Limit()); runtime.GOOS == "linux" && q.Values["memory_limit_bytes"] != float64(limit) {
		t.Errorf("the memory is %v bytes, want %d", q.Values["memory_limit_bytes"], limit)
	}
	for _, name := range []string{"perf_knobs_isolated", "perf_knobs_drifted"} {
		if n := q.Values[name]; n != 0 {
			t.Errorf("%s is %v, and nobody else has moved a knob", name, n)
		}
	}
}

// With performance off nothing of it is there.
func TestPerformanceOff(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.Perf = perf.Off
	r.btcd.Mine(3)
	r.run(t)
	r.awaitTip(t)
	if code, _ := r.get(t, perf.Prefix+"status"); code != 404 {
		t.Errorf("the status of what is off: %d", code)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"api-token", "api-address", "regtest/perf"} {
		if _, err := os.Stat(filepath.Join(r.cfg.Datadir, name)); err == nil {
			t.Errorf("there is %s", name)
		}
	}
}

// A block that comes at the tip is at hand while it is judged; those of a catch-up are not,
// so that the regime can stay what it is.
func TestCatchUpIsNotAnnounced(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.Perf = perf.Observe
	var mu sync.Mutex // guards what follows
	regimes := map[bool]map[string]int{true: {}, false: {}}
	part := 0.0                 // that work which can wait gets at the tip, at most
	r.hear = func(rep Report) { // while the block is judged
		w := httptest.NewRecorder()
		r.s.perfHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, perf.Prefix+"status", nil))
		var s perf.Status
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		regimes[rep.CatchUp][s.Regime]++
		for _, m := range r.s.registry.Series() {
			if m.Metric.Name == "outrider_elastic_ratio" && !rep.CatchUp {
				part = max(part, m.Gauge.Value())
			}
		}
	}
	r.btcd.Mine(60)
	r.run(t)
	r.awaitTip(t)
	for range 3 {
		r.btcd.Mine(1)
		r.awaitTip(t)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	catchUp, tip := regimes[true], regimes[false]
	if n := catchUp["tip block"]; n > 0 || len(catchUp) == 0 {
		t.Errorf("during a catch-up the regimes are %v", catchUp)
	}
	if tip["tip block"] < 3 {
		t.Errorf("at the tip the regimes are %v", tip)
	}
	if least := float64(r.cfg.ElasticFloor) / 100; part != least {
		t.Errorf("while a block is judged at the tip, work that can wait gets %v, want %v", part, least)
	}
}

// A fault that is counted in the moment in which a sidecar is told to end is told to the webhook.
func TestCountedAtTheEnd(t *testing.T) {
	told := make(chan perf.Notice, 16)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var n perf.Notice
		if err := json.NewDecoder(req.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		told <- n
	}))
	defer hook.Close()
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.Perf, r.cfg.PerfWebhook = perf.Observe, hook.URL
	j := new(journal)
	r.log = slog.New(slog.NewTextHandler(j, nil))
	r.btcd.Mine(3)
	r.run(t)
	r.awaitTip(t)
	r.dialPerf(t)
	r.s.registry.Counter(perfcore.Metric{
		Name: "outrider_faults_total", Help: "Faults.", Alert: perfcore.Alert{Name: "fault", Help: "There was a fault.", Urgent: true, Keep: time.Hour},
	}).Add(1)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if said := j.String(); strings.Contains(said, "takes long to end") {
		t.Errorf("who tells waits for nobody: %s", said)
	}
	hook.Close()
	close(told)
	for n := range told {
		if n.Name == "fault" && n.State == perf.Firing && n.Network == "regtest" {
			return
		}
	}
	t.Error("nobody was told of the fault")
}
