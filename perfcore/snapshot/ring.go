package snapshot

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// Size is how many snapshots a Ring keeps.
	Size = 8
	// DefaultEvery is after how many accepted changes one is taken.
	DefaultEvery = 20
)

// A Store keeps encoded snapshots over a restart. A Ring calls it from Save and
// Load only, never from where changes are made.
type Store interface {
	// Put keeps b as number seq, in the place of an earlier one, durably when
	// it returns. It may drop all but the newest Size, and fails where what it
	// has is newer. It must not keep b.
	Put(ctx context.Context, seq uint64, b []byte) error
	// All returns what is kept, in ascending order of its numbers. At most the
	// last Size are looked at. It fails only where it cannot tell what is kept.
	All(ctx context.Context) ([]Stored, error)
}

// A Stored is an encoded snapshot, and the number that it was kept as.
type Stored struct {
	Seq     uint64
	Encoded []byte
	Err     error // why it cannot be read; nil where Encoded was
}

func (s *Stored) decode() (Snapshot, error) {
	if s.Err != nil {
		return Snapshot{}, &invalidError{"it cannot be read: " + s.Err.Error()}
	}
	return Decode(s.Encoded)
}

// A Ring counts accepted changes and keeps the last Size snapshots of what they
// came to. It is safe for concurrent use.
//
// The checksums find damage. They are no secret, so they do not find forgery.
type Ring struct {
	every uint32
	began time.Time     // with the monotonic clock's reading
	taken chan struct{} // a signal that something can be saved

	mu      sync.Mutex // guards what follows, for moments only
	changes uint64
	ring    []Snapshot // oldest first
	before  Snapshot   // the one that was dropped last; only what a chain needs
	saved   uint64     // the newest number that was saved
	stored  uint64     // the newest number that a store had when it was loaded
	left    []Left     // of that store, oldest first
}

// A Left is a stored snapshot that Load did not take over.
type Left struct {
	Seq uint64 // the number that it was kept as
	Err error  // why
}

// NewRing returns an empty ring that takes a snapshot after every so many
// changes; 0 takes none by itself.
func NewRing(every uint32) *Ring {
	return &Ring{began: time.Now(), every: every, taken: make(chan struct{}, 1)}
}

// Changed counts one accepted change. When it is the Nth, it takes a snapshot
// of what state returns. The caller holds the lock that makes changes one after
// the other, so that the state is that behind this change and no other; state
// must not call the ring. It fails, and keeps nothing, when the state is too
// large or in disorder.
func (r *Ring) Changed(state func() State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	if r.every == 0 || r.changes%uint64(r.every) != 0 {
		return nil
	}
	_, err := r.take(Counted, state())
	return err
}

// Take takes a snapshot of a state that is not the Nth, and returns it.
func (r *Ring) Take(c Cause, s State) (Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(c, s)
}

// Keep returns the newest snapshot if it is valid and its state is s, whatever the
// statuses; otherwise it takes one, as Take does.
func (r *Ring) Keep(c Cause, s State) (Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := len(r.ring) - 1; i >= 0 && r.verify(i) == nil {
		if was, err := r.ring[i].State(); err == nil && bytes.Equal(appendState(nil, was.settings()), appendState(nil, s.settings())) {
			return r.ring[i], nil
		}
	}
	return r.take(c, s)
}

// take keeps a snapshot of s. r.mu is held.
func (r *Ring) take(c Cause, s State) (Snapshot, error) {
	if err := s.check(); err != nil {
		return Snapshot{}, err
	}
	now := time.Now()
	last := r.last()
	snap := Snapshot{
		Seq: max(last.Seq, r.stored) + 1, Changes: r.changes, Every: r.every, Cause: c,
		Wall: now.UTC().Round(0), Mono: now.Sub(r.began), Run: r.began.UnixNano(),
		Prev: last.Sum, Payload: appendState(nil, s),
	}
	snap.sign()
	r.push(snap)
	select {
	case r.taken <- struct{}{}:
	default:
	}
	return snap, nil
}

// push appends a snapshot, and drops the oldest of more than Size.
func (r *Ring) push(s Snapshot) {
	if len(r.ring) == Size {
		r.before = r.ring[0]
		r.before.Payload = nil
		r.ring = slices.Delete(r.ring, 0, 1)
	}
	r.ring = append(r.ring, s)
}

