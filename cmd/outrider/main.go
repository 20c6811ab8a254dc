// Command outrider rides beside a Bitcoin node and judges its every block.
package main

//go:generate sh -c "go run . help settings > ../../docs/settings.new && mv ../../docs/settings.new ../../docs/settings.md"

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
)

// A verb is a subcommand; its name may be of several words.
type verb struct {
	name, help string
	run        func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func verbs() []verb {
	return append([]verb{
		{"run", "follow a node and judge its blocks", runVerb},
		{"demo", "the same, beside real btcd nodes on a regtest network of its own", demoVerb},
		{"bench block", "judge one block, and measure that", benchBlock},
		{"bench follow", "measure a sidecar beside a real btcd", benchFollow},
		{"bench bitcoind", "measure a sidecar beside a real bitcoind", benchBitcoind},
		{"bench bitvm", "measure the verification of what BitVM's provers claim", benchBitvm},
		{"bench perf", "measure what the optimizer makes of the sidecar, beside static settings", benchPerf},
		{"bench relay", "measure how headers are verified, and a relay on an Ethereum chain is told of them", benchRelay},
		{"bench sig", "measure the verification of signatures, beside other verifiers", benchSig},
		{"bench utxo", "measure the coin database, beside goleveldb", benchUtxo},
		{"evidence", "judge again what raised an alarm", evidenceVerb},
		{"bob headers", "verify Bitcoin headers from a file, as relays on BOB need them", bobHeaders},
		{"bob status", "tell where the relay on BOB and the L2's heads are", bobStatus},
		{"bob fees", "tell what a transaction on BOB costs", bobFees},
		{"bob doctor", "tell what is wrong with nodes of BOB, and what to set", bobDoctor},
		{"bob proof", "prove that a Bitcoin transaction is in a block, as relays on BOB want it, or verify such a proof", bobProof},
		{"bob relay plan", "what a relay contract would be told, why, and what it would cost", bobRelayPlan},
		{"bob relay submit", "tell a relay contract of Bitcoin's headers, or rehearse that", bobRelaySubmit},
		{"bob relay replay", "show headers from a file to a model of a relay contract", bobRelayReplay},
		{"version", "print the version", versionVerb},
	}, slices.Concat(bitvmVerbs(), utxoVerbs(), perfVerbs())...)
}

// These are the exit statuses.
const (
	statusDone = iota
	// statusFailed: the work failed, or the block is invalid.
	statusFailed
	// statusUsage: the command line or the configuration is wrong.
	statusUsage
	// statusUnjudged: a block could not be judged, so that nothing is said of
	// it.
	statusUnjudged
)

// These end the program after what is wrong was said: errReported with
// statusFailed, errUsageReported with statusUsage.
var (
	errReported      = errors.New("already reported")
	errUsageReported = errors.New("already reported: the command line is wrong")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the parts that a test cannot have; it returns the exit
// status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return statusUsage
	}
	for _, v := range verbs() {
		words := strings.Fields(v.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return status(v.name, v.run(ctx, args[len(words):], stdout, stderr), stderr)
		}
	}
	if kinds := verbsOf(args[0]); len(kinds) > 0 {
		fmt.Fprintf(stderr, "outrider %s: name what of: %s\n", args[0], strings.Join(kinds, ", "))
		return statusUsage
	}
	switch {
	case args[0] != "help" && args[0] != "-h" && args[0] != "--help":
		fmt.Fprintf(stderr, "outrider: there is no %q\n\n", args[0])
		usage(stderr)
		return statusUsage
	case len(args) > 1 && args[1] == "settings":
		return status("help", sidecar.WriteManual(stdout), stderr)
	}
	usage(stdout)
	return statusDone
}

// verbsOf returns the second words of the verbs that begin with first.
func verbsOf(first string) []string {
	var seconds []string
	for _, v := range verbs() {
		if a, b, ok := strings.Cut(v.name, " "); ok && a == first {
			seconds = append(seconds, b)
		}
	}
	return seconds
}

// status says what is wrong with a verb, if something is, and returns the exit
// status.
func status(verb string, err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return statusDone
	case errors.Is(err, errReported):
		return statusFailed
	case errors.Is(err, errUsageReported):
		return statusUsage
	}
	fmt.Fprintf(stderr, "outrider %s: %v\n", verb, err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return statusUsage
	}
	if errors.Is(err, bench.ErrUnjudged) || errors.Is(err, sidecar.ErrUnjudged) {
		return statusUnjudged
	}
	return statusFailed
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Outrider rides beside a Bitcoin node and judges its every block.")
	fmt.Fprintln(w)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  outrider %-18s %s\n", v.name, v.help)
	}
	fmt.Fprintln(w, "\noutrider VERB --help lists a verb's flags, outrider help settings what can be configured.")
	fmt.Fprintln(w, "Exit status: 0 when all is well, 1 when the work failed or a block is invalid, 2 when the command\n"+
		"line or the configuration is wrong, 3 when bench block or evidence could not judge.")
}

// A usageError is a mistake in the command line or the configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// parse parses args, of which none may be left over.
func parse(fs *flag.FlagSet, args []string, stderr io.Writer) error {
	fs.SetOutput(stderr)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsageReported // package flag has said what
	}
	if fs.NArg() > 0 {
		return &usageError{fmt.Errorf("%q is not a flag; there are no other arguments", fs.Arg(0))}
	}
	return nil
}

// parseMixed parses args, in which flags may stand behind other arguments too, and
// returns these.
func parseMixed(fs *flag.FlagSet, args []string, stderr io.Writer) (others []string, err error) {
	fs.SetOutput(stderr)
	for {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, err
		case err != nil:
			return nil, errUsageReported // package flag has said what
		case fs.NArg() == 0:
			return others, nil
		}
		others = append(others, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

func versionVerb(_ context.Context, args []string, stdout, stderr io.Writer) error {
	if err := parse(flag.NewFlagSet("outrider version", flag.ContinueOnError), args, stderr); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, "outrider", sidecar.Version())
	return err
}
