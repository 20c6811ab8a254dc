package script

import "github.com/outrider-project/outrider/sigverify"

// A Batch is the checks that many inputs still need, as data. The zero value is
// an empty batch. It is not safe for concurrent use.
//
// Collect inputs into it, verify Items, hand the verdicts to Settle, and go on until
// there are no Items: see the example. What Collect refuses, and what Settle returns,
// must be decided by Machine.Execute; all other inputs' scripts succeed. Inputs may be
// collected between two calls of Settle, so that what one leaves open is verified with
// what comes next.
type Batch struct {
	// Items are the checks to verify next. They are to be read only, and lie in
	// the batch's memory until Settle.
	Items []sigverify.Item

	// refs[i] is what Items[i] is for.
	refs []itemRef
	work
	// settled has the memory of what was settled last.
	settled work
}

// work is what the items of a batch decide.
type work struct {
	claims []claim
	groups []group
	// data has the bytes of keys and groups. What was taken from it stays where
	// it is when it grows.
	data []byte
}

// A claim is that the scripts of an input succeed.
type claim struct {
	label int
	// failed says that one of its checks does not hold.
	failed bool
}

// An itemRef says what an item is for: a claim, and of that a pair of a multisig
// operation, unless group is noGroup.
type itemRef struct {
	claim, group   int32
	signature, key uint8
}

const noGroup = -1

// A group is a multisig operation that has fewer signatures than keys.
type group struct {
	claim    int32
	matching matching
	// asked counts the pairs that were verified.
	asked int
	// data has the signatures, of groupSig bytes each, then the keys, of
	// groupKey bytes each.
	data []byte
}

const (
	groupSig = 64 + 32                // r, s and the digest
	groupKey = 1 + uncompressedSize   // the length, then the key
	minData  = 256 * uncompressedSize // of a batch's data
)

// signature returns r and s of signature i with what it signs.
func (g *group) signature(i int) []byte { return g.data[i*groupSig : (i+1)*groupSig] }

// key returns key j.
func (g *group) key(j int) []byte {
	at := g.matching.signatures*groupSig + j*groupKey
	return g.data[at+1 : at+1+int(g.data[at])]
}

// setKey sets key j, which must be no longer than a key can be.
func (g *group) setKey(j int, key []byte) {
	at := g.matching.signatures*groupSig + j*groupKey
	g.data[at] = byte(len(key))
	copy(g.data[at+1:], key)
}

// take returns n bytes.
func (w *work) take(n int) []byte {
	if n > cap(w.data)-len(w.data) {
		w.data = make([]byte, 0, max(minData, 2*cap(w.data), n))
	}
	at := len(w.data)
	w.data = w.data[:at+n]
	return w.data[at : at+n : at+n]
}

// reset forgets everything and keeps the memory.
func (w *work) reset() {
	clear(w.groups)
	w.claims, w.groups, w.data = w.claims[:0], w.groups[:0], w.data[:0]
}

// A mark is a state of a batch to go back to.
type mark struct{ items, claims, groups, data int }

// begin begins an input.
func (b *Batch) begin(label int) mark {
	m := mark{len(b.Items), len(b.claims), len(b.groups), len(b.data)}
	b.claims = append(b.claims, claim{label: label})
	return m
}

// end ends the input that began at m. An input that has no checks needs no claim.
func (b *Batch) end(m mark) {
	if len(b.Items) == m.items && len(b.groups) == m.groups {
		b.claims = b.claims[:m.claims]
	}
}

// cancel forgets the input that began at m.
func (b *Batch) cancel(m mark) {
	b.Items, b.refs = b.Items[:m.items], b.refs[:m.items]
	b.claims, b.groups = b.claims[:m.claims], b.groups[:m.groups]
	b.data = b.data[:min(m.data, len(b.data))]
}

// current is the claim of the input that was begun last.
func (b *Batch) current() int32 { return int32(len(b.claims) - 1) }

