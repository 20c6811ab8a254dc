package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A lever is a knob for tests: it logs what is applied, and fails or panics
// where told to.
type lever struct {
	value  int64
	refuse map[int64]error
	panics bool // when it is applied
	blind  bool // panics when it is read
}

func (l *lever) knob(name string, log *[]string) perfcore.Knob {
	return perfcore.Knob{
		Name: name, Help: "A lever.", Unit: "notches", Scope: perfcore.Live, Carry: perfcore.Memoryless,
		Resource: perfcore.Memory, Ladder: []int64{10, 20, 30},
		Apply: func(_ context.Context, v int64) error {
			if l.panics {
				panic("the lever broke off")
			}
			if err := l.refuse[v]; err != nil {
				return err
			}
			l.value = v
			*log = append(*log, fmt.Sprintf("%s=%d", strings.TrimPrefix(name, "plant."), v))
			return nil
		},
		Read: func() int64 {
			if l.blind {
				panic("the scale broke off")
			}
			return l.value
		},
	}
}

func newLevers(t *testing.T) (*ResourceManager, []*lever, *[]string) {
	t.Helper()
	log := new([]string)
	levers := make([]*lever, 3)
	knobs := make([]perfcore.Knob, 3)
	for i := range levers {
		levers[i] = &lever{value: 20, refuse: make(map[int64]error)}
		knobs[i] = levers[i].knob("plant."+string(rune('a'+i)), log)
	}
	m, err := NewResourceManager(knobs)
	if err != nil {
		t.Fatal(err)
	}
	return m, levers, log
}

func values(levers []*lever) []int64 {
	var v []int64
	for _, l := range levers {
		v = append(v, l.value)
	}
	return v
}

var errStuck = errors.New("it is stuck")

// Several knobs move together or not at all, and go back in reverse order.
func TestApplyIsAllOrNothing(t *testing.T) {
	m, levers, log := newLevers(t)
	if err := m.apply(t.Context(), []int{0, 2, 1}, m.epoch, false); err != nil {
		t.Fatal(err)
	}
	if got, want := *log, []string{"a=10", "b=30"}; !slices.Equal(got, want) {
		t.Errorf("applied %v, want %v: a knob at its level is left alone", got, want)
	}
	*log = nil
	levers[2].refuse[30] = errStuck
	err := m.apply(t.Context(), []int{2, 0, 2}, m.epoch, false)
	if !errors.Is(err, errStuck) {
		t.Errorf("apply: %v", err)
	}
	if got, want := *log, []string{"a=30", "b=10", "c=20", "b=20", "a=20"}; !slices.Equal(got, want) {
		t.Errorf("applied %v, want %v", got, want)
	}
	if got, want := values(levers), []int64{20, 20, 20}; !slices.Equal(got, want) {
		t.Errorf("the levers are at %v, want the incumbents %v", got, want)
	}
	// Two more failures isolate it; the others go on.
	for range maxFailures - 1 {
		if err := m.apply(t.Context(), []int{1, 1, 2}, m.epoch, false); err == nil {
			t.Error("a stuck lever moves")
		}
	}
	if k := m.Knobs()[2]; k.Owner != Nobody || !strings.Contains(k.Why, "stuck") {
		t.Errorf("a lever that always fails has owner %v: %s", k.Owner, k.Why)
	}
	if err := m.apply(t.Context(), []int{0, 0, 2}, m.epoch, false); err != nil {
		t.Error(err)
	}
	if got, want := values(levers), []int64{10, 10, 20}; !slices.Equal(got, want) {
		t.Errorf("the levers are at %v, want %v", got, want)
	}
}

