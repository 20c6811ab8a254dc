package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/perf"
)

func perfVerbs() []verb {
	show := func(name, help, path string, found func() tabled) verb {
		return verb{"perf " + name, help, func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
			f := newPerfFlags(name, "", "It asks the running sidecar: "+help+".")
			if _, err := f.parse(args, 0, stderr); err != nil {
				return err
			}
			return f.show(ctx, path, found(), stdout)
		}}
	}
	// do is a verb that has the sidecar do something with that many words.
	do := func(name, help, words string, body func(words []string) (any, error)) verb {
		return verb{"perf " + name, help, func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
			f := newPerfFlags(name, words, "It has the running sidecar "+help+".")
			given, err := f.parse(args, len(strings.Fields(words)), stderr)
			if err != nil {
				return err
			}
			b, err := body(given)
			if err != nil {
				return &usageError{err}
			}
			return f.do(ctx, name, b, stdout)
		}}
	}
	nothing := func([]string) (any, error) { return struct{}{}, nil }
	return []verb{
		show("status", "tell how the sidecar performs, and what is done about it", "status", func() tabled { return new(perf.Status) }),
		show("knobs", "list what can be set while it runs", "knobs", func() tabled { return new(perf.Knobs) }),
		show("decisions", "list what the optimizer has decided", "decisions", func() tabled { return new(perf.Decisions) }),
		show("curves", "tell who shares the memory, and what each saves by how much of it", "curves", func() tabled { return new(perf.Curves) }),
		{"perf why", "explain a decision", perfWhy},
		{"perf watch", "tell what happens as it happens", perfWatch},
		{"perf replay", "tell what would have been decided in a recorded time", perfReplay},
		{"perf optimize", "tell what would be tried, with --dry-run", perfOptimize},
		{"perf target", "set what a resource has to do", perfTarget},
		do("pin", "set a knob to a value, and keep it there", "KNOB VALUE", func(words []string) (any, error) {
			v, err := strconv.ParseInt(words[1], 10, 64)
			if err != nil {
				err = fmt.Errorf("%q is no whole number", words[1])
			}
			return perf.PinRequest{Knob: words[0], Value: v}, err
		}),
		do("release", "give a knob back to the optimizer", "KNOB", func(words []string) (any, error) {
			return perf.ReleaseRequest{Knob: words[0]}, nil
		}),
		{"perf freeze", "stop trying other values", perfFreeze},
		do("thaw", "try other values again", "", nothing),
		do("defaults", "freeze, and set every knob to its value at the start; a restart changes neither", "", nothing),
		show("snap ls", "list the snapshots of the knobs", "snapshots", func() tabled { return new(perf.Snapshots) }),
		{"perf snap take", "take a snapshot of the knobs", perfSnapTake},
		{"perf snap verify", "verify the snapshots of the knobs", perfSnapVerify},
		{"perf snap restore", "put a snapshot of the knobs in force", perfSnapRestore},
	}
}

// A tabled answer can be written for people.
type tabled interface{ WriteTable(io.Writer) error }

// perfFlags are the flags that every verb of "outrider perf" has.
type perfFlags struct {
	*flag.FlagSet
	datadir, address string
	asJSON           bool
}

func newPerfFlags(verb, args, about string) *perfFlags {
	f := &perfFlags{FlagSet: flag.NewFlagSet("outrider perf "+verb, flag.ContinueOnError)}
	f.StringVar(&f.datadir, "datadir", cmp.Or(os.Getenv("OUTRIDER_DATADIR"), sidecar.DefaultConfig().Datadir), "data `directory` of the running sidecar, which holds its token and address")
	f.StringVar(&f.address, "address", "", "`host:port` of its HTTP (default: the one that it has left in the data directory)")
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "outrider perf %s [flags] %s\n\n%s\nExit status: 0 when all is well, 1 when it failed, 2 when the command line is wrong.\nFlags:\n", verb, args, about)
		f.PrintDefaults()
	}
	return f
}

// parse parses args, in which flags may stand behind words too, and returns the
// words, of which there are to be n.
func (f *perfFlags) parse(args []string, n int, stderr io.Writer) (words []string, err error) {
	if words, err = parseMixed(f.FlagSet, args, stderr); err != nil {
		return nil, err
	}
	if n >= 0 && len(words) != n {
		return nil, &usageError{fmt.Errorf("it takes %d words beside flags, not %d; --help tells which", n, len(words))}
	}
	return words, nil
}

// show asks what is at a path, and prints it.
func (f *perfFlags) show(ctx context.Context, path string, v tabled, stdout io.Writer) error {
	c, err := perf.Dial(f.datadir, f.address)
	if err != nil {
		return err
	}
	if err := c.Get(ctx, path, v); err != nil {
		return err
	}
	return f.print(stdout, v)
}

func (f *perfFlags) print(stdout io.Writer, v tabled) error {
	if f.asJSON {
		return bench.WriteJSON(stdout, v)
	}
	return v.WriteTable(stdout)
}

// do has the sidecar do something of which there is nothing to tell.
func (f *perfFlags) do(ctx context.Context, path string, body any, stdout io.Writer) error {
	c, err := perf.Dial(f.datadir, f.address)
	if err != nil {
		return err
	}
	if err := c.Post(ctx, path, body, nil); err != nil {
		return err
	}
	if f.asJSON {
		return bench.WriteJSON(stdout, struct {
			Done bool `json:"done"`
		}{true})
	}
	_, err = fmt.Fprintln(stdout, "done")
	return err
}