// last returns the newest snapshot; the zero one when there is none.
func (r *Ring) last() Snapshot {
	if len(r.ring) == 0 {
		return Snapshot{}
	}
	return r.ring[len(r.ring)-1]
}

// Changes returns how many changes have been counted.
func (r *Ring) Changes() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

// Snapshots returns what is kept, oldest first.
func (r *Ring) Snapshots() []Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ring)
}

// Verify returns why what is kept is not to be trusted: all that is wrong,
// joined. Errors wrap ErrInvalid.
func (r *Ring) Verify() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for i := range r.ring {
		errs = append(errs, r.verify(i))
	}
	return errors.Join(errs...)
}

// verify checks the snapshot at i, and the link to the one before. r.mu is held.
func (r *Ring) verify(i int) error {
	s, before := &r.ring[i], &r.before
	if i > 0 {
		before = &r.ring[i-1]
	}
	return errors.Join(s.checkAlone(), s.checkAfter(before), s.checkTime(time.Now()))
}

// Open returns the state that the snapshot of that number keeps. It verifies
// the snapshot and its link to the one before, and fails when there is none.
func (r *Ring) Open(seq uint64) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.ring, func(s Snapshot) bool { return s.Seq == seq })
	if i < 0 {
		return State{}, errors.New("there is no snapshot " + strconv.FormatUint(seq, 10))
	}
	if err := r.verify(i); err != nil {
		return State{}, err
	}
	return r.ring[i].State()
}

// Taken returns a channel that receives after snapshots have been taken, once
// for any number of them.
func (r *Ring) Taken() <-chan struct{} { return r.taken }

// Save puts the snapshots that the store does not have yet into it, oldest
// first. One goroutine calls it.
func (r *Ring) Save(ctx context.Context, to Store) error {
	for _, s := range r.Snapshots() {
		r.mu.Lock()
		have := s.Seq <= r.saved
		r.mu.Unlock()
		if have {
			continue
		}
		if err := to.Put(ctx, s.Seq, s.Encode()); err != nil {
			return &storeError{"keep snapshot " + strconv.FormatUint(s.Seq, 10), err}
		}
		r.mu.Lock()
		r.saved = max(r.saved, s.Seq)
		r.mu.Unlock()
	}
	return nil
}

type storeError struct {
	doing string
	err   error
}

func (e *storeError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// LeftOut returns the snapshots that Load did not take over, oldest first.
func (r *Ring) LeftOut() []Left {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.left)
}

// errNoLink says why a snapshot is left out that may be sound.
var errNoLink = &invalidError{"no newer snapshot follows it"}

// Load takes over what a store kept: the newest snapshot that is valid, and
// those before it that one chain leads to. What it leaves is in the
// error, and wraps ErrInvalid; the ring holds the rest all the same, and counts on
// behind the newest number of the store, so that what is kept next is newer than what
// was left. It fails, and takes nothing, when the ring is not empty.
func (r *Ring) Load(ctx context.Context, from Store) error {
	stored, err := from.All(ctx)
	if err != nil {
		return &storeError{"read the snapshots", err}
	}
	stored = stored[max(len(stored)-Size, 0):]
	var kept []Snapshot // newest first
	var left []Left     // newest first
	var errs []error
	for i := len(stored) - 1; i >= 0; i-- {
		s, err := stored[i].decode()
		if err == nil {
			err = s.checkTime(time.Now())
		}
		if err == nil && len(kept) > 0 && kept[len(kept)-1].checkAfter(&s) != nil {
			err = errNoLink
		}
		if err != nil {
			errs = append(errs, &storeError{"snapshot " + strconv.FormatUint(stored[i].Seq, 10), err})
			left = append(left, Left{stored[i].Seq, err})
			continue
		}
		kept = append(kept, s)
	}
	slices.Reverse(kept)
	slices.Reverse(left)

	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) > 0 || r.changes > 0 {
		return errors.New("snapshot: a ring that is in use takes over nothing")
	}
	r.left = left
	if len(stored) > 0 {
		r.stored = stored[len(stored)-1].Seq
	}
	if len(kept) == 0 {
		return errors.Join(errs...)
	}
	// The oldest one's link is taken on trust: what it led to is gone.
	r.before = Snapshot{Seq: kept[0].Seq - 1, Sum: kept[0].Prev}
	for _, s := range kept {
		r.push(s)
	}
	r.changes, r.saved = r.last().Changes, r.last().Seq
	return errors.Join(errs...)
}
