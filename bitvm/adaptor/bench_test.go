package adaptor

import "testing"

func BenchmarkVerify(b *testing.B) {
	p := newProver(b, "bench", 1)
	l, _ := p.label(b, 0, 0)
	for b.Loop() {
		if err := l.Pre.Verify(p.key, l.Point, p.digests[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPresign(b *testing.B) {
	p := newProver(b, "bench", 1)
	l, _ := p.label(b, 0, 0)
	for b.Loop() {
		if _, err := Presign(p.secret, l.Point, p.digests[0], [32]byte{}); err != nil {
			b.Fatal(err)
		}
	}
}

// What a table does with a claim of 108 digits, once it is made.
func BenchmarkExtract(b *testing.B) {
	const digits = 108
	p := newProver(b, "bench", digits)
	table, err := NewTable(b.Context(), p.key, p.digests, p.labels(b, 4))
	if err != nil {
		b.Fatal(err)
	}
	signatures, _ := p.sign(b, message(digits, 4))
	s := &Spend{p.key.X(), signatures, p.digests}
	for b.Loop() {
		if _, _, err := table.Extract(s); err != nil {
			b.Fatal(err)
		}
	}
}

// Reading a witness of 108 digits, all but its signatures checked.
func BenchmarkDecode(b *testing.B) {
	const digits = 108
	p := newProver(b, "bench", digits)
	signatures, _ := p.sign(b, message(digits, 4))
	items := Witness(signatures, p.script, p.control)
	p.tx.TxIn[claimInput].Witness = items
	for b.Loop() {
		if _, err := Decode(p.tx, claimInput, p.prevouts); err != nil {
			b.Fatal(err)
		}
	}
}
