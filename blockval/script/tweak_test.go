package script

import (
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/outrider-project/outrider/sigverify"
)

// claimOf returns the tweak that is true, of the point d⋅G, which is P or -P, by t.
func claimOf(d, t *secp256k1.ModNScalar) (k tweak, ok bool) {
	var p, q secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(d, &p)
	p.ToAffine()
	k.internal = *p.X.Bytes()
	sum := *d
	if p.Y.IsOdd() {
		sum.Negate()
	}
	sum.Add(t)
	if sum.IsZero() {
		return k, false
	}
	secp256k1.ScalarBaseMultNonConst(&sum, &q)
	q.ToAffine()
	k.output, k.odd, k.t = *q.X.Bytes(), q.Y.IsOdd(), t.Bytes()
	return k, true
}

// TestTweaks holds the two signatures that stand for a tweak against what they
// stand for: true tweaks, those with the wrong parity, and those that one of the
// two signatures alone would accept.
func TestTweaks(t *testing.T) {
	rng := rand.New(rand.NewPCG(seedOf(t, 3), 0))
	v := sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
	t.Cleanup(v.Close)
	scalar := func() *secp256k1.ModNScalar {
		var b [32]byte
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		n := new(secp256k1.ModNScalar)
		n.SetBytes(&b)
		if rng.IntN(3) == 0 {
			n.SetInt(uint32(rng.IntN(4)))
		}
		if rng.IntN(4) == 0 {
			n.Negate()
		}
		return n
	}
	var kinds [5][2]int
	noItems := 0
	for range 1500 {
		d, tw := scalar(), scalar()
		if d.IsZero() {
			continue
		}
		k, ok := claimOf(d, tw)
		if !ok {
			// P + t⋅G is infinite; what is claimed cannot be.
			k.output, k.t = k.internal, tw.Bytes()
		}
		kind := rng.IntN(len(kinds))
		want := ok
		switch kind {
		case 1:
			k.odd = !k.odd
			want = false
		case 2: // Q - t⋅G = -P, which the second signature accepts
			minus := *tw
			minus.Negate()
			other, can := claimOf(d, &minus)
			if !can {
				continue
			}
			k.output, k.odd = other.output, !other.odd
			want = false
		case 3:
			k.t[rng.IntN(32)] ^= 1 << rng.IntN(8)
			want = false
		case 4:
			k.internal[rng.IntN(32)] ^= 1 << rng.IntN(8)
			want = false
		}
		got := k.holds()
		if got != want {
			t.Fatalf("kind %d: %+v: %v, want %v", kind, k, got, want)
		}
		kinds[kind][0]++
		var items [2]sigverify.Item
		var valid [2]bool
		if !k.items(&items[0], &items[1]) {
			noItems++
			continue
		}
		if err := v.Verify(t.Context(), items[:], valid[:]); err != nil {
			t.Fatal(err)
		}
		if both := valid[0] && valid[1]; both != want {
			t.Fatalf("kind %d: %+v: signatures %v, want %v", kind, k, valid, want)
		}
		if valid[0] || valid[1] {
			kinds[kind][1]++
		}
	}
	t.Logf("%v of each kind, and of which a signature was valid; %d without signatures", kinds, noItems)
	if kinds[0][1] < 100 || kinds[1][1] < 100 || kinds[2][1] < 100 || noItems < 10 {
		t.Error("the tweaks are of no use")
	}
}

// TestTweakEdges are tweaks that two signatures cannot stand for.
func TestTweakEdges(t *testing.T) {
	one := new(secp256k1.ModNScalar).SetInt(1)
	k, _ := claimOf(one, one)
	var first, second sigverify.Item
	if !k.items(&first, &second) || !k.holds() {
		t.Fatal("a plain tweak has no signatures")
	}
	large := [32]byte([]byte(order))
	small := [32]byte{15: 0, 16: 0xff}
	for name, spoil := range map[string]func(k *tweak){
		"t of 0":                  func(k *tweak) { k.t = [32]byte{} },
		"t of the order":          func(k *tweak) { k.t = large },
		"output not below order":  func(k *tweak) { k.output = large },
		"internal not below it":   func(k *tweak) { k.internal = large },
		"output of 128 bits":      func(k *tweak) { k.output = small },
		"internal key of 128 bit": func(k *tweak) { k.internal = small },
	} {
		bad := k
		spoil(&bad)
		if bad.items(&first, &second) {
			t.Errorf("%s: has signatures", name)
		}
		if bad.holds() {
			t.Errorf("%s: holds", name)
		}
	}
}

// TestCommitments holds output keys against btcd's.
func TestCommitments(t *testing.T) {
	w := newHashWriter()
	for k := range 4 {
		leaf := []byte{op1, byte(k)}
		internal := schnorr.SerializePubKey(secp256k1.PrivKeyFromBytes([]byte{byte(k + 1)}).PubKey())
		key, parity := commit(t, internal, leaf)
		hash := leafHash(w, leafTapscript, leaf)
		claim := newTweak(w, decodeHex(t, key), append([]byte{leafTapscript | parity}, internal...), &hash)
		if !claim.holds() {
			t.Errorf("leaf %x: btcd's key %s does not hold", leaf, key)
		}
		claim.odd = !claim.odd
		if claim.holds() {
			t.Errorf("leaf %x: %s holds with the other parity", leaf, key)
		}
	}
}