// A knob that cannot be set back, or panics, is isolated, and the others are
// restored all the same. One that cannot be read is not released.
func TestRestore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*lever)
		want  int64
	}{
		{"refuses", func(l *lever) { l.refuse[20] = errStuck }, 10},
		{"panics", func(l *lever) { l.panics = true }, 10},
		{"panics when it is read", func(l *lever) { l.blind = true }, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, levers, _ := newLevers(t)
			if err := m.apply(t.Context(), []int{0, 0, 0}, m.epoch, false); err != nil {
				t.Fatal(err)
			}
			tt.spoil(levers[1])
			// The way back does not depend on the context that ended.
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := m.restore(ctx); err == nil || !strings.Contains(err.Error(), "plant.b") {
				t.Errorf("restore: %v, want a word on plant.b", err)
			}
			if got, want := values(levers), []int64{20, tt.want, 20}; !slices.Equal(got, want) {
				t.Errorf("the levers are at %v, want %v", got, want)
			}
			if o := m.Knobs()[1].Owner; o != Nobody {
				t.Errorf("its owner is %v", o)
			}
			if err := m.restore(t.Context()); err != nil {
				t.Errorf("restored again: %v", err)
			}
			if err := m.Release("plant.b"); (err != nil) != levers[1].blind {
				t.Errorf("released: %v", err)
			}
		})
	}
}

func TestPromote(t *testing.T) {
	m, _, _ := newLevers(t)
	_, _, epoch := m.incumbents()
	if err := m.Pin(t.Context(), "plant.a", 10); err != nil {
		t.Fatal(err)
	}
	if m.promote([]int{2, 2, 2}, epoch) {
		t.Error("a knob changed hands, and the trial that did not know was promoted")
	}
	at, ours, epoch := m.incumbents()
	if !slices.Equal(at, []int{0, 1, 1}) || !slices.Equal(ours, []bool{false, true, true}) {
		t.Errorf("incumbents %v, ours %v", at, ours)
	}
	if !m.promote([]int{2, 2, 2}, epoch) {
		t.Error("not promoted")
	}
	if at, _, _ = m.incumbents(); !slices.Equal(at, []int{0, 2, 2}) {
		t.Errorf("incumbents %v, want the pinned one where it was", at)
	}
}

// A slice behind which a knob cannot be read isolates it, and a lease that cannot be read
// does not move.
func TestReadPanics(t *testing.T) {
	m, levers, _ := newLevers(t)
	m.Entrust([]string{"plant.c"})
	levers[1].blind, levers[2].blind = true, true
	if whys := m.foreign(t.Context()); len(whys) != 1 || !strings.Contains(whys[0], "plant.b: it cannot be read") {
		t.Errorf("left alone are %q", whys)
	}
	if err := m.Lease(t.Context(), "plant.c", 30); err == nil || levers[2].value != 20 {
		t.Errorf("leased at %d: %v", levers[2].value, err)
	}
	if a, b, c := m.knobs[0].owner, m.knobs[1].owner, m.knobs[2].owner; a != Engine || b != Nobody || c != Nobody {
		t.Errorf("the owners are %v, %v and %v", a, b, c)
	}
}

// However many regimes somebody tells, only so many are remembered; and what a
// snapshot could not hold is refused at once.
func TestBoundsOfSnapshots(t *testing.T) {
	m, _, _ := newLevers(t)
	m.settleIn("0")
	for i := range 3 * snapshot.MaxRegimes {
		m.travel(fmt.Sprint(i), func(string) bool { return true })
	}
	if len(m.others) != snapshot.MaxRegimes {
		t.Errorf("%d regimes are remembered, want %d", len(m.others), snapshot.MaxRegimes)
	}
	if m.Forget(); len(m.others) != 0 {
		t.Errorf("what was to be forgotten is %v", m.others)
	}
	var many []perfcore.Knob
	for i := range snapshot.MaxKnobs + 1 {
		many = append(many, (&lever{value: 20}).knob(fmt.Sprintf("plant.%d", i), new([]string)))
	}
	if _, err := NewResourceManager(many); err == nil {
		t.Errorf("%d knobs were taken", len(many))
	}
	if _, err := NewResourceManager(many[:snapshot.MaxKnobs]); err != nil {
		t.Error(err)
	}
	long := (&lever{value: 20}).knob("plant."+strings.Repeat("x", snapshot.MaxName), new([]string))
	if _, err := NewResourceManager([]perfcore.Knob{long}); err == nil {
		t.Error("a name too long for a snapshot was taken")
	}
}

