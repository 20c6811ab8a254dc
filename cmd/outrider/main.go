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
	"syscall"

	"github.com/outrider-project/outrider/sidecar"
)

// A verb is a subcommand.
type verb struct {
	name, help string
	run        func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func verbs() []verb {
	return []verb{
		{"run", "follow a node and judge its blocks", runVerb},
		{"demo", "the same, beside real btcd nodes on a regtest network of its own", demoVerb},

		{"bench", "measure: outrider bench block|follow", benchVerb},
		{"version", "print the version", versionVerb},
	}
}

// These end the program after what is wrong was said: errReported with status
// 1, errUsageReported with 2.
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
// status: 1 when the work failed, 2 when the command line is wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		for _, v := range verbs() {
			if v.name != args[0] {
				continue
			}
			err := v.run(ctx, args[1:], stdout, stderr)
			switch {
			case err == nil, errors.Is(err, flag.ErrHelp):
				return 0
			case errors.Is(err, errReported):
				return 1
			case errors.Is(err, errUsageReported):
				return 2
			}
			fmt.Fprintf(stderr, "outrider %s: %v\n", v.name, err)
			if _, ok := errors.AsType[*usageError](err); ok {
				return 2
			}
			return 1
		}
		if args[0] != "help" && args[0] != "-h" && args[0] != "--help" {
			fmt.Fprintf(stderr, "outrider: there is no %q\n\n", args[0])
			usage(stderr)
			return 2
		}
		if len(args) > 1 && args[1] == "settings" {
			if err := sidecar.WriteManual(stdout); err != nil {
				fmt.Fprintln(stderr, "outrider help:", err)
				return 1
			}
			return 0
		}
		usage(stdout)
		return 0
	}
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Outrider rides beside a Bitcoin node and judges its every block.")
	fmt.Fprintln(w)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  outrider %-8s %s\n", v.name, v.help)
	}
	fmt.Fprintln(w, "\noutrider VERB --help lists a verb's flags, outrider help settings what can be configured.")
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

func versionVerb(_ context.Context, args []string, stdout, stderr io.Writer) error {
	if err := parse(flag.NewFlagSet("outrider version", flag.ContinueOnError), args, stderr); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, "outrider", sidecar.Version())
	return err
}
