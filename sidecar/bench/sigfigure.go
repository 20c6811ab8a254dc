package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/outrider-project/outrider/sigverify"
)

// A sigBench is what the figures are measured with.
type sigBench struct {
	one, all *sigverify.Verifier // of one worker, and of one for each core
	scalar   *sigverify.Verifier // of one worker, one signature at a time
	cores    int
	sizes    []int
	samples  map[sigverify.Scheme][]sample
	items    map[sigverify.Scheme][]sigverify.Item
}

func newSigBench(sizes []int, path sigverify.Path) (*sigBench, error) {
	ecdsaSamples, bip340Samples, err := newSamples(sizes[len(sizes)-1])
	if err != nil {
		return nil, err
	}
	b := &sigBench{
		sizes:   sizes,
		cores:   runtime.GOMAXPROCS(0),
		samples: map[sigverify.Scheme][]sample{sigverify.ECDSA: ecdsaSamples, sigverify.BIP340: bip340Samples},
		items:   make(map[sigverify.Scheme][]sigverify.Item),
	}
	b.one = sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1, Path: path})
	b.all = sigverify.New(sigverify.Options{Workers: b.cores, CacheBytes: -1, Path: path})
	b.scalar = sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1, Path: sigverify.PathScalar})
	for scheme, samples := range b.samples {
		for i := range samples {
			b.items[scheme] = append(b.items[scheme], samples[i].item)
		}
	}
	return b, nil
}

func (b *sigBench) close() {
	b.one.Close()
	b.scalar.Close()
	b.all.Close()
}

// A task verifies the next signatures and returns how many they were.
type task func(context.Context) (int, error)

// repeat runs the task until then, and once at least: one that gets a processor late has a
// number all the same. It returns how many signatures that were.
func (t task) repeat(ctx context.Context, until time.Time) (count int, err error) {
	for count == 0 || time.Now().Before(until) {
		n, err := t(ctx)
		if err != nil {
			return count, err
		}
		count += n
	}
	return count, nil
}

// ours returns a task that verifies batches of that size.
func (b *sigBench) ours(v *sigverify.Verifier, scheme sigverify.Scheme, size int) task {
	items, at, valid := b.items[scheme], 0, make([]bool, size)
	return func(ctx context.Context) (int, error) {
		if at+size > len(items) {
			at = 0
		}
		if err := v.Verify(ctx, items[at:at+size], valid); err != nil {
			return 0, err
		}
		for i, ok := range valid {
			if !ok {
				return 0, fmt.Errorf("sigverify refuses valid signature %d of scheme %d", at+i, scheme)
			}
		}
		at += size
		return size, nil
	}
}

// theirs returns a task of an anchor's.
func (b *sigBench) theirs(a *anchor, scheme sigverify.Scheme) task {
	samples, at, verify := b.samples[scheme], 0, a.verify(scheme)
	return func(context.Context) (int, error) {
		const some = 16 // between two looks at the clock
		for range some {
			if !verify(&samples[at]) {
				return 0, fmt.Errorf("%s refuses valid signature %d of scheme %d", a.name, at, scheme)
			}
			at = (at + 1) % len(samples)
		}
		return some, nil
	}
}

// perSecond runs the tasks at once, and returns how many signatures they verify a
// second. On threads of their own they neither have help nor wait for each other; of
// one that is alone there, it is a second that its thread had a processor for, so
// that other programs do not count.
func perSecond(ctx context.Context, tasks []task, ownThreads bool) (float64, error) {
	counts, errs := make([]int, len(tasks)), make([]error, len(tasks))
	var ran time.Duration
	start := time.Now()
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() {
			if ownThreads {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			began := threadTime()
			counts[i], errs[i] = t.repeat(ctx, start.Add(windowTime))
			if i == 0 {
				ran = threadTime() - began
			}
		})
	}
	wg.Wait()
	if !ownThreads || len(tasks) > 1 {
		ran = time.Since(start)
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / ran.Seconds(), errors.Join(errs...)
}

// A sigFigure is a row under way: two things that are measured in turns, in
// signatures a second.
type sigFigure struct {
	name         string
	ours, theirs []task
	pureGo       bool   // ours is to be measured without assembly
	anchor       string // "" if theirs is nil
	unit         sigUnit
	did, didRef  []float64
	// cores is set for relative ones, and hashed how many times as many hashes as many
	// threads make as one does: what the machine has to give just then.
	cores  int
	hashed []float64
}

// hashesAnchor is what scaling has beside it.
const hashesAnchor = "hashes, which share nothing"

// A sigUnit is what a row counts.
type sigUnit string

const (
	micros   sigUnit = "µs/signature"
	rate     sigUnit = "signatures/s"
	relative sigUnit = "× one core"
)

