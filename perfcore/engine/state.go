package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// modes are the owners as snapshots call them.
//
// Leases are fixed: they were right for what was asked of the memory then, and all
// of them together, so that none is restored.
var modes = map[Owner]snapshot.Mode{
	Engine: snapshot.Free, Operator: snapshot.Fixed, Nobody: snapshot.Isolated, Arbiter: snapshot.Fixed,
}

// state returns what a snapshot keeps. o.Resources.mu is held.
func (o *PerformanceOptimizer) state() snapshot.State {
	var s snapshot.State
	for _, k := range o.Resources.knobs {
		mode := modes[k.owner]
		if k.owner == Operator && k.why == whyPinned {
			mode = snapshot.Pinned
		}
		s.Knobs = append(s.Knobs, snapshot.Knob{Name: k.Name, Value: k.Ladder[k.incumbent], Mode: mode})
	}
	slices.SortFunc(s.Knobs, func(a, b snapshot.Knob) int { return cmp.Compare(a.Name, b.Name) })
	s.Regime = o.Resources.regime
	for _, name := range slices.Sorted(maps.Keys(o.Resources.others)) {
		r := snapshot.Regime{Name: name}
		for _, knob := range slices.Sorted(maps.Keys(o.Resources.others[name])) {
			r.Values = append(r.Values, snapshot.Value{Knob: knob, Value: o.Resources.others[name][knob].value})
		}
		s.Regimes = append(s.Regimes, r)
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	for r, t := range o.targets {
		s.Resources = append(s.Resources, snapshot.Resource{
			Type: uint64(r), Utilization: t.Utilization, Throughput: t.Throughput, Latency: int64(t.Latency), Quantile: t.Quantile,
		})
	}
	for r := range o.statuses {
		if _, ok := o.targets[r]; !ok {
			s.Resources = append(s.Resources, snapshot.Resource{Type: uint64(r)})
		}
	}
	for i := range s.Resources {
		s.Resources[i].Status = uint8(o.statuses[perfcore.ResourceType(s.Resources[i].Type)])
	}
	slices.SortFunc(s.Resources, func(a, b snapshot.Resource) int { return cmp.Compare(a.Type, b.Type) })
	return s
}

// count counts an accepted change, and tells of the incumbents. o.Resources.mu is held.
func (o *PerformanceOptimizer) count() {
	for _, k := range o.Resources.knobs {
		o.perf.values[k.Name].Set(float64(k.Ladder[k.incumbent]))
	}
	if err := o.cfg.Snapshots.Changed(o.state); err != nil {
		o.cfg.Log.Error("no snapshot was taken", "error", err)
	}
}

// keep puts snapshots into the store until ctx ends.
func (o *PerformanceOptimizer) keep(ctx context.Context) {
	if o.cfg.Store == nil {
		return
	}
	for {
		if err := o.cfg.Snapshots.Save(ctx, o.cfg.Store); err != nil && ctx.Err() == nil {
			o.cfg.Log.Error("a snapshot was not kept; it is tried again at the next one", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-o.cfg.Snapshots.Taken():
		}
	}
}

// keepTimeout is the time that the store has at the program's end.
const keepTimeout = 5 * time.Second

// keepLast takes a snapshot if something has changed since the last one, and puts
// all into the store, in time of its own.
func (o *PerformanceOptimizer) keepLast(ctx context.Context) error {
	if o.cfg.Store == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer stop()
	o.Resources.mu.Lock()
	_, err := o.cfg.Snapshots.Keep(snapshot.Ended, o.state())
	o.Resources.mu.Unlock()
	return errors.Join(err, o.cfg.Snapshots.Save(ctx, o.cfg.Store))
}

// Snapshot takes a snapshot now, whatever the count.
func (o *PerformanceOptimizer) Snapshot() (snapshot.Snapshot, error) {
	o.Resources.mu.Lock()
	defer o.Resources.mu.Unlock()
	return o.cfg.Snapshots.Take(snapshot.Asked, o.state())
}

// Preserve takes a snapshot unless the newest is of what is in force.
func (o *PerformanceOptimizer) Preserve() error {
	o.Resources.mu.Lock()
	defer o.Resources.mu.Unlock()
	_, err := o.cfg.Snapshots.Keep(snapshot.Asked, o.state())
	return err
}

// Resume takes over the snapshots that the store kept, and restores the newest
// that is valid, as Restore does, but takes no snapshot of today's state: nothing of it
// was verified. With an empty store, or none, it does nothing. It is called before the
// first Run; snapshots that had to be left are in the error, and the newest valid one is
// restored all the same.
func (o *PerformanceOptimizer) Resume(ctx context.Context) (refused []snapshot.Refusal, err error) {
	if o.cfg.Store == nil {
		return nil, nil
	}
	err = o.cfg.Snapshots.Load(ctx, o.cfg.Store)
	all := o.cfg.Snapshots.Snapshots()
	if err != nil && !errors.Is(err, snapshot.ErrInvalid) || len(all) == 0 {
		return nil, err
	}
	refused, failed := o.restoreSnapshot(ctx, all[len(all)-1].Seq, false)
	return refused, errors.Join(err, failed)
}

// Restore puts the state of a snapshot in force: values and pins, what was
// verified in other regimes, and targets; statuses follow from what is then
// measured. In another regime than the snapshot's, what it knows of that regime
// comes into force with the next slice. The snapshot is verified first, and
// its values are held against today's ladders. One of today's state is taken, and one of
// what came of it, unless the newest holds that: the newest is always what is in force.
// A knob that is pinned, and was not then, is so no more: an operator's has the snapshot's
// value, and any other goes back to who had it, as it is.
// Values that are not legal any more, knobs that are gone or isolated, and those that stay
// pinned because they were isolated then, are refused by
// name. The others are applied and read back, all or none: when one fails, an error says
// so and everything is as it was. A trial that runs is undone.
func (o *PerformanceOptimizer) Restore(ctx context.Context, seq uint64) (refused []snapshot.Refusal, err error) {
	return o.restoreSnapshot(ctx, seq, true)
}

// restoreSnapshot is Restore; back says whether there is a way back to today's state.
func (o *PerformanceOptimizer) restoreSnapshot(ctx context.Context, seq uint64, back bool) (refused []snapshot.Refusal, err error) {
	s, err := o.cfg.Snapshots.Open(seq)
	if err != nil {
		return nil, err
	}
	d := perfcore.Decision{Trigger: "restore", Verdict: perfcore.Restored, Reason: fmt.Sprintf("snapshot %d", seq)}
	d.Before, d.Moves, refused, err = o.restoreState(ctx, s, back)
	o.tellMoved()
	for _, r := range refused {
		d.Reason += "; " + r.String()
	}
	if err != nil {
		d.Before, d.Verdict, d.Reason = 0, perfcore.Aborted, fmt.Sprintf("snapshot %d was not restored: %v", seq, err)
	}
	o.decide(d)
	return refused, err
}

// restoreState puts a state in force, and returns the number of the snapshot of what was
// before, 0 without a way back, what moved, and what was refused.
func (o *PerformanceOptimizer) restoreState(ctx context.Context, s snapshot.State, back bool) (before uint64, moves []perfcore.Move, refused []snapshot.Refusal, err error) {
	targets := make(map[perfcore.ResourceType]perfcore.Targets)
	for _, r := range s.Resources {
		t := perfcore.Targets{
			Utilization: r.Utilization, Throughput: r.Throughput, Latency: time.Duration(r.Latency), Quantile: r.Quantile,
		}
		if err := t.Check(); err != nil || !perfcore.ResourceType(r.Type).IsValid() {
			return 0, nil, nil, fmt.Errorf("targets of %v: %w", perfcore.ResourceType(r.Type), cmp.Or(err, errNoResource))
		}
		if t != (perfcore.Targets{}) {
			targets[perfcore.ResourceType(r.Type)] = t
		}
	}
	m := o.Resources
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range m.readings(ctx, engines) {
		if r != nil {
			m.isolateMoved(&m.knobs[i], r)
		}
	}
	if back {
		was, err := o.cfg.Snapshots.Keep(snapshot.PreRestore, o.state())
		if err != nil {
			return 0, nil, nil, err
		}
		before = was.Seq
	}
	legal, refused := s.Validate(m.ladders())
	unpinned, stay := m.unpinned(s)
	regimes, others := s.ValidateRegimes(m.ladders())
	refused = slices.Concat(refused, stay, others)
	if moves, err = m.install(ctx, append(legal, unpinned...), o.timed(s.Regime)); err != nil {
		return 0, nil, refused, err
	}
	m.regime, m.others, m.untaken = s.Regime, make(map[string]map[string]left), nil
	for _, r := range regimes {
		m.others[r.Name] = make(map[string]left)
		for _, v := range r.Values {
			// A snapshot does not say. It matters of knobs that hasten where time does not count,
			// and travel leaves none there that was not verified.
			m.others[r.Name][v.Knob] = left{v.Value, true}
		}
	}
	o.mu.Lock()
	o.targets, o.resumed = targets, true
	clear(o.limits)
	o.judge()
	o.mu.Unlock()
	m.count()
	if _, err := o.cfg.Snapshots.Keep(snapshot.Restored, o.state()); err != nil {
		o.cfg.Log.Error("no snapshot was taken of what was restored", "error", err)
	}
	return before, moves, refused, nil
}

var errNoResource = errors.New("there is no such resource")

// ladders returns what may be restored today. m.mu is held.
func (m *ResourceManager) ladders() []snapshot.Ladder {
	all := make([]snapshot.Ladder, len(m.knobs))
	for i, k := range m.knobs {
		all[i] = snapshot.Ladder{Name: k.Name, Values: k.Ladder}
		if k.owner == Nobody {
			all[i].Refuse = "it is isolated: " + k.why
		}
	}
	return all
}

// unpinned returns the knobs that an operator has pinned and that were not pinned in s, nor
// the engine's, at the values at which they go back to who had them, and why others stay
// pinned. m.mu is held.
func (m *ResourceManager) unpinned(s snapshot.State) (back []snapshot.Knob, stay []snapshot.Refusal) {
	for _, was := range s.Knobs {
		k, err := m.find(was.Name)
		if err != nil || k.owner != Operator || k.why != whyPinned || was.Mode == snapshot.Free || was.Mode == snapshot.Pinned {
			continue
		}
		owner, _ := k.first()
		_, legal := slices.BinarySearch(k.Ladder, was.Value)
		switch {
		case was.Mode == snapshot.Isolated:
			stay = append(stay, snapshot.Refusal{Knob: k.Name, Value: was.Value, Why: "it was isolated then, and stays pinned"})
			continue
		case owner != Operator:
			was.Value = k.Ladder[k.incumbent]
		case !legal:
			stay = append(stay, snapshot.Refusal{Knob: k.Name, Value: was.Value, Why: fmt.Sprintf("it is not one of %v, and the knob stays pinned", k.Ladder)})
			continue
		}
		back = append(back, was)
	}
	return back, stay
}

// install sets knobs to values of their ladders and makes these the incumbents,
// all or none, and returns what has moved. timed: time counts in the regime that they are for.
// Where it does not, nobody knows whether a knob that hastens was promoted there or came along
// from a regime where it does, and it is taken for the latter. m.mu is held.
func (m *ResourceManager) install(ctx context.Context, want []snapshot.Knob, timed bool) ([]perfcore.Move, error) {
	m.epoch++ // a trial that runs is over
	if err := m.restoreLocked(ctx); err != nil {
		return nil, fmt.Errorf("end the trial: %w", err)
	}
	var moves []perfcore.Move
	levels := make(map[*knob]int)
	var set []*knob
	for _, w := range want {
		k, err := m.find(w.Name)
		if err != nil {
			return nil, err
		}
		level, ok := slices.BinarySearch(k.Ladder, w.Value)
		if !ok {
			return nil, fmt.Errorf("knob %s: %d is not one of %v", k.Name, w.Value, k.Ladder)
		}
		levels[k] = level
		if k.level == level && k.isAt(level, k.read(ctx)) == nil {
			continue
		}
		set = append(set, k)
		if err := k.set(ctx, level); err != nil {
			var undo error
			until := time.Now().Add(undoTimeout)
			for _, b := range slices.Backward(set) {
				undo = errors.Join(undo, m.setBack(ctx, b, b.incumbent, until))
			}
			return nil, errors.Join(err, undo)
		}
		moves = append(moves, perfcore.Move{Knob: k.Name, From: k.Ladder[k.incumbent], To: w.Value})
	}
	for _, w := range want {
		k, err := m.find(w.Name)
		if err != nil {
			return nil, err
		}
		k.incumbent, k.failures, k.drift, k.verified = levels[k], 0, "", timed || !k.Hastens
		k.owner, k.why = k.first()
		if w.Mode == snapshot.Pinned {
			k.owner, k.why = Operator, whyPinned
		}
	}
	m.away = false
	return moves, nil
}
