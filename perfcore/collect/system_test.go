package collect

import (
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// tree reads a folder of testdata, so that a test can change files.
func tree(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	fsys := make(fstest.MapFS)
	root := os.DirFS("testdata/" + dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, name)
		fsys[name] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// edit replaces text in a file, which must have it.
func edit(t testing.TB, fsys fstest.MapFS, name, from, to string) {
	t.Helper()
	before := string(fsys[name].Data)
	after := strings.Replace(before, from, to, 1)
	if before == after {
		t.Fatalf("%s has no %q", name, from)
	}
	fsys[name] = &fstest.MapFile{Data: []byte(after)}
}

const service = "outrider.slice/outrider.service/"

// Ten seconds in which everything happened are measured to the last unit.
func TestSystem(t *testing.T) {
	proc, groups := tree(t, "linux/proc"), tree(t, "linux/cgroup")
	s := NewSystem(proc, groups)
	if m := s.Missing(); m != nil {
		t.Errorf("missing: %q", m)
	}
	if got := s.Limit(); got != 512<<20 {
		t.Errorf("the limit is %d bytes, want the slice's memory.high", got)
	}
	s.Begin()
	edit(t, proc, "self/stat", " 16716 0 0 0 381 10 ", " 16800 0 30 0 681 110 ")
	edit(t, proc, "self/io", "\nread_bytes: 0\nwrite_bytes: 16384", "\nread_bytes: 40960\nwrite_bytes: 20480")
	edit(t, proc, "stat", "cpu  1464477 42297 209010 726411 5955 0 12378 8334 ", "cpu  1465477 42297 209010 726811 6055 0 12378 8834 ")
	edit(t, groups, service+"cpu.pressure", "total=2500000", "total=4500000")
	edit(t, groups, service+"memory.pressure", "total=500000", "total=1500000")
	edit(t, groups, service+"io.pressure", "total=2500000", "total=12600000")
	edit(t, groups, service+"cpu.stat", "throttled_usec 812345", "throttled_usec 3312345")
	edit(t, groups, service+"memory.events", "oom_kill 0", "oom_kill 1")
	edit(t, groups, service+"io.stat", "rbytes=4096 wbytes=0", "rbytes=8192 wbytes=40960")
	slice := Slice{Length: 10 * time.Second}
	s.End(&slice)

	cores := min(1.5, float64(runtime.GOMAXPROCS(0)))
	want := map[string]float64{
		"process_cpu_cores": 0.4, "process_cpu_ratio": 0.4 / cores, "process_major_faults_per_second": 3,
		"process_read_bytes_per_second": 4096, "process_written_bytes_per_second": 409.6,
		"process_resident_bytes": (66432 + 1628) << 10, "process_anonymous_bytes": 66432 << 10, "process_swap_bytes": 0,
		"process_threads": 4, "memory_limit_bytes": 512 << 20, "memory_ratio": float64(66432<<10) / (512 << 20),
		"group_memory_bytes": 402653184 - 67108864, "group_throttled_ratio": 0.25, "group_oom_kills_per_second": 0.1,
		"group_read_bytes_per_second": 409.6, "group_written_bytes_per_second": 4096,
		"pressure_cpu_some_ratio": 0.2, "pressure_memory_some_ratio": 0, "pressure_memory_full_ratio": 0.1,
		"pressure_io_some_ratio": 1, "pressure_io_full_ratio": 0,
		"machine_idle_ratio": 0.25, "machine_steal_ratio": 0.25,
	}
	compare(t, slice, want)
}

func compare(t *testing.T, s Slice, want map[string]float64) {
	t.Helper()
	for name, w := range want {
		if got, ok := s.Value(name); !ok || math.Abs(got-w) > 1e-9*max(1, w) {
			t.Errorf("%s = %v, %v; want %v", name, got, ok, w)
		}
	}
	s.Each(func(name string, v float64) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s = %v is not expected", name, v)
		}
	})
}

