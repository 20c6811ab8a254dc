package sigverify

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify/internal/lane"
)

func noLanes() error { return errors.New("no lanes") }

// lies says which verifiers lie, and whether the lanes cannot tell.
type lies struct{ lane, scalar, decred, unsure bool }

// A liar is verifiers of which some lie about the signatures that are its mark: they say the opposite of what is right.
type liar struct {
	lies
	mark [64]byte

	mu       sync.Mutex // guards what follows
	disabled string     // the reason that the lanes were switched off for
	inLanes  int        // signatures that came to the lanes
	exact    int        // signatures that were decided exactly
}

func (l *liar) verdict(it *Item, lies bool) bool {
	return verifyScalar(it) != (lies && it.Sig == l.mark)
}

// Verify implements laneVerifier.
func (l *liar) Verify(items []lane.Item, verdicts []lane.Verdict) {
	for i, it := range items {
		item := Item{Key: it.Key, Sig: *it.Sig, Digest: *it.Digest, Scheme: ECDSA}
		if it.BIP340 {
			item.Scheme = BIP340
		}
		switch {
		case l.unsure && item.Sig == l.mark:
			verdicts[i] = lane.Unsure
		case l.verdict(&item, l.lane):
			verdicts[i] = lane.Valid
		default:
			verdicts[i] = lane.Invalid
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inLanes += len(items)
}

func (l *liar) code() code {
	return code{
		checkLanes: func() error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.disabled != "" {
				return errors.New(l.disabled)
			}
			return nil
		},
		openLanes: func() (laneVerifier, error) { return l, nil },
		disableLanes: func(reason string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.disabled = reason
		},
		scalar: func(it *Item) bool { return l.verdict(it, l.scalar) },
		decred: func(it *Item) bool { return l.verdict(it, l.decred) },
		exact: func(it *Item) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.exact++
			return verifyExact(it)
		},
	}
}

