package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/bob"
)

// bobFlags are the flags of verbs that ask nodes of BOB.
type bobFlags struct {
	*flag.FlagSet
	config  string
	timeout time.Duration
	asJSON  bool
}

func newBOBFlags(verb, about string) *bobFlags {
	f := &bobFlags{FlagSet: flag.NewFlagSet("outrider bob "+verb, flag.ContinueOnError)}
	f.StringVar(&f.config, "config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file` "+configDefault)
	f.DurationVar(&f.timeout, "timeout", time.Minute, "give up after a `duration`")
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "outrider bob %s %s\nWhich nodes and which relay: OUTRIDER_BOB_L2, OUTRIDER_BOB_OP_NODE, OUTRIDER_BOB_RELAY and OUTRIDER_BOB_RELAY_KIND, or lines\n"+
			"of outrider.yaml; \"outrider help settings\" has them all. Flags:\n", verb, about)
		f.PrintDefaults()
	}
	return f
}

// with parses args, and has use ask BOB.
func (f *bobFlags) with(ctx context.Context, args []string, stderr io.Writer, use func(context.Context, *bob.Watch) error) error {
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	cfg, nodeErr, err := sidecar.LoadWithoutNode(sidecar.Sources{Environ: os.Environ(), File: f.config})
	if err != nil {
		return &usageError{fmt.Errorf("the configuration has mistakes:\n%w", err)}
	}
	bitcoin := bob.WithoutBitcoin(nodeErr)
	if nodeErr == nil {
		node, err := sidecar.Attach(cfg)
		if err != nil {
			return err
		}
		defer node.Close()
		bitcoin = node
	}
	w, err := bob.New(cfg.BOB, bitcoin, nil)
	if err != nil {
		return &usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return use(ctx, w)
}

func bobStatus(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newBOBFlags("status", "asks the nodes of BOB and the Bitcoin node once: heads, forks, output roots, and where the\n"+
		"relay is. Exit status: 0 when all is well, 1 when something is wrong or not known, 2 when the configuration is wrong.")
	return f.with(ctx, args, stderr, func(ctx context.Context, w *bob.Watch) error {
		st := w.Ask(ctx)
		var err error
		if f.asJSON {
			err = bench.WriteJSON(stdout, st)
		} else {
			err = bob.WriteStatus(stdout, st)
		}
		if err == nil && !st.Good() {
			return errReported
		}
		return err
	})
}

func bobFees(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newBOBFlags("fees", "tells what a transaction costs on the L2, to the wei: gas, data on Ethereum, and the operator's\n"+
		"fee. Without --tx and --raw, what it costs to tell the relay of the last Bitcoin headers. Exit status: 0, 1 when it failed,\n"+
		"2 when the command line or the configuration is wrong.")
	var (
		tx      = f.String("tx", "", "`hash` of a transaction in a block, deposits too: what it paid")
		raw     = f.String("raw", "", "`file` with a signed transaction in hexadecimal, - for standard input: what it would pay now")
		headers = f.Int("headers", 1, "tell a full relay of this `number` of headers")
	)
	return f.with(ctx, args, stderr, func(ctx context.Context, w *bob.Watch) (err error) {
		var r *bob.FeeReport
		switch {
		case *tx != "" && *raw != "":
			return &usageError{errors.New("either --tx or --raw")}
		case *tx != "":
			r, err = w.FeesOf(ctx, *tx)
		case *raw != "":
			var signed []byte
			if signed, err = readRaw(*raw); err == nil {
				r, err = w.FeesFor(ctx, signed)
			}
		default:
			r, err = w.FeesToRelay(ctx, *headers)
		}
		switch {
		case err != nil:
			return err
		case f.asJSON:
			return bench.WriteJSON(stdout, r)
		}
		return bob.WriteFees(stdout, r)
	})
}

// readRaw reads a signed transaction.
func readRaw(path string) ([]byte, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return nil, err
	}
	return bob.ParseRaw(string(text))
}

func bobDoctor(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newBOBFlags("doctor", "asks the nodes, says what is wrong and what to do, and proposes settings of op-reth, op-geth and\n"+
		"op-node, each with the measurement behind it. Exit status: 0 when nothing fails, 1 when something does, 2 when the\n"+
		"configuration is wrong.")
	files := make(bob.Files)
	for _, program := range bob.Programs {
		f.Func(program, "`file` in which "+program+"'s settings are: a command line, variables, a systemd unit or a compose file", func(path string) error {
			files[program] = path
			return nil
		})
	}
	return f.with(ctx, args, stderr, func(ctx context.Context, w *bob.Watch) error {
		d, err := w.Doctor(ctx, files)
		if err != nil {
			return err
		}
		if f.asJSON {
			err = bench.WriteJSON(stdout, d)
		} else {
			err = bob.WriteDiagnosis(stdout, d)
		}
		if err == nil && d.Failed() {
			return errReported
		}
		return err
	})
}
