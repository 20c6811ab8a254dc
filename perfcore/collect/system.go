package collect

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// A System is the source for the process, its control group of version 2 and
// the machine, as Linux tells of them:
//
//   - process_cpu_cores and process_cpu_ratio, of what GOMAXPROCS and the group
//     allow; process_resident_bytes, process_anonymous_bytes (resident, and in
//     no file), process_swap_bytes, process_threads,
//     process_major_faults_per_second, process_read_bytes_per_second and
//     process_written_bytes_per_second (from and to disks);
//   - memory_limit_bytes, as Limit returns it, and memory_ratio, what the process
//     has in no file of it: the kernel takes pages of files back before it kills;
//   - group_memory_bytes (without pages of files that nobody uses),
//     group_throttled_ratio (of the time), group_oom_kills_per_second,
//     group_read_bytes_per_second and group_written_bytes_per_second;
//   - pressure_cpu_some_ratio, pressure_memory_some_ratio,
//     pressure_memory_full_ratio, pressure_io_some_ratio and
//     pressure_io_full_ratio: the time in which some, or all, tasks of the
//     group waited, or of the machine where the group does not say;
//   - machine_steal_ratio and machine_idle_ratio, of the processors' time.
type System struct {
	proc, groups fs.FS
	missing      []string
	// group is the process's below groups; nil when there is none.
	group []string // from the process's own outwards, as paths below groups
	// pressures are where each resource's file lies.
	pressures map[string]place

	limit  uint64  // bytes of memory that the groups and the machine have; 0 when unknown
	own    uint64  // that the operator lets the process have; 0 for as much as it can get
	cores  float64 // that may be used
	before totals
}

// A place is a file of one of the trees.
type place struct {
	fsys fs.FS
	name string
}

// totals are counters that only grow, by the quantity that their growth makes.
type totals map[string]float64

// MemoryAlarm is the share of a memory limit, the process's of its own and the group's of the
// group's, from which on a System raises an alarm, and StallAlarm the share of the last ten
// seconds that all tasks waited for memory.
const (
	MemoryAlarm = 0.95
	StallAlarm  = 0.20
)

// Linux returns the source for this process. On another system everything that
// it measures is missing.
func Linux() *System {
	if runtime.GOOS != "linux" {
		return &System{missing: []string{"the process, its control group and the machine: this is " + runtime.GOOS + ", not Linux"}}
	}
	return NewSystem(os.DirFS("/proc"), os.DirFS("/sys/fs/cgroup"))
}

// NewSystem returns the source that reads proc, procfs's tree, and groups, the
// tree of control groups. Limits are read once; a later change of them is not
// seen.
func NewSystem(proc, groups fs.FS) *System {
	s := &System{proc: proc, groups: groups, pressures: make(map[string]place), cores: float64(runtime.GOMAXPROCS(0))}
	for _, f := range []struct{ what, name string }{
		{"the process's processor time", "self/stat"}, {"the process's memory", "self/status"},
		{"the process's disk reads and writes", "self/io"}, {"stolen processor time", "stat"},
	} {
		if _, err := read(proc, f.name); err != nil {
			s.miss(f.what, err)
		}
	}
	if b, err := read(proc, "meminfo"); err != nil {
		s.miss("the machine's memory", err)
	} else if v, err := keyed(b, "MemTotal"); err != nil {
		s.miss("the machine's memory", err)
	} else {
		s.limit = v[0]
	}
	if err := s.findGroup(); err != nil {
		s.miss("the control group", err)
	}
	s.readLimits()
	for _, resource := range []string{"cpu", "memory", "io"} {
		s.findPressure(resource)
	}
	return s
}

func (s *System) miss(what string, err error) {
	s.missing = append(s.missing, fmt.Sprintf("%s: %v", what, err))
}

// Missing implements Source.
func (s *System) Missing() []string { return slices.Clone(s.missing) }

// findGroup finds the process's group, where version 2 has controllers. Beside
// version 1 it has none for memory or processors, and says nothing of limits.
func (s *System) findGroup() error {
	if _, err := fs.Stat(s.groups, "cgroup.controllers"); err != nil {
		if _, hybrid := fs.Stat(s.groups, "unified/cgroup.controllers"); hybrid == nil {
			return fmt.Errorf("version 1's controllers are in use, which are not read")
		}
		return fmt.Errorf("version 2 is not mounted: %w", err)
	}
	b, err := read(s.proc, "self/cgroup")
	if err != nil {
		return err
	}
	group, err := parseGroup(b)
	if err != nil {
		return err
	}
	if _, err := fs.Stat(s.groups, group); err != nil {
		return err // as in a container that sees another's tree
	}
	for ; ; group = path.Dir(group) {
		s.group = append(s.group, group)
		if group == "." {
			return nil
		}
	}
}

