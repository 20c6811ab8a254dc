package lane

import (
	"errors"
	"strings"
	"testing"
)

// corruptions break one kernel each: they flip a bit of what it computed. Table
// and multiply are two kernels each, for one vector and for two.
var corruptions = []struct {
	kernel  string
	corrupt func(k *kernelSet)
}{
	{"lift", func(k *kernelSet) {
		f := k.lift
		k.lift = func(vs []vector, w *work) { f(vs, w); vs[len(vs)-1][rowQY+4][7] ^= 1 }
	}},
	{"scalarPrefix", func(k *kernelSet) {
		f := k.scalarPrefix
		k.scalarPrefix = func(vs []vector, w *work) { f(vs, w); vs[1][rowPrefix][3] ^= 1 << 51 }
	}},
	{"scalarQuotient", func(k *kernelSet) {
		f := k.scalarQuotient
		k.scalarQuotient = func(vs []vector, w *work) { f(vs, w); vs[1][rowU1+2][0] ^= 2 }
	}},
	{"recode", func(k *kernelSet) {
		f := k.recode
		k.recode = func(v *vector, w *work, n int) { f(v, w, n); coldOf(w, n)[coldSignsQ][0] ^= 1 }
	}},
	{"table", corruptTable(1)},
	{"table", corruptTable(2)},
	{"multiplyHead", func(k *kernelSet) {
		f := k.multiplyHead
		k.multiplyHead = func(vs []*vector, w *work, t *table) { f(vs, w, t); hotOf(w, 0)[hotSum+7][2] ^= 4 }
	}},
	{"multiplyTail", corruptMultiply(1)},
	{"multiplyTail", corruptMultiply(2)},
	{"check", func(k *kernelSet) {
		f := k.check
		k.check = func(vs []vector, w *work) { f(vs, w); vs[0][rowFlags][0] ^= 1 << (8*flagEqual + 2) }
	}},
	{"zPrefix", func(k *kernelSet) {
		f := k.zPrefix
		k.zPrefix = func(vs []vector, w *work) { f(vs, w); vs[1][rowPrefix+1][1] ^= 1 }
	}},
	{"odd", func(k *kernelSet) {
		f := k.odd
		k.odd = func(vs []vector, w *work) { f(vs, w); vs[1][rowFlags][0] ^= 1 << (8 * flagOddY) }
	}},
}

func corruptTable(n int) func(k *kernelSet) {
	return func(k *kernelSet) {
		f := k.table
		k.table = func(vs []*vector, w *work) {
			if f(vs, w); len(vs) == n {
				coldOf(w, n-1)[coldTable+5][6] ^= 1
			}
		}
	}
}

func corruptMultiply(n int) func(k *kernelSet) {
	return func(k *kernelSet) {
		f := k.multiplyTail
		k.multiplyTail = func(vs []*vector, w *work, t *table) {
			if f(vs, w, t); len(vs) == n {
				vs[n-1][rowX][5] ^= 1
			}
		}
	}
}

// A kernel that is off by a bit is found at the start, by its name, and the
// lanes are not available then.
func TestSelfTestFindsCorruption(t *testing.T) {
	corrupted := map[string]bool{}
	for _, c := range corruptions {
		corrupted[c.kernel] = true
		e, err := openWith("", func() *kernelSet {
			k := models()
			c.corrupt(k)
			return k
		})
		if e != nil || !errors.Is(err, ErrSelfTest) || !strings.HasSuffix(err.Error(), ": "+c.kernel) {
			t.Errorf("kernel %s corrupted: openWith = %v, %v", c.kernel, e, err)
		}
	}
	for i := range kernelTests {
		if name := kernelTests[i].name; !corrupted[name] {
			t.Errorf("no corruption of kernel %s", name)
		}
	}
	if e, err := openWith("", models); e == nil || err != nil {
		t.Errorf("models against themselves: openWith = %v, %v", e, err)
	}
}

func TestMissingFeature(t *testing.T) {
	e, err := openWith("AVX512IFMA", func() *kernelSet {
		t.Error("kernels are asked for")
		return nil
	})
	if e != nil || !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "AVX512IFMA") {
		t.Errorf("openWith = %v, %v", e, err)
	}
}

func TestDisable(t *testing.T) {
	before := Check()
	Disable("for a test")
	t.Cleanup(func() {
		disabled.Store(nil)
		if after := Check(); !errors.Is(after, before) {
			t.Errorf("Check() = %v, before %v", after, before)
		}
	})
	err := Check()
	if !errors.Is(err, ErrDisabled) || !strings.Contains(err.Error(), "for a test") || Available() {
		t.Errorf("Check() = %v, Available() = %v", err, Available())
	}
	if s, err := NewScratch(); s != nil || !errors.Is(err, ErrDisabled) {
		t.Errorf("NewScratch() = %v, %v", s, err)
	}
}
