package secp

import (
	"math/rand/v2"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// benchItems returns 64 valid items with no edges in them.
func benchItems(b *testing.B, bip340 bool) []item {
	b.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	items := make([]item, 64)
	for i := range items {
		d := mod(random256(r), groupOrder)
		if !bip340 {
			var ok bool
			if items[i], ok = forgedECDSA(random256(r), random256(r), d, 2); !ok {
				b.Fatal("no signature")
			}
			continue
		}
		items[i] = signedBIP340(r)
	}
	return items
}

// One signature, beside decred's code. The compressed key and the signature are
// parsed each time, or before.
func BenchmarkVerifyECDSA(b *testing.B) {
	items := benchItems(b, false)
	baseTables()
	run := func(name string, verify func(i int) bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !verify(i % len(items)) {
					b.Fatal("a valid signature is invalid")
				}
			}
		})
	}
	var keys []affine
	var theirKeys []*secp256k1.PublicKey
	var r, s, e []Scalar
	var theirs []*ecdsa.Signature
	for _, it := range items {
		key, _ := parseKey(it.key)
		theirKey, err := secp256k1.ParsePubKey(it.key)
		if err != nil {
			b.Fatal(err)
		}
		keys, theirKeys = append(keys, key), append(theirKeys, theirKey)
		var numbers [3]Scalar
		var sigR, sigS secp256k1.ModNScalar
		numbers[0].SetBytes((*[32]byte)(it.sig[:32]))
		numbers[1].SetBytes((*[32]byte)(it.sig[32:]))
		numbers[2].SetBytes(&it.digest)
		r, s, e = append(r, numbers[0]), append(s, numbers[1]), append(e, numbers[2])
		sigR.SetByteSlice(it.sig[:32])
		sigS.SetByteSlice(it.sig[32:])
		theirs = append(theirs, ecdsa.NewSignature(&sigR, &sigS))
	}
	run("secp", func(i int) bool { return items[i].verify() })
	run("decred", func(i int) bool { return decred(&items[i]) })
	run("secp-parsed", func(i int) bool { return verifyECDSA(&keys[i], &r[i], &s[i], &e[i]) })
	run("decred-parsed", func(i int) bool { return theirs[i].Verify(items[i].digest[:], theirKeys[i]) })
}

func BenchmarkVerifyBIP340(b *testing.B) {
	items := benchItems(b, true)
	baseTables()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !items[i%len(items)].verify() {
			b.Fatal("a valid signature is invalid")
		}
	}
}

func BenchmarkElement(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	x, y := newElement(random256(r)), newElement(random256(r))
	var ours, oursY Element
	var theirs, theirsY secp256k1.FieldVal
	bx, by := x.Bytes(), y.Bytes()
	theirs.SetBytes(&bx)
	theirsY.SetBytes(&by)
	ours, oursY = *x, *y
	for _, op := range []struct {
		name         string
		secp, decred func()
	}{
		{"Mul", func() { ours.Mul(&ours, &oursY) }, func() { theirs.Mul(&theirsY) }},
		{"Sqr", func() { ours.Sqr(&ours) }, func() { theirs.Square() }},
		{"Inverse", func() { ours.Normalize(); ours.Inverse(&ours) }, func() { theirs.Normalize(); theirs.Inverse() }},
		{"Sqrt", func() { ours.Sqrt(&oursY) }, func() { theirs.SquareRootVal(&theirsY) }},
	} {
		bench(b, op.name+"/secp", op.secp)
		bench(b, op.name+"/decred", op.decred)
	}
}

func BenchmarkScalar(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	x, y := newScalar(random256(r)), newScalar(random256(r))
	var theirs, theirsY secp256k1.ModNScalar
	bx, by := x.Bytes(), y.Bytes()
	theirs.SetBytes(&bx)
	theirsY.SetBytes(&by)
	for _, op := range []struct {
		name         string
		secp, decred func()
	}{
		{"Mul", func() { x.Mul(x, y) }, func() { theirs.Mul(&theirsY) }},
		{"Inverse", func() { x.Inverse(x) }, func() { theirs.InverseNonConst() }},
	} {
		bench(b, op.name+"/secp", op.secp)
		bench(b, op.name+"/decred", op.decred)
	}
	var half Half
	bench(b, "SplitLambda", func() { half, _ = x.SplitLambda() })
	_ = half
}

func BenchmarkResidue(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	x, y := newResidue(random256(r)), newResidue(random256(r))
	var z residue
	bench(b, "mul", func() { x.mul(x, y) })
	bench(b, "mul-independent", func() { z.mul(x, y) })
	bench(b, "sqr", func() { x.sqr(x) })
	bench(b, "sqr-independent", func() { z.sqr(x) })
	bench(b, "sub", func() { x.sub(x, y) })
	bench(b, "sqrt", func() { z.sqrt(y) })
	bench(b, "inverse", func() { x.inverse(x) })
}

func BenchmarkPoint(b *testing.B) {
	var p jacobian
	p.setAffine(&basePoint)
	p.double()
	scale := p.z
	bench(b, "double", p.double)
	bench(b, "add", func() { p.add(&basePoint, nil) })
	bench(b, "add-scaled", func() { p.add(&basePoint, &scale) })
	var odd, lambda keyTable
	bench(b, "keyTables", func() { setKeyTables(&odd, &lambda, &scale, &basePoint) })
	var base baseTable
	bench(b, "baseTable", func() { base.set(&basePoint) })
}

func bench(b *testing.B, name string, op func()) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			op()
		}
	})
}
