package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/bitvm"
)

func bitvmVerbs() []verb {
	return []verb{
		{"bitvm assertion", "find the leaf that disproves an assertion of BitVM2", bitvmAssertion},
		{"bitvm dryrun", "run a transaction before somebody pays for it", bitvmDryRun},
		{"bitvm lint", "look for locks of a bridge's graph that leave nobody time", bitvmLint},
		{"bitvm verify", "verify a Groth16 proof from a file", bitvmVerify},
		{"bitvm watch", "follow a bridge on a node's chain: events, deadlines, and what to do", bitvmWatch},
		{"bitvm wots", "verify Winternitz signatures from a file", bitvmWots},
	}
}

// A judged is a report that says that all is well, or not.
type judged interface {
	Good() bool
	WriteTable(io.Writer) error
}

// printJudged prints a report, and ends the program with statusFailed if something in it
// is not well.
func printJudged(stdout io.Writer, rep judged, asJSON bool) (err error) {
	if asJSON {
		err = bench.WriteJSON(stdout, rep)
	} else {
		err = rep.WriteTable(stdout)
	}
	if err == nil && !rep.Good() {
		return errReported
	}
	return err
}

func bitvmVerify(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bitvm verify", flag.ContinueOnError)
	file := fs.String("file", "", "JSON `file` of a proof with its key, public inputs, seal and claim, plain or .zst")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bitvm verify derives public inputs from the claim of RISC Zero or SP1, compares the seal, and verifies\n"+
			"the proof. Exit status: 0 when all is well, 1 when something is not or the file cannot be read, 2 when the\n"+
			"command line is wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *file == "" {
		return &usageError{errors.New("--file: name the file of the proof")}
	}
	rep, err := bitvm.VerifyProof(*file)
	if err != nil {
		return err
	}
	return printJudged(stdout, rep, *asJSON)
}

func bitvmWots(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bitvm wots", flag.ContinueOnError)
	file := fs.String("file", "", "JSON `file` of vectors, plain or .zst: message, publicKey, and signatures in any of BitVM's forms")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bitvm wots verifies BitVM's Winternitz signatures. Exit status: 0 when all are valid, 1 when one is not\n"+
			"or the file cannot be read, 2 when the command line is wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *file == "" {
		return &usageError{errors.New("--file: name the file of vectors")}
	}
	rep, err := bitvm.CheckWots(*file)
	if err != nil {
		return err
	}
	return printJudged(stdout, rep, *asJSON)
}

func bitvmAssertion(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bitvm assertion", flag.ContinueOnError)
	var files []string
	fs.Func("file", "`file` of what was committed to: 32 bytes of public input, 14 times 32, 363 times 16; may be given several times", func(name string) error {
		files = append(files, name)
		return nil
	})
	vk := fs.String("vk", "", "`file` of the verifying key, as arkworks or gnark writes it, or as contracts have it")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bitvm assertion computes the parts of an assertion from what it commits to, and names the first leaf\n"+
			"that disproves it; of several files, on all cores. Exit status: 0 when none does, 1 when one does or a file is of\n"+
			"no use, 2 when the command line is wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var mistakes []error
	if len(files) == 0 || slices.Contains(files, "") {
		mistakes = append(mistakes, errors.New("--file: name the file of the assertion"))
	}
	if *vk == "" {
		mistakes = append(mistakes, errors.New("--vk: name the file of the verifying key"))
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	if len(files) == 1 {
		rep, err := bitvm.EvaluateAssertion(files[0], *vk)
		if err != nil {
			return err
		}
		return printJudged(stdout, rep, *asJSON)
	}
	rep, err := bitvm.EvaluateAssertions(ctx, files, *vk)
	if err != nil {
		return err
	}
	return printJudged(stdout, rep, *asJSON)
}

func bitvmLint(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bitvm lint", flag.ContinueOnError)
	var (
		file        = fs.String("file", "", "JSON `file` of a graph, plain or .zst")
		builtin     = fs.String("builtin", "", "a `graph` that is built in: bitvm2, garbled (an example of a bridge on garbled circuits)")
		watchtowers = fs.Int("watchtowers", 3, "the `number` of watchtowers of the graph garbled")
		network     = fs.String("network", "main", "the `chain` whose locks are looked at: main, test, testnet4, signet, regtest, simnet")
		react       = fs.Uint("react", 0, "how many `blocks` an answer must have before what it answers (default: 6 on main, 1 on other chains)")
		show        = fs.Bool("print", false, "print the graph as JSON, to begin one of your own with, and look for nothing")
		asJSON      = fs.Bool("json", false, "print JSON")
	)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bitvm lint looks for what is wrong with the transaction graph of a BitVM bridge: locks that leave nobody time\n"+
			"to answer, or that no sequence number says; races; outputs that nobody can spend; transactions that no mempool takes.\n"+
			"Exit status: 0 when there is no error, 1 when there is one or the file is of no use, 2 when the command line is wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	switch {
	case (*file == "") == (*builtin == ""):
		return &usageError{errors.New("either --file or --builtin: name the graph")}
	case !bitvm.IsNetwork(*network):
		return &usageError{fmt.Errorf("--network: there is no chain %q", *network)}
	case *react > 1<<16:
		return &usageError{errors.New("--react: must be at most 65536")}
	}
	g, err := bitvm.ReadGraph(*file, *builtin, *watchtowers)
	switch {
	case err != nil && *file == "":
		return &usageError{err}
	case err != nil:
		return err
	case *show:
		return bench.WriteJSON(stdout, g)
	}
	return printJudged(stdout, bitvm.Lint(g, *network, uint32(*react)), *asJSON)
}

func bitvmWatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bitvm watch", flag.ContinueOnError)
	var o bitvm.FollowOptions
	fs.Func("file", "JSON `file` of a peg-out to watch, plain or .zst; may be given several times", func(path string) error {
		o.Instances = append(o.Instances, path)
		return nil
	})
	fs.StringVar(&o.Key, "vk", "", "`file` of the verifying key by which claims are judged; without it they are told of, and not verified")
	fs.StringVar(&o.State, "state", "", "`directory` for the journals, which no other program may use meanwhile (default: none are kept, and all blocks are looked at again)")
	fs.DurationVar(&o.Every, "every", 5*time.Second, "ask the node for its chain after each `duration`")
	once := fs.Bool("once", false, "look once, print the status, and end")
	config := fs.String("config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file` "+configDefault)
	fs.BoolVar(&o.JSON, "json", false, "print JSON, a line for each event and status; with --once, the status")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bitvm watch follows peg-outs of BitVM bridges through the blocks of the Bitcoin node that the configuration\n"+
			"names: which transaction of the graph came, what is claimed, what can be done about it, and before which height. A sidecar\n"+
			"does the same beside its other work: see bitvm-instances in \"outrider help settings\".\n"+
			"Exit status: 0; 1 when it failed or, with --once, when something is urgent; 2 when the command line or the configuration is\n"+
			"wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	switch {
	case len(o.Instances) == 0:
		return &usageError{errors.New("--file: name the file of a peg-out")}
	case o.Every < 100*time.Millisecond:
		return &usageError{errors.New("--every: must be 100ms or more")}
	}
	cfg, err := sidecar.LoadConfig(sidecar.Sources{Environ: os.Environ(), File: *config})
	if err != nil {
		return &usageError{fmt.Errorf("the configuration has mistakes:\n%w", err)}
	}
	node, err := sidecar.Attach(cfg)
	if err != nil {
		return err
	}
	defer node.Close()
	if !*once {
		o.Log = newLogger(cfg, stderr)
		if o.State != "" {
			unlock, err := sidecar.LockDir(o.State)
			if err != nil {
				return err
			}
			defer unlock()
		}
		return bitvm.Follow(ctx, o, node, stdout)
	}
	w, err := bitvm.New(o.Config, node, nil, newLogger(cfg, stderr), nil)
	if err != nil {
		return err
	}
	st, err := w.Ask(ctx)
	if err != nil {
		return err
	}
	return printJudged(stdout, st, o.JSON)
}

func benchBitvm(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newBenchFlags("bitvm", 11, "outrider bench bitvm measures on one thread what a watchtower of BitVM bridges verifies, beside others, in turns.\n"+
		"Times are those that the thread had a processor, where the system tells it. Then it judges many whole claims on all\n"+
		"cores, in full, and as in a block that one's own node validated. Exit status: 0 when all is well,\n"+
		"1 when the work failed, 2 when the command line is wrong. Flags:")
	claims := f.Int("claims", 1000, "judge this `number` of whole claims on all cores, in each mode")
	if err := f.parse(args, stderr); err != nil {
		return err
	}
	if *claims < 1 || *claims > 1_000_000 {
		return &usageError{errors.New("--claims: must be from 1 to 1000000")}
	}
	rep, err := bench.Bitvm(ctx, bench.BitvmOptions{Rounds: f.rounds, Claims: *claims})
	if err != nil {
		return err
	}
	return f.write(stdout, rep)
}
