package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/outrider-project/outrider/sidecar/bench"
)

func benchRelay(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bench relay", flag.ContinueOnError)
	var o bench.RelayOptions
	fs.IntVar(&o.Rounds, "rounds", 5, "measure this `number` of times, and print medians")
	fs.BoolVar(&o.Quick, "quick", false, "make all of it short, to show that everything works; its figures mean little")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bench relay measures how Bitcoin's headers are verified, and how a relay contract on an Ethereum chain is\n"+
			"told of them: the time from a new block to a plan, what catching up takes, and how fast the state is read. The\n"+
			"contract, the chain and its nodes are in this process. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if o.Rounds < 1 || o.Rounds > 1000 {
		return &usageError{errors.New("--rounds: must be from 1 to 1000")}
	}
	rep, err := bench.Relay(ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return rep.WriteTable(stdout)
}