// A trial that does not know that a knob changed hands sets nothing.
func TestApplyKnowsOwners(t *testing.T) {
	m, levers, log := newLevers(t)
	_, _, epoch := m.incumbents()
	if err := m.Pin(t.Context(), "plant.a", 10); err != nil {
		t.Fatal(err)
	}
	*log = nil
	if err := m.apply(t.Context(), []int{2, 2, 2}, epoch, false); !errors.Is(err, errOwner) {
		t.Errorf("apply: %v", err)
	}
	if got, want := values(levers), []int64{10, 20, 20}; !slices.Equal(got, want) || *log != nil {
		t.Errorf("the levers are at %v, want %v", got, want)
	}
}

// What was measured long ago counts less, so that an arm that was bad once is
// tried again.
func TestArmsAreForgotten(t *testing.T) {
	e := &thompson{rand: rand.New(rand.NewPCG(1, 1))}
	e.beliefs = [][]belief{{{}, {}, {cost: 5, pairs: 8}}}
	s := Space{At: []int{0}, Low: []int{0}, High: []int{2}, Arms: [][]int{{0, 1, 2}}}
	mean, before := e.beliefs[0][2].posterior(0)
	if mean < 4 {
		t.Errorf("an arm that cost 5 is believed to cost %.2f", mean)
	}
	for range 100 {
		y, err := e.Propose(t.Context(), s, func(plus, _ []int) (float64, error) {
			if plus[0] == 2 {
				t.Fatal("the bad arm was drawn")
			}
			return 0.02, nil
		})
		if err != nil || y[0] == 1 {
			t.Fatalf("proposed %v, %v", y, err)
		}
	}
	if _, after := e.beliefs[0][2].posterior(0); after < 1.5*before {
		t.Errorf("its cost is believed within %.3f after a hundred proposals, %.3f before", after, before)
	}
}

func TestPinAndRelease(t *testing.T) {
	m, levers, _ := newLevers(t)
	if err := errors.Join(m.Pin(t.Context(), "plant.a", 30), m.Release("plant.a"), m.Release("plant.a")); err != nil {
		t.Error(err)
	}
	if k := m.Knobs()[0]; k.Owner != Engine || k.Incumbent != 30 || levers[0].value != 30 {
		t.Errorf("released at %d with owner %v and incumbent %d", levers[0].value, k.Owner, k.Incumbent)
	}
	levers[1].refuse[10] = errStuck
	for _, err := range []error{
		m.Pin(t.Context(), "plant.x", 10), m.Pin(t.Context(), "plant.a", 15), m.Pin(t.Context(), "plant.b", 10),
		m.Release("plant.x"),
	} {
		if err == nil {
			t.Error("what cannot be done was done")
		}
	}
	if o := m.Knobs()[1].Owner; o != Engine {
		t.Errorf("a pin that failed left the owner %v", o)
	}
	if err := m.Pin(t.Context(), "plant.c", 10); err != nil {
		t.Fatal(err)
	}
	levers[2].value = 15
	if err := m.Release("plant.c"); err == nil {
		t.Error("released at a value that is not on the ladder")
	}
}

// Knobs that an experiment says nothing about are the operator's.
func TestFirstOwner(t *testing.T) {
	for _, tt := range []struct {
		scope perfcore.Scope
		carry perfcore.Carry
		want  Owner
	}{
		{perfcore.Live, perfcore.Memoryless, Engine},
		{perfcore.Live, perfcore.Warm, Engine},
		{perfcore.Live, perfcore.Stateful, Operator},
		{perfcore.Live, 0, Operator},
		{perfcore.Restart, perfcore.Memoryless, Operator},
	} {
		var log []string
		k := (&lever{value: 20}).knob("plant.a", &log)
		k.Scope, k.Carry = tt.scope, tt.carry
		m, err := NewResourceManager([]perfcore.Knob{k})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Knobs()[0].Owner; got != tt.want {
			t.Errorf("scope %d, carry %d: owner %v, want %v", tt.scope, tt.carry, got, tt.want)
		}
		if tt.want == Operator {
			if err := m.Release("plant.a"); err == nil {
				t.Errorf("scope %d, carry %d: released to the engine", tt.scope, tt.carry)
			}
		}
	}
}

