package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// An Owner is who may move a knob. A knob has one at a time.
type Owner uint8

// These are the owners.
const (
	// Engine: experiments may move it.
	Engine Owner = iota + 1
	// Operator: it is pinned, or it does not say what it carries over, or its
	// changes wait for a restart.
	Operator
	// Nobody: it is isolated, for somebody else moved it or it fails.
	Nobody
	// Arbiter: it is a lease of memory, which Lease moves.
	Arbiter
)

// String returns the owner in lower case.
func (o Owner) String() string {
	switch o {
	case Engine:
		return "engine"
	case Operator:
		return "operator"
	case Nobody:
		return "nobody"
	case Arbiter:
		return "arbiter"
	}
	return fmt.Sprintf("owner(%d)", uint8(o))
}

// maxFailures in a row isolate a knob.
const maxFailures = 3

// A KnobState is a knob and who owns it.
type KnobState struct {
	perfcore.Knob
	Owner Owner
	// Why is why the engine does not own it.
	Why string
	// Incumbent is the value that has been promoted, or pinned, last.
	Incumbent int64
	// Drift is why a knob of an operator is not at its incumbent, as Inspect has seen it
	// last; "" when it is.
	Drift string
}

// A ResourceManager owns knobs: nobody else in the program may move them. It
// sets several at once or none, reads each back, and can always return to the
// incumbents, the values that were promoted. It is safe for concurrent use.
type ResourceManager struct {
	mu     sync.Mutex // guards what follows, and orders changes of knobs
	knobs  []knob
	epoch  int  // counts changes of owners, and of what else a slice's cost has its reasons in
	away   bool // some knob may not be at its incumbent
	seized bool // the loop has stopped: it may apply nothing until it is back
	// changed, if set, is called behind each accepted change, with mu held.
	changed func()
	// failed, if set, is called behind the isolation of a knob that fails, with mu held.
	failed func()
	// hangs, if set, is told how many knobs hang when that changes, one call at a time.
	hangs   func(n int)
	leashes []*leash // of the knobs
	// moved are knobs that were isolated because somebody else has moved them, a sentence
	// each, of which news has not told yet.
	moved []string
	// regime is what the incumbents are for, and others what was left behind in
	// the regimes before it, by regime and knob.
	regime string
	others map[string]map[string]left
	// untaken are values of this regime's whose knobs were not the engine's when it was
	// entered, by knob.
	untaken map[string]left
}

// A left is the incumbent value of a knob that was left behind in a regime, and whether it had
// been promoted there.
type left struct {
	value    int64
	verified bool
}

type knob struct {
	perfcore.Knob
	leash     *leash
	owner     Owner
	why       string
	incumbent int  // level
	level     int  // in force, as far as is known
	failures  int  // in a row
	verified  bool // promoted in this regime, now or before it was recalled; see install
	leased    bool
	failed    bool // isolated because it fails; nobody else moved it
	hung      bool // isolated because it hung: what is in force was not verified
	drift     string
	moves     uint64 // how often it was set to another level, or refused
}

