package heap

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore/engine"
)

const mib = 1 << 20

// A script of readings, a second apart, and the limit behind each.
func TestLaw(t *testing.T) {
	calm := reading{live: 100 * mib, other: 10 * mib, share: 1}
	with := func(change func(*reading)) reading {
		r := calm
		change(&r)
		return r
	}
	type step struct {
		r       reading
		after   time.Duration // since the step before
		limit   float64       // MiB
		trouble string
	}
	for _, tt := range []struct {
		name    string
		ceiling int64
		steps   []step
	}{
		{"nothing else", math.MaxInt64, []step{{calm, 0, 920, ""}}},
		{"caches outside", math.MaxInt64, []step{
			{with(func(r *reading) { r.declared = 300 * mib }), 0, 620, ""},
			// They were there a moment ago, and may come again.
			{with(func(r *reading) { r.declared = 0 }), time.Second, 920 - 300*(1-1.0/256), ""},
		}},
		{"nobody declared them", math.MaxInt64, []step{
			{with(func(r *reading) { r.declared, r.seen = 100*mib, 250*mib }), 0, 670, ""},
		}},
		{"a part of the room", math.MaxInt64, []step{{with(func(r *reading) { r.share = 0.5 }), 0, 460, ""}}},
		{"a headroom", math.MaxInt64, []step{
			{with(func(r *reading) { r.headroom = 200 * mib }), 0, 310, ""},
			{with(func(r *reading) { r.headroom, r.live = 200*mib, 400*mib }), time.Second, 610, ""},
			{with(func(r *reading) { r.headroom = 2000 * mib }), time.Second, 920, ""},
		}},
		{"too little headroom is no trouble", math.MaxInt64, []step{
			{with(func(r *reading) { r.headroom = mib }), 0, 100*1.25 + 16 + 10, ""},
		}},
		{"the operator's limit", 400 * mib, []step{{calm, 0, 400, ""}}},
		{"no room", math.MaxInt64, []step{
			{with(func(r *reading) { r.live, r.declared = 600*mib, 300*mib }), 0, 600*1.25 + 16 + 10, "may use more than its 1000 MiB"},
		}},
		{"a storm", math.MaxInt64, []step{
			{with(func(r *reading) { r.declared, r.gc, r.held = 700*mib, 0.3, true }), 0, 220 * 1.1, "30 % of the processor"},
			{with(func(r *reading) { r.declared = 700 * mib }), 59 * time.Second, 220 * 1.1, "30 % of the processor"},
			{with(func(r *reading) { r.declared = 700 * mib }), time.Second, 220, ""},
		}},
		{"a storm takes half of the reserve at most", math.MaxInt64, []step{
			{with(func(r *reading) { r.gc, r.held = 0.3, true }), 0, 960, "30 %"},
		}},
		{"a busy collector, and not for the limit", math.MaxInt64, []step{{with(func(r *reading) { r.gc = 0.5 }), 0, 920, ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := law{limit: 1000 * mib, ceiling: tt.ceiling, reserve: 0.08}
			at := time.Unix(1, 0)
			for i, s := range tt.steps {
				at = at.Add(s.after)
				s.r.at = at
				limit, trouble := l.next(s.r)
				if math.Abs(float64(limit)/mib-s.limit) > 0.001 {
					t.Errorf("step %d: %.3f MiB, want %.3f", i, float64(limit)/mib, s.limit)
				}
				if (trouble == "") != (s.trouble == "") || !strings.Contains(trouble, s.trouble) {
					t.Errorf("step %d: trouble %q, want %q", i, trouble, s.trouble)
				}
			}
		})
	}
}

// Whatever the law is shown: without trouble Go's part and the others' together
// leave the reserve free, and with it half; what is live always fits.
func TestLawIsSafe(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		l := law{limit: 64*mib + r.Int64N(8<<30), ceiling: math.MaxInt64, reserve: 0.01 + 0.4*r.Float64()}
		at := time.Unix(1, 0)
		for range 50 {
			at = at.Add(time.Duration(r.Int64N(int64(time.Minute))))
			in := reading{
				at: at, declared: r.Int64N(l.limit), seen: r.Int64N(l.limit), live: r.Int64N(l.limit), other: r.Int64N(50 * mib),
				gc: r.Float64(), held: r.IntN(2) == 0, share: float64(shares[r.IntN(len(shares))]) / 100,
			}
			limit, trouble := l.next(in)
			off := max(in.declared, in.seen)
			switch {
			case limit < in.live+leastBytes:
				t.Fatalf("%+v: %d bytes are fewer than live", in, limit)
			case trouble == "" && float64(limit+off) > float64(l.limit)*(1-l.reserve)+1:
				t.Fatalf("%+v: %d bytes of %d, and nobody is told", in, limit+off, l.limit)
			case strings.Contains(trouble, "lifted") && float64(limit+off) > float64(l.limit)*(1-l.reserve/2)+1:
				t.Fatalf("%+v: lifted to %d bytes of %d", in, limit+off, l.limit)
			}
		}
	}
}