// Whoever lies is found out if it is asked, and the verdicts are right all the
// same; who has lied is not asked again.
func TestLiars(t *testing.T) {
	r := newRand(t)
	good := signedECDSA(r)
	bad := good
	bad.Digest = [32]byte{1, 2, 3}
	if verifyExact(&bad) {
		t.Fatal("a signature is valid for another digest")
	}
	for _, tt := range []struct {
		name         string
		lies         lies
		marked       Item
		recheck      int
		path         Path
		lane, scalar float64 // mismatches
		decred       float64
		exact        int
	}{
		{"nobody", lies{}, good, 1, PathLane, 0, 0, 0, 0},
		{"the lanes cannot tell", lies{unsure: true}, good, 1, PathLane, 0, 0, 0, 0},
		{"the lanes cannot tell an invalid one", lies{unsure: true}, bad, 1, PathLane, 0, 0, 0, 0},
		{"the lanes refuse", lies{lane: true}, good, 1 << 30, PathScalar, 1, 0, 0, 1},
		{"the lanes accept", lies{lane: true}, bad, 1, PathScalar, 1, 0, 0, 1},
		{"scalar and lanes refuse", lies{lane: true, scalar: true}, good, 1, PathDecred, 1, 1, 0, 1},
		{"scalar accepts what lanes cannot tell", lies{unsure: true, scalar: true}, bad, 1, PathDecred, 0, 1, 0, 1},
		{"scalar accepts what lanes refuse", lies{scalar: true}, bad, 1 << 30, PathDecred, 0, 1, 0, 1},
		{"decred refuses", lies{decred: true}, good, 1, PathLane, 0, 0, 1, 1},
		{"decred accepts", lies{decred: true}, bad, 1, PathLane, 0, 0, 1, 1},
		{"lanes and decred accept", lies{lane: true, decred: true}, bad, 1 << 30, PathLane, 0, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &liar{lies: tt.lies, mark: tt.marked.Sig}
			var reg perfcore.Registry
			var log bytes.Buffer
			v := newVerifier(Options{
				Workers: 1, RecheckEvery: tt.recheck, Recorder: &reg, Log: slog.New(slog.NewTextHandler(&log, nil)),
			}, l.code())
			defer v.Close()
			items := []Item{signedBIP340(r), tt.marked, signedECDSA(r), oddBIP340(r), signedECDSA(r)}
			check := func() {
				t.Helper()
				for i, got := range verifyAll(t, v, items) {
					want := verifyExact(&items[i])
					if tt.name == "lanes and decred accept" {
						want = want || i == 1 // what nobody is asked about, nobody sees
					}
					if got != want {
						t.Errorf("item %d: verdict %v, want %v", i, got, want)
					}
				}
			}
			check()
			if path, why := v.Path(); path != tt.path || why == "" {
				t.Errorf("path %s (%s), want %s", path, why, tt.path)
			}
			values := valuesOf(&reg)
			for path, want := range map[Path]float64{PathLane: tt.lane, PathScalar: tt.scalar, PathDecred: tt.decred} {
				if got := values["outrider_sigverify_mismatches_total path "+string(path)]; got != want {
					t.Errorf("%v mismatches of %s, want %v", got, path, want)
				}
				info := 0.0
				if path == tt.path {
					info = 1
				}
				if got := values["outrider_sigverify_path_info path "+string(path)]; got != info {
					t.Errorf("path_info of %s is %v, want %v", path, got, info)
				}
			}
			if l.exact != tt.exact {
				t.Errorf("%d signatures were decided exactly, want %d", l.exact, tt.exact)
			}
			if alarmed := strings.Contains(log.String(), "DISAGREE"); alarmed != (tt.exact > 0) {
				t.Errorf("the log: %s", log.String())
			}
			if off := l.disabled != ""; off != (tt.lane > 0) {
				t.Errorf("the lanes were switched off for %q", l.disabled)
			}
			inLanes := l.inLanes
			check()
			if tt.path != PathLane && l.inLanes != inLanes {
				t.Errorf("%d signatures came to the lanes after they lost their trust", l.inLanes-inLanes)
			}
		})
	}
}

// When the lanes are switched off, every Verifier of the process leaves them.
func TestDisabledForAll(t *testing.T) {
	l := new(liar)
	one, other := newVerifier(Options{Workers: 1}, l.code()), newVerifier(Options{Workers: 1}, l.code())
	defer one.Close()
	defer other.Close()
	r := newRand(t)
	items := []Item{signedECDSA(r), signedECDSA(r), signedBIP340(r), signedECDSA(r)}
	l.lane, l.mark = true, items[1].Sig
	verifyAll(t, one, items)
	came := l.inLanes
	verifyAll(t, other, items)
	if path, why := other.Path(); path != PathScalar || !strings.Contains(why, "the lanes called a signature invalid that is valid") || l.inLanes != came {
		t.Errorf("the other Verifier takes %s (%s), and asked the lanes about %d signatures", path, why, l.inLanes-came)
	}
}

// A verdict that lanes gave before they were found wrong does not stay: not in a
// batch that is under way, not in the cache.
func TestDistrustTakesBack(t *testing.T) {
	r := newRand(t)
	forged := signedECDSA(r)
	forged.Digest = [32]byte{9}
	l := &liar{lies: lies{lane: true}, mark: forged.Sig}
	v := newVerifier(Options{Workers: 1, Chunk: 16, RecheckEvery: 1 << 30}, l.code())
	defer v.Close()
	v.drawn = 0
	first := slices.Repeat([]Item{forged}, 3)
	valid := make([]bool, 3)
	if err := v.VerifyMempool(t.Context(), first, valid); err != nil || !valid[0] {
		t.Fatalf("%v, and the lanes did not lie", err)
	}
	if v.cache.records.Load() == 0 {
		t.Fatal("the cache has nothing to forget")
	}
	// The forged one is in a chunk before the one that brings the lie to light.
	items := slices.Concat(slices.Repeat([]Item{forged}, 16), []Item{signedBIP340(r), signedECDSA(r), signedECDSA(r)})
	var drawn atomic.Bool
	v.pool.free = nil // a new executor comes
	v.code.checkLanes = func() error {
		if drawn.Load() {
			return errors.New("found wrong")
		}
		return nil
	}
	v.pool.newExecutor = func() *executor {
		e := newExecutor(v)
		e.lanes = wrongAfter{l, &drawn}
		return e
	}
	for i, got := range verifyAll(t, v, items) {
		if want := i >= 16; got != want {
			t.Errorf("item %d: verdict %v, want %v", i, got, want)
		}
	}
	if v.cache.records.Load() != 0 {
		t.Error("the cache still knows what the lanes said")
	}
}

