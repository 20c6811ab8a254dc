package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/outrider-project/outrider/sidecar/bench"
)

func benchPerf(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if slices.Equal(args, []string{"run"}) { // one of the processes that it starts
		return bench.RunPerf(ctx, os.Stdin, stdout)
	}
	fs := flag.NewFlagSet("outrider bench perf", flag.ContinueOnError)
	var o bench.PerfOptions
	fs.IntVar(&o.Rounds, "rounds", 3, "have the optimizer learn for each row this `number` of times, and print medians of all turns; at least 3, and 1 with --quick")
	fs.IntVar(&o.Turns, "turns", 4, "measure what it has learned beside the settings this `number` of times in each round, and the best of the sweep as often; 2 at most with --quick")
	fs.BoolVar(&o.Quick, "quick", false, "make all of it short, to show that everything works; its figures mean little")
	rows := fs.String("rows", "", "`list` of the rows to measure, of cpu, memory, database and contrast, with commas between them (default: all)")
	dir := fs.String("dir", "", "`directory` on the disk to measure; a new one is made in it, and removed (default: that of temporary files)")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bench perf measures what the optimizer makes of the parts of the sidecar on generated blocks, beside the\n"+
			"defaults of the libraries and of Go, and beside the best static setting of a sweep: processor time, memory and\n"+
			"the latency of the coin database, each as an aim of its own, and on a workload whose regimes want different\n"+
			"settings processor time and memory together. It takes some three and a half hours on\n"+
			"two cores that nobody else uses. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	least := 3
	if o.Quick {
		least, o.Turns = 1, min(o.Turns, 2)
	}
	if o.Rounds < least || o.Rounds > 100 {
		return &usageError{fmt.Errorf("--rounds: must be from %d to 100", least)}
	}
	if o.Turns < 1 || o.Turns > 100 {
		return &usageError{errors.New("--turns: must be from 1 to 100")}
	}
	if *rows != "" {
		o.Rows = strings.Split(*rows, ",")
	}
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.Dir, err = os.MkdirTemp(*dir, "outrider-bench-"); err != nil {
		return &usageError{fmt.Errorf("--dir: %w", err)}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	o.Log = stderr
	rep, err := bench.Perf(ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return rep.WriteTable(stdout)
}
