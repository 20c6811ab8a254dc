package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
)

// A toldRelay is a relay that runs beside a chain without nodes.
type toldRelay struct {
	*Relay
	chain *Chain
	moved chan RelayState
	url   string
	stop  func() error
}

// startRelay starts a relay whose chain has a block each millisecond.
func startRelay(t *testing.T) *toldRelay {
	t.Helper()
	told := &toldRelay{chain: NewChain(1), moved: make(chan RelayState, 1000)}
	var err error
	told.Relay, err = NewRelay(RelayConfig{Period: time.Millisecond, Report: func(s RelayState) { told.moved <- s }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- told.Run(ctx, l) }()
	told.stop = func() error { cancel(); return <-ended }
	t.Cleanup(func() { cancel() })
	return told
}

// follow has the relay follow a block.
func (r *toldRelay) follow(t *testing.T, b *Block) {
	t.Helper()
	if err := r.Follow(b); err != nil {
		t.Fatal(err)
	}
}

// mine mines blocks up to a height, and has the relay follow each.
func (r *toldRelay) mine(t *testing.T, to uint32) {
	t.Helper()
	for r.chain.Tip().Height < to {
		b, err := r.chain.Mine(nil)
		if err != nil {
			t.Fatal(err)
		}
		r.follow(t, b)
	}
}

// await waits until the relay has the chain's tip.
func (r *toldRelay) await(t *testing.T) RelayState {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case s := <-r.moved:
			if s.Hash == r.chain.Tip().Hash {
				return s
			}
		case <-deadline:
			s, _ := r.State()
			t.Fatalf("the relay is at %+v, the chain at %d", s, r.chain.Tip().Height)
		}
	}
}

// reorg reorganises the chain and has the relay follow.
func (r *toldRelay) reorg(t *testing.T, depth uint32) {
	t.Helper()
	change, err := r.chain.work.reorg(depth)
	if err != nil {
		t.Fatal(err)
	}
	r.chain.work.switchTo(change)
	r.follow(t, r.chain.Tip())
}

// A relay follows the chain over reorganisations, and where it cannot, after a period and
// below its first header, there is another one.
func TestRelay(t *testing.T) {
	r := startRelay(t)
	if s, ok := r.State(); ok {
		t.Errorf("a relay that was told of nothing is at %+v", s)
	}
	r.mine(t, 3)
	for r.mine(t, 50); ; {
		if s := <-r.moved; s.Height == 50 {
			break
		}
	}
	r.mine(t, 130)
	r.follow(t, r.chain.Tip()) // it knows
	s := r.await(t)
	if s.Height != 130 || s.Bitcoin != 130 || s.Behind != 0 || s.Relays != 1 || s.First != 1 || s.ChainID != 1337 || s.Headers < 1 || s.Gas < 100_000 || s.Block == 0 || s.Took <= 0 || s.Took > time.Minute {
		t.Errorf("after the first blocks: %+v", s)
	}
	for depth := range uint32(8) {
		r.reorg(t, depth+1)
		if s = r.await(t); s.Height != 131+depth || s.Relays != 1 || s.Headers != int(depth)+2 {
			t.Errorf("after a reorganisation of %d: %+v", depth+1, s)
		}
	}
	r.mine(t, 2015)
	if s = r.await(t); s.Height != 2015 || s.Relays != 1 {
		t.Errorf("at the end of a period: %+v", s)
	}
	old := s.Address
	r.mine(t, 2016)
	if s = r.await(t); s.Height != 2016 || s.Relays != 2 || s.First != 2016 || s.Address == old || s.Headers != 0 || s.Gas != 0 {
		t.Errorf("at the first block of a period: %+v", s)
	}
	r.mine(t, 2020)
	if s = r.await(t); s.Height != 2020 || s.Relays != 2 {
		t.Errorf("in the second period: %+v", s)
	}
	r.reorg(t, 4)
	if s = r.await(t); s.Height != 2021 || s.Relays != 2 {
		t.Errorf("after a reorganisation down to the first header: %+v", s)
	}
	r.reorg(t, 7)
	if s = r.await(t); s.Height != 2022 || s.Relays != 3 || s.First != 2016 {
		t.Errorf("after a reorganisation below the first header: %+v", s)
	}

	resp, err := http.Post(r.url, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.Body.Close(); err != nil || !strings.Contains(string(body), `"0x539"`) {
		t.Errorf("its chain says %s, %v", body, err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := http.Post(r.url, "application/json", strings.NewReader("{}")); err == nil {
		t.Error("its chain still answers")
	}
	// Nobody tells it any more.
	b, err := r.chain.Mine(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.follow(t, b)
	if s, ok := r.State(); !ok || s.Height != 2022 || s.Bitcoin != 2023 || s.Behind != 1 {
		t.Errorf("a block later: %+v", s)
	}
	r.reorg(t, 2)
	if s, ok := r.State(); !ok || s.Height != 2022 || s.Bitcoin != 2024 || s.Behind != 3 {
		t.Errorf("after a reorganisation that it was not told of: %+v", s)
	}
}

// What cannot be followed is an error, and so is a relay that refuses.
func TestRelayFails(t *testing.T) {
	r, err := NewRelay(RelayConfig{Period: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c := NewChain(1)
	if _, err := c.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	if err := r.Follow(c.Tip()); err == nil || !strings.Contains(err.Error(), "not kept") {
		t.Errorf("a tip far above what is known: %v", err)
	}
	spoilt := &Block{Tip: Tip{Height: 1, Hash: [32]byte{1}}, Msg: c.Tip().Msg, parent: genesis()}
	if err := r.Follow(spoilt); !errors.Is(err, headers.ErrUnknownParent) {
		t.Errorf("a block that does not follow: %v", err)
	}

	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() { _ = r.chain.Run(ctx, time.Millisecond) })
	defer wg.Wait()
	defer cancel()
	c = NewChain(1)
	var told []headers.Node
	for range 3 {
		b, err := c.Mine(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Follow(b); err != nil {
			t.Fatal(err)
		}
		told = append(told, r.tree.Tip())
	}
	if err := r.advance(ctx, told[0]); err != nil {
		t.Fatal(err)
	}
	// Somebody else marks, so that the model is wrong.
	raw := func(i int) []byte { return told[i].Header[:] }
	for _, data := range [][]byte{relay.AddHeadersData(raw(0), raw(1)), relay.MarkNewHeaviestData(told[0].Hash, raw(0), raw(1), 1)} {
		if _, err := r.chain.Transact(r.account, r.at, data, 1_000_000); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.advance(ctx, told[2]); err == nil || !strings.Contains(err.Error(), "markNewHeaviest of 0 headers is reverted") {
		t.Errorf("told on a wrong best header: %v", err)
	}
	cancel()
	if err := r.advance(ctx, told[2]); !errors.Is(err, context.Canceled) {
		t.Errorf("told when all is over: %v", err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "tell the relay of block 3: ") {
		t.Errorf("it ran on a wrong best header: %v", err)
	}
	l, err = net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("served to everybody: %v", err)
	}
}

// To end while something is on its way is no error.
func TestRelayEndsMidway(t *testing.T) {
	r, err := NewRelay(RelayConfig{Period: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewChain(1).Mine(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Follow(b); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, l) }()
	// It waits once what deploys it is pending.
	call := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionCount","params":["%#x","pending"]}`, r.account.Address())
	for pending := ""; !strings.Contains(pending, `"0x1"`); {
		resp, err := http.Post("http://"+l.Addr().String(), "application/json", strings.NewReader(call))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		pending = string(body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
