package adaptor

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
)

// Labels that are not all different, or not valid, make no table.
func TestTableRefuses(t *testing.T) {
	p := newProver(t, "table", 3)
	fresh := func() [][]Label { return p.labels(t, 4) }
	at, _ := PointOf(draw("point of another"))
	for name, tt := range map[string]struct {
		change func(labels [][]Label) [][]Label
		want   error
		word   string
	}{
		"right":            {func(l [][]Label) [][]Label { return l }, nil, ""},
		"no digit":         {func([][]Label) [][]Label { return nil }, ErrForm, "0 digits"},
		"a digit less":     {func(l [][]Label) [][]Label { return l[:2] }, ErrForm, "2 digits"},
		"no label":         {func(l [][]Label) [][]Label { l[1] = nil; return l }, ErrForm, "digit 1 has 0"},
		"a label too many": {func(l [][]Label) [][]Label { l[2] = make([]Label, 257); return l }, ErrForm, "digit 2 has 257"},
		"twice in a digit": {func(l [][]Label) [][]Label { l[1][3] = l[1][0]; return l }, ErrDuplicate, "digit 1, value 3"},
		"another's digit":  {func(l [][]Label) [][]Label { l[1][3] = l[0][3]; return l }, ErrPresignature, "digit 1, value 3"},
		"another's point":  {func(l [][]Label) [][]Label { l[0][2].Point = at; return l }, ErrPresignature, "digit 0, value 2"},
		"no point":         {func(l [][]Label) [][]Label { l[0][2].Point = Point{}; return l }, ErrForm, "digit 0, value 2"},
		"one point for two": {func(l [][]Label) [][]Label {
			pre, err := Presign(p.secret, l[0][0].Point, p.digests[2], draw("more"))
			if err != nil {
				t.Fatal(err)
			}
			l[2][1] = Label{l[0][0].Point, pre}
			return l
		}, ErrDuplicate, "the point"},
		"opposite points": {func(l [][]Label) [][]Label {
			opposite := l[0][0].Point
			opposite[0] ^= 1
			pre, err := Presign(p.secret, opposite, p.digests[0], draw("more"))
			if err != nil {
				t.Fatal(err)
			}
			l[0][1] = Label{opposite, pre}
			return l
		}, ErrDuplicate, "the point"},
		"one nonce for two": {func(l [][]Label) [][]Label {
			d, _ := scalar(p.evenSecret(t))
			k, _ := scalar(draw("nonce"))
			for v := range 2 {
				T, _ := l[0][v].Point.parse()
				pre, err := presign(&d, p.key.X(), &k, &T, p.digests[0])
				if err != nil {
					t.Fatal(err)
				}
				l[0][v].Pre = pre
			}
			return l
		}, ErrDuplicate, "the nonce"},
		"one R for two": {func(l [][]Label) [][]Label {
			// Whoever knows both secrets chooses a nonce for the second that leads to
			// the R of the first.
			d, _ := scalar(p.evenSecret(t))
			k, _ := scalar(draw("nonce"))
			t0, t1 := p.secretOf(0, 0), p.secretOf(0, 1)
			for v, secret := range [][32]byte{t0, t1} {
				kv := k
				minus, _ := scalar(secret)
				kv.Add(minus.Negate())
				T, _ := l[0][v].Point.parse()
				pre, err := presign(&d, p.key.X(), &kv, &T, p.digests[0])
				if err != nil {
					t.Fatal(err)
				}
				l[0][v].Pre = pre
			}
			return l
		}, ErrDuplicate, "the R"},
	} {
		table, err := NewTable(t.Context(), p.key, p.digests, tt.change(fresh()))
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (table == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		} else if err != nil && !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%s: %v, want a word on %q", name, err, tt.word)
		}
	}
	if _, err := NewTable(t.Context(), p.key, p.digests[:2], fresh()); !errors.Is(err, ErrForm) {
		t.Errorf("a digest too few: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewTable(ended, p.key, p.digests, fresh()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// evenSecret returns the secret key, negated if its point's y is odd.
func (p *prover) evenSecret(t testing.TB) [32]byte {
	t.Helper()
	point, ok := PointOf(p.secret)
	if !ok {
		t.Fatal("no secret key")
	}
	d, _ := scalar(p.secret)
	if point.odd() {
		d.Negate()
	}
	return d.Bytes()
}

// Signatures that were made without a presignature, for another digit or of another
// message reveal nothing, valid though they are.
func TestExtractRefuses(t *testing.T) {
	p := newProver(t, "extract", 3)
	table, err := NewTable(t.Context(), p.key, p.digests, p.labels(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	signatures, _ := p.sign(t, []byte{0, 1, 2})
	spend := func(signatures []Signature) *Spend { return &Spend{p.key.X(), signatures, p.digests} }
	if _, _, err := table.Extract(spend(signatures)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Extract(spend(signatures[:2])); !errors.Is(err, ErrForm) {
		t.Errorf("two signatures: %v", err)
	}
	own := append([]Signature(nil), signatures...)
	own[1] = p.signDigest(t, p.digests[1])
	s, err := p.decode(Witness(own, p.script, p.control))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), verifyBtcec); err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Extract(s); !errors.Is(err, ErrLabel) || !strings.Contains(err.Error(), "digit 1") {
		t.Errorf("a signature without a presignature: %v", err)
	}
	moved := append([]Signature(nil), signatures...)
	moved[1] = signatures[2]
	if _, _, err := table.Extract(spend(moved)); !errors.Is(err, ErrLabel) {
		t.Errorf("another digit's signature: %v", err)
	}
	beyond, _ := p.sign(t, []byte{0, 1, 4})
	if _, _, err := table.Extract(spend(beyond)); !errors.Is(err, ErrLabel) {
		t.Errorf("a value without a label: %v", err)
	}
	// The same nonce, but of another hash type: what Extract would make of it is no
	// secret of any label.
	all := []txscript.SigHashType{txscript.SigHashAll, txscript.SigHashAll, txscript.SigHashAll}
	digests, err := Digests(p.tx, claimInput, p.prevouts, p.script, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Extract(&Spend{p.key.X(), signatures, digests}); !errors.Is(err, ErrSignature) {
		t.Errorf("another message: %v", err)
	}
}

// Digits are bytes, of which all values have labels, and the table takes no more memory
// for a label than its comment says.
func TestTableOfWideLabels(t *testing.T) {
	digits, width := 12, MaxLabels
	if testing.Short() {
		digits = 1
	}
	p := newProver(t, "wide", digits)
	labels := p.labels(t, width)
	before := heap()
	table, err := NewTable(t.Context(), p.key, p.digests, labels)
	if err != nil {
		t.Fatal(err)
	}
	used := heap() - before
	if limit := int64(170*digits*width + 32<<10); used > limit {
		t.Errorf("%d labels take %d bytes, want at most %d", digits*width, used, limit)
	}
	t.Logf("%d labels take %d bytes", digits*width, used)
	for _, at := range []byte{0, 127, 255} {
		want := make([]byte, digits)
		for i := range want {
			want[i] = at + byte(i)
		}
		signatures, secrets := p.sign(t, want)
		got, revealed, err := table.Extract(&Spend{p.key.X(), signatures, p.digests})
		if err != nil || string(got) != string(want) {
			t.Fatalf("%x (%v), want %x", got, err, want)
		}
		for i := range secrets {
			if revealed[i] != secrets[i] {
				t.Fatalf("digit %d: %x, want %x", i, revealed[i], secrets[i])
			}
		}
	}
	runtime.KeepAlive(labels)
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// secretOf returns the secret of a label.
func (p *prover) secretOf(digit, value int) [32]byte {
	key := p.key.X()
	return draw(string(key[:]), digit, value)
}
