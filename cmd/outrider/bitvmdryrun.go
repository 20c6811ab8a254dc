package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/outrider-project/outrider/sidecar/bitvm"
)

func bitvmDryRun(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bitvm dryrun", flag.ContinueOnError)
	file := fs.String("file", "", "JSON `file` of the spend, plain or .zst; - reads standard input")
	limit := fs.Duration("timeout", time.Minute, "give up after this `time`")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bitvm dryrun runs a transaction, or one input of it, before somebody pays for it: in btcd's engine and\n"+
			"in Outrider's, by the rules of consensus. It says where a script fails, and why nodes would not relay what\n"+
			"passes. The file:\n\n"+
			"  {\"tx\": \"0200…\", \"prevouts\": [{\"value\": 100000, \"scriptPubKey\": \"5120…\"}], \"input\": 0}\n\n"+
			"tx is the raw transaction with its witnesses, prevouts what its inputs spend, in their order, values in\n"+
			"satoshis; with txid and vout in them, these are compared. With input only that one is run, and unless it is of\n"+
			"taproot the other prevouts may be null. Exit status: 0 when it passes, relayed or not; 1 when it fails, or was\n"+
			"not done in time; 2 when the command line is wrong or the file is. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	switch {
	case *file == "":
		return &usageError{errors.New("--file: name the file of the spend, or - for standard input")}
	case *limit <= 0:
		return &usageError{errors.New("--timeout: must be above 0")}
	}
	limited, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	rep, err := bitvm.DryRun(limited, *file, os.Stdin)
	switch {
	case errors.Is(err, bitvm.ErrSpend):
		return &usageError{err}
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("not done after %v, and so nothing is known; --timeout allows more: %w", *limit, err)
	case err != nil:
		return err
	}
	return printJudged(stdout, rep, *asJSON)
}
