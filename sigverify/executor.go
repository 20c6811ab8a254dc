package sigverify

import (
	crand "crypto/rand"
	"math/rand/v2"

	"github.com/outrider-project/outrider/sigverify/internal/lane"
)

// A part is what an executor has claimed of a batch.
type part struct {
	b        *batch
	from, to int
	tally    tally
}

// A pending signature is one whose verdict the cache does not know.
type pending struct {
	it   *Item
	ok   *bool
	part int
}

// An executor verifies what it is given, with memory of its own: about 250 KiB,
// of which 200 are the lanes'. It allocates nothing more. It serves one goroutine
// at a time.
type executor struct {
	v     *Verifier
	parts []part

	pending  []pending
	lanes    laneVerifier // nil until the lanes are first taken
	items    []lane.Item
	verdicts []lane.Verdict
	record   record
	// sampler draws the verdicts that are checked again. Its seed is the
	// operating system's, so that nobody who makes signatures can foresee them.
	sampler *rand.ChaCha8
}

func newExecutor(v *Verifier) *executor {
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	return &executor{
		v:        v,
		pending:  make([]pending, 0, maxChunk),
		items:    make([]lane.Item, 0, maxChunk),
		verdicts: make([]lane.Verdict, maxChunk),
		sampler:  rand.NewChaCha8(seed),
	}
}

// run gives every signature of the parts its verdict, and tallies them.
func (e *executor) run() {
	v := e.v
	epoch := v.cache.epoch.Load() // before the rank: see Verifier.distrust
	rank := v.rank()
	e.gather()
	if rank == rankLane && len(e.pending) >= minLanes && e.openLanes() {
		e.runLanes()
	} else {
		e.runScalar(rank)
	}
	for _, p := range e.pending {
		if *p.ok && e.parts[p.part].b.keep && e.record.set(p.it) {
			v.cache.add(&e.record, epoch)
		}
	}
	// Nothing of the callers' memory stays behind.
	clear(e.pending)
	clear(e.items)
}

// gather makes pending of the parts' items, but for those in the cache.
func (e *executor) gather() {
	e.pending, e.items = e.pending[:0], e.items[:0]
	cache := e.v.cache
	ask := cache.records.Load() > 0
	for i := range e.parts {
		p := &e.parts[i]
		for j := p.from; j < p.to; j++ {
			it, ok := &p.b.items[j], &p.b.valid[j]
			if ask && e.record.set(it) {
				if *ok = cache.has(&e.record); *ok {
					p.tally[validCached]++
					continue
				}
				p.tally[missed]++
			}
			e.pending = append(e.pending, pending{it, ok, i})
		}
	}
}

// openLanes reports whether the lanes can be taken.
func (e *executor) openLanes() bool {
	if e.lanes != nil {
		return true
	}
	lanes, err := e.v.code.openLanes()
	if err != nil {
		e.v.distrust(rankScalar, err.Error())
		return false
	}
	e.lanes = lanes
	return true
}

// runLanes sets the verdicts on pending by the lanes, and where they do not say
// valid, by the scalar verifier.
func (e *executor) runLanes() {
	for _, p := range e.pending {
		// The lanes refuse a key of no length, whatever the scheme.
		item := lane.Item{Sig: &p.it.Sig, Digest: &p.it.Digest, BIP340: p.it.Scheme == BIP340}
		if p.it.Scheme == ECDSA || p.it.Scheme == BIP340 {
			item.Key = p.it.Key
		}
		e.items = append(e.items, item)
	}
	verdicts := e.verdicts[:len(e.items)]
	for i := range verdicts {
		verdicts[i] = lane.Unsure // what is not written is not valid
	}
	e.lanes.Verify(e.items, verdicts)
	for i, p := range e.pending {
		said := opinions{lane: of(verdicts[i] == lane.Valid)}
		if verdicts[i] != lane.Valid {
			if verdicts[i] != lane.Invalid {
				said.lane = silent
			}
			said.scalar = of(e.v.code.scalar(p.it))
			e.parts[p.part].tally[doubted]++
		}
		e.decide(p, said)
	}
}

// runScalar sets the verdicts on pending one by one.
func (e *executor) runScalar(rank rank) {
	for _, p := range e.pending {
		if rank == rankDecred {
			e.decide(p, opinions{decred: of(e.v.code.decred(p.it))})
		} else {
			e.decide(p, opinions{scalar: of(e.v.code.scalar(p.it))})
		}
	}
}

// decide sets the verdict on p from what was said of it, and checks it if it is
// drawn.
func (e *executor) decide(p pending, said opinions) {
	t := &e.parts[p.part].tally
	if said.decred == silent && e.sampler.Uint64() <= e.v.drawn {
		said.decred = of(e.v.code.decred(p.it))
		t[rechecked]++
	}
	verdict, agreed := said.verdict()
	if !agreed {
		verdict = e.v.settle(p.it, said)
	}
	*p.ok = verdict
	switch {
	case said.scalar != silent:
		t[invalidScalar+toInt(verdict)]++
	case said.lane != silent:
		t[invalidLane+toInt(verdict)]++
	default:
		t[invalidDecred+toInt(verdict)]++
	}
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
