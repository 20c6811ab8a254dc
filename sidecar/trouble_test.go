package sidecar

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// spoilBlock changes one character of a block's hexadecimal form, far behind
// its header.
func spoilBlock(a nodetest.Answer) nodetest.Answer {
	const hexDigits = "0123456789abcdef"
	const inBody = 260 // of the answer; the header takes 160 digits
	if len(a.Body) > inBody && bytes.IndexByte([]byte(hexDigits), a.Body[inBody]) >= 0 {
		a.Body = bytes.Clone(a.Body)
		a.Body[inBody] = hexDigits[(bytes.IndexByte([]byte(hexDigits), a.Body[inBody])+1)%len(hexDigits)]
	}
	return a
}

// restart ends the sidecar and runs it again.
func (r *rider) restart(t *testing.T) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.run(t)
}

// A block that comes spoilt while the coins are refilled after a restart does
// not get into them.
func TestSidecarRefillsNothingSpoilt(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.btcd.AddTxs(5)
	r.btcd.Mine(1)
	r.run(t)
	r.awaitTip(t)
	var spoilt atomic.Int64
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "getblock" && spoilt.Add(1)%3 == 1 {
			return spoilBlock(a)
		}
		return a
	})
	r.restart(t)
	r.btcd.AddTxs(5)
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Verdict.Prevouts != blockval.Own {
		t.Errorf("the coins are the word of %q", rep.Verdict.Prevouts)
	}
	if spoilt.Load() < 100 {
		t.Errorf("only %d blocks were asked for", spoilt.Load())
	}
	r.checkAgreement(t)
}

// A block that comes spoilt, and is then not to be had, is not condemned.
func TestSidecarCondemnsNothingUnconfirmed(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	var asked atomic.Int64
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method != "getblock" {
			return a
		}
		if asked.Add(1)%2 == 1 {
			return spoilBlock(a)
		}
		return nodetest.Answer{Status: 200, Body: []byte(`{"jsonrpc":"1.0","result":null,"error":{"code":-5,"message":"Block not found"},"id":null}`)}
	})
	r.btcd.Mine(1)
	for deadline := time.Now().Add(patience); asked.Load() < 6; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the block is not asked for again")
		}
	}
	r.btcd.Rewrite(nil)
	r.awaitTip(t)
	r.checkAgreement(t)
}

// A rejected branch of which the node has no bodies, or that leaves the chain
// below what the coins can be taken back to, is undecided and says why; what
// is older than the sidecar's knowledge is not told of at all.
func TestSidecarSaysWhatItCannotJudge(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(400)
	r.btcd.Branch(399, 1, nodetest.Invalid)
	r.run(t)
	r.awaitTip(t)
	r.btcd.Mine(1)
	r.awaitTip(t)

	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "getblock" {
			return nodetest.Answer{Status: 200, Body: []byte(`{"jsonrpc":"1.0","result":null,"error":{"code":-5,"message":"Block not found"},"id":null}`)}
		}
		return a
	})
	for calls := r.btcd.Calls("getchaintips"); r.btcd.Calls("getchaintips") < calls+2; {
		runtime.Gosched() // it has looked for old branches
	}
	bare := r.btcd.Branch(1, 1, nodetest.Invalid)
	r.awaitUndecided(t, "a branch without bodies", bare[0])
	r.btcd.Rewrite(nil)
	for _, depth := range []int{ringBlocks + 1, 350} {
		branch := r.btcd.Branch(depth, 1, nodetest.Refused)
		r.awaitUndecided(t, "a deep branch", branch[0])
	}
	// Within reach the same branch is judged.
	branch := r.btcd.Branch(ringBlocks, 1, nodetest.Invalid)
	if rep := r.await(t, "a branch within reach", func(rep *Report) bool { return rep.Verdict.Hash == branch[0] }); rep.Outcome != Agree {
		t.Errorf("got %s: %s", rep.Outcome, rep.Reason)
	}
	if s := r.status(t); s.Agreement.Differ != 0 || s.Agreement.Undecided != 3 {
		t.Errorf("status: %+v", s.Agreement)
	}
}