// measure measures both once.
func (f *sigFigure) measure(ctx context.Context) error {
	var got float64
	var err error
	if f.pureGo {
		sigverify.PureGo(func() { got, err = perSecond(ctx, f.ours, f.unit == micros) })
	} else {
		got, err = perSecond(ctx, f.ours, f.unit == micros)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.did = append(f.did, got)
	if f.theirs == nil {
		return nil
	}
	if got, err = perSecond(ctx, f.theirs, f.unit != relative); err != nil {
		return fmt.Errorf("%s, anchor: %w", f.name, err)
	}
	f.didRef = append(f.didRef, got)
	if f.unit != relative {
		return nil
	}
	many := make([]task, f.cores)
	for i := range many {
		many[i] = hashes()
	}
	all, err := perSecond(ctx, many, false)
	if err != nil {
		return err
	}
	one, err := perSecond(ctx, many[:1], false)
	f.hashed = append(f.hashed, all/one)
	return err
}

// row returns the row of the medians.
func (f *sigFigure) row() Row {
	ours, theirs := median(f.did), median(f.didRef)
	switch {
	case f.unit == relative:
		return moreIsBetter(f.name, ours/theirs, string(f.unit), hashesAnchor, median(f.hashed))
	case f.unit == micros && f.theirs == nil:
		return plain(f.name, 1e6/ours, string(f.unit))
	case f.theirs == nil:
		return plain(f.name, ours, string(f.unit))
	case f.unit == micros:
		return lessIsBetter(f.name, 1e6/ours, string(f.unit), f.anchor, 1e6/theirs)
	}
	return Row{Name: f.name, Value: ours, Unit: string(f.unit), Anchor: f.anchor, AnchorValue: theirs, Ratio: ours / theirs}
}

// sigSchemes are the schemes and how rows call them.
var sigSchemes = [...]struct {
	name   string
	scheme sigverify.Scheme
}{{"ecdsa", sigverify.ECDSA}, {"bip340", sigverify.BIP340}}

// figures returns what is to be measured. A row of allcores has as many callers
// as there are cores, each with batches of the row's size; one of scaling has one
// caller, whose batches the pool divides.
func (b *sigBench) figures() []*sigFigure {
	anchors := anchors()
	first := anchors[0] // it may have no BIP340, and then its ECDSA stands in
	var figures []*sigFigure
	for _, s := range sigSchemes {
		for _, size := range b.sizes {
			figures = append(figures,
				&sigFigure{
					name: fmt.Sprintf("%s/%d/1core", s.name, size), unit: micros, anchor: first.name + " ECDSA",
					ours: b.callers(b.one, s.scheme, size, 1), theirs: b.anchors(first, sigverify.ECDSA, 1),
				},
				&sigFigure{
					name: fmt.Sprintf("%s/%d/allcores", s.name, size), unit: rate, anchor: first.name + " ECDSA",
					ours: b.callers(b.all, s.scheme, size, b.cores), theirs: b.anchors(first, sigverify.ECDSA, b.cores),
				})
		}
		for _, size := range b.sizes[max(0, len(b.sizes)-2):] {
			figures = append(figures, &sigFigure{
				name: fmt.Sprintf("scaling/%s/%d/allcores", s.name, size), unit: relative, cores: b.cores,
				ours: b.callers(b.all, s.scheme, size, 1), theirs: b.callers(b.one, s.scheme, size, 1),
			})
		}
	}
	for _, s := range sigSchemes {
		a := decred()
		if a.verify(s.scheme) == nil {
			a = btcecAnchor()
		}
		for _, size := range b.sizes {
			figures = append(figures, &sigFigure{
				name: fmt.Sprintf("%s-purego/%d/1core", s.name, size), unit: micros, anchor: a.name, pureGo: true,
				ours: b.callers(b.scalar, s.scheme, size, 1), theirs: b.anchors(a, s.scheme, 1),
			})
		}
	}
	for _, a := range anchors {
		for _, s := range sigSchemes {
			if a.verify(s.scheme) != nil {
				figures = append(figures, &sigFigure{
					name: fmt.Sprintf("anchor/%s/%s/1core", a.name, s.name), unit: micros, ours: b.anchors(a, s.scheme, 1),
				})
			}
		}
	}
	return figures
}

// callers returns tasks of ours for as many callers at once.
func (b *sigBench) callers(v *sigverify.Verifier, scheme sigverify.Scheme, size, n int) (tasks []task) {
	for range n {
		tasks = append(tasks, b.ours(v, scheme, size))
	}
	return tasks
}

// anchors returns tasks of an anchor's for as many callers at once.
func (b *sigBench) anchors(a *anchor, scheme sigverify.Scheme, n int) (tasks []task) {
	for range n {
		tasks = append(tasks, b.theirs(a, scheme))
	}
	return tasks
}