// tell has the sidecar do something, and prints what it tells of that.
func (f *perfFlags) tell(ctx context.Context, path string, body any, v tabled, stdout io.Writer) error {
	c, err := perf.Dial(f.datadir, f.address)
	if err != nil {
		return err
	}
	if err := c.Post(ctx, path, body, v); err != nil {
		return err
	}
	return f.print(stdout, v)
}

// number returns what a word says, of which there is one.
func number(word string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(word, "#"), 10, 64)
	if err != nil {
		return 0, &usageError{fmt.Errorf("%q is no number", word)}
	}
	return n, nil
}

func perfWhy(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("why", "N", "It explains decision N: trigger, effect with its interval, guards, alternatives, prediction, and how to undo it.")
	words, err := f.parse(args, 1, stderr)
	if err != nil {
		return err
	}
	n, err := number(words[0])
	if err != nil {
		return err
	}
	return f.show(ctx, fmt.Sprintf("why/%d", n), new(perf.Why), stdout)
}

func perfReplay(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("replay", "FILE", "It runs the optimizer over a trace that \"outrider perf watch --json\" has written, and tells what it would have decided and why. No sidecar is asked. FILE - is standard input.")
	seed := f.Uint64("seed", 1, "a `number` by which lots are drawn")
	words, err := f.parse(args, 1, stderr)
	if err != nil {
		return err
	}
	in := os.Stdin
	if words[0] != "-" {
		if in, err = os.Open(words[0]); err != nil {
			return err
		}
		defer in.Close()
	}
	trace, err := perf.ReadTrace(in)
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	replayed, err := trace.Replay(ctx, *seed)
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	return f.print(stdout, replayed)
}

func perfOptimize(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("optimize", "[--dry-run]", "It has the optimizer of a sidecar that runs with --perf optimize look again for better values, though it has come to rest.")
	dry := f.Bool("dry-run", false, "only tell what would be tried, and move nothing")
	if _, err := f.parse(args, 0, stderr); err != nil {
		return err
	}
	if *dry {
		return f.show(ctx, "plan", new(perf.Plan), stdout)
	}
	return f.do(ctx, "optimize", struct{}{}, stdout)
}

func perfTarget(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("target", "RESOURCE", "It sets what a resource has to do: cpu, memory, disk, database, network, cache or \"custom(1)\", the claims of BitVM bridges; without a flag, nothing any more. While a target is missed, each per cent that is missing counts as a per cent of what a unit of work costs.")
	var (
		t       perf.Targets
		latency time.Duration
	)
	f.Float64Var(&t.Utilization, "utilization", 0, "largest `share` in use, from 0 to 1")
	f.Float64Var(&t.Throughput, "throughput", 0, "smallest `number` a second: of cpu units of work, of network exchanges with nodes, of cache look-ups of coins, of custom(1) claims of BitVM bridges")
	f.DurationVar(&latency, "latency", 0, "longest `time` of nine operations in ten")
	words, err := f.parse(args, 1, stderr)
	if err != nil {
		return err
	}
	f.Visit(func(g *flag.Flag) {
		if v := g.Value.(flag.Getter).Get(); v == 0.0 || v == time.Duration(0) {
			err = &usageError{fmt.Errorf("--%s %v is no target: leave it out, and what is not given is no target any more", g.Name, v)}
		}
	})
	if err != nil {
		return err
	}
	if t.Latency = latency.Seconds(); latency != 0 {
		t.Quantile = 0.9
	}
	return f.do(ctx, "target", perf.TargetRequest{Resource: words[0], Target: t}, stdout)
}

func perfFreeze(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("freeze", "[WHY...]", "It has the optimizer stop within a second, with the best values that it has verified in force, until it thaws: a restart does not thaw it.")
	words, err := f.parse(args, -1, stderr)
	if err != nil {
		return err
	}
	return f.do(ctx, "freeze", perf.FreezeRequest{Why: strings.Join(words, " ")}, stdout)
}

func perfSnapTake(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("snap take", "", "It takes a snapshot of the knobs that are in force.")
	if _, err := f.parse(args, 0, stderr); err != nil {
		return err
	}
	return f.tell(ctx, "snap", struct{}{}, new(perf.Snapshot), stdout)
}

func perfSnapVerify(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("snap verify", "", "It verifies the snapshots: their sums, their chain and their times, and tells which files the sidecar left out when it started. Exit status 1 says that they are not to be trusted, or that one was left out.")
	if _, err := f.parse(args, 0, stderr); err != nil {
		return err
	}
	s := new(perf.Snapshots)
	if err := f.show(ctx, "snapshots", s, stdout); err != nil {
		return err
	}
	if !s.Sound() {
		return errReported
	}
	return nil
}

func perfSnapRestore(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("snap restore", "N", "It puts snapshot N in force. What of it is not legal any more is left out, and said.")
	words, err := f.parse(args, 1, stderr)
	if err != nil {
		return err
	}
	n, err := number(words[0])
	if err != nil {
		return err
	}
	return f.tell(ctx, "restore", perf.RestoreRequest{Seq: n}, new(perf.Restored), stdout)
}
