package main

import (
	"context"
	"io"

	"github.com/outrider-project/outrider/sidecar/bench"
)

func benchRelay(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newBenchFlags("relay", 5, "outrider bench relay measures how Bitcoin's headers are verified, and how a relay contract on an Ethereum chain is\n"+
		"told of them: the time from a new block to its submission, what catching up takes, and how fast the state is read.\n"+
		"The contract, the chain and its nodes are in this process. Flags:")
	quick := f.Bool("quick", false, "make all of it short, to show that everything works; its figures mean little")
	if err := f.parse(args, stderr); err != nil {
		return err
	}
	rep, err := bench.Relay(ctx, bench.RelayOptions{Rounds: f.rounds, Quick: *quick})
	if err != nil {
		return err
	}
	return f.write(stdout, rep)
}
