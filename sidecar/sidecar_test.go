package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/web"
)

// patience bounds the wait for something that is bound to happen.
const patience = 30 * time.Second

// A rider is a sidecar beside a fake btcd, and what it reported.
type rider struct {
	btcd *nodetest.Btcd
	cfg  Config
	log  *slog.Logger // nil logs nothing
	s    *Sidecar
	// hear, unless nil, hears of reports as they are made.
	hear func(Report)
	stop func() error
	// wait waits for the sidecar to end by itself, and returns what it returned.
	wait func() error

	mu      sync.Mutex // guards reports
	reports []Report
	changed chan struct{} // closed at every report
}

// newRider returns a rider that does not run yet.
func newRider(t *testing.T, o nodetest.BtcdOptions) *rider {
	t.Helper()
	o.NoTLS = true
	r := &rider{btcd: nodetest.NewBtcd(t, o), cfg: DefaultConfig(), changed: make(chan struct{})}
	first := uint32(0)
	r.cfg.Datadir, r.cfg.HTTP, r.cfg.Start, r.cfg.Nice = t.TempDir(), "127.0.0.1:0", &first, 0
	r.cfg.Node = NodeConfig{Address: r.btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true}
	r.cfg.Poll, r.cfg.Resync, r.cfg.Branches = 20*time.Millisecond, 50*time.Millisecond, 20*time.Millisecond
	return r
}

// run starts the sidecar; stop ends it and returns what it returned.
func (r *rider) run(t *testing.T) {
	t.Helper()
	var err error
	r.s, err = New(r.cfg, r.log, func(rep Report) {
		if r.hear != nil {
			r.hear(rep)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reports = append(r.reports, rep)
		close(r.changed)
		r.changed = make(chan struct{})
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); err = r.s.Run(ctx) }()
	r.stop = func() error { cancel(); <-done; return err }
	r.wait = func() error {
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("the sidecar goes on")
		}
		return r.stop()
	}
	t.Cleanup(func() { _ = r.stop() })
}

// await waits until ok says of some report that it is the one, and returns it.
func (r *rider) await(t *testing.T, what string, ok func(*Report) bool) Report {
	t.Helper()
	deadline := time.After(patience)
	for next := 0; ; {
		r.mu.Lock()
		reports, changed := r.reports, r.changed
		r.mu.Unlock()
		for ; next < len(reports); next++ {
			if ok(&reports[next]) {
				return reports[next]
			}
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// awaitTip waits for the verdict on the node's tip.
func (r *rider) awaitTip(t *testing.T) Report {
	t.Helper()
	tip, _ := r.btcd.Tip()
	return r.await(t, "the verdict on the node's tip", func(rep *Report) bool { return rep.Verdict.Hash == tip })
}

// checkAgreement fails the test unless every verdict so far agreed.
func (r *rider) checkAgreement(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rep := range r.reports {
		if rep.Outcome != Agree {
			t.Errorf("block %d: %s: %s", rep.Verdict.Height, rep.Outcome, rep.Reason)
		}
	}
}

// get returns what the web server answers to path.
func (r *rider) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + r.s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *rider) status(t *testing.T) web.Status {
	t.Helper()
	var s web.Status
	if _, body := r.get(t, "/api/v1/status"); json.Unmarshal([]byte(body), &s) != nil {
		t.Fatalf("status is %q", body)
	}
	return s
}

func TestSidecarAgreesWithItsNode(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	for i := range 10 {
		r.btcd.AddTxs(5)
		r.btcd.Mine(1)
		if i%3 == 2 {
			r.btcd.Reorg(i, i+1)
		}
		rep := r.awaitTip(t)
		if rep.Verdict.Prevouts != blockval.Own {
			t.Errorf("block %d: its coins are the word of %q: the sidecar has seen every block", rep.Verdict.Height, rep.Verdict.Prevouts)
		}
	}
	r.checkAgreement(t)
	if code, body := r.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, body)
	}
	s := r.status(t)
	if s.Network != "regtest" || s.Tip == nil || s.Agreement.Agree == 0 || len(s.Blocks) != keptReports || s.Disconnected == 0 {
		t.Errorf("status: %+v", s)
	}
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, `outrider_block_verdicts_total{outcome="agree"} 1`) {
		t.Error("the verdicts are not among the metrics")
	}
	if s.Signatures.Reason == "" {
		t.Errorf("the status does not say who verifies signatures: %+v", s.Signatures)
	}
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, `outrider_sigverify_path_info{path="`+s.Signatures.Path+`"} 1`) {
		t.Errorf("the path %q is not among the metrics", s.Signatures.Path)
	}
	if err := r.stop(); err != nil {
		t.Errorf("a sidecar that was told to stop returned %v", err)
	}
}