// NewResourceManager takes over knobs at the values that they read, which must
// be on their ladders. The engine owns those that are live and say that they
// are memoryless or warm.
func NewResourceManager(knobs []perfcore.Knob) (*ResourceManager, error) {
	m := &ResourceManager{knobs: make([]knob, len(knobs))}
	var hanging int
	var counting sync.Mutex
	hung := func(hangs bool) {
		counting.Lock()
		defer counting.Unlock()
		if hangs {
			hanging++
		} else {
			hanging--
		}
		if m.hangs != nil {
			m.hangs(hanging)
		}
	}
	names := make(map[string]bool)
	for i, k := range knobs {
		if err := k.Check(); err != nil {
			return nil, err
		}
		switch {
		case len(knobs) > snapshot.MaxKnobs || len(k.Name) > snapshot.MaxName:
			return nil, fmt.Errorf("knob %.60s: there are %d, or its name is longer than a snapshot holds", k.Name, len(knobs))
		case !Registrable(k.Name):
			return nil, fmt.Errorf("knob %s: it is not one that may be optimized", k.Name)
		case names[k.Name]:
			return nil, fmt.Errorf("knob %s is there twice", k.Name)
		}
		names[k.Name] = true
		k.Ladder = slices.Clone(k.Ladder)
		level, ok := slices.BinarySearch(k.Ladder, k.Read())
		if !ok {
			return nil, fmt.Errorf("knob %s: it reads %d, which is not one of %v", k.Name, k.Read(), k.Ladder)
		}
		l := newLeash(&k, hung)
		l.last.Store(k.Ladder[level])
		m.leashes = append(m.leashes, l)
		m.knobs[i] = knob{Knob: k, leash: l, incumbent: level, level: level}
		m.knobs[i].owner, m.knobs[i].why = m.knobs[i].first()
	}
	return m, nil
}

// count counts an accepted change. m.mu is held.
func (m *ResourceManager) count() {
	if m.changed != nil {
		m.changed()
	}
}

// whyPinned is why the operator owns a knob that was pinned.
const whyPinned = "it is pinned"

// first returns who owns the knob while no operator does.
func (k *knob) first() (o Owner, why string) {
	switch {
	case k.leased:
		return Arbiter, whyLeased
	case k.Scope != perfcore.Live:
		return Operator, "its changes wait for a restart"
	case k.Carry == perfcore.Stateful:
		return Operator, "what it holds fills for hours, so taking turns says nothing about it"
	case k.Carry == 0:
		return Operator, "what it is worth is in no measure of cost, so nobody tries it"
	}
	return Engine, ""
}

// Knob returns the state of the knob of that name.
func (m *ResourceManager) Knob(name string) (KnobState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := m.find(name)
	if err != nil {
		return KnobState{}, err
	}
	return k.state(), nil
}

func (k *knob) state() KnobState {
	s := KnobState{Knob: k.Knob, Owner: k.owner, Why: k.why, Incumbent: k.Ladder[k.incumbent]}
	if k.owner == Operator {
		s.Drift = k.drift
	}
	return s
}

// Knobs returns the state of all knobs, in the order they were given.
func (m *ResourceManager) Knobs() []KnobState {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := make([]KnobState, len(m.knobs))
	for i := range m.knobs {
		states[i] = m.knobs[i].state()
	}
	return states
}

// InForce returns what all knobs read, by name, and how often one was moved until then: what
// is the same twice, with as many moves, was in force in between, but for what others than
// their owners move. It waits while a knob is being set. The values are nil while one cannot be
// read, for a call that hangs may still move it.
func (m *ResourceManager) InForce(ctx context.Context) (values map[string]int64, moves uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	values = make(map[string]int64, len(m.knobs))
	known := true
	for i, r := range m.readings(ctx, func(*knob) bool { return true }) {
		k := &m.knobs[i]
		values[k.Name], moves, known = r.value, moves+k.moves, known && r.err == nil
	}
	if !known {
		values = nil
	}
	return values, moves
}

// find returns the knob of that name. m.mu is held.
func (m *ResourceManager) find(name string) (*knob, error) {
	for i := range m.knobs {
		if m.knobs[i].Name == name {
			return &m.knobs[i], nil
		}
	}
	return nil, fmt.Errorf("there is no knob %.60q", name)
}

