package adaptor

import (
	"encoding/csv"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/outrider-project/outrider/testvectors"
)

// bytes32 returns a number big-endian.
func bytes32(n *big.Int) (b [32]byte) {
	n.FillBytes(b[:])
	return b
}

func number(b [32]byte) *big.Int { return new(big.Int).SetBytes(b[:]) }

// A presignature is valid for its point and digest, becomes a signature by the point's
// secret and no other, and gives the secret back: for either parity of R.
func TestPresignature(t *testing.T) {
	p := newProver(t, "presignature", 32)
	parities := [2]int{}
	for i := range p.digests {
		l, secret := p.label(t, i, 7)
		if l.Pre.R.odd() {
			parities[1]++
		} else {
			parities[0]++
		}
		if err := l.Pre.Verify(p.key, l.Point, p.digests[i]); err != nil {
			t.Fatal(i, err)
		}
		sig, err := l.Pre.Adapt(secret)
		if err != nil {
			t.Fatal(err)
		}
		valid := make([]bool, 2)
		other := secret
		other[31] ^= 1
		wrong, err := l.Pre.Adapt(other)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyBtcec(t.Context(), []Check{{p.key.X(), sig, p.digests[i]}, {p.key.X(), wrong, p.digests[i]}}, valid); err != nil {
			t.Fatal(err)
		}
		if !valid[0] || valid[1] {
			t.Errorf("%d: valid by its secret %v, by another %v", i, valid[0], valid[1])
		}
		if got, err := l.Pre.Extract(&sig); err != nil || got != secret {
			t.Errorf("%d: extracted %x (%v), want %x", i, got, err, secret)
		}
		next, _ := p.label(t, i, 8)
		if err := l.Pre.Verify(p.key, next.Point, p.digests[i]); !errors.Is(err, ErrPresignature) {
			t.Errorf("%d: for another point: %v", i, err)
		}
		if err := l.Pre.Verify(p.key, l.Point, p.digests[(i+1)%len(p.digests)]); !errors.Is(err, ErrPresignature) {
			t.Errorf("%d: of another digest: %v", i, err)
		}
		if _, err := next.Pre.Extract(&sig); !errors.Is(err, ErrLabel) {
			t.Errorf("%d: extracted by another presignature: %v", i, err)
		}
		opposite := l
		opposite.Pre.R[0] ^= 1
		if err := opposite.Pre.Verify(p.key, l.Point, p.digests[i]); !errors.Is(err, ErrPresignature) {
			t.Errorf("%d: with the opposite R: %v", i, err)
		}
	}
	if parities[0] == 0 || parities[1] == 0 {
		t.Errorf("%d even and %d odd R: one kind was not tested", parities[0], parities[1])
	}
}

