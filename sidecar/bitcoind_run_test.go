package sidecar

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/web"
)

// A coreRider is a sidecar beside a fake bitcoind, which it has found by a
// bitcoin.conf.
type coreRider struct {
	*rider
	core   *nodetest.Core
	logged lockedBuffer
}

// newCoreRider returns a coreRider that does not run yet.
func newCoreRider(t *testing.T, o nodetest.CoreOptions) *coreRider {
	t.Helper()
	r := &coreRider{rider: &rider{changed: make(chan struct{})}, core: nodetest.NewCore(t, o)}
	_, port, err := net.SplitHostPort(r.core.Addr())
	if err != nil {
		t.Fatal(err)
	}
	dir := writeAll(t, map[string]string{
		"bitcoin.conf": fmt.Sprintf("regtest=1\nrpccookiefile=%s\n[regtest]\nrpcport=%s\n", r.core.CookieFile(), port),
	})
	r.cfg, err = LoadConfig(Sources{File: write(t, "outrider.yaml", ""), Flags: map[string]string{
		"bitcoin-dir": dir, "datadir": t.TempDir(), "http": "127.0.0.1:0", "start": "0", "nice": "0",
		"poll": "20ms", "resync": "50ms", "branches": "20ms",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run starts the sidecar, and keeps its log.
func (r *coreRider) run(t *testing.T) {
	t.Helper()
	r.log = slog.New(slog.NewTextHandler(&r.logged, nil))
	r.rider.run(t)
}

// awaitTip waits for the verdict on the node's tip.
func (r *coreRider) awaitTip(t *testing.T) Report {
	t.Helper()
	tip, _ := r.core.Tip()
	return r.await(t, "the verdict on the node's tip", func(rep *Report) bool { return rep.Verdict.Hash == tip })
}

// awaitStatus waits until ok says of the status that it is the one.
func (r *coreRider) awaitStatus(t *testing.T, what string, ok func(*web.Status) bool) web.Status {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		s := r.status(t)
		if ok(&s) {
			return s
		}
		if time.Now().After(deadline) {
			s.Blocks = nil
			t.Fatalf("waited in vain for %s: %+v\nthe log is\n%s", what, s, &r.logged)
		}
	}
}

// A lockedBuffer is a buffer that many may write to.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Whatever a bitcoind serves beside RPC, the sidecar judges its every block and
// keeps its mempool; and it says what is missing.
func TestSidecarBesideBitcoind(t *testing.T) {
	apart := [][]string{{"sequence"}, {"rawtx"}}
	for _, tt := range []struct {
		name   string
		opts   nodetest.CoreOptions
		zmq    string // the setting
		advice []string
	}{
		{"REST and ZMQ", nodetest.CoreOptions{Publish: apart}, "", nil},
		{"REST", nodetest.CoreOptions{}, "", []string{"zmqpubsequence="}},
		{"ZMQ", nodetest.CoreOptions{Publish: apart, BitcoindOptions: nodetest.BitcoindOptions{NoREST: true}}, "", []string{"rest=1"}},
		{"neither", nodetest.CoreOptions{BitcoindOptions: nodetest.BitcoindOptions{NoREST: true}}, "", []string{"zmqpubsequence=", "rest=1"}},
		{"ZMQ off", nodetest.CoreOptions{Publish: apart}, "off", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.NoTxIndex = true
			r := newCoreRider(t, tt.opts)
			r.cfg.Node.NoZMQ = tt.zmq == "off"
			r.core.Mine(110)
			r.run(t)
			for i := range 4 {
				r.core.AddTxs(5)
				r.core.Mine(1)
				if i%2 == 1 {
					r.core.Reorg(i, i+1)
				}
				rep := r.awaitTip(t)
				if rep.Verdict.Prevouts != blockval.Own {
					t.Errorf("block %d: its coins are the word of %q: the sidecar has seen every block", rep.Verdict.Height, rep.Verdict.Prevouts)
				}
			}
			branch := r.core.Branch(2, 1, nodetest.Invalid)
			rep := r.await(t, "the invalid branch", func(rep *Report) bool { return rep.Verdict.Hash == branch[0] })
			if rep.Outcome != Agree || rep.NodeValid || rep.Verdict.Err == nil {
				t.Errorf("the invalid branch: %s, %v", rep.Outcome, rep.Verdict.Err)
			}
			r.core.AddTxs(7)
			want := len(r.core.Mempool())
			s := r.awaitStatus(t, fmt.Sprintf("the node's %d transactions", want), func(s *web.Status) bool {
				ready, _ := s.Ready()
				return ready && s.Mempool.Transactions == want
			})
			if s.Node.Kind != "bitcoind" || s.Network != "regtest" || s.Disconnected == 0 {
				t.Errorf("status: %+v", s)
			}
			r.awaitStatus(t, "the advice", func(s *web.Status) bool {
				// The fake has no index.
				if len(s.Advice) != len(tt.advice)+1 || s.Advice[len(tt.advice)].Setting != "txindex=1" {
					return false
				}
				for i, want := range tt.advice {
					if !strings.HasPrefix(s.Advice[i].Setting, want) || s.Advice[i].Reason == "" {
						t.Errorf("advice %d is %+v, want %s", i, s.Advice[i], want)
					}
				}
				return true
			})
			r.checkAgreement(t)
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if n := strings.Count(r.logged.String(), "what to add to bitcoin.conf"); n != 1 {
				t.Errorf("the advice was logged %d times:\n%s", n, r.logged.String())
			}
		})
	}
}

// A bitcoind that does not run has no cookie. The sidecar says so and waits, and
// says what else is wrong when that is mended.
func TestSidecarWaitsForBitcoindsCookie(t *testing.T) {
	r := newCoreRider(t, nodetest.CoreOptions{Publish: [][]string{{"sequence"}}})
	r.core.Mine(5)
	if err := os.Remove(r.core.CookieFile()); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	s := r.awaitStatus(t, "word that there is no cookie", func(s *web.Status) bool { return strings.Contains(s.Node.Problem, "cookie") })
	if s.Node.Attached || !strings.Contains(s.Node.Problem, filepath.Base(r.core.CookieFile())) || !strings.Contains(s.Node.Problem, "not running") {
		t.Errorf("status: %+v", s.Node)
	}
	if code, _ := r.get(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", code)
	}
	if err := os.WriteFile(r.core.CookieFile(), []byte("__cookie__:hunter1"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.awaitStatus(t, "word that the cookie is wrong", func(s *web.Status) bool { return strings.Contains(s.Node.Problem, "HTTP 401") })
	r.core.SetCookie(t, "hunter2")
	r.awaitTip(t)
	r.core.Restart(func() { r.core.Mine(2) }) // which changes the cookie
	r.awaitTip(t)
	r.checkAgreement(t)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	log, waits := r.logged.String(), 0
	for line := range strings.Lines(log) {
		if strings.Contains(line, "the node does not answer; trying again until it does") {
			waits++
			if want := []string{"not running", "HTTP 401"}; waits > len(want) || !strings.Contains(line, want[waits-1]) {
				t.Errorf("wait %d: %s", waits, line)
			}
		}
	}
	if waits != 2 || strings.Contains(log, "hunter") {
		t.Errorf("the log is\n%s", log)
	}
}