// Pin sets a knob to a value of its ladder for the operator, who owns it from
// then on. When the knob refuses, or reads otherwise then, it goes back to the value that it
// had, and its owner is who it was. One that hangs, for its time is over or ctx has ended, is
// isolated, and goes back when it has returned.
func (m *ResourceManager) Pin(ctx context.Context, name string, value int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := m.find(name)
	if err != nil {
		return err
	}
	level, ok := slices.BinarySearch(k.Ladder, value)
	if !ok {
		return fmt.Errorf("knob %s: %d is not one of %v", k.Name, value, k.Ladder)
	}
	before, known := k.level, true
	if k.owner == Nobody {
		before, known = slices.BinarySearch(k.Ladder, k.read(ctx).value)
	}
	if err := k.set(ctx, level); err != nil {
		m.away = true
		switch {
		case k.hung || !known: // the first goes back to its incumbent
		case errors.Is(err, errHangs):
			m.isolate(k, err)
		default:
			err = errors.Join(err, m.setBack(ctx, k, before, time.Now().Add(k.backTimeout())))
		}
		return err
	}
	k.owner, k.why, k.incumbent, k.drift = Operator, whyPinned, level, ""
	k.failures, k.failed, k.hung = 0, false, false
	m.epoch++
	m.count()
	return nil
}

// ErrOperators says that a knob is an operator's, whoever asks.
var ErrOperators = errors.New("it is the operator's")

// Release gives a pinned or isolated knob back to the engine, or the arbiter, and an
// isolated one that neither moves to the operator, at the value that it reads; one that hung
// is set back to its incumbent before. It fails with ErrOperators for knobs that are the
// operator's anyway.
func (m *ResourceManager) Release(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := m.find(name)
	if err != nil {
		return err
	}
	o, why := k.first()
	if o == Operator && k.owner == Operator {
		return fmt.Errorf("knob %s: %w: %s", k.Name, ErrOperators, why)
	}
	if k.owner == o {
		return nil
	}
	if k.leash.hanging() != nil {
		return fmt.Errorf("knob %s: %w", k.Name, errHangs)
	}
	ctx := context.Background()
	if k.hung {
		if err := m.setBack(ctx, k, k.incumbent, time.Now().Add(k.backTimeout())); err != nil {
			return err
		}
	}
	r := k.read(ctx)
	if r.err != nil {
		return fmt.Errorf("knob %s: %w", k.Name, r.err)
	}
	level, ok := slices.BinarySearch(k.Ladder, r.value)
	if !ok {
		return fmt.Errorf("knob %s: it reads %d, which is not one of %v", k.Name, r.value, k.Ladder)
	}
	k.owner, k.why, k.incumbent, k.level, k.drift = o, why, level, level, ""
	k.failures, k.failed = 0, false
	m.epoch++
	m.count()
	return nil
}

// settleIn names the regime that the first incumbents are for.
func (m *ResourceManager) settleIn(regime string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.others == nil {
		m.regime, m.others = regime, make(map[string]map[string]left)
	}
}

// isIn reports whether the incumbents are for the regime.
func (m *ResourceManager) isIn(regime string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.regime == regime
}

// travel leaves the incumbents behind for the regime that they are for, unless there are too
// many regimes for a snapshot, and makes those the incumbents that were left behind in the
// next one, where there are any and the knob is the engine's. It returns the levels before and
// now, and whether anything was left behind. A knob that hastens is left behind where it was
// verified, or where timed says that time counts.
func (m *ResourceManager) travel(next string, timed func(regime string) bool) (before, levels []int, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if next != m.regime && len(m.others) < snapshot.MaxRegimes {
		behind := make(map[string]left)
		maps.Copy(behind, m.untaken)
		for _, k := range m.knobs {
			if k.owner == Engine && (!k.Hastens || k.verified || timed(m.regime)) {
				behind[k.Name] = left{k.Ladder[k.incumbent], k.verified}
			}
		}
		m.others[m.regime] = behind
	}
	was, known := m.others[next]
	delete(m.others, next)
	m.regime = next
	m.untaken = make(map[string]left)
	before, levels = make([]int, len(m.knobs)), make([]int, len(m.knobs))
	for i := range m.knobs {
		k := &m.knobs[i]
		before[i], levels[i], k.verified = k.incumbent, k.incumbent, false
		l, there := was[k.Name]
		level, legal := slices.BinarySearch(k.Ladder, l.value)
		switch {
		case !there || !legal:
		case k.owner != Engine:
			m.untaken[k.Name] = l
		default:
			levels[i], k.verified = level, l.verified
		}
	}
	if !slices.Equal(levels, before) {
		m.take(levels)
	}
	return before, levels, known
}

