// Package bench holds every benchmark that "outrider bench" runs, and the
// anchors that they are measured against. A figure stands beside its anchor,
// measured in the same run, in turns with it; both are medians.
package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Report is what "outrider bench X" prints, and with --json as this struct.
type Report struct {
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
}

// Machine says where the figures were measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	OS     string `json:"os"`
	Go     string `json:"go"`
}

// A Row is one figure, and the anchor that it was measured beside. The
// anchor's fields are empty where there is none.
type Row struct {
	Name        string  `json:"name"`
	Value       float64 `json:"value"`
	Unit        string  `json:"unit"`
	Anchor      string  `json:"anchor"`
	AnchorValue float64 `json:"anchor_value"`
	// Ratio is how many times better the value is than the anchor's: above 1
	// is better, whichever way the unit counts; 0 where there is no anchor.
	Ratio float64 `json:"ratio"`
}

// lessIsBetter returns the row of a figure of which less is better.
func lessIsBetter(name string, value float64, unit, anchor string, anchorValue float64) Row {
	row := Row{Name: name, Value: value, Unit: unit, Anchor: anchor, AnchorValue: anchorValue}
	if value > 0 {
		row.Ratio = anchorValue / value
	}
	return row
}

// plain returns the row of a figure that has no anchor.
func plain(name string, value float64, unit string) Row {
	return Row{Name: name, Value: value, Unit: unit}
}

// ThisMachine describes the machine that the program runs on.
func ThisMachine() Machine {
	return Machine{
		CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: memory(),
		OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
}

// procField returns the value of the first line "name : value" of a file;
// "unknown" where there is none.
func procField(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// memory returns the machine's memory in bytes; 0 where it cannot be told.
func memory() uint64 {
	kib, _, _ := strings.Cut(procField("/proc/meminfo", "MemTotal"), " ")
	n, err := strconv.ParseUint(kib, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// WriteJSON writes v, a Report or what embeds one, as indented JSON.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error { return r.writeTable(w, nil) }

// writeTable writes the report for people, with the interval of each row that has one.
func (r *Report) writeTable(w io.Writer, intervals map[string][2]float64) error {
	fmt.Fprintf(w, "%s, %d cores, %d MiB, %s, %s\n\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Memory>>20, r.Machine.OS, r.Machine.Go)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := "name\tvalue\t"
	if intervals != nil {
		head += "from\tto\t"
	}
	fmt.Fprintln(t, head+"unit\tanchor\t\tratio\t")
	for _, row := range r.Rows {
		between := ""
		if in, ok := intervals[row.Name]; ok {
			between = figure(in[0]) + "\t" + figure(in[1]) + "\t"
		} else if intervals != nil {
			between = "\t\t"
		}
		anchor, value, ratio := "", "", ""
		if row.Anchor != "" {
			anchor, value, ratio = row.Anchor, figure(row.AnchorValue), fmt.Sprintf("%.2f", row.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%s%s\t%s\t%s\t%s\t\n", row.Name, figure(row.Value), between, row.Unit, anchor, value, ratio)
	}
	return t.Flush()
}

// figure formats v with about four significant digits.
func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// median returns the middle of vs, the mean of the two middle ones where
// there are two; 0 for none. It sorts vs.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}