// What a system does not tell is said, and absent.
func TestSystemMissing(t *testing.T) {
	remove := func(names ...string) func(proc, groups fstest.MapFS) {
		return func(proc, groups fstest.MapFS) {
			for _, name := range names {
				delete(proc, name)
				delete(groups, name)
			}
		}
	}
	for _, tt := range []struct {
		name, dir string
		spoil     func(proc, groups fstest.MapFS)
		missing   []string // a word on each
		absent    []string // quantities
		limit     uint64
	}{
		{"all there", "linux", remove(), nil, nil, 512 << 20},
		{"version 1", "hybrid", remove(), []string{"version 1's controllers"}, []string{"group_memory_bytes", "group_throttled_ratio"}, 24683656 << 10},
		{"no groups", "linux", func(_, groups fstest.MapFS) { clear(groups) },
			[]string{"version 2 is not mounted"}, []string{"group_memory_bytes"}, 24683656 << 10},
		{"no pressure", "hybrid", remove("pressure/cpu", "pressure/memory", "pressure/io"),
			[]string{"version 1", "pressure on cpu", "pressure on memory", "pressure on io"}, []string{"pressure_io_some_ratio"}, 24683656 << 10},
		{"no io", "linux", remove("self/io"), []string{"disk reads and writes"}, []string{"process_read_bytes_per_second"}, 512 << 20},
		{"no memory", "linux", remove("self/status", "meminfo"), []string{"the process's memory", "the machine's memory"},
			[]string{"process_resident_bytes", "memory_ratio"}, 512 << 20},
		{"bad limits", "linux", func(_, groups fstest.MapFS) {
			groups[service+"memory.max"].Data, groups[service+"cpu.max"].Data = []byte("much"), []byte("1 0")
		}, []string{"memory limit", "processor limit"}, nil, 512 << 20},
		{"pressure of another form", "hybrid", func(proc, _ fstest.MapFS) { proc["pressure/io"].Data = []byte("none total=1") },
			[]string{"version 1", `pressure on io: pressure: a line begins with "none"`}, []string{"pressure_io_some_ratio"}, 24683656 << 10},
		{"in another's tree", "linux", func(proc, _ fstest.MapFS) { proc["self/cgroup"].Data = []byte("0::/elsewhere\n") },
			[]string{"control group"}, []string{"group_memory_bytes"}, 24683656 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proc, groups := tree(t, tt.dir+"/proc"), tree(t, tt.dir+"/cgroup")
			tt.spoil(proc, groups)
			s := NewSystem(proc, groups)
			missing := s.Missing()
			ok := len(missing) == len(tt.missing)
			for i := range min(len(missing), len(tt.missing)) {
				ok = ok && slices.ContainsFunc(missing, func(m string) bool { return strings.Contains(m, tt.missing[i]) })
			}
			if !ok {
				t.Errorf("missing %q, want words on %q", missing, tt.missing)
			}
			if s.Limit() != tt.limit {
				t.Errorf("limit %d, want %d", s.Limit(), tt.limit)
			}
			s.Begin()
			slice := Slice{Length: time.Second}
			s.End(&slice)
			for _, name := range tt.absent {
				if v, ok := slice.Value(name); ok {
					t.Errorf("%s = %v was made up", name, v)
				}
			}
			if _, ok := slice.Value("process_cpu_cores"); !ok {
				t.Error("the processor time is gone too")
			}
		})
	}
}

// Of all limits around the process the tightest counts, wherever it stands.
func TestTightestLimit(t *testing.T) {
	for _, tt := range []struct {
		own, slice string // memory.max
		want       uint64
	}{
		{"max", "max", 512 << 20}, // the slice's memory.high
		{"268435456", "max", 256 << 20},
		{"max", "268435456", 256 << 20},
		{"1099511627776", "1099511627776", 512 << 20},
		{"0", "max", 512 << 20}, // none that a process could live in
	} {
		groups := tree(t, "linux/cgroup")
		groups[service+"memory.max"].Data = []byte(tt.own)
		groups["outrider.slice/memory.max"].Data = []byte(tt.slice)
		if got := NewSystem(tree(t, "linux/proc"), groups).Limit(); got != tt.want {
			t.Errorf("with %s in %s the limit is %d, want %d", tt.own, tt.slice, got, tt.want)
		}
	}
}