// newGovernor returns a governor of this process, which is released in the end.
func newGovernor(t *testing.T, cfg Config) *Governor {
	t.Helper()
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Release()
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	return g
}

// The runtime's own limit follows what others take, and goes back in the end.
func TestGovernor(t *testing.T) {
	offHeap := int64(0)
	g := newGovernor(t, Config{Limit: 4 << 30, OffHeap: func() int64 { return offHeap }})
	for _, off := range []int64{0, 1 << 30, 2 << 30} {
		offHeap = off
		if err := g.Step(); err != nil {
			t.Fatal(err)
		}
		want := int64(4<<30)*92/100 - off
		if got := debug.SetMemoryLimit(-1); got < want-2 || got > want+2 {
			t.Errorf("with %d bytes outside the limit is %d, want %d", off, got, want)
		}
	}
	if g.Alarm() != "" {
		t.Errorf("alarm %q", g.Alarm())
	}
	g.Release()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("released, the limit is %d", got)
	}
}

// What the process has in no file, and is not Go's, counts undeclared; what is declared
// too counts once, and where that is not told it is all that counts.
func TestAnonymous(t *testing.T) {
	for _, tt := range []struct {
		declared, there int64
		told            bool
		want            int64
	}{
		{0, 1 << 30, true, 1 << 30},
		{600 * mib, 1 << 30, true, 1 << 30},
		{1 << 30, 600 * mib, true, 1 << 30},
		{600 * mib, 1 << 30, false, 600 * mib},
	} {
		g := newGovernor(t, Config{
			Limit: 4 << 30, OffHeap: func() int64 { return tt.declared },
			Anonymous: func() (int64, bool) { return read().used + tt.there, tt.told },
		})
		if err := g.Step(); err != nil {
			t.Fatal(err)
		}
		if off := int64(g.law.offHeap); off < tt.want-64*mib || off > tt.want+64*mib {
			t.Errorf("of %d MiB, told %v, and %d declared, %d MiB are outside", tt.there/mib, tt.told, tt.declared/mib, off/mib)
		}
	}
}

// A limit that somebody else sets is theirs.
func TestForeign(t *testing.T) {
	g := newGovernor(t, Config{Limit: 4 << 30})
	if err := g.Step(); err != nil {
		t.Fatal(err)
	}
	debug.SetMemoryLimit(3 << 30)
	for range 2 {
		if err := g.Step(); !errors.Is(err, ErrForeign) {
			t.Errorf("Step: %v", err)
		}
	}
	if k := g.Knobs()[1]; !errors.Is(k.Set(t.Context(), 50), ErrForeign) || k.Read() != 100 {
		t.Errorf("a share that cannot be set is %d", k.Read())
	}
	g.Release()
	if got := debug.SetMemoryLimit(-1); got != 3<<30 {
		t.Errorf("the limit is %d, and was somebody else's", got)
	}
}

// The optimizer takes the knobs; GOGC is its own, wherever it stood.
func TestKnobs(t *testing.T) {
	debug.SetGCPercent(100)
	for _, before := range []int{100, 137} {
		g := newGovernor(t, Config{Limit: 4 << 30})
		debug.SetGCPercent(before)
		g.percent = int64(before)
		m, err := engine.NewResourceManager(g.Knobs())
		if err != nil {
			t.Fatal(err)
		}
		states := m.Knobs()
		if states[0].Owner != engine.Engine || states[0].Incumbent != int64(before) || states[1].Owner != engine.Operator {
			t.Errorf("owners %v, %v; GOGC %d", states[0].Owner, states[1].Owner, states[0].Incumbent)
		}
		if err := errors.Join(m.Pin(t.Context(), "go.gogc", 300), m.Pin(t.Context(), "go.memlimit", 50)); err != nil {
			t.Fatal(err)
		}
		if got := debug.SetGCPercent(300); got != 300 {
			t.Errorf("GOGC is %d", got)
		}
		if got, want := debug.SetMemoryLimit(-1), int64(4<<30)*46/100; got < want-2 || got > want+2 {
			t.Errorf("half of the room is %d bytes, want %d", got, want)
		}
		if slices.Contains(percents, 137) {
			t.Error("the ladder of all was changed")
		}
	}
}