// wrongAfter are lanes that are found wrong while they work.
type wrongAfter struct {
	laneVerifier
	found *atomic.Bool
}

func (w wrongAfter) Verify(items []lane.Item, verdicts []lane.Verdict) {
	w.laneVerifier.Verify(items, verdicts)
	w.found.Store(true)
}

// About one verdict in RecheckEvery is checked, and no two Verifiers draw the
// same.
func TestRechecksAreDrawn(t *testing.T) {
	draws := func(every int) (which []int) {
		n := 0
		c := ourCode()
		c.checkLanes = noLanes
		c.scalar = func(*Item) bool { n++; return true }
		c.decred = func(*Item) bool { which = append(which, n); return true }
		v := newVerifier(Options{Workers: 1, RecheckEvery: every}, c)
		defer v.Close()
		verifyAll(t, v, make([]Item, 20000))
		return which
	}
	if n := len(draws(1)); n != 20000 {
		t.Errorf("of 20000 verdicts %d were checked, want all", n)
	}
	// The standard deviation of 200 expected ones is 14.
	one, other := draws(100), draws(100)
	if len(one) < 80 || len(one) > 320 {
		t.Errorf("of 20000 verdicts %d were checked, want about 200", len(one))
	}
	if slices.Equal(one, other) {
		t.Errorf("two Verifiers drew the same %d verdicts", len(one))
	}
}