// A lease is the arbiter's to move, and nobody else's but an operator's; a trial
// does not outlast it.
func TestLease(t *testing.T) {
	log := new([]string)
	levers := []*lever{{value: 20, refuse: make(map[int64]error)}, {value: 20, refuse: make(map[int64]error)}}
	stateful := levers[0].knob("plant.lease", log)
	stateful.Carry = perfcore.Stateful
	m, err := NewResourceManager([]perfcore.Knob{stateful, levers[1].knob("plant.free", log)})
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	m.changed = func() { changes++ }
	if err := m.Lease(t.Context(), "plant.lease", 30); err == nil {
		t.Error("a knob that was not entrusted is leased")
	}
	m.Entrust([]string{"plant.lease", "plant.none"})
	if k, err := m.Knob("plant.lease"); err != nil || k.Owner != Arbiter || k.Owner.String() != "arbiter" || k.Why == "" {
		t.Errorf("the knob is %+v, %v", k, err)
	}
	_, ours, epoch := m.incumbents()
	if !slices.Equal(ours, []bool{false, true}) {
		t.Errorf("the engine owns %v", ours)
	}
	if err := m.Lease(t.Context(), "plant.lease", 30); err != nil || levers[0].value != 30 || changes != 1 {
		t.Errorf("leased: %v, at %d, %d changes", err, levers[0].value, changes)
	}
	if err := m.apply(t.Context(), []int{0, 2}, epoch, true); !errors.Is(err, errOwner) {
		t.Errorf("a trial goes on: %v", err)
	}
	if err := m.apply(t.Context(), []int{0, 2}, m.epoch, true); err != nil || !slices.Equal(values(levers), []int64{30, 30}) {
		t.Errorf("a trial moves the lease: %v, %v", err, values(levers))
	}
	if err := errors.Join(m.restore(t.Context()), m.Pin(t.Context(), "plant.lease", 10)); err != nil {
		t.Error(err)
	}
	if err := m.Lease(t.Context(), "plant.lease", 20); err == nil || levers[0].value != 10 {
		t.Errorf("a pinned lease moves to %d: %v", levers[0].value, err)
	}
	if err := m.Release("plant.lease"); err != nil {
		t.Error(err)
	}
	for _, v := range []int64{11, 40} {
		if err := m.Lease(t.Context(), "plant.lease", v); err == nil {
			t.Errorf("it is leased %d", v)
		}
	}
	levers[0].refuse[20] = errStuck
	for range maxFailures {
		if err := m.Lease(t.Context(), "plant.lease", 20); !errors.Is(err, errStuck) {
			t.Errorf("a stuck lease: %v", err)
		}
	}
	if k, _ := m.Knob("plant.lease"); k.Owner != Nobody || k.Incumbent != 10 {
		t.Errorf("a lease that always fails is %+v", k)
	}
	delete(levers[0].refuse, 20)
	if err := m.Release("plant.lease"); err != nil {
		t.Error(err)
	}
	levers[0].value = 20 // by somebody else
	if err := m.Lease(t.Context(), "plant.lease", 30); err == nil || levers[0].value != 20 {
		t.Errorf("a lease that somebody else moved is set to %d: %v", levers[0].value, err)
	}
	if k, _ := m.Knob("plant.lease"); k.Owner != Nobody {
		t.Errorf("it is the %v's", k.Owner)
	}
	if _, err := m.Knob("plant.none"); err == nil {
		t.Error("there is a knob that there is not")
	}
}

