package collect

import (
	"math"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " R 1 2 3 0 -1 4194304 10 0 11 0 100 23 0 0 20 0 7 0 55 1000 200"
	for _, tt := range []struct {
		line string
		want processStat
		ok   bool
	}{
		{"42 (outrider)" + rest, processStat{11, 7, 123}, true},
		{"42 (a ) (b) 1 2 3 4)" + rest, processStat{11, 7, 123}, true},
		{"42 ())" + rest + "\n", processStat{11, 7, 123}, true},
		{"42 outrider" + rest, processStat{}, false},
		{"42 (outrider) R 1 2", processStat{}, false},
		{"42 (outrider)" + strings.Replace(rest, "100", "-1", 1), processStat{}, false},
		{"42 (outrider)" + strings.Replace(rest, "23", "18446744073709551615", 1), processStat{}, false},
		{"", processStat{}, false},
	} {
		if got, err := parseStat(tt.line); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseStat(%q) = %+v, %v; want %+v, %v", tt.line, got, err, tt.want, tt.ok)
		}
	}
}

func TestParseMachineStat(t *testing.T) {
	for _, tt := range []struct {
		s    string
		want machineStat
		ok   bool
	}{
		{"cpu  1 2 3 4 5 6 7 8 100 100\ncpu0 1", machineStat{36, 9, 8}, true},
		{"cpu  1 2 3 4 5 6 7 8", machineStat{36, 9, 8}, true},
		{"cpu  1 2 3 4 5 6 7", machineStat{}, false},
		{"cpu0 1 2 3 4 5 6 7 8", machineStat{}, false},
		{"cpu  1 2 3 4 5 6 7 -8", machineStat{}, false},
		{"", machineStat{}, false},
	} {
		if got, err := parseMachineStat(tt.s); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseMachineStat(%q) = %+v, %v; want %+v, %v", tt.s, got, err, tt.want, tt.ok)
		}
	}
}

func TestKeyed(t *testing.T) {
	for _, tt := range []struct {
		s    string
		want []uint64
	}{
		{"a: 1 kB\nb: 2\n", []uint64{1024, 2}},
		{"b 2\na 1", []uint64{1, 2}},
		{"State: R (running)\na 1\na 3\nb 2\nlonely", []uint64{1, 2}},
		{"a 1\n", nil},
		{"a 1\nb x", nil},
		{"a 1\nb -2", nil},
		{"a 1\nb 9223372036854775807 kB", nil},
		{"a 1\nb 9223372036854775808", nil},
		{"ab 1\nb 2", nil},
		{"", nil},
	} {
		got, err := keyed(tt.s, "a", "b")
		if (err == nil) != (tt.want != nil) || tt.want != nil && (got[0] != tt.want[0] || got[1] != tt.want[1]) {
			t.Errorf("keyed(%q) = %d, %v; want %d", tt.s, got, err, tt.want)
		}
	}
}

func TestParsePressure(t *testing.T) {
	for _, tt := range []struct {
		s    string
		want pressure
		ok   bool
	}{
		{"some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=3\n",
			pressure{stall{1.5, 7}, stall{0.25, 3}}, true},
		{"some avg10=1.50 avg60=0.00 avg300=0.00 total=7\n", pressure{some: stall{1.5, 7}}, true},
		{"some total=7 future=x", pressure{some: stall{total: 7}}, true},
		{"full avg10=0.25 total=3\n", pressure{}, false},
		{"some avg10=101 total=7", pressure{}, false},
		{"some avg10=NaN total=7", pressure{}, false},
		{"some total=-7", pressure{}, false},
		{"none total=7", pressure{}, false},
		{"", pressure{}, false},
	} {
		if got, err := parsePressure(tt.s); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parsePressure(%q) = %+v, %v; want %+v, %v", tt.s, got, err, tt.want, tt.ok)
		}
	}
}

func TestParseGroupFiles(t *testing.T) {
	for s, want := range map[string]string{
		"0::/\n": ".", "0::/a/b.service\n": "a/b.service", "4:memory:/x\n0::/../a/../b\n": "b", "0::/..\n": ".",
		"4:memory:/x\n": "", "0::a\n": "", "": "",
	} {
		if got, err := parseGroup(s); got != want || (err == nil) != (want != "") {
			t.Errorf("parseGroup(%q) = %q, %v; want %q", s, got, err, want)
		}
	}
	for s, want := range map[string]float64{
		"max 100000\n": math.Inf(1), "150000 100000\n": 1.5, "0 100000": 0, "1 0": 0, "1": 0, "": 0, "-1 1": 0,
	} {
		if got, err := parseCPUMax(s); got != want || (err == nil) != (want != 0) {
			t.Errorf("parseCPUMax(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string][2]uint64{
		"8:0 rbytes=1 wbytes=2 rios=9\n8:16 rbytes=3 wbytes=4": {4, 6}, "": {}, "8:0 \n": {}, "8:0 rios=x": {},
	} {
		if r, w, err := parseIOStat(s); r != want[0] || w != want[1] || err != nil {
			t.Errorf("parseIOStat(%q) = %d, %d, %v; want %d", s, r, w, err, want)
		}
	}
	if _, _, err := parseIOStat("8:0 wbytes=x"); err == nil {
		t.Error("x bytes were written")
	}
	for s, want := range map[string]uint64{"max\n": math.MaxUint64, "4096\n": 4096, "0": 0} {
		if got, err := parseLimit(s); got != want || err != nil {
			t.Errorf("parseLimit(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
}

// No file of the kernel's, or of whoever pretends to be it, makes a parser
// panic, or return what the quantity cannot be.
func FuzzParsers(f *testing.F) {
	for _, dir := range []string{"linux/proc", "linux/cgroup", "hybrid/cgroup"} {
		for _, file := range tree(f, dir) {
			f.Add(string(file.Data))
		}
	}
	f.Add("42 (a ) (b)) R")
	f.Add("some avg10=1e300 total=1")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parseStat(s); err == nil && p.cpu > 2*math.MaxInt64 {
			t.Errorf("%d ticks", p.cpu)
		}
		if m, err := parseMachineStat(s); err == nil && m.all < m.idle+m.steal {
			t.Errorf("%+v: a part is larger than the whole", m)
		}
		if p, err := parsePressure(s); err == nil && !(p.some.avg10 >= 0 && p.some.avg10 <= 100 && p.full.avg10 >= 0 && p.full.avg10 <= 100) {
			t.Errorf("%+v is no percentage", p)
		}
		if v, err := keyed(s, "VmRSS", "Threads"); err == nil && (len(v) != 2 || v[0] > math.MaxInt64) {
			t.Errorf("keyed: %d", v)
		}
		if v, err := parseCPUMax(s); err == nil && !(v > 0) {
			t.Errorf("%v cores", v)
		}
		if group, err := parseGroup(s); err == nil && (strings.HasPrefix(group, "/") || strings.Contains("/"+group+"/", "/../")) {
			t.Errorf("group %q leads out of the tree", group)
		}
		parseLimit(s)
		parseIOStat(s)
	})
}