// readLimits takes the tightest limits of the groups around the process. A
// group without such a file, as the outermost, sets none.
func (s *System) readLimits() {
	for _, group := range s.group {
		for _, name := range []string{"memory.max", "memory.high"} {
			b, err := read(s.groups, path.Join(group, name))
			if err != nil {
				continue
			}
			v, err := parseLimit(b)
			switch {
			case err != nil:
				s.miss("the group's memory limit", err)
			case v > 0 && v < math.MaxInt64 && (s.limit == 0 || v < s.limit):
				s.limit = v
			}
		}
		b, err := read(s.groups, path.Join(group, "cpu.max"))
		if err != nil {
			continue
		}
		if v, err := parseCPUMax(b); err != nil {
			s.miss("the group's processor limit", err)
		} else {
			s.cores = min(s.cores, v)
		}
	}
}

// findPressure prefers the group's own pressure to the machine's.
func (s *System) findPressure(resource string) {
	places := []place{{s.proc, "pressure/" + resource}}
	if len(s.group) > 0 {
		places = slices.Insert(places, 0, place{s.groups, path.Join(s.group[0], resource+".pressure")})
	}
	var why error
	for _, p := range places {
		b, err := read(p.fsys, p.name)
		if err == nil {
			_, err = parsePressure(b)
		}
		if err == nil {
			s.pressures[resource] = p
			return
		}
		why = err
	}
	s.miss("the pressure on "+resource, why)
}

// Within lets the process use at most so many bytes of memory, however many the groups
// and the machine have, and returns s, which nobody uses yet; 0 sets no limit.
func (s *System) Within(bytes uint64) *System {
	s.own = bytes
	return s
}

// Limit returns the bytes of memory that the process may use, by the operator, the
// tightest group around it or the machine, whoever has the least; 0 when that is not
// known.
func (s *System) Limit() uint64 {
	if s.own > 0 && (s.limit == 0 || s.own < s.limit) {
		return s.own
	}
	return s.limit
}

// Anonymous returns the bytes of memory that the process has in no file, in memory or
// swapped out. It may be called at any time, by any goroutine.
func (s *System) Anonymous() (bytes int64, measured bool) {
	if s.proc == nil {
		return 0, false
	}
	b, err := read(s.proc, "self/status")
	if err != nil {
		return 0, false
	}
	v, err := keyed(b, "RssAnon", "VmSwap")
	if err != nil {
		return 0, false
	}
	return int64(v[0] + v[1]), true
}

// Begin implements Source.
func (s *System) Begin() { s.before = s.totals() }

// End implements Source.
func (s *System) End(slice *Slice) {
	for name, now := range s.totals() {
		before, ok := s.before[name]
		if !ok {
			continue
		}
		if strings.HasSuffix(name, "_ratio") { // the kernel's clock was read a little later than ours
			now = min(now, before+slice.Length.Seconds())
		}
		slice.SetRate(name, before, now)
	}
	s.shares(slice)
	s.levels(slice)
}

// Totals that become quantities in shares, and none themselves.
const (
	machineAll   = "machine_ticks"
	machineIdle  = "machine_idle_ticks"
	machineSteal = "machine_steal_ticks"
)