// What decides about consensus or security cannot be registered.
func TestRegistrable(t *testing.T) {
	for _, name := range []string{
		"sigverify.workers", "sigverify.chunk", "sigverify.cache", "blockval.seen", "go.gogc", "plant.knob0",
		"go.headroom", "sidecar.flight", "sidecar.mempool_share", "sidecar.prefetch", "utxocache.ring", "coindb.memory", "coindb.compactions", "coindb.readers",
		"node.poll", "node.resync", "node.branches", "node.ahead", "node.calls", "utxocache.budget", "utxocache.blocks", "utxocache.bytes",
		"bitvm.claims", "bitvm.chunk", "bitvm.keys",
		"bob.l2_poll_interval", "bob.l2_batch_size", "bob.l2_hedge_delay", "bob.submit_poll_interval", "bob.l1_poll_interval", "bob.l1_hedge_delay", "bob.l1_concurrency", "bob.l2_concurrency",
	} {
		if !Registrable(name) {
			t.Errorf("%s is not registrable", name)
		}
	}
	for _, name := range []string{
		"", "sigverify", "sigverify.", "sigverify.recheck", "sigverify.enabled", "sigverify.workers.x", "blockval.scripts",
		"blockval.flags", "blockval.assumevalid", "node.policy", "mempool.minfee", "p2p.outbound", "p2p.churn", "p2p.anchors",
		"bitvm.verify", "audit.share", "xplant.knob", "plant", "bob.submit_max_fee", "bob.submit_daily_spend",
	} {
		if Registrable(name) {
			t.Errorf("%s is registrable", name)
		}
	}
	// Nor by whoever hands one over, whatever else it is.
	for what, names := range map[string][]string{
		"verification":   {"blockval.verify", "blockval.skip", "blockval.assumevalid", "sigverify.lanes.off", "bitvm.verify"},
		"script rules":   {"blockval.flags", "blockval.script", "script.flags", "blockval.activation", "blockval.weight"},
		"sampling rates": {"sigverify.recheck", "sigverify.sample", "audit.sample", "bob.sample", "blockval.sample"},
		"peer selection": {"p2p.peers", "p2p.outbound", "p2p.netgroups", "p2p.anchors", "node.peers", "node.addnode"},
	} {
		for _, name := range names {
			k := (&lever{value: 20}).knob(name, new([]string))
			if _, err := NewResourceManager([]perfcore.Knob{k}); err == nil || !strings.Contains(err.Error(), "may be optimized") {
				t.Errorf("%s: knob %s: %v", what, name, err)
			}
		}
	}
	for _, r := range registrable {
		for _, never := range []string{"verify.", "script", "flag", "peer", "p2p", "recheck", "sample", "policy", "trust"} {
			if strings.Contains(strings.TrimPrefix(r, "sigverify."), never) {
				t.Errorf("%s is in the list", r)
			}
		}
	}
}

// A loop that has stopped finds its knobs at the incumbents when it is back.
func TestSeize(t *testing.T) {
	m, levers, _ := newLevers(t)
	if seized, err := m.seize(t.Context()); seized || err != nil {
		t.Errorf("at the incumbents: %v, %v", seized, err)
	}
	if err := m.apply(t.Context(), []int{0, 0, 0}, m.epoch, false); err != nil {
		t.Fatal(err)
	}
	if seized, err := m.seize(t.Context()); !seized || err != nil {
		t.Errorf("away: %v, %v", seized, err)
	}
	if got, want := values(levers), []int64{20, 20, 20}; !slices.Equal(got, want) {
		t.Errorf("the levers are at %v, want %v", got, want)
	}
	if err := m.apply(t.Context(), []int{0, 0, 0}, m.epoch, false); !errors.Is(err, errSeized) {
		t.Errorf("the loop is not told: %v", err)
	}
	if err := m.apply(t.Context(), []int{0, 0, 0}, m.epoch, false); err != nil {
		t.Error(err)
	}
	// While a knob is being set, nobody waits for it.
	m.mu.Lock()
	done := make(chan bool)
	go func() {
		seized, _ := m.seize(t.Context())
		done <- seized
	}()
	select {
	case seized := <-done:
		if seized {
			t.Error("seized while a knob was being set")
		}
	case <-time.After(10 * time.Second):
		t.Error("seize waits")
	}
	m.mu.Unlock()
}