// A branch that forks where the sidecar's own coins do not reach is undecided.
func TestSidecarCannotJudgeBelowItsStart(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(120)
	middle := uint32(111)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	for calls := r.btcd.Calls("getchaintips"); r.btcd.Calls("getchaintips") < calls+2; {
		runtime.Gosched() // it has looked for old branches
	}
	r.awaitUndecided(t, "a branch from below the start", r.btcd.Branch(11, 1, nodetest.Refused)[0])
	within := r.btcd.Branch(10, 1, nodetest.Invalid)
	if rep := r.await(t, "a branch from the start", func(rep *Report) bool { return rep.Verdict.Hash == within[0] }); rep.Outcome != Agree {
		t.Errorf("got %s: %s", rep.Outcome, rep.Reason)
	}
}

// Of a branch that is too large to be fetched as a whole, the rest is undecided.
func TestUnfetchedBlockIsUndecided(t *testing.T) {
	for unfetched, want := range map[bool]string{true: "too large", false: "only the header"} {
		r, err := new(judge).judgeRejected(t.Context(), &node.RejectedBlock{Unfetched: unfetched}, nil, nil)
		if err != nil || r.Outcome != Undecided || !strings.Contains(r.Reason, want) {
			t.Errorf("unfetched %v: %s: %q (%v)", unfetched, r.Outcome, r.Reason, err)
		}
	}
}

// awaitUndecided waits for the report on a rejected block, which must be
// undecided.
func (r *rider) awaitUndecided(t *testing.T, what string, hash [32]byte) {
	t.Helper()
	rep := r.await(t, what, func(rep *Report) bool { return rep.Verdict.Hash == hash })
	if rep.Outcome != Undecided || rep.Reason == "" || rep.NodeValid {
		t.Errorf("%s: %s: %q", what, rep.Outcome, rep.Reason)
	}
}

