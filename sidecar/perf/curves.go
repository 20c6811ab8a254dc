package perf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore/arbiter"
)

// Curves are what /api/v1/perf/curves tells: who shares the memory, and what each
// saves by how much of it.
type Curves struct {
	// Limit is how many bytes are shared, in units of Unit. Free is what nobody has a
	// lease of; it is negative where operators have set more than there is.
	Limit int64 `json:"limit_bytes"`
	Unit  int64 `json:"unit_bytes"`
	Free  int64 `json:"free_bytes"`
	// Next is when it is decided next whether memory moves; nil before that is known.
	Next *time.Time `json:"next"`
	// Moves says that memory is moved, and not only what would be.
	Moves bool `json:"moves"`
	// Late says who owes memory for longer than it should, and Problem why there is no
	// division; empty when all is well.
	Late     string  `json:"late"`
	Problem  string  `json:"problem"`
	Memories []Share `json:"memories"`
}

// A Share is one of those who share the memory.
type Share struct {
	Knob string `json:"knob"`
	// Has is its lease, Held what it uses of that as accounted, Floor what it can not do
	// without, and Would what the arbiter would give it in the end.
	Has   int64 `json:"has_bytes"`
	Held  int64 `json:"held_bytes"`
	Floor int64 `json:"floor_bytes"`
	Would int64 `json:"would_bytes"`
	// Why is why its lease stays; empty when it may move.
	Why string `json:"why"`
	// References is how often it is asked a second, by the sample, and Penalty what a
	// miss costs in seconds. Both are 0 of what is no cache.
	References float64 `json:"references_per_second"`
	Penalty    float64 `json:"penalty_seconds"`
	// Error is the standard error of Saved.
	Error float64 `json:"error_ratio"`
	// Points are its curve, by ascending bytes.
	Points []Point `json:"points"`
}

// A Point is what a memory is worth at one size.
type Point struct {
	Bytes int64 `json:"bytes"`
	// MissRatio is the share of references that miss; nil of what is no cache.
	MissRatio *float64 `json:"miss_ratio"`
	// Saved is how many seconds are saved in a second, over having none.
	Saved float64 `json:"saved_ratio"`
}

// errNoMemory says that there is nobody who shares memory.
var errNoMemory = errors.New("no part of this sidecar shares memory")

// curves returns who shares the memory.
func (p *Performance) curves() (c Curves, err error) {
	err = p.read(func(f *following) error {
		if f.arbiter == nil {
			return errNoMemory
		}
		c = newCurves(f.arbiter.Report())
		c.Moves = p.cfg.Mode == Optimize
		return nil
	})
	return c, err
}

func newCurves(r arbiter.Report) Curves {
	c := Curves{Limit: r.Limit, Unit: r.Unit, Free: r.Free, Late: r.Late, Problem: r.Problem, Memories: []Share{}}
	if !r.Next.IsZero() {
		c.Next = &r.Next
	}
	for _, t := range r.Tenants {
		s := Share{
			Knob: t.Knob, Has: t.Lease, Held: t.Held, Floor: t.Least, Would: t.Would, Why: t.Why,
			References: finite(t.Bid.References), Penalty: finite(t.Bid.Penalty / 1e9), Error: finite(t.Bid.Error / 1e9), Points: []Point{},
		}
		for u, saved := range t.Bid.Saved {
			point := Point{Bytes: int64(u) * r.Unit, Saved: finite(saved / 1e9)}
			if u < len(t.Bid.Miss) {
				point.MissRatio = &t.Bid.Miss[u]
			}
			s.Points = append(s.Points, point)
		}
		c.Memories = append(c.Memories, s)
	}
	return c
}

// WriteTable writes who shares the memory for people, with a plot of each curve.
func (c *Curves) WriteTable(w io.Writer) error {
	err := table(w, func(w io.Writer) {
		fmt.Fprintf(w, "shared\t%s, in units of %s; %s free\t\n", mib(c.Limit), mib(c.Unit), mib(c.Free))
		switch {
		case c.Next == nil:
		case c.Moves:
			fmt.Fprintf(w, "next move\t%s at the earliest\t\n", c.Next.Local().Format(time.TimeOnly))
		default:
			fmt.Fprintf(w, "next look\t%s; nothing is moved: the setting perf is not optimize\t\n", c.Next.Local().Format(time.TimeOnly))
		}
		for _, what := range []struct{ name, why string }{{"late", c.Late}, {"problem", c.Problem}} {
			if what.why != "" {
				fmt.Fprintf(w, "%s\t%s\t\n", what.name, what.why)
			}
		}
	})
	for i := range c.Memories {
		err = cmp.Or(err, c.Memories[i].write(w))
	}
	return err
}

func (s *Share) write(w io.Writer) error {
	return table(w, func(w io.Writer) {
		fmt.Fprintf(w, "\n%s\thas %s, holds %s, needs %s, would get %s\t\n", s.Knob, mib(s.Has), mib(s.Held), mib(s.Floor), mib(s.Would))
		if s.Why != "" {
			fmt.Fprintf(w, "it stays\t%s\t\n", s.Why)
		}
		if s.References > 0 {
			fmt.Fprintf(w, "asked\t%.4g times a second; a miss costs %.3g ms\t\n", s.References, 1e3*s.Penalty)
		}
		for _, line := range s.plot() {
			fmt.Fprintf(w, "%s\t%s\t\n", line[0], line[1])
		}
	})
}

// plotLines is how many lines a plot has at most, and plotWidth how long its bars are.
const plotLines, plotWidth = 16, 40

// plot draws the curve, a size a line: misses, or what is saved by what is no cache. An
// arrow marks the size that is had.
func (s *Share) plot() (lines [][2]string) {
	n := len(s.Points)
	if n < 2 {
		return nil
	}
	most := 0.0
	for _, p := range s.Points {
		most = max(most, p.Saved)
	}
	step := (n-2)/plotLines + 1
	for i := 0; i < n; i += step {
		p := s.Points[i]
		share, says := 0.0, fmt.Sprintf("saves %.3g ms/s", 1e3*p.Saved)
		if most > 0 {
			share = max(p.Saved, 0) / most
		}
		if p.MissRatio != nil {
			share, says = *p.MissRatio, fmt.Sprintf("misses %.1f %%, %s", 100**p.MissRatio, says)
		}
		bar := strings.Repeat("#", int(math.Round(plotWidth*min(share, 1))))
		mark := " "
		if p.Bytes <= s.Has && (i+step >= n || s.Has < s.Points[i+step].Bytes) {
			mark = ">"
		}
		lines = append(lines, [2]string{fmt.Sprintf("%s %8s", mark, mib(p.Bytes)), fmt.Sprintf("%-*s %s", plotWidth, bar, says)})
	}
	return lines
}

// mib returns bytes for people.
func mib(bytes int64) string { return fmt.Sprintf("%.4g MiB", float64(bytes)/(1<<20)) }