// The operator's limit counts where it is the least, and what is in no file is held
// against it.
func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		name              string
		dir               string
		own, want         uint64
		anonymous, swap   string // in kB; "" for what is there
		ratio             float64
		machine, alarming bool
	}{
		{name: "no limit of its own", dir: "linux", own: 0, want: 512 << 20, ratio: 66432. / (512 << 10)},
		{name: "more than the group's", dir: "linux", own: 1 << 30, want: 512 << 20, ratio: 66432. / (512 << 10)},
		{name: "less than the group's", dir: "linux", own: 256 << 20, want: 256 << 20, ratio: 66432. / (256 << 10)},
		{name: "less than the machine's", dir: "hybrid", own: 256 << 20, want: 256 << 20, ratio: 66432. / (256 << 10)},
		{name: "more than the machine's", dir: "hybrid", own: 1 << 40, want: 24683656 << 10, ratio: 66432. / 24683656},
		{name: "nobody else's is known", dir: "hybrid", machine: true, own: 256 << 20, want: 256 << 20, ratio: 66432. / (256 << 10)},
		{name: "nearly full", dir: "linux", own: 256 << 20, want: 256 << 20, anonymous: "248000", ratio: 248000. / (256 << 10)},
		{name: "full", dir: "linux", own: 256 << 20, want: 256 << 20, anonymous: "252000", ratio: 252000. / (256 << 10), alarming: true},
		{name: "full with what is swapped out", dir: "linux", own: 256 << 20, want: 256 << 20, anonymous: "150000", swap: "102000", ratio: 252000. / (256 << 10), alarming: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proc := tree(t, tt.dir+"/proc")
			if tt.machine {
				delete(proc, "meminfo")
			}
			if tt.anonymous != "" {
				edit(t, proc, "self/status", "RssAnon:	   66432 kB", "RssAnon:	   "+tt.anonymous+" kB")
			}
			if tt.swap != "" {
				edit(t, proc, "self/status", "VmSwap:	       0 kB", "VmSwap:	       "+tt.swap+" kB")
			}
			s := NewSystem(proc, tree(t, tt.dir+"/cgroup")).Within(tt.own)
			s.Begin()
			slice := Slice{Length: time.Second}
			s.End(&slice)
			limit, _ := slice.Value("memory_limit_bytes")
			if s.Limit() != tt.want || limit != float64(tt.want) {
				t.Errorf("the limit is %d, told as %v; want %d", s.Limit(), limit, tt.want)
			}
			if got, _ := slice.Value("memory_ratio"); math.Abs(got-tt.ratio) > 1e-9 {
				t.Errorf("the ratio is %v, want %v", got, tt.ratio)
			}
			if why := s.Alarm(); (why != "") != tt.alarming || tt.alarming && !strings.Contains(why, "the process uses 96 %") {
				t.Errorf("alarm %q, want one: %v", why, tt.alarming)
			}
		})
	}
}

// What the process has in no file counts where it is swapped out, too; a system that
// does not tell has none.
func TestAnonymousBytes(t *testing.T) {
	proc := tree(t, "linux/proc")
	s := NewSystem(proc, tree(t, "linux/cgroup"))
	edit(t, proc, "self/status", "VmSwap:	       0 kB", "VmSwap:	       8 kB")
	if got, ok := s.Anonymous(); !ok || got != 66440<<10 {
		t.Errorf("%d bytes, %v", got, ok)
	}
	edit(t, proc, "self/status", "RssAnon", "Anonymous")
	if got, ok := s.Anonymous(); ok {
		t.Errorf("%d bytes were made up of another kernel's file", got)
	}
	delete(proc, "self/status")
	if got, ok := s.Anonymous(); ok {
		t.Errorf("%d bytes were made up of nothing", got)
	}
	if got, ok := new(System).Anonymous(); ok {
		t.Errorf("%d bytes were made up on another system", got)
	}
}

func TestSystemAlarm(t *testing.T) {
	for _, tt := range []struct {
		name           string
		file, from, to string
		want           string
	}{
		{"calm", "", "", "", ""},
		{"full", "memory.current", "402653184", "599785472", "uses 99 % of its memory"},
		{"full of files", "memory.stat", "inactive_file 67108864", "inactive_file 0", ""},
		{"stalled", "memory.pressure", "full avg10=0.50", "full avg10=20.50", "waits for memory 20 %"},
		{"nearly stalled", "memory.pressure", "full avg10=0.50", "full avg10=19.50", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			groups := tree(t, "linux/cgroup")
			s := NewSystem(tree(t, "linux/proc"), groups)
			if tt.file != "" {
				edit(t, groups, service+tt.file, tt.from, tt.to)
			}
			if got := s.Alarm(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("alarm %q, want %q", got, tt.want)
			}
		})
	}
}

// The system that the test runs on says something that can be true.
func TestThisSystem(t *testing.T) {
	s := Linux()
	if runtime.GOOS != "linux" {
		if len(s.Missing()) != 1 {
			t.Errorf("missing %q, want one sentence", s.Missing())
		}
		s.Begin()
		s.End(new(Slice))
		return
	}
	t.Logf("missing: %q", s.Missing())
	s.Begin()
	page := make([]byte, 8<<20)
	for i := range page {
		page[i] = byte(i)
	}
	slice := Slice{Length: time.Second}
	s.End(&slice)
	runtime.KeepAlive(page)
	rss, ok := slice.Value("process_resident_bytes")
	limit, _ := slice.Value("memory_limit_bytes")
	if !ok || rss < 8<<20 || limit < rss {
		t.Errorf("%v bytes are resident of %v", rss, limit)
	}
	if cores, ok := slice.Value("process_cpu_cores"); !ok || cores < 0 || cores > 100 {
		t.Errorf("%v cores in a moment", cores)
	}
}

func BenchmarkSystem(b *testing.B) {
	s := Linux()
	for b.Loop() {
		s.Begin()
		s.End(&Slice{Length: time.Second})
	}
}
