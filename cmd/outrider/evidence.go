package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
)

func evidenceVerb(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider evidence", flag.ContinueOnError)
	var (
		bundle = fs.String("bundle", "", "`directory` of the bundle of evidence")
		asJSON = fs.Bool("json", false, "print JSON")
	)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider evidence judges a bundle of evidence again, without a node. Exit status: 0 when the block is\n"+
			"valid, 1 when it is invalid, 2 when the command line is wrong, 3 when it could not be judged. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *bundle == "" {
		return &usageError{errors.New("--bundle: name the directory of the bundle")}
	}
	r, err := sidecar.JudgeEvidence(ctx, *bundle)
	if err != nil {
		return err
	}
	if *asJSON {
		err = bench.WriteJSON(stdout, r)
	} else {
		err = r.WriteTable(stdout)
	}
	if err == nil && !r.Valid {
		return errReported
	}
	return err
}