func TestParsePath(t *testing.T) {
	for name, want := range map[string]Path{"auto": "", "lane": PathLane, "scalar": PathScalar} {
		if got, err := ParsePath(name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "decred", "LANE", "avx"} {
		if got, err := ParsePath(name); err == nil {
			t.Errorf("%q is a path: %q", name, got)
		}
	}
}

// Which path is taken is told, with the reason, in the log.
func TestPathIsTold(t *testing.T) {
	for _, tt := range []struct {
		ask        Path
		lanes      error
		path, want string
	}{
		{"", nil, "lane", "self-test"},
		{PathLane, nil, "lane", "self-test"},
		{"", noLanes(), "scalar", "no lanes"},
		{PathLane, noLanes(), "scalar", "no lanes"},
		{PathScalar, nil, "scalar", "asked for"},
	} {
		var log bytes.Buffer
		c := ourCode()
		c.checkLanes = func() error { return tt.lanes }
		v := newVerifier(Options{Path: tt.ask, Log: slog.New(slog.NewTextHandler(&log, nil))}, c)
		defer v.Close()
		path, why := v.Path()
		if string(path) != tt.path || !strings.Contains(why, tt.want) {
			t.Errorf("%q: %s (%s)", tt.ask, path, why)
		}
		if said := log.String(); !strings.Contains(said, "path="+tt.path) || !strings.Contains(said, tt.want) {
			t.Errorf("%q: the log says %s", tt.ask, said)
		}
	}
}

// Trust falls once to each path, and never rises.
func TestTrustFallsOnce(t *testing.T) {
	var trust trust
	for _, tt := range []struct {
		to, is rank
		fell   bool
	}{
		{rankLane, rankLane, false}, {rankScalar, rankScalar, true}, {rankScalar, rankScalar, false}, {rankLane, rankScalar, false},
		{rankDecred, rankDecred, true}, {rankScalar, rankDecred, false},
	} {
		if fell := trust.fall(tt.to, "why"); fell != tt.fell || trust.now() != tt.is {
			t.Errorf("fall to %v: %v, and it is %v; want %v and %v", tt.to, fell, trust.now(), tt.fell, tt.is)
		}
	}
}

// The cache goes on after it was emptied.
func TestCacheAfterAFall(t *testing.T) {
	v := newTestVerifier(t, Options{})
	items := []Item{signedECDSA(newRand(t))}
	for _, to := range []rank{rankScalar, rankDecred} {
		if v.rank() >= to {
			continue // this machine has no lanes
		}
		if err := v.VerifyMempool(t.Context(), items, make([]bool, 1)); err != nil {
			t.Fatal(err)
		}
		if n := v.cache.records.Load(); n != 1 {
			t.Errorf("%d signatures are in the cache, want 1", n)
		}
		v.distrust(to, "for a test")
		if n := v.cache.records.Load(); n != 0 {
			t.Errorf("%d signatures are in the cache of a Verifier that lost trust", n)
		}
	}
	if err := v.VerifyMempool(t.Context(), items, make([]bool, 1)); err != nil || v.cache.records.Load() != 1 {
		t.Errorf("%v, and %d signatures are in the cache at the end, want 1", err, v.cache.records.Load())
	}
}

// Exact asks neither lanes nor cache, finds a scalar verifier that calls a valid
// signature invalid, and tells of the loss of trust.
func TestExact(t *testing.T) {
	r := newRand(t)
	items, want := mixed(r, 24)
	l := &liar{mark: items[slices.Index(want, true)].Sig}
	for _, tt := range []struct {
		lies
		falls bool
	}{{}, {lies: lies{lane: true}}, {lies: lies{scalar: true}, falls: true}, {lies: lies{decred: true}}} {
		l.lies, l.disabled, l.inLanes = tt.lies, "", 0
		v := newVerifier(Options{Workers: 1, CacheBytes: 1 << 20}, l.code())
		before, valid := v.Falls(), make([]bool, len(items))
		if err := v.Exact().Verify(t.Context(), items, valid); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(valid, want) || l.inLanes != 0 {
			t.Errorf("%+v: %v, want %v; %d in lanes", tt.lies, valid, want, l.inLanes)
		}
		if fell := v.Falls() != before; fell != tt.falls {
			t.Errorf("%+v: a fall is told: %v, want %v", tt.lies, fell, tt.falls)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := v.Exact().Verify(ctx, items, valid); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		v.Close()
	}
}

// A scalar verifier that was found wrong is not asked again, and what decred's code alone
// calls invalid, the slow code must, too.
func TestExactWithoutScalar(t *testing.T) {
	items, want := mixed(newRand(t), 24)
	for _, mark := range []bool{true, false} {
		l := &liar{mark: items[slices.Index(want, mark)].Sig}
		for _, lying := range []lies{{scalar: true}, {scalar: true, decred: true}} {
			if lying.decred && !mark {
				continue // one in a hundred: it is nobody's to notice at once
			}
			l.lies, l.disabled = lying, ""
			v := newVerifier(Options{Workers: 1, CacheBytes: 1 << 20}, l.code())
			v.distrust(rankDecred, "the scalar verifier was wrong")
			l.exact = 0
			valid := make([]bool, len(items))
			if err := v.Exact().Verify(t.Context(), items, valid); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(valid, want) {
				t.Errorf("a signature that is valid: %v, %+v: %v, want %v", mark, lying, valid, want)
			}
			invalid := 0
			for _, valid := range want {
				if !valid {
					invalid++
				}
			}
			if l.exact < invalid {
				t.Errorf("%d signatures were decided exactly, and %d are invalid", l.exact, invalid)
			}
			v.Close()
		}
	}
}
