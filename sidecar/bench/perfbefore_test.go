package bench

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// What is before is what the libraries do where nobody has set anything: as they say
// themselves.
func TestBeforeIsTheLibraries(t *testing.T) {
	var o pebble.Options
	o.EnsureDefaults()
	if o.CacheSize != perfBefore["coindb.memory"] || o.MemTableSize != pebbleMemTable {
		t.Errorf("Pebble has a cache of %d bytes and memtables of %d, and before are %d and %d", o.CacheSize, o.MemTableSize, perfBefore["coindb.memory"], pebbleMemTable)
	}
	if _, most := o.CompactionConcurrencyRange(); int64(most) != perfBefore["coindb.compactions"] {
		t.Errorf("Pebble has %d compactions at a time, and before are %d", most, perfBefore["coindb.compactions"])
	}
	// Ristretto has no size of its own, so that nothing is before by its default.
	if c, err := ristretto.NewCache(new(ristretto.Config[uint64, int64])); err == nil {
		c.Close()
		t.Error("ristretto makes a cache of a size that nobody has set")
	}
	v := sigverify.New(sigverify.Options{})
	defer v.Close()
	for _, k := range v.Knobs() {
		switch want := perfBefore[k.Name]; {
		case k.Name == "sigverify.chunk" && k.Ladder[len(k.Ladder)-1] != want:
			t.Errorf("a worker can take %d at once, and before are %d", k.Ladder[len(k.Ladder)-1], want)
		case k.Name == "sigverify.workers" && want != int64(runtime.GOMAXPROCS(0)):
			t.Errorf("Go runs %d at once, and before are %d workers", runtime.GOMAXPROCS(0), want)
		}
	}
}

// Go's own defaults are those of a process for which nothing is set, which this test
// starts from itself.
func TestBeforeIsGo(t *testing.T) {
	const child = "OUTRIDER_BENCH_BEFORE"
	if os.Getenv(child) != "" {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
		metrics.Read(s)
		fmt.Printf("%d %d\n", s[0].Value.Uint64(), s[1].Value.Uint64())
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBeforeIsGo$")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "GOGC=") || strings.HasPrefix(kv, "GOMEMLIMIT=")
	}), child+"=1")
	said, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Appendf(nil, "%d %d\n", perfBefore["go.gogc"], int64(math.MaxInt64)); !bytes.HasPrefix(said, want) {
		t.Errorf("Go has %q, and before is %q", said, want)
	}
}

// The table is complete: what is not in it is the same in all three that are compared.
func TestBeforeIsComplete(t *testing.T) {
	r, _ := newTestReplay(t, nil)
	var left []string
	for _, k := range r.knobs(new(perfPlan)) {
		if _, ok := perfBefore[k.Name]; !ok {
			left = append(left, k.Name)
		}
	}
	slices.Sort(left)
	if want := []string{"coindb.readers", "go.memlimit", "utxocache.ring"}; !slices.Equal(left, want) {
		t.Errorf("before says nothing of %v, want of %v only", left, want)
	}
	text, err := os.ReadFile("../../docs/perf.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		for _, w := range perfWorkloads() {
			if slices.Contains(w.turned(), name) {
				t.Errorf("%s is turned, and nobody says where it was before", name)
			}
		}
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/perf.md says nothing of %s", name)
		}
	}
}
