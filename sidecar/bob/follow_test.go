package bob

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// A gate stands before an execution client.
type gate struct {
	*httptest.Server
	node *httputil.ReverseProxy

	mu sync.Mutex // guards what follows
	// wrong has the gate answer as a node of another chain.
	wrong bool
	// before and after are called with each method that is asked for, before the node is
	// asked and with its answer on the way; one that returns false ends the exchange.
	before, after func(method string) bool
}

func newGate(t *testing.T, node string) *gate {
	t.Helper()
	u, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{node: httputil.NewSingleHostReverseProxy(u)}
	g.node.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // callers are killed
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller is gone
	}
	var call struct {
		ID     json.RawMessage
		Method string
	}
	_ = json.Unmarshal(body, &call) // of a batch there is no method
	g.mu.Lock()
	wrong, before, after := g.wrong, g.before, g.after
	g.mu.Unlock()
	if wrong && call.Method == "eth_chainId" {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x1"}`, call.ID)
		return
	}
	if before != nil && !before(call.Method) {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	g.node.ServeHTTP(answer, r)
	if after != nil && !after(call.Method) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the caller may be gone
}

func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// A followed is a relay that is to follow a node, and who pays.
type followed struct {
	anvil   *relaytest.Anvil
	btcd    *nodetest.Btcd
	source  node.Node
	gate    *gate
	config  Config
	account planner.Address
	dir     string
}

func newFollowed(t *testing.T, unchecked string) *followed {
	t.Helper()
	f := &followed{anvil: relaytest.NewAnvil(t, unchecked), dir: t.TempDir()}
	f.btcd, f.source = newSource(t, 30)
	genesis, err := f.source.Header(t.Context(), f.btcd.Chain()[20])
	if err != nil {
		t.Fatal(err)
	}
	f.gate = newGate(t, f.anvil.URL)
	c := DefaultConfig()
	c.Execution, c.OpNodes = []endpoint.Endpoint{{Name: "l2", URL: f.gate.URL, Rate: 1e6}}, []endpoint.Endpoint{{Name: "op-node", URL: f.anvil.OpNode}}
	c.ChainID, c.Kind = relaytest.ChainID, relay.KindFull
	c.Relay = relay.Address(f.anvil.DeployFull(t, genesis[:], 20, f.btcd.Chain()[0]))
	c.Multicall = f.anvil.Deploy(t, contract.Multicall().Creation)
	c.MaxFee, c.DailySpend = big.NewInt(2e9), big.NewInt(1e18)
	c.Keystore, c.Passphrase, f.account = relaytest.Keystore(t)
	c.Account = f.account
	f.anvil.Fund(t, f.account)
	f.config = c
	return f
}

// inStep reports whether the relay's best header is the node's.
func (f *followed) inStep(t *testing.T) bool {
	t.Helper()
	var best string
	f.anvil.Must(t, &best, "eth_getStorageAt", planner.Address(f.config.Relay), "0x1", "latest")
	tip, _ := f.btcd.Tip()
	return best == "0x"+hex.EncodeToString(tip[:])
}

