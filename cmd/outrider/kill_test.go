package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/utxo"
)

// buildOutrider builds the program, once for each test that calls it, and
// returns its path.
func buildOutrider(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "outrider")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// A record is a line of the program's log.
type record struct {
	Level     string `json:"level"`
	Msg       string `json:"msg"`
	Height    uint32 `json:"height"`
	Hash      string `json:"hash"`
	Outcome   string `json:"outcome"`
	NodeValid bool   `json:"node_valid"`
}

// The messages of the log that the test looks for.
const (
	follows     = "following the chain" // says where the program starts
	judges      = "block judged"
	disconnects = "block disconnected"
)

// journal is the chain that the log of a program that was killed adds up to.
type journal struct {
	chain  []string // hashes; the last is the tip
	before []string // the chain before the last line
}

func (j *journal) add(r record) {
	switch {
	case r.Msg == judges && r.NodeValid:
		j.before, j.chain = j.chain, append(slices.Clone(j.chain), r.Hash)
	case r.Msg == disconnects:
		j.before, j.chain = j.chain, slices.Clone(j.chain[:len(j.chain)-1])
	}
}

// TestKilledAtAnyMomentItGoesOn kills the program with SIGKILL at 100 random
// moments, while blocks come and go, and demands each time that it starts from
// the tip that its work had reached: what it logged last is stored, or the
// step before it is. A moment is counted from the start of the process, or from
// a line of its log, so that most lives have work to lose on any machine.
func TestKilledAtAnyMomentItGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that a killed sidecar goes on from its stored tip")
	}
	testKilled(t, 100, "--utxo-mode", "cache")
}

// TestKilledInFullMode does that to a sidecar with a coin database, 40 times, and
// demands that it is the node's coins at the end.
func TestKilledInFullMode(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that the coin database of a killed sidecar goes on from its tip")
	}
	btcd, dir := testKilled(t, 40, "--utxo-mode", "full")
	unspent := make(map[string]bool)
	var ops []wire.OutPoint
	for height, hash := range btcd.Chain() {
		var b wire.MsgBlock
		if err := b.Deserialize(bytes.NewReader(btcd.Block(hash))); err != nil {
			t.Fatal(err)
		}
		for i, tx := range b.Transactions {
			for _, in := range tx.TxIn {
				if i > 0 {
					unspent[in.PreviousOutPoint.String()] = false
				}
			}
			for n, out := range tx.TxOut {
				op := wire.OutPoint{Hash: tx.TxHash(), Index: uint32(n)}
				ops = append(ops, op)
				unspent[op.String()] = height > 0 && out.PkScript[0] != 0x6a
			}
		}
	}
	found, err := utxo.Get(utxo.Place{Datadir: dir, Network: "regtest"}, ops)
	if err != nil {
		t.Fatal(err)
	}
	tip, _ := btcd.Tip()
	if found.Tip.Hash != tip.String() || !found.Complete || len(found.Coins) != len(ops) {
		t.Errorf("the database is at %s, complete %t; the node is at %s", found.Tip, found.Complete, tip)
	}
	for i, c := range found.Coins {
		if c.Found != unspent[ops[i].String()] {
			t.Errorf("%s is found %t, unspent %t", ops[i], c.Found, !c.Found)
		}
	}
}