// Forget drops what was promoted in other regimes, and that anything was in this one: the
// incumbents go with the program where it goes.
func (m *ResourceManager) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := len(m.others)+len(m.untaken) > 0
	clear(m.others)
	clear(m.untaken)
	for i := range m.knobs {
		m.knobs[i].verified = false
	}
	if known {
		m.count()
	}
}

// incumbents returns the level of each knob that was promoted last, and which
// of them the engine owns, at the epoch.
func (m *ResourceManager) incumbents() (levels []int, ours []bool, epoch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	levels, ours = make([]int, len(m.knobs)), make([]bool, len(m.knobs))
	for i, k := range m.knobs {
		levels[i], ours[i] = k.incumbent, k.owner == Engine
	}
	return levels, ours, m.epoch
}

// set sets the knob, reads it back and notes its level. It recovers what a knob panics
// with: another knob's way back must not depend on it.
func (k *knob) set(ctx context.Context, level int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("knob %s: panic: %v", k.Name, r)
		}
		if err != nil {
			k.moves++
		}
	}()
	if level != k.level {
		k.moves++
	}
	bounded, now := k.Knob, true
	bounded.Read = func() (v int64) {
		v, now = k.leash.readIn(ctx)
		return v
	}
	err = bounded.Set(ctx, k.Ladder[level])
	switch {
	case !now:
		return fmt.Errorf("knob %s: %w", k.Name, errHangs)
	case err != nil:
		return err
	}
	k.level = level
	return nil
}

// A reading is what a knob reads, or why that is not known: it hangs, or panics.
type reading struct {
	value int64
	err   error
}

// read reads the knob, in the time of ctx at most.
func (k *knob) read(ctx context.Context) (r reading) {
	defer func() {
		if failure := recover(); failure != nil {
			r.err = fmt.Errorf("it cannot be read: panic: %v", failure)
		}
	}()
	v, now := k.leash.readIn(ctx)
	if !now {
		return reading{v, errHangs}
	}
	return reading{v, nil}
}

// isAt returns why a reading is not that of level; nil when it is.
func (k *knob) isAt(level int, r reading) error {
	if r.err == nil && r.value != k.Ladder[level] {
		return fmt.Errorf("it was set to %d, and reads %d: %w", k.Ladder[level], r.value, errMoved)
	}
	return r.err
}

var errMoved = errors.New("somebody else moved it")

var errSeized = errors.New("the loop had stopped, and the incumbents were restored")

var errOwner = errors.New("a knob has another owner, memory has moved, or the targets have changed")

// apply puts the knobs that the engine owns to levels, all or none: when one
// fails, those before it are set back, in reverse order. again sets knobs that
// are at their level already. It fails, and changes nothing, when an owner has
// changed since epoch, or somebody else has moved a knob that is to be set, which is isolated.
func (m *ResourceManager) apply(ctx context.Context, levels []int, epoch int, again bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch != epoch {
		return errOwner
	}
	if m.seized {
		m.seized = false
		return errSeized
	}
	for i := range m.knobs {
		k := &m.knobs[i]
		if k.owner != Engine || k.level == levels[i] && !again {
			continue
		}
		before := k.level
		m.away = true
		err := m.try(ctx, k, levels[i])
		if err == nil {
			continue
		}
		until := time.Now().Add(undoTimeout)
		if k.owner == Engine {
			err = m.refused(ctx, k, before, until, err)
		}
		for j := i - 1; j >= 0; j-- {
			if b := &m.knobs[j]; b.owner == Engine && b.level != b.incumbent {
				err = errors.Join(err, m.setBack(ctx, b, b.incumbent, until))
			}
		}
		return err
	}
	m.away = slices.ContainsFunc(m.knobs, func(k knob) bool { return k.owner == Engine && k.level != k.incumbent })
	return nil
}