// totals reads everything that only grows.
func (s *System) totals() totals {
	t := make(totals)
	if s.proc == nil {
		return t
	}
	if b, err := read(s.proc, "self/stat"); err == nil {
		if p, err := parseStat(b); err == nil {
			t["process_cpu_cores"] = float64(p.cpu) / ticksPerSecond
			t["process_major_faults_per_second"] = float64(p.majorFaults)
		}
	}
	if b, err := read(s.proc, "self/io"); err == nil {
		if v, err := keyed(b, "read_bytes", "write_bytes"); err == nil {
			t["process_read_bytes_per_second"], t["process_written_bytes_per_second"] = float64(v[0]), float64(v[1])
		}
	}
	if b, err := read(s.proc, "stat"); err == nil {
		if m, err := parseMachineStat(b); err == nil {
			t[machineAll], t[machineIdle], t[machineSteal] = float64(m.all), float64(m.idle), float64(m.steal)
		}
	}
	for resource, at := range s.pressures {
		b, err := read(at.fsys, at.name)
		if err != nil {
			continue
		}
		if p, err := parsePressure(b); err == nil {
			t["pressure_"+resource+"_some_ratio"] = float64(p.some.total) / 1e6
			if resource != "cpu" { // of the machine's processors it is always 0
				t["pressure_"+resource+"_full_ratio"] = float64(p.full.total) / 1e6
			}
		}
	}
	if len(s.group) == 0 {
		return t
	}
	if b, err := read(s.groups, path.Join(s.group[0], "cpu.stat")); err == nil {
		if v, err := keyed(b, "throttled_usec"); err == nil {
			t["group_throttled_ratio"] = float64(v[0]) / 1e6
		}
	}
	if b, err := read(s.groups, path.Join(s.group[0], "memory.events")); err == nil {
		if v, err := keyed(b, "oom_kill"); err == nil {
			t["group_oom_kills_per_second"] = float64(v[0])
		}
	}
	if b, err := read(s.groups, path.Join(s.group[0], "io.stat")); err == nil {
		if in, out, err := parseIOStat(b); err == nil {
			t["group_read_bytes_per_second"], t["group_written_bytes_per_second"] = float64(in), float64(out)
		}
	}
	return t
}

// shares sets what follows from two quantities that are set.
func (s *System) shares(slice *Slice) {
	if cores, ok := slice.Value("process_cpu_cores"); ok && s.cores > 0 {
		slice.Set("process_cpu_ratio", cores/s.cores)
	}
	if all, ok := slice.Value(machineAll); ok && all > 0 {
		idle, _ := slice.Value(machineIdle)
		steal, _ := slice.Value(machineSteal)
		slice.Set("machine_idle_ratio", idle/all)
		slice.Set("machine_steal_ratio", steal/all)
	}
	for _, name := range []string{machineAll, machineIdle, machineSteal} {
		delete(slice.values, name)
	}
}

// levels sets what holds at the end of a slice.
func (s *System) levels(slice *Slice) {
	if s.proc == nil {
		return
	}
	limit := float64(s.Limit())
	if limit > 0 {
		slice.Set("memory_limit_bytes", limit)
	}
	if b, err := read(s.proc, "self/status"); err == nil {
		if v, err := keyed(b, "VmRSS", "RssAnon", "VmSwap", "Threads"); err == nil {
			slice.Set("process_resident_bytes", float64(v[0]))
			slice.Set("process_anonymous_bytes", float64(v[1]))
			slice.Set("process_swap_bytes", float64(v[2]))
			slice.Set("process_threads", float64(v[3]))
			if limit > 0 {
				slice.Set("memory_ratio", float64(v[1]+v[2])/limit)
			}
		}
	}
	if used, ok := s.groupMemory(); ok {
		slice.Set("group_memory_bytes", used)
	}
}

// groupMemory returns the bytes of the group that the kernel could not take
// back at once.
func (s *System) groupMemory() (used float64, ok bool) {
	if len(s.group) == 0 {
		return 0, false
	}
	b, err := read(s.groups, path.Join(s.group[0], "memory.current"))
	if err != nil {
		return 0, false
	}
	current, err := parseLimit(b)
	if err != nil {
		return 0, false
	}
	if b, err = read(s.groups, path.Join(s.group[0], "memory.stat")); err != nil {
		return 0, false
	}
	v, err := keyed(b, "inactive_file")
	if err != nil {
		return 0, false
	}
	return float64(current - min(v[0], current)), true
}

// Alarm implements Alarmer: memory that runs out, or that everybody waits for.
func (s *System) Alarm() string {
	if used, ok := s.Anonymous(); ok && s.Limit() > 0 && float64(used) > MemoryAlarm*float64(s.Limit()) {
		return fmt.Sprintf("the process uses %.0f %% of its memory", 100*float64(used)/float64(s.Limit()))
	}
	if used, ok := s.groupMemory(); ok && s.limit > 0 && used > MemoryAlarm*float64(s.limit) {
		return fmt.Sprintf("the control group uses %.0f %% of its memory", 100*used/float64(s.limit))
	}
	at, ok := s.pressures["memory"]
	if !ok {
		return ""
	}
	b, err := read(at.fsys, at.name)
	if err != nil {
		return ""
	}
	if p, err := parsePressure(b); err == nil && p.full.avg10 > 100*StallAlarm {
		return fmt.Sprintf("everything waits for memory %.0f %% of the time", p.full.avg10)
	}
	return ""
}