// A block that the node had connected, and that its operator then invalidates,
// breaks no rule and is no alarm, also when it happens while the sidecar is away.
// A block that the node never connected still is one.
func TestSidecarKnowsAnInvalidatedBlock(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	invalidated := func(what string, hash [32]byte) {
		t.Helper()
		rep := r.await(t, what, func(rep *Report) bool { return rep.Verdict.Hash == hash && !rep.NodeValid })
		if rep.Outcome != Undecided || !strings.Contains(rep.Reason, "invalidateblock") {
			t.Errorf("%s: %s: %q", what, rep.Outcome, rep.Reason)
		}
	}
	invalidated("two blocks", r.btcd.Invalidate(2)[1])
	r.btcd.Mine(3)
	r.awaitTip(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	away := r.btcd.Invalidate(2)[1]
	r.run(t)
	invalidated("two blocks, while the sidecar was away", away)
	r.btcd.Mine(3)
	r.awaitTip(t)
	r.mu.Lock()
	r.reports = nil
	r.mu.Unlock()
	r.restart(t) // it has only its files to know from
	invalidated("two blocks, after a restart", away)

	never := r.btcd.Branch(1, 1, nodetest.Refused)
	if rep := r.await(t, "the wrongly refused block", func(rep *Report) bool { return rep.Verdict.Hash == never[0] }); rep.Outcome != Differ {
		t.Errorf("a block that the node never connected: %s: %q", rep.Outcome, rep.Reason)
	}
}

// A block's time was held against the clock when its header was taken. With the
// clock set back since then, it is not against the rules.
func TestSidecarWithItsClockSetBack(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	dir := filepath.Join(r.cfg.Datadir, "regtest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	headers := r.btcd.Block(r.btcd.Chain()[0])[:80]
	for i := range 5 {
		// By this machine's clock these headers are too new. They are stored:
		// it was right when they came.
		raw := r.btcd.MineAt(time.Now().Add(3*time.Hour + time.Duration(i)*time.Minute))
		headers = append(headers, raw[:80]...)
	}
	if err := os.WriteFile(filepath.Join(dir, "headers.dat"), headers, 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	r.awaitTip(t)
	r.checkAgreement(t)
	if s := r.status(t); s.Agreement.Agree != 5 || s.Agreement.Differ != 0 {
		t.Errorf("status: %+v", s.Agreement)
	}
}

// A node that gives another body each time does not keep the sidecar from going
// on: neither when it judges, nor when it fills its coins after a restart.
func TestSidecarGivesAnInconstantNodeUp(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	var asked atomic.Int64
	inconstant := func(method string, a nodetest.Answer) nodetest.Answer {
		if method != "getblock" {
			return a
		}
		// The feed is given the same bytes twice, and believes them.
		for range max(asked.Add(1)-1, 1) {
			a = spoilBlock(a)
		}
		return a
	}
	r.btcd.Rewrite(inconstant)
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Undecided || rep.Reason != unlike {
		t.Errorf("connected: %s: %q", rep.Outcome, rep.Reason)
	}
	if n := asked.Load(); n > 12 {
		t.Errorf("it was asked for %d times", n)
	}
	asked.Store(1) // another body from the first time on
	branch := r.btcd.Branch(0, 1, nodetest.Invalid)
	if rep := r.await(t, "the branch", func(rep *Report) bool { return rep.Verdict.Hash == branch[0] }); rep.Outcome != Undecided || rep.Reason != unlike {
		t.Errorf("rejected: %s: %q", rep.Outcome, rep.Reason)
	}
	r.btcd.Rewrite(nil)
	r.btcd.Mine(1)
	r.awaitTip(t)
	header := hex.EncodeToString(r.btcd.Block(r.btcd.Chain()[60])[:80])
	asked.Store(0)
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "getblock" && bytes.Contains(a.Body, []byte(header)) {
			asked.Add(1)
			return spoilBlock(a)
		}
		return a
	})
	r.restart(t)
	r.btcd.Mine(1)
	r.awaitTip(t)
	if n := asked.Load(); n != bodyTries {
		t.Errorf("a stored block was asked for %d times, want %d", n, bodyTries)
	}
	if s := r.status(t); s.Agreement.Differ != 0 {
		t.Errorf("status: %+v", s.Agreement)
	}
}

// A branch that grows is reported once.
func TestSidecarReportsAGrowingBranchOnce(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	first := r.btcd.Branch(0, 1, nodetest.Invalid)
	r.await(t, "the branch", func(rep *Report) bool { return rep.Verdict.Hash == first[0] })
	before := r.status(t).Agreement.Agree
	for calls := r.btcd.Calls("getchaintips"); r.btcd.Calls("getchaintips") < calls+3; {
		runtime.Gosched()
	}
	if after := r.status(t).Agreement.Agree; after != before {
		t.Errorf("the branch was reported %d times more", after-before)
	}
}

// While a verdict waits for the node, the sidecar says that it is not ready,
// and why.
func TestSidecarSaysThatItWaits(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(120)
	middle := uint32(115)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "batch" {
			a.Body = []byte("[]")
		}
		return a
	})
	r.btcd.AddTxs(1) // spends an old coin
	r.btcd.Mine(1)
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		if code, _ := r.get(t, "/readyz"); code == http.StatusServiceUnavailable && r.status(t).Node.Problem != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody hears of it")
		}
	}
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "outrider_feed_down 1\n") {
		t.Error("the metrics do not tell of it")
	}
	r.btcd.Rewrite(nil)
	r.awaitTip(t)
	r.checkAgreement(t)
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		if code, _ := r.get(t, "/readyz"); code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not ready again")
		}
	}
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "outrider_feed_down 0\n") {
		t.Error("the metrics do not tell that it goes on")
	}
}

// A node that does not answer from the start is told of as one that does no longer.
func TestUnreachableNodeIsTold(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.Node.Address = "127.0.0.1:1"
	r.run(t)
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "outrider_feed_down 1\n") {
		t.Error("the metrics do not tell of it")
	}
}

// Two connections that break in the same way are the same trouble.
func TestReasonOf(t *testing.T) {
	broken := func(port int) error {
		return fmt.Errorf("call getblockcount: %w", &net.OpError{
			Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Err: syscall.ECONNRESET,
		})
	}
	if a, b := reasonOf(broken(1)), reasonOf(broken(2)); a != b || a != "call getblockcount: read: "+syscall.ECONNRESET.Error() {
		t.Errorf("%q, %q", a, b)
	}
	if got := reasonOf(errors.New("warming up")); got != "warming up" {
		t.Errorf("%q", got)
	}
}
