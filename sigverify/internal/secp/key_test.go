package secp

import (
	"bytes"
	"math/big"
	"slices"
	"testing"
)

// smallY returns a point whose y is so small that y + p fits into 32 bytes: the
// trap of parsers that reduce a coordinate instead of refusing it. The field
// prime is 7 modulo 9, so that a cube's root is a power of it.
func smallY(t *testing.T) *bigPoint {
	power := new(big.Int).Div(sum(fieldPrime, big.NewInt(2)), big.NewInt(9))
	for y := big.NewInt(1); y.BitLen() < 20; y.Add(y, big.NewInt(1)) {
		cube := mod(sub(mul(y, y), big.NewInt(7)), fieldPrime)
		x := new(big.Int).Exp(cube, power, fieldPrime)
		if mod(mul(x, mul(x, x)), fieldPrime).Cmp(cube) == 0 {
			return &bigPoint{x, y}
		}
	}
	t.Fatal("no point with a small y")
	return nil
}

// checkKey compares ParseKey and, for 32 bytes, LiftX with the oracle.
func checkKey(t *testing.T, key []byte) {
	t.Helper()
	before := slices.Clone(key)
	parse, want := ParseKey, oracleKey(key)
	if len(key) == 32 {
		parse, want = LiftX, lift(new(big.Int).SetBytes(key), 0)
	}
	q, ok := parse(key)
	switch {
	case ok != (want != nil):
		t.Errorf("key %x: parsed %v, the oracle's is %v", key, ok, want)
	case ok && (!q.big().equal(want) || !isNormal(&q.X) || !isNormal(&q.Y)):
		t.Errorf("key %x is %x, want %v", key, q, want)
	}
	if !bytes.Equal(key, before) {
		t.Errorf("key %x was changed", before)
	}
}

func TestParseKey(t *testing.T) {
	r := newRand(t)
	one := big.NewInt(1)
	points := append(edgePoints()[1:], smallY(t), lift(one, 0))
	for range rounds(100) {
		points = append(points, decredTimes(edgeScalar(r), nil))
	}
	taken := 0
	for _, p := range points {
		for form := range byte(9) {
			for _, key := range [][]byte{
				slices.Concat([]byte{form}, bytes32(p.x)[:]),
				slices.Concat([]byte{form}, bytes32(p.x)[:], bytes32(p.y)[:]),
				slices.Concat([]byte{form}, bytes32(p.x)[:], bytes32(sub(fieldPrime, p.y))[:]),
				slices.Concat([]byte{form}, bytes32(p.x)[:], bytes32(sum(p.y, one))[:]),
			} {
				checkKey(t, key)
				if _, ok := ParseKey(key); ok {
					taken++
				}
			}
		}
		checkKey(t, bytes32(p.x)[:])
	}
	// Of every point: both compressed ones, and of either y the uncompressed one
	// and one hybrid.
	if want := 6 * len(points); taken != want {
		t.Errorf("%d keys taken, want %d", taken, want)
	}
}

// Coordinates that are congruent to the right ones, but not below p, are refused.
func TestCoordinatesAreNotReduced(t *testing.T) {
	p, q := lift(big.NewInt(1), 0), smallY(t)
	for _, key := range [][]byte{
		slices.Concat([]byte{2}, bytes32(sum(p.x, fieldPrime))[:]),
		slices.Concat([]byte{4}, bytes32(sum(p.x, fieldPrime))[:], bytes32(p.y)[:]),
		slices.Concat([]byte{4}, bytes32(q.x)[:], bytes32(sum(q.y, fieldPrime))[:]),
		slices.Concat([]byte{4}, bytes32(fieldPrime)[:], bytes32(fieldPrime)[:]),
		slices.Concat([]byte{4}, make([]byte, 64)),
	} {
		if _, ok := ParseKey(key); ok {
			t.Errorf("key %x is taken", key)
		}
		checkKey(t, key)
	}
	if _, ok := LiftX(bytes32(sum(p.x, fieldPrime))[:]); ok {
		t.Error("LiftX takes an x that is not below p")
	}
}

func TestKeyLengths(t *testing.T) {
	p := generator
	long := slices.Concat([]byte{4}, bytes32(p.x)[:], bytes32(p.y)[:], []byte{0, 0})
	for n := range long {
		for _, form := range []byte{0, 2, 3, 4, 6, 7} {
			key := slices.Clone(long[:n])
			if n > 0 {
				key[0] = form
			}
			_, ok := ParseKey(key)
			if want := oracleKey(key) != nil; ok != want || ok && n != 33 && n != 65 {
				t.Errorf("key %x: parsed %v, want %v", key, ok, want)
			}
			if _, ok := LiftX(key); ok && n != 32 {
				t.Errorf("LiftX takes %d bytes", n)
			}
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(nil))
	for _, p := range append(edgePoints()[1:], lift(big.NewInt(1), 1)) {
		for _, form := range []byte{2, 4, 6} {
			f.Add(encodeKey(p, form))
		}
		f.Add(bytes32(p.x)[:])
	}
	f.Add(slices.Concat([]byte{2}, bytes32(fieldPrime)[:]))
	f.Fuzz(func(t *testing.T, key []byte) { checkKey(t, key) })
}
