package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/perfcore"
)

// watch returns a monitor of the contract of an l2.
func watch(t testing.TB, l *l2, kind relay.Kind, caller Caller, node Bitcoin) *Monitor {
	t.Helper()
	m, err := New(Config{
		L2: caller, Address: relay.Address(l.address), Kind: kind, Bitcoin: node, Recorder: new(perfcore.Registry), Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// known returns the position, which must be known.
func known(t testing.TB, st *State) Position {
	t.Helper()
	if !st.Position.Known || !st.Relay.Known || !st.Bitcoin.Known || st.Position.Reason != "" {
		t.Fatalf("not known: %q, %q, %q", st.Bitcoin.Reason, st.Relay.Reason, st.Position.Reason)
	}
	return *st.Position.V
}

func TestNewRefuses(t *testing.T) {
	good := Config{L2: &fresh{}, Address: relay.Address{1}, Kind: relay.KindFull, Bitcoin: newBitcoin(trunk()[:1])}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Config){
		"no L2":      func(c *Config) { c.L2 = nil },
		"no Bitcoin": func(c *Config) { c.Bitcoin = nil },
		"no address": func(c *Config) { c.Address = relay.Address{} },
		"no kind":    func(c *Config) { c.Kind = "" },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What is stored and what is marked are told apart, and so is how far each is behind.
func TestFullRelay(t *testing.T) {
	chain := trunk()
	node := newBitcoin(chain[:beginAt+1])
	l := fullRelay(t, chain, contract.FullRelay().Creation)
	m := watch(t, l, relay.KindFull, newFresh(t, newServer(t, l)), node)
	if m.State() != nil {
		t.Error("there is a state before the first round")
	}
	p := known(t, m.Refresh(t.Context()))
	if p.LagBlocks != 0 || p.LagSeconds != 0 || p.StoredHeight != beginAt || p.MarkedHeight != beginAt || p.Wedge != Free || len(p.Outages) != 0 {
		t.Errorf("at the start: %+v", p)
	}
	if want := (Retarget{retargetAt, 40, time.Unix(firstTime+retargetAt*spacing, 0).UTC()}); p.NextRetarget != want {
		t.Errorf("the next retarget is %+v, want %+v", p.NextRetarget, want)
	}

	node.set(chain[:retargetAt+21])
	p = known(t, m.Refresh(t.Context()))
	lag := time.Since(time.Unix(firstTime+(beginAt+1)*spacing, 0)).Seconds()
	if p.LagBlocks != 60 || p.LagSeconds < lag-5 || p.LagSeconds > lag+5 || p.StoredHeight != beginAt || p.EpochGap != 1 {
		t.Errorf("60 blocks behind: %+v", p)
	}
	for _, stored := range []int{beginAt + 1, beginAt + 7, retargetAt - 1, retargetAt, retargetAt + 20} {
		l.add(chain[:stored+1], int(p.StoredHeight)+1, stored)
		p = known(t, m.Refresh(t.Context()))
		if int(p.StoredHeight) != stored || p.MarkedHeight != beginAt || p.LagBlocks != 60 {
			t.Errorf("stored up to %d: %+v", stored, p)
		}
	}
	l.must(mark(beginAt, chain[:beginAt+1], chain[:retargetAt+1]))
	p = known(t, m.Refresh(t.Context()))
	if p.MarkedHeight != retargetAt || p.StoredHeight != retargetAt+20 || p.LagBlocks != 20 || p.EpochGap != 0 || p.ForkDepth != 0 {
		t.Errorf("marked: %+v", p)
	}
	if p.Wedge != Exposed { // its difficulty is 0, and the retarget is near below
		t.Errorf("the wedge is %q", p.Wedge)
	}
	// The node is behind the relay.
	node.set(grown(chain[:retargetAt-10], 1, 0))
	m2 := watch(t, l, relay.KindFull, m.cfg.L2, node)
	p = known(t, m2.Refresh(t.Context()))
	if p.Ahead != 10 || p.ForkDepth != 0 || p.LagBlocks != 0 || int(p.MarkedHeight) != retargetAt-10 {
		t.Errorf("ahead of the node: %+v", p)
	}
	r := m2.State().Relay.V
	if r.Full.MarkedHeight != retargetAt || r.Full.Marked != chain[retargetAt].Hash() || r.Full.LastReorg != chain[beginAt].Hash() || int(r.Block.Number) != l.height() {
		t.Errorf("the reading is %+v of %v", r.Full, r.Block)
	}
}

// The relay knows how many headers of a long chain: few questions find out.
func TestStoredFarBehind(t *testing.T) {
	chain := trunk()
	l := newL2(t, append(contract.FullRelay().Creation, relay.ConstructorData(chain[interval+1][:], interval+1, chain[interval].Hash())...))
	s := newServer(t, l)
	node := newBitcoin(chain[:retargetAt])
	m := watch(t, l, relay.KindFull, newFresh(t, s), node)
	known(t, m.Refresh(t.Context()))
	at := interval + 1
	for _, stored := range []int{interval + 2, 2200, 3333, 4000, retargetAt - 1} {
		l.add(chain[:stored+1], at+1, stored)
		at = stored
		before := s.posts
		if p := known(t, m.Refresh(t.Context())); int(p.StoredHeight) != stored {
			t.Errorf("stored up to %d, not %d", stored, p.StoredHeight)
		}
		if n := s.posts - before; n > 8 {
			t.Errorf("%d exchanges for %d", n, stored)
		}
	}
}

// depths are how deep reorganisations are: 1 to 20, or some of these where tests are to be
// short.
func depths() (all []int) {
	for depth := 1; depth <= 20; depth++ {
		if !testing.Short() || depth < 3 || depth == 11 || depth == 20 {
			all = append(all, depth)
		}
	}
	return all
}

// Bitcoin reorganises 1 to 20 deep, with the retarget at every place of the branch. The
// depth is seen, and whether the contract can follow, which it shows then.
func TestForks(t *testing.T) {
	for _, depth := range depths() {
		for _, tip := range []int{retargetAt - 2, retargetAt - 1, retargetAt, retargetAt + depth - 1, retargetAt + depth, retargetAt + 30} {
			chain := trunk()[:tip+1]
			node := newBitcoin(chain)
			l := fullRelay(t, chain, contract.FullRelayWithVerify().Creation)
			l.add(chain, beginAt+1, tip)
			l.must(mark(beginAt, chain[:beginAt+1], chain))
			m := watch(t, l, relay.KindFullWithVerify, newFresh(t, newServer(t, l)), node)
			if p := known(t, m.Refresh(t.Context())); p.LagBlocks != 0 || p.ForkDepth != 0 {
				t.Fatalf("before the fork: %+v", p)
			}
			ancestor := tip - depth
			other := grown(chain[:ancestor+1], depth+1, 5)
			node.set(other)
			p := known(t, m.Refresh(t.Context()))
			if int(p.ForkDepth) != depth || int(p.MarkedHeight) != ancestor || int(p.LagBlocks) != depth+1 || int(p.StoredHeight) != ancestor {
				t.Fatalf("%d deep at %d: %+v", depth, tip, p)
			}
			if len(p.Outages) != 2 || p.Outages[0].Kind != Forked || int(p.Outages[0].From) != ancestor+1 || !p.Outages[0].Active {
				t.Errorf("%d deep at %d, outages: %+v", depth, tip, p.Outages)
			}
			l.add(other, ancestor+1, tip+1)
			if p := known(t, m.Refresh(t.Context())); int(p.StoredHeight) != tip+1 || int(p.ForkDepth) != depth {
				t.Fatalf("%d deep at %d, stored: %+v", depth, tip, p)
			}
			err := l.send(mark(ancestor, chain, other))
			if wedged := p.Wedge == Wedged; wedged != (err != nil) {
				t.Errorf("%d deep at %d: the wedge is %q, and the contract says %v", depth, tip, p.Wedge, err)
			}
			if err == nil {
				if p := known(t, m.Refresh(t.Context())); p.ForkDepth != 0 || p.LagBlocks != 0 || int(p.MarkedHeight) != tip+1 {
					t.Errorf("%d deep at %d, followed: %+v", depth, tip, p)
				}
			}
		}
	}
}

// The L2 reorganises 1 to 20 deep while the relay is told of blocks around a retarget, one a
// block. What was read in blocks that are no more is forgotten.
func TestL2Reorganises(t *testing.T) {
	chain := trunk()
	for _, depth := range depths() {
		for _, missed := range []int{0, 1, 3} { // rounds that do not see every block
			l := fullRelay(t, chain, contract.FullRelay().Creation)
			l.add(chain, beginAt+1, retargetAt-12)
			s := newServer(t, l)
			pool := newFresh(t, s)
			m := watch(t, l, relay.KindFull, pool, newBitcoin(chain[:retargetAt+41]))
			stored := retargetAt - 12
			for stored < retargetAt+12 {
				l.add(chain, stored+1, stored+1)
				stored++
				if missed == 0 || stored%(missed+1) == 0 {
					known(t, m.Refresh(t.Context()))
				}
			}
			if p := known(t, m.Refresh(t.Context())); int(p.StoredHeight) != stored {
				t.Fatalf("stored up to %d, not %d", stored, p.StoredHeight)
			}
			// As high, one higher, or more; nobody answers about the state.
			l.reorganise(depth, depth+missed)
			s.set(func(s *server) {
				s.call = func(c rpcCall) (any, error, bool) {
					return nil, &rpcError{code: -32005, message: "limit exceeded"}, c.Method == "eth_call"
				}
			})
			st := m.Refresh(t.Context())
			if st.Reorganisations != 1 || st.Relay.Known || st.Position.Known || st.Relay.V != nil || st.Position.V != nil {
				t.Fatalf("%d deep: what was read in a block that is no more is kept: %+v", depth, st)
			}
			s.set(func(s *server) { s.call = nil })
			pool.renew(t)
			if p := known(t, m.Refresh(t.Context())); int(p.StoredHeight) != stored-depth {
				t.Fatalf("%d deep: stored up to %d, want %d", depth, p.StoredHeight, stored-depth)
			}
			if st := m.State(); st.Reorganisations != 1 || int(st.Relay.V.Block.Number) != l.height() {
				t.Errorf("%d deep: %+v", depth, st)
			}
		}
	}
}

// A node that is behind does not make the relay go back, and one that hangs there makes it
// unknown in time.
func TestNodeBehind(t *testing.T) {
	chain := trunk()
	l := fullRelay(t, chain, contract.FullRelay().Creation)
	s := newServer(t, l)
	m := watch(t, l, relay.KindFull, newFresh(t, s), newBitcoin(chain[:beginAt+6]))
	for i := range 5 {
		l.add(chain, beginAt+1+i, beginAt+1+i)
		known(t, m.Refresh(t.Context()))
	}
	s.set(func(s *server) { s.lag = 3 })
	m.cfg.MaxAge = time.Hour
	if p := known(t, m.Refresh(t.Context())); p.StoredHeight != beginAt+5 {
		t.Errorf("by a node that is behind, stored is %d", p.StoredHeight)
	}
	if at := m.State().Relay.V.Block.Number; int(at) != l.height() {
		t.Errorf("read at %d", at)
	}
	m.cfg.MaxAge = time.Nanosecond
	st := m.Refresh(t.Context())
	if st.Relay.Known || st.Position.Known || st.Position.V == nil || st.Position.V.StoredHeight != beginAt+5 || st.Position.Age <= 0 {
		t.Errorf("by a node that stays behind: %+v", st.Position)
	}
	if !strings.Contains(st.Relay.Reason, "the nodes are at block") {
		t.Errorf("the reason is %q", st.Relay.Reason)
	}
	if st.Reorganisations != 0 {
		t.Error("a node that is behind is taken for a reorganisation")
	}
	// Of a block that was never seen nobody knows whether it is of the same chain.
	clear(m.seen)
	if st = m.Refresh(t.Context()); st.Relay.Known || !strings.Contains(st.Relay.Reason, "whether it reorganised is not known") {
		t.Errorf("the reason is %q", st.Relay.Reason)
	}
	s.set(func(s *server) { s.lag = 0 })
	known(t, m.Refresh(t.Context()))
}

// What cannot be asked has a reason, keeps what was known last, and its age.
func TestUnknown(t *testing.T) {
	chain := trunk()
	l := fullRelay(t, chain, contract.FullRelay().Creation)
	s := newServer(t, l)
	node := newBitcoin(chain[:beginAt+1])
	pool := newFresh(t, s)
	m := watch(t, l, relay.KindFull, pool, node)

	s.set(func(s *server) {
		s.call = func(rpcCall) (any, error, bool) { return nil, &rpcError{code: 429, message: "slow down"}, true }
	})
	st := m.Refresh(t.Context())
	if st.Bitcoin.Known || st.Relay.Known || st.Position.Known || st.Position.V != nil || !st.Position.At.IsZero() || st.Bitcoin.Reason != errBegin.Error() {
		t.Errorf("nothing was ever read: %+v", st)
	}
	s.set(func(s *server) { s.call = nil })
	pool.renew(t)
	known(t, m.Refresh(t.Context()))
	node.down(func() error { return errDown })
	st = m.Refresh(t.Context())
	if st.Bitcoin.Known || !st.Relay.Known || st.Position.Known || st.Position.V == nil || !strings.Contains(st.Bitcoin.Reason, errDown.Error()) {
		t.Errorf("without Bitcoin: %+v", st)
	}
	first := st.Bitcoin.Age
	if st = m.Refresh(t.Context()); st.Bitcoin.Age <= first || st.Bitcoin.V == nil || st.Bitcoin.V.Height != beginAt {
		t.Errorf("what was known last is of an age of %v, %v before", st.Bitcoin.Age, first)
	}
	node.down(nil)

	for _, tt := range []struct {
		name, want string
		answer     func(c rpcCall) (any, error, bool)
	}{
		{"no contract", errNoContract.Error(), func(rpcCall) (any, error, bool) { return "0x", nil, true }},
		{"half a word", errForm.Error(), func(rpcCall) (any, error, bool) { return "0x1234", nil, true }},
		{"two words", errForm.Error(), func(rpcCall) (any, error, bool) { return "0x" + strings.Repeat("00", 64), nil, true }},
		{"no hex", errForm.Error(), func(rpcCall) (any, error, bool) { return "0x" + strings.Repeat("0g", 32), nil, true }},
		{"no prefix", errForm.Error(), func(rpcCall) (any, error, bool) { return strings.Repeat("00", 32), nil, true }},
		{"a number", errForm.Error(), func(rpcCall) (any, error, bool) { return 7, nil, true }},
		{"a revert without a word", "reverted", func(rpcCall) (any, error, bool) {
			return nil, &rpcError{code: 3, message: "execution reverted: Unknown block"}, true
		}},
		{"another kind", "of another kind", func(rpcCall) (any, error, bool) { return nil, reverts("Not ready"), true }},
		{"no block", "unknown block", func(rpcCall) (any, error, bool) {
			return nil, &rpcError{code: -32000, message: "header not found"}, true
		}},
		{"a height beyond all", "more than", func(c rpcCall) (any, error, bool) { return "0x" + strings.Repeat("ff", 32), nil, true }},
	} {
		pool.renew(t)
		m := watch(t, l, relay.KindFull, pool, node)
		s.set(func(s *server) {
			s.call = func(c rpcCall) (any, error, bool) {
				if c.Method != "eth_call" {
					return nil, nil, false
				}
				return tt.answer(c)
			}
		})
		if st := m.Refresh(t.Context()); st.Relay.Known || st.Position.Known || !strings.Contains(st.Relay.Reason, tt.want) {
			t.Errorf("%s: %v, %q", tt.name, st.Relay.Known, st.Relay.Reason)
		}
		s.set(func(s *server) { s.call = nil })
	}
}

// reverts is a revert with a reason.
func reverts(reason string) *rpcError {
	padded := reason + strings.Repeat("\x00", (32-len(reason)%32)%32)
	w, n := wordOf(32), wordOf(uint64(len(reason)))
	return &rpcError{code: 3, message: "execution reverted: " + reason, data: slices.Concat([]byte{0x08, 0xc3, 0x79, 0xa0}, w[:], n[:], []byte(padded))}
}

// Only findHeight's own words say that a header is not there; what else it may answer about
// headers makes the position unknown.
func TestAnswersAboutHeaders(t *testing.T) {
	chain := trunk()
	l := fullRelay(t, chain, contract.FullRelay().Creation)
	l.add(chain, beginAt+1, beginAt+5)
	s := newServer(t, l)
	node := newBitcoin(chain[:beginAt+6])
	// ours is the place of the question about a height.
	digestAt := func(height int) string { h := chain[height].Hash(); return fmt.Sprintf("%x", h[:]) }
	for _, tt := range []struct {
		name, want string
		height     int
		result     any
		err        error
	}{
		{"its words", "", beginAt + 5, nil, reverts("Unknown block")},
		{"other words", "findHeight: reverted: Unknown header", beginAt + 5, nil, reverts("Unknown header")},
		{"another height", "was begun with a wrong height", beginAt + 4, fmt.Sprintf("0x%064x", 5), nil},
		{"a gap", "and not all below it", beginAt + 2, nil, reverts("Unknown block")},
	} {
		s.set(func(s *server) {
			s.call = func(c rpcCall) (any, error, bool) {
				mine := c.Method == "eth_call" && strings.Contains(string(c.Params[0]), "60b5c390"+digestAt(tt.height))
				return tt.result, tt.err, mine
			}
		})
		m := watch(t, l, relay.KindFull, newFresh(t, s), node)
		st := m.Refresh(t.Context())
		if st.Position.Known != (tt.want == "") || !strings.Contains(st.Position.Reason, tt.want) || !st.Relay.Known {
			t.Errorf("%s: %v, %q", tt.name, st.Position.Known, st.Position.Reason)
		}
		if st.Position.Known && st.Position.V.StoredHeight != beginAt+4 {
			t.Errorf("%s: %d", tt.name, st.Position.V.StoredHeight)
		}
	}
	// A chain of another network has no header of the relay's.
	s.set(func(s *server) { s.call = nil })
	other := newBitcoin(grown(nil, beginAt+6, 77))
	m := watch(t, l, relay.KindFull, newFresh(t, s), other)
	if st := m.Refresh(t.Context()); st.Position.Known || !strings.Contains(st.Position.Reason, "different networks") {
		t.Errorf("of another network: %+v", st.Position)
	}
}

// A relay is told of a retarget as soon as it can be, or is not, or is of another chain.
func TestLightRelay(t *testing.T) {
	const length = 5
	chain := trunk()
	// Its difficulties are all 0: a chain that has others is told by its first header.
	node := newBitcoin(chain[:beginAt+1])
	l := lightRelay(t, chain, length)
	m := watch(t, l, relay.KindLight, newFresh(t, newServer(t, l)), node)
	p := known(t, m.Refresh(t.Context()))
	r := m.State().Relay.V.Light
	if !r.Ready || r.AuthorizationRequired || r.ProofLength != length || r.GenesisEpoch != 1 || r.CurrentEpoch != 1 {
		t.Errorf("the reading is %+v", r)
	}
	expected := func(height int) time.Time { return time.Unix(firstTime+int64(height)*spacing, 0).UTC() }
	want := Outage{Kind: Retargeting, From: retargetAt, Begins: expected(retargetAt), Ends: expected(retargetAt + length - 1)}
	check := func(when string, p Position, active bool, lag uint32, ends time.Time) {
		t.Helper()
		want.Active, want.Ends = active, ends
		got := p.Outages[0]
		got.Why = ""
		if len(p.Outages) != 1 || got != want || p.LagBlocks != lag || !p.Agrees || p.Due != retargetAt+length-1 {
			t.Errorf("%s: %+v, want %+v", when, p, want)
		}
	}
	check("before", p, false, 0, want.Ends)
	ends := want.Ends
	node.set(chain[:retargetAt])
	check("at the last block", known(t, m.Refresh(t.Context())), false, 0, ends)
	node.set(chain[:retargetAt+1])
	p = known(t, m.Refresh(t.Context()))
	check("at the boundary", p, true, 0, ends)
	if p.EpochGap != 1 || p.LagSeconds != 0 {
		t.Errorf("at the boundary: %+v", p)
	}
	node.set(chain[:retargetAt+length-1])
	check("one before it is due", known(t, m.Refresh(t.Context())), true, 0, ends)
	node.set(chain[:retargetAt+length])
	p = known(t, m.Refresh(t.Context()))
	check("due", p, true, 1, time.Time{})
	if lag := time.Since(expected(retargetAt + length - 1)).Seconds(); p.LagSeconds < lag-5 || p.LagSeconds > lag+5 {
		t.Errorf("it could be told for %v s, not %v", lag, p.LagSeconds)
	}
	node.set(chain[:retargetAt+length+9])
	check("overdue", known(t, m.Refresh(t.Context())), true, 10, time.Time{})
	var raw []byte
	for _, h := range chain[retargetAt-length : retargetAt+length] {
		raw = append(raw, h[:]...)
	}
	// The contract keeps 224 bits of a target, which no header of a test's mining meets.
	if err := l.send(relay.RetargetData(raw)); err == nil {
		t.Error("the contract takes a target of more than 224 bits; then this test can go on")
	}

	node.set(chain[:interval])
	behind := watch(t, l, relay.KindLight, m.cfg.L2, node)
	if st := behind.Refresh(t.Context()); st.Position.Known || !strings.Contains(st.Position.Reason, "the node is behind") {
		t.Errorf("a node below the relay's epoch: %+v", st.Position)
	}
	idle := newL2(t, contract.LightRelay().Creation)
	m = watch(t, idle, relay.KindLight, newFresh(t, newServer(t, idle)), newBitcoin(chain[:beginAt+1]))
	p = known(t, m.Refresh(t.Context()))
	if len(p.Outages) != 1 || p.Outages[0].Kind != Mismatch || !p.Outages[0].Active || !strings.Contains(p.Outages[0].Why, "genesis") {
		t.Errorf("not begun: %+v", p)
	}
}

// A kind that the contract is not of is a reason, not a state.
func TestOtherKind(t *testing.T) {
	chain := trunk()
	node := newBitcoin(chain[:beginAt+1])
	full, light := fullRelay(t, chain, contract.FullRelay().Creation), lightRelay(t, chain, 5)
	for _, m := range []*Monitor{
		watch(t, full, relay.KindLight, newFresh(t, newServer(t, full)), node),
		watch(t, light, relay.KindFull, newFresh(t, newServer(t, light)), node),
	} {
		if st := m.Refresh(t.Context()); st.Relay.Known || st.Position.Known || st.Relay.Reason == "" {
			t.Errorf("of another kind: %+v", st)
		}
	}
}

// Rounds go on until they are told to stop, and the newest state is there.
func TestRun(t *testing.T) {
	chain := trunk()
	l := fullRelay(t, chain, contract.FullRelay().Creation)
	m := watch(t, l, relay.KindFull, newFresh(t, newServer(t, l)), newBitcoin(chain[:beginAt+2]))
	m.cfg.Interval = func() time.Duration { return time.Millisecond }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	defer running.Wait()
	defer cancel()
	l.add(chain, beginAt+1, beginAt+1)
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
		if st := m.State(); st != nil && st.Position.Known && st.Position.V.StoredHeight == beginAt+1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the state stays %+v", m.State())
		}
	}
}

// What a node does not have the block for is asked of another.
func TestOtherNodeHasBlock(t *testing.T) {
	chain := trunk()
	l := fullRelay(t, chain, contract.FullRelay().Creation)
	lacks, slow := newServer(t, l), newServer(t, l)
	asked := 0
	lacks.set(func(s *server) {
		s.call = func(c rpcCall) (any, error, bool) {
			if c.Method != "eth_call" {
				return nil, nil, false
			}
			lacks.set(func(*server) { asked++ })
			return nil, &rpcError{code: -32000, message: "header not found"}, true
		}
	})
	slow.set(func(s *server) {
		s.exchange = func(http.ResponseWriter, *http.Request, []byte) bool {
			<-time.After(10 * time.Millisecond) // so that the other is asked first
			return false
		}
	})
	m := watch(t, l, relay.KindFull, newFresh(t, lacks, slow), newBitcoin(chain[:beginAt+3]))
	for range 5 {
		known(t, m.Refresh(t.Context()))
		l.reorganise(0, 1)
	}
	lacks.set(func(*server) {
		if asked == 0 {
			t.Error("the node that lacks the block was not asked: that says nothing")
		}
	})
}