// try sets a knob of the engine, unless somebody else has moved it: then it is isolated where
// it is. m.mu is held.
func (m *ResourceManager) try(ctx context.Context, k *knob, level int) error {
	r := k.read(ctx)
	if m.isolateMoved(k, &r) {
		return errOwner
	}
	if err := k.set(ctx, level); err != nil {
		return err
	}
	k.failures = 0
	return nil
}

// foreign isolates the knobs of the engine that read otherwise than they were
// set, or cannot be read, and returns why, a sentence for each. Knobs that hung and have
// returned come back.
func (m *ResourceManager) foreign(ctx context.Context) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var whys []string
	if err := m.comeBack(ctx, false); err != nil {
		whys = append(whys, err.Error())
	}
	for i, r := range m.readings(ctx, engines) {
		k := &m.knobs[i]
		if r == nil {
			continue
		}
		if err := k.isAt(k.level, *r); err != nil {
			m.isolate(k, err)
			whys = append(whys, "knob "+k.Name+": "+k.why)
		}
	}
	return whys
}

// restore sets every knob of the engine that is elsewhere to its incumbent. One
// that refuses is isolated, and does not keep the others. One that somebody else has moved is
// isolated where it is, and news tells of it.
func (m *ResourceManager) restore(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restoreLocked(ctx)
}

func (m *ResourceManager) restoreLocked(ctx context.Context) error {
	var errs []error
	until := time.Now().Add(undoTimeout)
	bounded, stop := wayBack(ctx, until)
	defer stop()
	for i, r := range slices.Backward(m.readings(bounded, engines)) {
		k := &m.knobs[i]
		if r != nil && !m.isolateMoved(k, r) && (k.level != k.incumbent || r.err != nil) {
			errs = append(errs, m.setBack(ctx, k, k.incumbent, until))
		}
	}
	m.away = false
	return errors.Join(errs...)
}

// seize restores the incumbents for a loop that has stopped, which finds out
// when it next applies something. It does nothing, and returns false, when the
// knobs are at their incumbents or one is being set.
func (m *ResourceManager) seize(ctx context.Context) (bool, error) {
	if !m.mu.TryLock() {
		return false, nil
	}
	defer m.mu.Unlock()
	if !m.away {
		return false, nil
	}
	m.seized = true
	return true, m.restoreLocked(ctx)
}

// takenBack reports whether the knobs were seized, and lets the loop have them
// again.
func (m *ResourceManager) takenBack() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	seized := m.seized
	m.seized = false
	return seized
}

// promote makes levels the incumbents, where the engine owns the knob. It
// fails, and changes nothing, when an owner has changed since epoch.
func (m *ResourceManager) promote(levels []int, epoch int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch != epoch {
		return false
	}
	for i := range m.knobs {
		k := &m.knobs[i]
		k.verified = k.verified || k.owner == Engine && k.incumbent != levels[i]
	}
	m.take(levels)
	return true
}

// take makes levels the incumbents, where the engine owns the knob. m.mu is held.
func (m *ResourceManager) take(levels []int) {
	for i := range m.knobs {
		if k := &m.knobs[i]; k.owner == Engine {
			k.incumbent = levels[i]
		}
	}
	m.away = slices.ContainsFunc(m.knobs, func(k knob) bool { return k.owner == Engine && k.level != k.incumbent })
	m.count()
}

// moves returns what leads from one point to another.
func (m *ResourceManager) moves(from, to []int) []perfcore.Move {
	var moves []perfcore.Move
	for i := range m.knobs {
		if k := &m.knobs[i]; from[i] != to[i] {
			moves = append(moves, perfcore.Move{Knob: k.Name, From: k.Ladder[from[i]], To: k.Ladder[to[i]]})
		}
	}
	return moves
}
