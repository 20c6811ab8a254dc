package utxocache

import "github.com/btcsuite/btcd/wire/v2"

// A view is what is known as of one tip. It never changes, nor does what it
// refers to, but for what ends of pages no view has yet, for the epochs at which
// records die, which older views tell from their own, and for counts of hits:
// so a reader that took it needs no lock, and is right for its tip for as long
// as it likes. The garbage collector frees what only views of the past refer to.
type view struct {
	// ring holds the blocks in ascending order. The first delta is the floor's
	// and has no layer: its block cannot be disconnected. It is empty while the
	// cache stands at no tip.
	ring []*delta
	// recent finds the outpoints of the ring in layers; it overrides old,
	// which finds the coins of pages.
	recent, old index
	layers      layers
	pages       pages
	// complete says that no answer can be Unknown.
	complete bool
	// epoch counts the changes of the tip. A Branch is good for one.
	epoch uint32
	// memory is what the view takes.
	memory Memory

	hasher *hasher
}

// tip returns the tip; false when the view stands at none.
func (v *view) tip() (Tip, bool) {
	if len(v.ring) == 0 {
		return Tip{}, false
	}
	return v.ring[len(v.ring)-1].tip, true
}

// recentAt returns where the ring speaks of k, and what it says; 0 and nil when it
// does not.
func (v *view) recentAt(k *key, hash uint64) (ref uint64, l *layer, e *entry) {
	s, tag := shardOf(hash), tagOf(hash)
	for _, t := range [...]*table{&v.recent.fresh[s], &v.recent.settled[s]} {
		for i := t.home(tag); i < len(t.slots); i++ {
			slot := t.slots[i]
			if slot == 0 || slot>>refBits > tag {
				break
			}
			if slot>>refBits < tag {
				continue
			}
			if l, e := v.layers.at(slot & refMask); e != nil && e.key.is(k) {
				return slot & refMask, l, e
			}
		}
	}
	return 0, nil, nil
}

// oldAt returns where pages hold the coin of k; 0 and nil when none does. The
// record goes to the end of the page.
func (v *view) oldAt(k *key, hash uint64) (ref uint64, p *page, record []byte) {
	s, tag := shardOf(hash), tagOf(hash)
	for _, t := range [...]*table{&v.old.fresh[s], &v.old.settled[s]} {
		for i := t.home(tag); i < len(t.slots); i++ {
			slot := t.slots[i]
			if slot == 0 || slot>>refBits > tag {
				break
			}
			if slot>>refBits < tag {
				continue
			}
			if p, record := v.pages.at(slot&refMask, v.epoch); p != nil && (*key)(record).is(k) {
				return slot & refMask, p, record
			}
		}
	}
	return 0, nil, nil
}

// A where is the place at which a look-up ended.
type where struct {
	tier tier
	// ring says that the ring speaks of the outpoint. If it does not, ref is where a
	// page holds the coin.
	ring bool
	ref  uint64
}

// A found is what is known of an outpoint.
type found struct {
	Answer
	where
}

// look returns what is known of k.
func (v *view) look(k *key) (f found) {
	f.where = v.lookAt(k, v.hasher.of(k), &f.Answer)
	return f
}

// lookAt sets a to what is known of k, whose hash is given. An answer is larger than
// what the compiler keeps in registers, so that to return it is to copy it.
func (v *view) lookAt(k *key, hash uint64, a *Answer) where {
	if _, l, e := v.recentAt(k, hash); e != nil {
		if e.flags&unspent == 0 {
			*a = Answer{State: Absent, Own: true}
			return where{tier: tierAbsent, ring: true}
		}
		*a = Answer{Coin: l.coin(e), State: Unspent, Own: e.flags&own != 0}
		return where{tier: tierRing, ring: true}
	}
	if ref, p, record := v.oldAt(k, hash); p != nil {
		if hash%hitSample == 0 {
			p.hits.Add(1)
		}
		*a, _ = decodeRecord(record)
		return where{tier: tierRistretto, ref: ref}
	}
	if v.complete {
		*a = Answer{State: Absent, Own: true}
		return where{tier: tierAbsent}
	}
	*a = Answer{}
	return where{tier: tierUnknown}
}

// lanes is how many look-ups of a batch go side by side: as many as wait for
// memory at once.
const lanes = 16

// lookAll sets answers[i] to what is known of ops[i], and returns how many ended
// where. It first reads, for a few at a time, what their look-ups will need: a
// processor waits for all of that at once, and else for one after the other. p
// observes those in the sample.
func (v *view) lookAll(ops []wire.OutPoint, answers []Answer, p *instruments) (n tally) {
	var keys [lanes]key
	var hashes [lanes]uint64
	for len(ops) > 0 {
		few := min(len(ops), lanes)
		for i := range few {
			keys[i] = keyOf(&ops[i])
			hashes[i] = v.hasher.of(&keys[i])
		}
		if few == lanes {
			n[warmed] += v.warm(&hashes)
		}
		for i := range few {
			at := v.lookAt(&keys[i], hashes[i], &answers[i])
			n[at.tier]++
			if p.observing && sampled(hashes[i]) {
				p.observe(v, hashes[i], &answers[i], at)
			}
		}
		ops, answers = ops[few:], answers[few:]
	}
	return n
}

// warm reads what the look-ups of hashes will need. What it returns only keeps
// the reads from being optimised away.
func (v *view) warm(hashes *[lanes]uint64) (sum uint64) {
	for _, hash := range hashes {
		s, tag := shardOf(hash), tagOf(hash)
		sum += v.recent.fresh[s].at(tag) + v.recent.settled[s].at(tag) + v.old.fresh[s].at(tag) + v.old.settled[s].at(tag)
	}
	var records [lanes]*byte
	for i, hash := range hashes {
		if ref := v.recent.first(hash); ref != 0 {
			if _, e := v.layers.at(ref); e != nil {
				sum += uint64(e.flags)
			}
		} else if ref := v.old.first(hash); ref != 0 {
			if p, record := v.pages.at(ref, v.epoch); p != nil {
				records[i] = &record[0]
			}
		}
	}
	for _, b := range records {
		if b != nil {
			sum += uint64(*b)
		}
	}
	return sum
}
