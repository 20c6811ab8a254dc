package collect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// maxFile is the largest file of the kernel that is read. On a machine of a
// thousand processors the beginning of /proc/stat is enough.
const maxFile = 64 << 10

// read returns the first bytes of a file, at most maxFile.
func read(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(b), err
}

// A processStat is what is used of /proc/self/stat, proc_pid_stat(5).
type processStat struct {
	majorFaults, threads uint64
	cpu                  uint64 // ticks, of which there are 100 a second on every Linux that Go runs on
}

// ticksPerSecond is the kernel's USER_HZ.
const ticksPerSecond = 100

// parseStat reads a process's stat line. The program's name stands in
// parentheses, and may hold any byte, others included.
func parseStat(s string) (processStat, error) {
	end := strings.LastIndexByte(s, ')')
	if end < 0 {
		return processStat{}, errors.New("stat: the program's name has no end")
	}
	fields := strings.Fields(s[end+1:]) // the first is number 3 of the manual
	if len(fields) < 18 {
		return processStat{}, fmt.Errorf("stat: %d fields behind the name are too few", len(fields))
	}
	var p processStat
	var user, system uint64
	for _, f := range []struct {
		number int
		value  *uint64
	}{{12, &p.majorFaults}, {14, &user}, {15, &system}, {20, &p.threads}} {
		v, err := strconv.ParseUint(fields[f.number-3], 10, 63)
		if err != nil {
			return processStat{}, fmt.Errorf("stat: field %d: %w", f.number, err)
		}
		*f.value = v
	}
	p.cpu = user + system
	return p, nil
}

// A machineStat is what is used of the first line of /proc/stat, in ticks.
type machineStat struct{ all, idle, steal uint64 }

func parseMachineStat(s string) (machineStat, error) {
	line, _, _ := strings.Cut(s, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return machineStat{}, fmt.Errorf("/proc/stat begins with %.40q", line)
	}
	var m machineStat
	for i, f := range fields[1:9] { // what guests take is in user's already
		v, err := strconv.ParseUint(f, 10, 60)
		if err != nil {
			return machineStat{}, fmt.Errorf("/proc/stat: %w", err)
		}
		m.all += v
		switch i {
		case 3, 4:
			m.idle += v
		case 7:
			m.steal = v
		}
	}
	return m, nil
}

// keyed returns the numbers behind keys, in their order, in lines of the form
// "key: 12 kB" or "key 12"; kB are turned into bytes. Other lines may be of any
// form. It fails when a key is missing.
func keyed(s string, keys ...string) ([]uint64, error) {
	values, found := make([]uint64, len(keys)), make([]bool, len(keys))
	for line := range strings.Lines(s) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		key := strings.TrimSuffix(fields[0], ":")
		for i := range keys {
			if keys[i] != key || found[i] {
				continue
			}
			v, err := strconv.ParseUint(fields[1], 10, 63)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if len(fields) > 2 && fields[2] == "kB" {
				if v > math.MaxInt64>>10 {
					return nil, fmt.Errorf("%s: %d kB are too many", key, v)
				}
				v <<= 10
			}
			values[i], found[i] = v, true
		}
	}
	for i, ok := range found {
		if !ok {
			return nil, fmt.Errorf("there is no %s", keys[i])
		}
	}
	return values, nil
}

// A pressure is a file of the kernel's pressure stall information
// (Documentation/accounting/psi.rst): for how long some, and all, of the tasks
// waited for a resource.
type pressure struct{ some, full stall }

type stall struct {
	avg10 float64 // per cent of the last ten seconds
	total uint64  // microseconds
}

// parsePressure reads a pressure file. Older kernels say nothing of the full
// pressure on processors, which is 0 then.
func parsePressure(s string) (pressure, error) {
	var p pressure
	some := false
	for line := range strings.Lines(s) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var to *stall
		switch fields[0] {
		case "some":
			to, some = &p.some, true
		case "full":
			to = &p.full
		default:
			return pressure{}, fmt.Errorf("pressure: a line begins with %.20q", fields[0])
		}
		for _, f := range fields[1:] {
			key, value, _ := strings.Cut(f, "=")
			var err error
			switch key {
			case "avg10":
				to.avg10, err = strconv.ParseFloat(value, 64)
				if err == nil && !(to.avg10 >= 0 && to.avg10 <= 100) {
					err = fmt.Errorf("%v is no percentage", to.avg10)
				}
			case "total":
				to.total, err = strconv.ParseUint(value, 10, 63)
			}
			if err != nil {
				return pressure{}, fmt.Errorf("pressure: %.20s: %w", key, err)
			}
		}
	}
	if !some {
		return pressure{}, errors.New("pressure: there is no line some")
	}
	return p, nil
}

// parseLimit reads a file that holds one number or max, which is math.MaxUint64.
func parseLimit(s string) (uint64, error) {
	s = strings.TrimSpace(s)
	if s == "max" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(s, 10, 63)
}

// parseCPUMax reads cgroup v2's cpu.max: the processors that may be used;
// infinite without a limit.
func parseCPUMax(s string) (float64, error) {
	quota, period, _ := strings.Cut(strings.TrimSpace(s), " ")
	if quota == "max" {
		return math.Inf(1), nil
	}
	q, err := strconv.ParseUint(quota, 10, 53)
	if err != nil {
		return 0, fmt.Errorf("cpu.max: %w", err)
	}
	p, err := strconv.ParseUint(period, 10, 53)
	if err != nil || p == 0 || q == 0 {
		return 0, fmt.Errorf("cpu.max: %.40q is no quota", s)
	}
	return float64(q) / float64(p), nil
}

// parseIOStat reads cgroup v2's io.stat: the bytes read and written, of all
// devices together.
func parseIOStat(s string) (read, written uint64, err error) {
	for line := range strings.Lines(s) {
		for f := range strings.FieldsSeq(line) {
			key, value, ok := strings.Cut(f, "=")
			var to *uint64
			switch {
			case ok && key == "rbytes":
				to = &read
			case ok && key == "wbytes":
				to = &written
			default:
				continue
			}
			v, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return 0, 0, fmt.Errorf("io.stat: %s: %w", key, err)
			}
			*to += v
		}
	}
	return read, written, nil
}

// parseGroup returns the path of version 2's control group in /proc/self/cgroup,
// without the first slash.
func parseGroup(s string) (string, error) {
	for line := range strings.Lines(s) {
		if group, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "0::/"); ok {
			group = path.Clean("/" + group)[1:]
			if group == "" {
				group = "."
			}
			if !fs.ValidPath(group) {
				return "", fmt.Errorf("%.80q is no path", group)
			}
			return group, nil
		}
	}
	return "", errors.New("the process is in no control group of version 2")
}