// No presignature with a bit changed is valid.
func TestPresignatureBits(t *testing.T) {
	p := newProver(t, "bits", 1)
	l, _ := p.label(t, 0, 0)
	raw := l.Pre.Bytes()
	if pre, err := ParsePresignature(raw[:]); err != nil || pre != l.Pre {
		t.Fatal(pre, err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		pre, err := ParsePresignature(raw[:])
		if err == nil {
			err = pre.Verify(p.key, l.Point, p.digests[0])
		}
		if !errors.Is(err, ErrForm) && !errors.Is(err, ErrPresignature) {
			t.Errorf("bit %d: %v", bit, err)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

// Every edge of what a number or a point may be.
func TestPresignatureEdges(t *testing.T) {
	p := newProver(t, "edges", 1)
	l, secret := p.label(t, 0, 0)
	digest := p.digests[0]
	zero, most := [32]byte{}, bytes32(new(big.Int).Sub(number(order), big.NewInt(1)))
	for name, b := range map[string][]byte{
		"empty": nil, "short": make([]byte, 64), "long": make([]byte, 66),
		"s is the order":  append(append([]byte(nil), l.Pre.R[:]...), order[:]...),
		"R uncompressed":  append(append([]byte{4}, l.Pre.R[1:]...), zero[:]...),
		"R without point": append(append([]byte{2}, make([]byte, 31)...), append([]byte{5}, zero[:]...)...), // no point has x = 5
		"R above p":       append(append([]byte{2}, []byte(strings.Repeat("\xff", 32))...), zero[:]...),
	} {
		if _, err := ParsePresignature(b); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, key := range map[string][32]byte{"zero": zero, "the order": order} {
		if _, err := Presign(key, l.Point, digest, zero); !errors.Is(err, ErrForm) {
			t.Errorf("presigned by %s: %v", name, err)
		}
		if _, ok := PointOf(key); ok {
			t.Errorf("the point of %s", name)
		}
		if _, err := l.Pre.Adapt(key); !errors.Is(err, ErrForm) {
			t.Errorf("adapted with %s: %v", name, err)
		}
	}
	if _, ok := PointOf(most); !ok {
		t.Error("the order less one has no point")
	}
	if _, err := Presign(p.secret, Point{}, digest, zero); !errors.Is(err, ErrForm) {
		t.Errorf("for infinity: %v", err)
	}
	if err := l.Pre.Verify(p.key, Point{}, digest); !errors.Is(err, ErrForm) {
		t.Errorf("verified for infinity: %v", err)
	}
	large := l.Pre
	large.S = order
	if err := large.Verify(p.key, l.Point, digest); !errors.Is(err, ErrForm) {
		t.Errorf("s = n verified: %v", err)
	}
	if _, err := large.Adapt(secret); !errors.Is(err, ErrForm) {
		t.Errorf("s = n adapted: %v", err)
	}
	sig, err := l.Pre.Adapt(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := large.Extract(&sig); !errors.Is(err, ErrForm) {
		t.Errorf("extracted from s' = n: %v", err)
	}
	above := sig
	copy(above[32:], order[:])
	if _, err := l.Pre.Extract(&above); !errors.Is(err, ErrForm) {
		t.Errorf("extracted from s = n: %v", err)
	}
	copy(above[32:], l.Pre.S[:])
	if _, err := l.Pre.Extract(&above); !errors.Is(err, ErrSignature) {
		t.Errorf("extracted a secret of zero: %v", err)
	}
	if _, err := ParseKey([32]byte{31: 5}); !errors.Is(err, ErrForm) {
		t.Errorf("a key that is no point: %v", err)
	}

	// A nonce that is the opposite of T has no R; one that is infinite would give the
	// key away.
	d, _ := scalar(p.secret)
	k, _ := scalar(secret)
	at, _ := l.Point.parse()
	if _, err := presign(&d, p.key.X(), k.Negate(), &at, digest); !errors.Is(err, ErrForm) {
		t.Errorf("presigned with the nonce -t: %v", err)
	}
	k.SetInt(0)
	if _, err := presign(&d, p.key.X(), &k, &at, digest); !errors.Is(err, ErrForm) {
		t.Errorf("presigned with the nonce 0: %v", err)
	}
	var public secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&d, &public)
	if public.ToAffine(); public.Y.IsOdd() {
		d.Negate()
	}
	e := challenge(l.Point.x(), p.key.X(), digest)
	bare := Presignature{R: l.Point, S: e.Mul(&d).Bytes()}
	if err := bare.Verify(p.key, l.Point, digest); !errors.Is(err, ErrPresignature) || !strings.Contains(err.Error(), "infinite") {
		t.Errorf("a presignature with the nonce 0: %v", err)
	}
}

// BIP340's vectors, from each of which a secret is taken away: what is left is a valid
// presignature exactly where the signature is valid.
func TestBIP340Vectors(t *testing.T) {
	content := testvectors.Load(t, "secp256k1/bip340.csv", "presignatures against BIP340's vectors")
	rows, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) (b [32]byte) {
		raw, err := hex.DecodeString(s)
		if err != nil || len(raw) != 32 {
			t.Fatalf("%q: %v", s, err)
		}
		return [32]byte(raw)
	}
	valid, signed := 0, 0
	n := number(order)
	for _, row := range rows[1:] {
		if len(row[4]) != 64 {
			continue
		}
		secret, digest := draw("vector "+row[0]), unhex(row[4])
		point, _ := PointOf(secret)
		r, s := unhex(row[5][:64]), number(unhex(row[5][64:]))
		want := row[6] == "TRUE"
		var pre Presignature
		pre.R = Point(append([]byte{2}, r[:]...))
		if s.Cmp(n) < 0 {
			s.Sub(s, number(secret)).Mod(s, n)
		}
		pre.S = bytes32(s)
		key, err := ParseKey(unhex(row[2]))
		if err == nil {
			err = pre.Verify(key, point, digest)
		}
		if (err == nil) != want {
			t.Errorf("vector %s (%s): %v, want valid: %v", row[0], row[7], err, want)
		}
		if want {
			valid++
			sig, err := pre.Adapt(secret)
			if got := strings.ToUpper(hex.EncodeToString(sig[:])); err != nil || got != row[5] {
				t.Errorf("vector %s: adapted to %s (%v), want %s", row[0], got, err, row[5])
			}
		}
		if row[1] == "" {
			continue
		}
		signed++
		pre, err = Presign(unhex(row[1]), point, digest, unhex(row[3]))
		if err != nil {
			t.Fatal(err)
		}
		if err := pre.Verify(key, point, digest); err != nil {
			t.Errorf("vector %s, presigned: %v", row[0], err)
		}
	}
	if valid < 5 || signed < 4 {
		t.Errorf("%d valid vectors and %d with a secret key", valid, signed)
	}
}

// Any bytes are refused or make a presignature with the same bytes, which says of a
// signature nothing that is not so.
func FuzzParsePresignature(f *testing.F) {
	p := newProver(f, "fuzz", 1)
	l, _ := p.label(f, 0, 0)
	raw := l.Pre.Bytes()
	f.Add(raw[:])
	f.Add(make([]byte, PresignatureSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		pre, err := ParsePresignature(b)
		if err != nil {
			return
		}
		if again := pre.Bytes(); string(again[:]) != string(b) {
			t.Fatalf("%x became %x", b, again)
		}
		if err := pre.Verify(p.key, l.Point, p.digests[0]); (err == nil) != (pre == l.Pre) {
			t.Fatalf("%x: %v", b, err)
		}
		secret := draw("fuzz secret")
		sig, err := pre.Adapt(secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pre.Extract(&sig); err != nil || got != secret {
			t.Fatalf("%x: extracted %x: %v", b, got, err)
		}
	})
}

// Products by multiples are those of decred's curve.
func TestMultiples(t *testing.T) {
	point, _ := PointOf(draw("multiples"))
	at, _ := point.parse()
	m := newMultiples(at)
	factors := [][32]byte{{}, {31: 1}, {31: 2}, {30: 1}, {0: 1}, {31: 255}, bytes32(new(big.Int).Sub(number(order), big.NewInt(1)))}
	for i := range 50 {
		factors = append(factors, draw("factor", i))
	}
	for _, factor := range factors {
		k, _ := scalar(factor)
		var got, want secp256k1.JacobianPoint
		m.times(&k, &got)
		secp256k1.ScalarMultNonConst(&k, &at, &want)
		if !got.EquivalentNonConst(&want) {
			t.Errorf("%x times the point is another", factor)
		}
	}
}
