package perf

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// faults returns a counter of the registry that raises the alert "fault" when it grows.
func faults(registry *perfcore.Registry) *perfcore.Counter {
	return registry.Counter(perfcore.Metric{
		Name: "outrider_faults_total", Help: "Faults.",
		Alert: perfcore.Alert{Name: "fault", Help: "There was a fault.", Urgent: true, Keep: time.Hour},
	})
}

// isTold checks that the fault has raised its alert, which stands, and that the webhook,
// if there is one, was told of it once.
func isTold(t *testing.T, p *Performance) {
	t.Helper()
	isFault := func(a Alert) bool { return a.Name == "fault" }
	active := p.alerts.active()
	if i := slices.IndexFunc(active, isFault); i < 0 || active[i].State == Pending || active[i].Times != 1 {
		t.Errorf("the alerts are %+v", active)
	}
	if p.webhook == nil {
		return
	}
	notices := slices.DeleteFunc(p.webhook.queued(), func(n Notice) bool { return n.Name != "fault" })
	if len(notices) != 1 || notices[0].State != Firing {
		t.Errorf("the webhook is told %+v", notices)
	}
}

// A gap is a machine in which something happens, once, between the second slice and the third.
type gap struct {
	machine
	begun int
	do    func()
}

func (g *gap) Begin() {
	if g.begun++; g.begun == 3 {
		g.do()
	}
}

// What is counted between two slices raises its alert, and is in no slice.
func TestCountedBetweenSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		bad := faults(m.registry)
		m.machine = func() collect.Source { return &gap{do: func() { bad.Add(1) }} }
		p, stop := m.start(t, Config{Mode: Observe, Webhook: "https://hooks.example/"}, 0)
		time.Sleep(15 * time.Second)
		if bad.Value() != 1 {
			t.Fatalf("%d faults were counted", bad.Value())
		}
		time.Sleep(10 * time.Second)
		isTold(t, p)
		if q, err := p.measurements(); err != nil || q.Values["faults_per_second"] != 0 {
			t.Errorf("the slice has %v faults a second, %v", q.Values["faults_per_second"], err)
		}
		time.Sleep(50 * time.Minute)
		isTold(t, p)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What was counted before a plant is followed raises its alert.
func TestCountedBeforeTheFirstSlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		faults(m.registry).Add(1)
		p, stop := m.start(t, Config{Mode: Observe, Webhook: "https://hooks.example/"}, 0)
		time.Sleep(15 * time.Second)
		isTold(t, p)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What is counted while a knob hangs raises its alert when the slice has been taken.
func TestCountedWhileAKnobHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		bad := faults(m.registry)
		var hangs atomic.Bool
		returns := make(chan struct{})
		m.leases = []perfcore.Knob{{
			Name: "plant.late", Help: "A knob of the test.", Unit: "things", Scope: perfcore.Live, Ladder: []int64{1, 2}, Carry: perfcore.Memoryless,
			Apply: func(context.Context, int64) error { return nil },
			Read: func() int64 {
				if hangs.Load() {
					bad.Add(1)
					<-returns
				}
				return 1
			},
		}}
		p, stop := m.start(t, Config{Mode: Observe, Webhook: "https://hooks.example/"}, 0)
		time.Sleep(15 * time.Second)
		hangs.Store(true)
		time.Sleep(time.Minute)
		if bad.Value() == 0 {
			t.Fatal("nobody has read the knob")
		}
		isTold(t, p)
		hangs.Store(false)
		close(returns)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What a part counts that was made when the wait for a plant had begun raises its alert,
// though the plant cannot be followed.
func TestCountedByALatePart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		p, err := New(Config{Mode: Observe, Datadir: m.dir, Registry: m.registry})
		if err != nil {
			t.Fatal(err)
		}
		p.system = m.machine
		ctx, cancel := context.WithCancel(context.Background())
		var parts sync.WaitGroup
		parts.Go(func() {
			if err := p.Run(ctx, "127.0.0.1:1", nil); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(15 * time.Second)
		bad := faults(m.registry)
		bad.Add(1)
		bad.Add(1)
		if err := p.Follow(ctx, Plant{Network: "regtest", Dir: filepath.Join("/dev/null", "perf"), Knobs: m.knobs()}); err == nil {
			t.Error("snapshots can be kept below a file")
		}
		time.Sleep(15 * time.Second)
		isTold(t, p)
		cancel()
		parts.Wait()
	})
}

// What is counted behind the last slice, also by who ends behind everybody else, raises its alert,
// of which the webhook is told, once, before the program ends.
func TestCountedAtTheEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		plant, late bool
		ends        time.Duration // that the others take
		want        []string
	}{
		"nothing":                {plant: true},
		"behind the last slice":  {plant: true, want: []string{"fault firing 1"}},
		"by who ends last":       {plant: true, late: true, ends: 5 * time.Second, want: []string{"fault firing 1"}},
		"before there is a node": {late: true, ends: 5 * time.Second, want: []string{"fault firing 1"}},
		"while somebody hangs":   {plant: true, ends: time.Minute, want: []string{"fault firing 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMill(t)
				bad := faults(m.registry)
				p, err := New(Config{Mode: Observe, Datadir: m.dir, Registry: m.registry, Webhook: "https://hooks.example/"})
				if err != nil {
					t.Fatal(err)
				}
				p.system = m.machine
				hook := &outage{up: true}
				p.webhook.client.Transport = hook
				ctx, cancel := context.WithCancel(t.Context())
				var following, running sync.WaitGroup
				counted := make(chan struct{})
				running.Go(func() {
					if err := p.Run(ctx, "127.0.0.1:1", counted); err != nil {
						t.Error(err)
					}
				})
				if tt.plant {
					following.Go(func() {
						plant := Plant{
							Network: "regtest", Dir: filepath.Join(m.dir, "regtest", "perf"), Knobs: m.knobs(),
							Behind: func() (float64, bool) { return 0, true },
						}
						if err := p.Follow(ctx, plant); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(35 * time.Second)
				if got := hook.set(true); !slices.Equal(got, []string{"outrider started 0"}) {
					t.Fatalf("before the end it was told %q", got)
				}
				if tt.want != nil && !tt.late {
					bad.Add(1)
				}
				cancel()
				following.Wait()
				time.Sleep(tt.ends)
				synctest.Wait()
				if _, err := readAddress(m.dir); err == nil {
					t.Error("whoever comes is still sent to the address")
				}
				if tt.late {
					bad.Add(1)
				}
				early := hook.set(true)
				if tt.ends > lastCounts && !slices.Equal(early, tt.want) {
					t.Errorf("while somebody hangs it was told %q, want %q", early, tt.want)
				}
				close(counted)
				running.Wait()
				if got := append(early, hook.set(true)...); !slices.Equal(got, tt.want) {
					t.Errorf("at the end it was told %q, want %q", got, tt.want)
				}
				if network := map[bool]string{true: "regtest"}[tt.plant]; tt.want != nil && hook.network != network {
					t.Errorf("it was told of the network %q, want %q", hook.network, network)
				}
			})
		})
	}
}

// A fault that is counted right behind a look is told as one in a second.
func TestCountedRightBehindALook(t *testing.T) {
	registry := new(perfcore.Registry)
	bad := faults(registry)
	looked := time.Now()
	as := &alerts{looked: looked}
	as.hold(Rules(registry.Series()))
	bad.Add(1)
	told := as.observe(looked.Add(time.Millisecond), func(string) (float64, bool) { return 0, false })
	if len(told) != 1 || told[0].Value != 1 {
		t.Errorf("it is told as %+v", told)
	}
}