// add adds an item that must be valid, with room for a key of that length.
func (b *Batch) add(keyLen int) *sigverify.Item {
	b.refs = append(b.refs, itemRef{claim: b.current(), group: noGroup})
	b.Items = append(b.Items, sigverify.Item{Key: b.take(keyLen)})
	return &b.Items[len(b.Items)-1]
}

// addGroup adds a multisig operation of the current claim with nothing in it.
func (b *Batch) addGroup(signatures, keys int) *group {
	b.groups = append(b.groups, group{
		claim:    b.current(),
		matching: matching{signatures: signatures, keys: keys},
		data:     b.take(signatures*groupSig + keys*groupKey),
	})
	return &b.groups[len(b.groups)-1]
}

// ask adds the pairs of group g that are worth knowing next. It reports false if
// it is cheaper to run the script than to go on: as Bitcoin Core verifies at most
// one pair for each key, many misses make asking slower than that. The group's
// outcome must be open.
func (b *Batch) ask(g int) bool {
	gr := &b.groups[g]
	if gr.asked >= 2*gr.matching.keys {
		return false
	}
	gr.matching.guess(func(i, j int) {
		gr.asked++
		b.refs = append(b.refs, itemRef{gr.claim, int32(g), uint8(i), uint8(j)})
		sig := gr.signature(i)
		b.Items = append(b.Items, sigverify.Item{
			Key: gr.key(j), Sig: [64]byte(sig), Digest: [32]byte(sig[64:]), Scheme: sigverify.ECDSA,
		})
	})
	return true
}

// Settle takes the verdicts on Items: valid[i] is that on Items[i]. It appends to
// failed the labels of the inputs whose checks do not all hold, and returns it.
// These inputs are to be decided by Machine.Execute, and leave the batch, as those
// do that succeed.
//
// Those of a multisig operation that is not decided yet stay: Items are then the
// checks that they need next. An input stays for at most twice as many calls as
// an operation can have keys.
func (b *Batch) Settle(valid []bool, failed []int) []int {
	if len(valid) != len(b.Items) {
		panic("script: Settle: len(valid) != len(Items)")
	}
	for i, ok := range valid {
		switch ref := &b.refs[i]; {
		case ref.group != noGroup:
			b.groups[ref.group].matching.set(int(ref.signature), int(ref.key), ok)
		case !ok:
			b.claims[ref.claim].failed = true
		}
	}
	for i := range b.groups {
		if g := &b.groups[i]; g.matching.outcome() == misfit {
			b.claims[g.claim].failed = true
		}
	}

	clear(b.Items)
	b.Items, b.refs = b.Items[:0], b.refs[:0]
	b.work, b.settled = b.settled, b.work
	done := &b.settled
	last := int32(-1) // the last claim that stays
	for i := range done.groups {
		g := &done.groups[i]
		c := &done.claims[g.claim]
		if c.failed || g.matching.outcome() == fits {
			continue
		}
		if last != g.claim {
			last = g.claim
			b.claims = append(b.claims, *c)
		}
		again := b.addGroup(g.matching.signatures, g.matching.keys)
		again.matching, again.asked = g.matching, g.asked
		copy(again.data, g.data)
		if !b.ask(len(b.groups) - 1) {
			c.failed = true
			b.drop()
		}
	}
	for i := range done.claims {
		if done.claims[i].failed {
			failed = append(failed, done.claims[i].label)
		}
	}
	done.reset()
	return failed
}

// drop takes the current claim out, with all that is for it.
func (b *Batch) drop() {
	c := b.current()
	b.claims = b.claims[:c]
	for n := len(b.groups); n > 0 && b.groups[n-1].claim == c; n-- {
		b.groups = b.groups[:n-1]
	}
	for n := len(b.Items); n > 0 && b.refs[n-1].claim == c; n-- {
		b.Items, b.refs = b.Items[:n-1], b.refs[:n-1]
	}
}