// The heap's goal stays within what the others leave, though GOGC would let it
// grow far beyond. How far a program gets ahead of the collector meanwhile is
// the runtime's matter, and the reserve is for that.
func TestLimitHolds(t *testing.T) {
	keep := make([]byte, 48*mib)
	g := newGovernor(t, Config{Limit: 256 * mib, OffHeap: func() int64 { return 100 * mib }})
	if err := g.Knobs()[0].Set(t.Context(), 600); err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory() // what other tests have left
	if goal := read().goal; goal < 300*mib {
		t.Fatalf("without a limit the goal is %d MiB: the test proves nothing", goal/mib)
	}
	if err := g.Step(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if limit := read().limit; read().goal > limit || limit > 136*mib {
		t.Errorf("the goal is %d MiB, of a limit of %d MiB", read().goal/mib, limit/mib)
	}
	runtime.KeepAlive(keep)
}

// What the headroom is set to is what the heap may have beyond what is live; GOGC
// does not raise it.
func TestHeadroomKnob(t *testing.T) {
	keep := make([]byte, 48*mib)
	g := newGovernor(t, Config{Limit: 8 << 30, Headroom: 96 * mib})
	m, err := engine.NewResourceManager(g.Knobs())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Pin(t.Context(), "go.gogc", 600); err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	for _, room := range []int64{96 * mib, 192 * mib, 48 * mib} {
		if err := m.Pin(t.Context(), "go.headroom", room); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		g.last, g.law.lifted = read(), time.Time{} // the test's own cycles are no storm
		if err := g.Step(); err != nil {
			t.Fatal(err)
		}
		now := read()
		held, least, most := g.Room()
		if want := now.live + now.other + room; now.limit < want-8*mib || now.limit > want+8*mib {
			t.Errorf("with %d MiB of headroom the limit is %d MiB, want %d", room/mib, now.limit/mib, want/mib)
		}
		if held < 0 || held > room+8*mib || least < 16*mib+12*mib || least > 60*mib || most < room/2 {
			t.Errorf("of %d MiB %d are held; %d at least, and %d at most", room/mib, held/mib, least/mib, most/mib)
		}
	}
	debug.SetMemoryLimit(3 << 30)
	k := m.Knobs()[2]
	if err := k.Set(t.Context(), 96*mib); !errors.Is(err, ErrForeign) || k.Read() != 48*mib {
		t.Errorf("with somebody else's limit: %v, at %d", err, k.Read())
	}
	runtime.KeepAlive(keep)
}

var sink []byte

// The collector's bid follows from what it did.
func TestHeadroom(t *testing.T) {
	keep := make([]byte, 48*mib)
	g := newGovernor(t, Config{Limit: 4 << 30})
	runtime.GC()
	mark := g.Now()
	for range 3 {
		for range 10_000 {
			sink = make([]byte, 4096)
		}
		runtime.GC()
	}
	h, ok := g.Headroom(mark)
	if !ok || h.Live < 48*mib || h.Live > 400*mib || h.Allocated < 100*mib/60 || !(h.Cost > 0 && h.Cost < 1000) {
		t.Errorf("headroom %+v, %v", h, ok)
	}
	if saved := h.Savings(8*mib, 10); !(saved[10] > saved[2] && saved[2] > 0 && saved[1] == 0) {
		t.Errorf("savings %v", saved)
	}
	if _, ok := g.Headroom(g.Now()); ok {
		t.Error("a bid of no time")
	}
	runtime.KeepAlive(keep)
	sink = nil
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Limit: -1}, {Limit: mib}, {Limit: 1 << 30, Reserve: 0.5}, {Limit: 1 << 30, Reserve: -1}, {Limit: 1 << 30, Settle: -1}, {Limit: 1 << 30, Headroom: -1}, {Limit: 1 << 30, Reserve: math.NaN()}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	g, err := New(Config{Limit: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Release()
	for b.Loop() {
		if err := g.Step(); err != nil {
			b.Fatal(err)
		}
	}
}