// await fails the test unless something becomes true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// TestFollow follows a node that notifies of its blocks, without a look by itself, sends
// nothing while the L2's node is of another chain, and ends with its context.
func TestFollow(t *testing.T) {
	f := newFollowed(t, "that outrider bob relay submit --follow tells a relay of each block at once")
	f.config.Poll = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Submit(ctx, &f.config, f.source, Submission{Datadir: f.dir, Send: true, Follow: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), recheck: 5 * time.Millisecond})
		ended <- err
	}()
	end := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = end() })
	// sent returns how many nonces are used, in blocks or not.
	sent := func() int {
		var n string
		f.anvil.Must(t, &n, "eth_getTransactionCount", f.account, "pending")
		count, err := strconv.ParseUint(n, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		return int(count)
	}
	await(t, "nothing is sent at first", func() bool { return sent() == 1 })
	if err := f.btcd.WaitSubscribers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		f.anvil.Mine(t)
		await(t, "the relay is not told of the last block", func() bool { return f.inStep(t) })
		f.btcd.Mine(1)
		await(t, "nothing is sent with a block", func() bool { return sent() == n+2 })
	}
	f.anvil.Mine(t)
	if !f.inStep(t) {
		t.Error("the relay is not in step")
	}

	f.gate.change(func() { f.gate.wrong = true })
	<-time.After(50 * time.Millisecond) // ten times the interval
	f.btcd.Mine(1)
	<-time.After(500 * time.Millisecond)
	if n := sent(); n != 4 {
		t.Errorf("%d transactions were sent to a node of another chain", n-4)
	}
	f.gate.change(func() { f.gate.wrong = false })
	f.btcd.Reorg(2, 4)
	await(t, "nothing is sent when the chain is the right one again", func() bool { f.btcd.Mine(1); <-time.After(20 * time.Millisecond); return sent() == 5 })
	if err := end(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// A follower says what a child process is to do: follow, until it is killed.
type follower struct {
	Execution, OpNode, Btcd             string
	Relay                               relay.Address
	Multicall                           planner.Address
	Keystore, Passphrase, Datadir, Kind string
}

// followerVariable names the file with a follower to a child process.
const followerVariable = "SIDECAR_BOB_TEST_FOLLOWER"

// TestMain runs the tests, or is the child process of one.
func TestMain(m *testing.M) {
	if path := os.Getenv(followerVariable); path != "" {
		fmt.Fprintln(os.Stderr, follow(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// follow is what a child process does.
func follow(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var f follower
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	n, err := node.NewBtcd(node.BtcdConfig{Address: f.Btcd, User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	if err != nil {
		return err
	}
	c := DefaultConfig()
	c.Execution, c.OpNodes = []endpoint.Endpoint{{Name: "l2", URL: f.Execution, Rate: 1e6}}, []endpoint.Endpoint{{Name: "op-node", URL: f.OpNode}}
	c.ChainID, c.Kind, c.Relay, c.Multicall = relaytest.ChainID, relay.Kind(f.Kind), f.Relay, f.Multicall
	c.MaxFee, c.DailySpend = big.NewInt(2e9), big.NewInt(1e18)
	c.Keystore, c.Passphrase, c.Poll = f.Keystore, f.Passphrase, 20*time.Millisecond
	_, err = Submit(context.Background(), &c, n, Submission{Datadir: f.Datadir, Send: true, Follow: true})
	return err
}

// seedOf returns OUTRIDER_SEED, or a random seed, which the test prints when it fails.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("OUTRIDER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("OUTRIDER_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("OUTRIDER_SEED=%d", seed)
		}
	})
	return seed
}

// TestFollowKilled kills processes that follow a node, one after another: when a transaction
// leaves, when the L2's node has it and nobody heard of it, and at random moments. Bitcoin
// reorganises meanwhile, and so does the L2. In the end the relay is in step, and each nonce
// was used once and for something else.
func TestFollowKilled(t *testing.T) {
	f := newFollowed(t, "that outrider bob relay submit --follow survives kill -9 and reorganisations")
	rng := rand.New(rand.NewPCG(seedOf(t), 0))
	config := filepath.Join(f.dir, "follower")
	data, err := json.Marshal(follower{
		f.gate.URL, f.anvil.OpNode, f.btcd.Addr(), f.config.Relay, f.config.Multicall, f.config.Keystore, f.config.Passphrase, f.dir, string(f.config.Kind),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, data, 0o600); err != nil {
		t.Fatal(err)
	}
	lives := 12
	if testing.Short() {
		lives = 6
	}
	for i := range lives {
		if rng.IntN(3) == 0 {
			depth := 1 + rng.IntN(4)
			f.btcd.Reorg(depth, depth+1+rng.IntN(2))
		} else {
			f.btcd.Mine(1 + rng.IntN(3))
		}
		f.live(t, config, i, rng)
	}
	f.gate.change(func() { f.gate.before, f.gate.after = nil, nil })
	stop := f.anvil.MineAlways(t, 15*time.Millisecond)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Lives that were short may have done all by one transaction.
	for range leastTransactions {
		f.btcd.Mine(1)
		if _, err := Submit(ctx, &f.config, f.source, Submission{Datadir: f.dir, Send: true}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if !f.inStep(t) {
		t.Error("the relay is not in step")
	}
	f.checkChain(t)
}

// live runs a process that follows until it is killed.
func (f *followed) live(t *testing.T, config string, i int, rng *rand.Rand) {
	t.Helper()
	snapshot := f.anvil.Snapshot(t)
	stop := f.anvil.MineAlways(t, 15*time.Millisecond)
	defer func() { stop() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), followerVariable+"="+config)
	cmd.Stderr = t.Output()
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	kills := func(when bool) func(string) bool {
		return func(method string) bool {
			begin()
			if !when || method != "eth_sendRawTransaction" {
				return true
			}
			_ = cmd.Process.Kill() // it may have ended
			return false
		}
	}
	var err error
	f.gate.change(func() {
		f.gate.before, f.gate.after = kills(i%3 == 0), kills(i%3 == 1)
		err = cmd.Start() // while no call comes through
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-begun:
	case err := <-ended:
		t.Fatalf("life %d ended before it began: %v", i, err)
	}
	if i%3 == 2 {
		<-time.After(time.Duration(rng.IntN(400)) * time.Millisecond)
		stop()
		f.anvil.Revert(t, snapshot)
		stop = f.anvil.MineAlways(t, 15*time.Millisecond)
		<-time.After(time.Duration(rng.IntN(200)) * time.Millisecond)
		_ = cmd.Process.Kill()
	}
	select {
	case err := <-ended:
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
			t.Fatalf("life %d ended by itself: %v", i, err)
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		<-ended
		t.Fatalf("life %d sent nothing", i)
	}
}

// leastTransactions is how many transactions a test makes at least before checkChain.
const leastTransactions = 3

// checkChain compares the account's transactions with what may be there, and with what the
// journal says was spent.
func (f *followed) checkChain(t *testing.T) {
	t.Helper()
	total := new(big.Int)
	var data [][]byte
	for i, tx := range f.anvil.SentBy(t, f.account) {
		r := f.anvil.Receipt(t, tx.Hash)
		if uint64(tx.Nonce) != uint64(i) || r.Status != 1 {
			t.Errorf("transaction %d has nonce %d and status %d", i, uint64(tx.Nonce), uint64(r.Status))
		}
		if slices.ContainsFunc(data, func(other []byte) bool { return bytes.Equal(other, tx.Input) }) {
			t.Errorf("nonce %d does what another did", i)
		}
		data = append(data, tx.Input)
		total.Add(total, new(big.Int).Mul(big.NewInt(int64(r.GasUsed)), big.NewInt(int64(r.Price))))
	}
	plan, err := Plan(t.Context(), &f.config, f.source, f.dir)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Plan.Verdict != planner.InStep || plan.Spent != total.String() || len(data) < leastTransactions {
		t.Errorf("%s, %d transactions; the journal says that %s wei were spent, the chain %v", plan.Plan.Verdict, len(data), plan.Spent, total)
	}
	t.Logf("%d transactions", len(data))
}
