package lane

import (
	"bufio"
	"crypto/sha256"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every kernel computes the same limbs as its model, and changes nothing else,
// with limbs at their bounds.
func TestKernelsMatchModels(t *testing.T) {
	needKernels(t)
	r, table := newRand(t), newTable()
	rounds := 60
	if testing.Short() {
		rounds = 8
	}
	for i := range kernelTests {
		test := &kernelTests[i]
		t.Run(test.name, func(t *testing.T) {
			for range rounds {
				if n := 1 + r.IntN(min(test.most, liftVectors)); !test.matches(assembly(), r, n, table) {
					t.Fatalf("with %d vectors the kernel differs from the model", n)
				}
			}
		})
	}
}

// A trial of which one bit is changed no longer matches: the comparison sees
// all of a vector and of the work area.
func TestTrialsCompareEverything(t *testing.T) {
	r := newRand(t)
	test := &kernelTests[slices.IndexFunc(kernelTests, func(k kernelTest) bool { return k.name == "check" })]
	for range 40 {
		k := models()
		run := k.check
		k.check = func(vs []vector, w *work) {
			run(vs, w)
			if r.IntN(2) == 0 {
				vs[r.IntN(len(vs))][r.IntN(vectorRows)][r.IntN(8)] ^= 1 << r.IntN(64)
			} else {
				at := r.IntN(workRows - spillRows)
				if at >= spillStart {
					at += spillRows
				}
				w[at][r.IntN(8)] ^= 1 << r.IntN(64)
			}
		}
		if test.matches(k, r, 2, nil) {
			t.Fatal("a changed bit is not seen")
		}
	}
}

// Every kernel clears the upper halves of the registers before it returns.
func TestVZEROUPPER(t *testing.T) {
	f, err := os.Open("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vector := regexp.MustCompile(`\b[XYZ][0-9]+\b`)
	returns, kernels, dirty, before := 0, 0, false, ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "TEXT "):
			dirty = false
		case vector.MatchString(line):
			dirty = true
		case line == "RET":
			returns++
			if dirty {
				kernels++
				if before != "VZEROUPPER" {
					t.Errorf("a return after %q", before)
				}
			}
		}
		if line != "" {
			before = line
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if want := len(kernelTests) + 1; kernels != want || returns != kernels+2 {
		t.Errorf("%d returns, %d of them in kernels; want %d kernels and two more functions", returns, kernels, want)
	}
}

// After each kernel the SHA instructions of crypto/sha256 are as fast as before.
// With dirty upper halves they take a hundred times as long on some machines.
func TestSHA256AfterKernels(t *testing.T) {
	needKernels(t)
	r, table, k := newRand(t), newTable(), assembly()
	block := make([]byte, 4096)
	hash := func(before func()) time.Duration {
		best := time.Hour
		for range 30 {
			before()
			start := time.Now()
			sha256.Sum256(block)
			best = min(best, time.Since(start))
		}
		return best
	}
	for i := range kernelTests {
		test := &kernelTests[i]
		for _, n := range []int{1, test.most} {
			tr := newTrial(r, n, table)
			test.prepare(r, tr)
			clean, after := hash(func() {}), hash(func() { test.run(k, tr) })
			if after > 10*clean {
				t.Errorf("after kernel %s of %d vectors a hash takes %v, else %v", test.name, n, after, clean)
			}
		}
	}
}

// No kernel runs longer than what the scheduler of Go can bear: it cannot
// preempt one.
func TestKernelsAreShort(t *testing.T) {
	needKernels(t)
	r, table, k := newRand(t), newTable(), assembly()
	for i := range kernelTests {
		test := &kernelTests[i]
		n := test.most
		best := time.Hour
		for range 20 {
			tr := newTrial(r, n, table)
			test.prepare(r, tr)
			start := time.Now()
			test.run(k, tr)
			best = min(best, time.Since(start))
		}
		t.Logf("%s: %v for %d vectors", test.name, best, n)
		if limit := 50 * time.Microsecond; best > limit {
			t.Errorf("kernel %s takes %v, more than %v", test.name, best, limit)
		}
	}
}

// Many goroutines, each with its own scratch, while the garbage collector runs.
func TestConcurrentScratches(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		samples := mixed(newRand(t), 96)
		if impl.slow {
			samples = samples[:9]
		}
		var wg sync.WaitGroup
		done := make(chan struct{})
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					runtime.GC()
				}
			}
		})
		var workers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for range impl.rounds(40) {
					check(t, samples, verify(impl.new(), samples))
				}
			})
		}
		workers.Wait()
		close(done)
		wg.Wait()
	})
}