// A reorganisation of 20 blocks full of spends, and the way back, are followed with
// the sidecar's own coins and one verdict for each block on the way.
func TestSidecarFollowsADeepReorganisation(t *testing.T) {
	const depth = 20
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	grow := func(n int) {
		for range n {
			r.btcd.AddTxs(8)
			r.btcd.Mine(1)
		}
	}
	grow(depth)
	r.awaitTip(t)
	for turn := 1; turn <= 3; turn++ {
		joined := r.btcd.Reorg(depth, depth+1)
		grow(2)
		r.awaitTip(t)
		for _, hash := range joined {
			rep := r.await(t, "the verdict on every block that joined", func(rep *Report) bool { return rep.Verdict.Hash == hash })
			if rep.Verdict.Prevouts != blockval.Own {
				t.Errorf("turn %d, block %d: the coins are the word of %q", turn, rep.Verdict.Height, rep.Verdict.Prevouts)
			}
		}
		if left := r.status(t).Disconnected; left != uint64(turn*depth) {
			t.Errorf("turn %d: %d blocks were disconnected, want %d", turn, left, turn*depth)
		}
	}
	r.checkAgreement(t)
}

// From the middle of the chain on, older coins are the node's word, and the
// report says so.
func TestSidecarSaysWhoseWordTheCoinsAre(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(120)
	middle := uint32(115)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	r.btcd.AddTxs(3) // they spend the oldest coinbases
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Agree || rep.Verdict.Prevouts != blockval.Node {
		t.Errorf("got %s on the word of %q, want agreement on the node's", rep.Outcome, rep.Verdict.Prevouts)
	}
	r.checkAgreement(t)
	// A branch that is refused by its header rests on no coins, and counts for neither.
	stale := r.btcd.Stale(1, 1)[0]
	r.await(t, "the branch", func(rep *Report) bool { return rep.Verdict.Hash == stale })
	r.mu.Lock()
	defer r.mu.Unlock()
	words := make(map[blockval.Source]int)
	for _, rep := range r.reports {
		words[rep.Verdict.Prevouts]++
	}
	if words[blockval.Own] == 0 || words[blockval.Node] != 1 || words[""] != 1 {
		t.Errorf("the verdicts by whose word the coins are: %v", words)
	}
	_, metrics := r.get(t, "/metrics")
	for _, word := range []blockval.Source{blockval.Own, blockval.Node} {
		if want := fmt.Sprintf("outrider_block_verdict_prevouts_total{prevouts=%q} %d\n", word, words[word]); !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

// Without a transaction index the node cannot tell of older coins. The sidecar
// says that it cannot judge, why, and what would help.
func TestSidecarWithoutTransactionIndex(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{NoTxIndex: true})
	r.btcd.Mine(120)
	middle := uint32(115)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	r.btcd.AddTxs(1)
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Undecided || !strings.Contains(rep.Reason, "txindex") {
		t.Errorf("got %s: %q", rep.Outcome, rep.Reason)
	}
	r.btcd.Mine(1) // spends nothing that is unknown
	if rep := r.awaitTip(t); rep.Outcome != Agree {
		t.Errorf("got %s: %q", rep.Outcome, rep.Reason)
	}
}

func TestSidecarJudgesRejectedBranches(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	branch := r.btcd.Branch(2, 1, nodetest.Invalid)
	rep := r.await(t, "the invalid branch", func(rep *Report) bool { return rep.Verdict.Hash == branch[0] })
	if rep.Outcome != Agree || rep.NodeValid || rep.Verdict.Err == nil || rep.Verdict.Err.Rule != blockval.BadCoinbaseAmount {
		t.Errorf("got %s, %v", rep.Outcome, rep.Verdict.Err)
	}
	r.checkAgreement(t)

	// A branch that breaks no rule, and that the node calls invalid all the
	// same, is the alarm.
	branch = r.btcd.Branch(1, 2, nodetest.Refused)
	rep = r.await(t, "the wrongly refused branch", func(rep *Report) bool { return rep.Verdict.Hash == branch[1] })
	if rep.Outcome != Differ || rep.NodeValid || rep.Reason == "" {
		t.Errorf("got %s: %q", rep.Outcome, rep.Reason)
	}
	if s := r.status(t); s.Agreement.Differ != 1 || len(s.Agreement.Cases) != 1 {
		t.Errorf("status: %+v", s.Agreement)
	}
}

// A branch whose headers break a rule is told of with that rule, once, however it
// grows.
func TestSidecarJudgesHeadersOfRejectedBranches(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	stale := r.btcd.Stale(2, 1)
	rep := r.await(t, "the branch", func(rep *Report) bool { return rep.Verdict.Hash == stale[0] })
	if rep.Outcome != Agree || rep.NodeValid || rep.Verdict.Height != 109 || rep.Verdict.Err == nil ||
		rep.Verdict.Err.Rule != header.TimeTooOld || rep.Verdict.Err.Tx != -1 || rep.Verdict.Err.Input != -1 {
		t.Errorf("got %s, %+v", rep.Outcome, rep.Verdict)
	}
	longer := r.btcd.Lengthen(stale[0], 2)
	other := r.btcd.Stale(1, 2) // the node learns of it last, and it is looked at last
	r.await(t, "another branch", func(rep *Report) bool { return rep.Verdict.Hash == other[0] })
	r.checkAgreement(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	told := make(map[chainhash.Hash]int)
	for _, rep := range r.reports {
		told[rep.Verdict.Hash]++
	}
	if told[stale[0]] != 1 || told[longer[1]] != 0 || told[other[0]] != 1 || told[other[1]] != 0 {
		t.Errorf("the branches are told of %d, %d, %d and %d times", told[stale[0]], told[longer[1]], told[other[0]], told[other[1]])
	}
}

// A block that is spoilt on the way is fetched again, and no verdict rests on
// it.
func TestSidecarIsNotFooledByASpoiltBlock(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	var spoilt atomic.Int64
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		// The last byte of a block is of its last transaction's lock time.
		if end := strings.LastIndex(string(a.Body), `00","error"`); method == "getblock" && end > 0 && spoilt.Add(1)%3 != 0 {
			a.Body = []byte(string(a.Body[:end]) + "0" + string('0'+byte(spoilt.Load()%3)) + string(a.Body[end+2:]))
		}
		return a
	})
	for range 10 {
		r.btcd.Mine(1)
		r.awaitTip(t)
	}
	if spoilt.Load() == 0 {
		t.Fatal("no block was spoilt")
	}
	r.checkAgreement(t)
}

func TestSidecarRefusesToShareItsDataDirectory(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(1)
	r.run(t)
	r.awaitTip(t)
	second, err := New(r.cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second sidecar in the same directory returned %v", err)
	}
}

func TestSidecarRefusesAnotherNetwork(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.Network = "main"
	s, err := New(r.cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Run(ctx); err == nil || !strings.Contains(err.Error(), "regtest") {
		t.Errorf("got %v", err)
	}
}

// A sidecar whose node is away waits for it, and is alive but not ready.
func TestSidecarWaitsForItsNode(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(5)
	r.btcd.Pause()
	r.run(t)
	if code, body := r.get(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _ := r.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
	r.btcd.Resume()
	r.awaitTip(t)
	r.checkAgreement(t)
}

func TestNewClosesWhatItOpened(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.HTTP = "192.0.2.1:1"
	if _, err := New(r.cfg, nil, nil); err == nil {
		t.Fatal("an address that is not on loopback was taken")
	}
	r.cfg.HTTP = "127.0.0.1:0"
	s, err := New(r.cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + s.Addr()); err == nil {
		t.Error("a closed sidecar still answers")
	}
}
