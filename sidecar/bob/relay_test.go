package bob

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
	"github.com/outrider-project/outrider/bob/relay/submit"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// newSource returns a node with so many blocks.
func newSource(t *testing.T, blocks int) (*nodetest.Btcd, node.Node) {
	t.Helper()
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(blocks)
	n, err := node.NewBtcd(node.BtcdConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return btcd, n
}

// TestRelay plans, rehearses and submits as the verbs do, with a keystore, beside a node.
func TestRelay(t *testing.T) {
	anvil := relaytest.NewAnvil(t, "that outrider bob relay plan and submit tell a relay of a node's headers")
	btcd, source := newSource(t, 30)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	genesis, err := source.Header(ctx, btcd.Chain()[10])
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Execution, c.OpNodes = []endpoint.Endpoint{{Name: "l2", URL: anvil.URL}}, []endpoint.Endpoint{{Name: "op-node", URL: anvil.OpNode}}
	c.ChainID, c.Kind = relaytest.ChainID, relay.KindFull
	c.Relay, c.Multicall = relay.Address(anvil.DeployFull(t, genesis[:], 10, btcd.Chain()[0])), planner.Address{}
	dir := t.TempDir()

	plan, err := Plan(ctx, &c, source, dir)
	if err != nil {
		t.Fatal(err)
	}
	if p := plan.Plan; p.Verdict != planner.Behind || p.Headers != 20 || p.Behind != 20 || len(p.Transactions) != 2 || p.Cost == "0" ||
		p.Transactions[0].L1Fee == "0" || p.Transactions[0].OperatorFee == "0" {
		t.Errorf("%+v", p)
	}
	refusals := strings.Join(plan.Refusals, "\n")
	for _, want := range []string{"the maximum fee, the daily spend", "there is no account"} {
		if !strings.Contains(refusals, want) {
			t.Errorf("refused for %q, want %q among it", refusals, want)
		}
	}
	var text bytes.Buffer
	if err := WritePlan(&text, plan); err != nil || !strings.Contains(text.String(), "20 headers to add from height 11") ||
		!strings.Contains(text.String(), "would not be sent: ") {
		t.Errorf("%v: %s", err, &text)
	}

	// What is missing is named, all of it, before anything is asked. A chain that nobody
	// named is not BOB's for who sends.
	how := Submission{Datadir: dir, Send: true}
	unnamed := c
	unnamed.ChainID = 0
	_, err = Submit(ctx, &unnamed, source, how)
	if m, ok := errors.AsType[*MistakeError](err); !ok || !strings.Contains(m.Error(), "bob-chain-id") || !strings.Contains(m.Error(), "bob-max-fee") || !strings.Contains(m.Error(), "bob-daily-spend") ||
		!strings.Contains(m.Error(), "bob-keystore") {
		t.Errorf("%v", err)
	}
	c.MaxFee, c.DailySpend = big.NewInt(2e9), big.NewInt(1e18)
	keystore, passphrase, account := relaytest.Keystore(t)
	c.Keystore, c.Passphrase = keystore, passphrase

	// A rehearsal opens the keystore, and the account has nothing.
	done, err := Submit(ctx, &c, source, Submission{Datadir: dir})
	if err != nil || done.Rehearsal == nil || len(done.Rehearsal.Refusals) != 1 || !strings.Contains(done.Rehearsal.Refusals[0], "balance") {
		t.Fatalf("%+v, %v", done, err)
	}
	anvil.Fund(t, account)
	done, err = Submit(ctx, &c, source, Submission{Datadir: dir})
	if err != nil || len(done.Rehearsal.Refusals) != 0 || done.Rehearsal.GasLimit == 0 {
		t.Fatalf("%+v, %v", done.Rehearsal, err)
	}
	if sent := anvil.SentBy(t, account); len(sent) != 0 {
		t.Errorf("a rehearsal sent %d transactions", len(sent))
	}
	if files, err := filepath.Glob(filepath.Join(dir, "bob", "*")); err != nil || len(files) != 0 {
		t.Errorf("a rehearsal left %v", files)
	}

	stop := anvil.MineAlways(t, 20*time.Millisecond)
	defer stop()
	done, err = Submit(ctx, &c, source, how)
	if err != nil || done.Transactions != 2 || done.Failed != 0 || done.Headers != 20 || done.Verdict != planner.InStep {
		t.Fatalf("%+v, %v", done, err)
	}
	text.Reset()
	if err := WriteSubmitted(&text, done); err != nil || !strings.Contains(text.String(), "in step: ") {
		t.Errorf("%v: %s", err, &text)
	}
	plan, err = Plan(ctx, &c, source, dir)
	if err != nil || plan.Plan.Verdict != planner.InStep || plan.Plan.Best.Height != 30 {
		t.Errorf("%+v, %v", plan, err)
	}

	// A branch that the relay follows, and that only the node's stale ones have: the node
	// is asked for it when the next process begins.
	btcd.Reorg(3, 5)
	if done, err = Submit(ctx, &c, source, how); err != nil || done.Verdict != planner.InStep || done.Headers != 5 {
		t.Fatalf("%+v, %v", done, err)
	}
	// An account that is not the keystore's, and another journal's.
	wrong := c
	wrong.Account = planner.Address{1}
	if _, err := Submit(ctx, &wrong, source, how); err == nil || !strings.Contains(err.Error(), "bob-account") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(passphrase, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Submit(ctx, &c, source, how); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("%v", err)
	}
}

// A moved source has another tip than its headers.
type moved struct{ node.Node }

func (m moved) Tip(ctx context.Context) (node.Tip, error) {
	tip, err := m.Node.Tip(ctx)
	tip.Hash[0] ^= 1
	return tip, err
}

// TestBitcoin follows a node over a reorganisation, and refuses one that follows another
// chain than that with the most work.
func TestBitcoin(t *testing.T) {
	btcd, source := newSource(t, 50)
	b, err := OpenBitcoin(t.Context(), source, 50)
	if err != nil {
		t.Fatal(err)
	}
	old := b.Tree.Tip()
	if old.Height != 50 {
		t.Errorf("the tip is at %d", old.Height)
	}
	btcd.Reorg(4, 6)
	if err := b.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tip, _ := btcd.Tip(); b.Tree.Tip().Hash != tip || b.Tree.Tip().Height != 52 {
		t.Errorf("the tip is %v", b.Tree.Tip().Hash)
	}
	// A tree of another process does not have the stale branch.
	again, err := OpenBitcoin(t.Context(), source, 50)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := again.Tree.Get(old.Hash); known {
		t.Fatal("the stale branch is known")
	}
	if err := again.Seek(t.Context(), old.Hash); err != nil {
		t.Fatal(err)
	}
	if n, known := again.Tree.Get(old.Hash); !known || n.Height != 50 {
		t.Error("the stale branch is not known after it was sought")
	}
	if err := again.Seek(t.Context(), chainhash.Hash{1}); err == nil {
		t.Error("a header that nobody knows was found")
	}
	again.source = moved{source}
	if err := again.Follow(t.Context()); !errors.Is(err, ErrOtherTip) {
		t.Errorf("%v", err)
	}
}

// TestFarBehind has headers from a period below the relay's best on, and says when there
// would be too many.
func TestFarBehind(t *testing.T) {
	const tip = 3*2016 + 2500
	btcd, source := newSource(t, tip)
	for _, floor := range []uint64{tip, 3 * 2016, 2*2016 + 5, 2016 + 7, 100, 0} {
		b, err := OpenBitcoin(t.Context(), source, floor)
		if err != nil {
			t.Fatalf("%d: %v", floor, err)
		}
		if root := b.Tree.Root(); int(root.Height) > max(int(floor)-2016, 0) {
			t.Errorf("a relay at %d: the headers begin at %d", floor, root.Height)
		}
		if _, ok := b.Tree.Get(btcd.Chain()[floor]); !ok || b.Tree.Tip().Height != tip {
			t.Errorf("a relay at %d: its best header is not known", floor)
		}
	}
	far := farAhead{source}
	if _, err := OpenBitcoin(t.Context(), far, 100); err == nil || !strings.Contains(err.Error(), "too far behind") {
		t.Errorf("a relay that is years behind: %v", err)
	}
}

// A farAhead source says that its tip is elsewhere.
type farAhead struct{ node.Node }

func (farAhead) Tip(context.Context) (node.Tip, error) { return node.Tip{Height: 1_000_000}, nil }

func TestParsers(t *testing.T) {
	for in, want := range map[string]string{
		"5": "5", "0.005gwei": "5000000", "1 gwei": "1000000000", "0.002ether": "2000000000000000", "1ether": "1000000000000000000",
		"0": "", "": "", "gwei": "", "1.5": "", "-1": "", "0x10": "", "1.0000000001gwei": "", "0.0gwei": "", "1e9": "",
		strings.Repeat("9", 41): "",
	} {
		n, err := submit.ParseWei(in)
		if got := ""; err == nil {
			got = n.String()
			if got != want {
				t.Errorf("%q is %s, want %q", in, got, want)
			}
		} else if want != "" {
			t.Errorf("%q: %v", in, err)
		}
	}
	for in, ok := range map[string]bool{
		"0xcA11bde05977b3631167028862bE2a173976CA11": true, "0xca11bde05977b3631167028862be2a173976ca11": true,
		"0xcA11bde05977b3631167028862bE2a173976Ca11": false, "ca11bde05977b3631167028862be2a173976ca11": false, "0x1": false, "": false,
	} {
		if _, err := submit.ParseAddress(in); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
	for in, want := range map[string]string{"0": "0", "1": "0.000000000000000001", "1500000000000000000": "1.5", "20000000000000000000": "20"} {
		if got := ether(in); got != want {
			t.Errorf("%s wei are %s ether, want %s", in, got, want)
		}
	}
}

// A deaf source does not tell of blocks.
type deaf struct{ noSource }

func (deaf) Watch(context.Context, chan<- node.Hint) error { return errors.New("it does not publish") }

// lines are what is written, each write one.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// A node that tells of no blocks is logged once, and what waits for blocks goes on.
func TestWatchBlocksDeaf(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make(lines, 9)
	ended := make(chan error, 1)
	go func() { ended <- watchBlocks(ctx, deaf{}, nil, slog.New(slog.NewTextHandler(told, nil))) }()
	if text := <-told; !strings.Contains(text, "level=WARN") || !strings.Contains(text, "it does not publish") {
		t.Errorf("logged: %s", text)
	}
	select {
	case err := <-ended:
		t.Errorf("it ended with %v", err)
	case <-time.After(20 * time.Millisecond):
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
	if len(told) != 0 {
		t.Errorf("logged: %s", <-told)
	}
}