// testKilled kills the program so many times, whose flags these are, and then lets
// it reach the tip of the node that it returns. dir is its data directory.
func testKilled(t *testing.T, lives int, flags ...string) (btcd *nodetest.Btcd, dir string) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	program := buildOutrider(t)
	dir = t.TempDir()
	btcd = nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(120)

	j := &journal{chain: []string{btcd.Chain()[0].String()}}
	var following, judged, disconnected int // lives
	for i := range lives {
		stop, ahead := make(chan struct{}), make(chan struct{}, maxAhead)
		var mining sync.WaitGroup
		mining.Go(func() { keepMining(btcd, rand.New(rand.NewPCG(seed, uint64(i))), ahead, stop) })
		p := start(t, program, dir, btcd.Addr(), flags)
		life := time.Duration(rng.ExpFloat64() * float64(100*time.Millisecond))
		from := []string{"", follows, follows, judges, disconnects}[i%5]
		killer := time.AfterFunc(time.Minute, p.kill) // if that line never comes
		if from == "" {
			killer.Reset(life)
		}
		saw := make(map[string]bool)
		p.read(t, func(r record) {
			if r.Msg == from && !saw[from] {
				killer.Reset(life)
			}
			saw[r.Msg] = true
			checkResumed(t, i, j, r)
			if r.Msg == judges {
				select {
				case <-ahead:
				default:
				}
			}
		})
		killer.Stop()
		close(stop)
		mining.Wait()
		if from != "" && !saw[from] {
			t.Fatalf("life %d: no line %q within a minute", i, from)
		}
		if t.Failed() {
			t.FailNow()
		}
		for msg, lives := range map[string]*int{follows: &following, judges: &judged, disconnects: &disconnected} {
			if saw[msg] {
				*lives++
			}
		}
	}
	t.Logf("of %d lives %d followed the chain, %d judged a block, %d saw one disconnected", lives, following, judged, disconnected)
	// Left alone, it reaches the node's tip, and starts from there again.
	tip, _ := btcd.Tip()
	for i := lives; j.chain[len(j.chain)-1] != tip.String() || j.before != nil; i++ {
		if i == lives+20 {
			t.Fatalf("the tip is %s, want %v", last(j.chain), tip)
		}
		p := start(t, program, dir, btcd.Addr(), flags)
		killer := time.AfterFunc(time.Minute, p.kill)
		p.read(t, func(r record) {
			checkResumed(t, i, j, r)
			switch {
			case last(j.chain) != tip.String():
			case r.Msg == follows:
				p.kill()
			case r.Msg == judges: // and about to be stored
				killer.Reset(100 * time.Millisecond)
			}
		})
		killer.Stop()
		if t.Failed() {
			t.FailNow()
		}
	}
	return btcd, dir
}

// checkResumed takes a line of the log into j. The line that says where the
// program starts must fit what it did before it was killed.
func checkResumed(t *testing.T, life int, j *journal, r record) {
	if r.Outcome != "" && r.Outcome != "agree" || r.Level == "ERROR" {
		t.Errorf("life %d: %+v", life, r)
	}
	if r.Msg != follows {
		j.add(r)
		return
	}
	switch r.Hash {
	case j.chain[len(j.chain)-1]:
	case last(j.before):
		j.chain = j.before
	default:
		t.Errorf("life %d: started from %d %s, its work had reached %s", life, r.Height, r.Hash, last(j.chain))
	}
	j.before = nil
}

func last(chain []string) string {
	if len(chain) == 0 {
		return ""
	}
	return chain[len(chain)-1]
}

// maxAhead is how many times the chain changes that the program has not heard of:
// a slow machine would never catch up with it.
const maxAhead = 5

// keepMining makes blocks come and go until stop is closed, while there is room in
// ahead.
func keepMining(btcd *nodetest.Btcd, rng *rand.Rand, ahead chan<- struct{}, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.IntN(20)) * time.Millisecond):
		}
		select {
		case <-stop:
			return
		case ahead <- struct{}{}:
		}
		if rng.IntN(5) == 0 {
			depth := 1 + rng.IntN(6)
			btcd.Reorg(depth, depth+1)
			continue
		}
		btcd.AddTxs(rng.IntN(5))
		btcd.Mine(1)
	}
}

// A process is a running outrider.
type process struct {
	cmd *exec.Cmd
	log *bufio.Scanner
}

// start starts outrider beside the btcd at addr.
func start(t *testing.T, program, dir, addr string, flags []string) *process {
	t.Helper()
	args := []string{
		"run", "--datadir", dir, "--node-address", addr, "--node-notls", "--node-user", nodetest.User,
		"--http", "127.0.0.1:0", "--start", "0", "--log-format", "json", "--log-level", "debug", "--poll", "20ms",
	}
	cmd := exec.Command(program, append(args, flags...)...)
	cmd.Env = append(bareEnviron(t), "OUTRIDER_NODE_PASSWORD="+nodetest.Password)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd: cmd, log: bufio.NewScanner(stderr)}
}

func (p *process) kill() { _ = p.cmd.Process.Kill() } // it may have ended

// read gives every line of the log to each until the process has ended.
func (p *process) read(t *testing.T, each func(record)) {
	t.Helper()
	for p.log.Scan() {
		line := p.log.Bytes()
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			// The last line may be cut off; everything else is JSON.
			if bytes.HasSuffix(line, []byte("}")) {
				t.Errorf("log line %q: %v", line, err)
			}
			continue
		}
		each(r)
	}
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
		t.Errorf("the program ended by itself: %v", err)
	}
}
