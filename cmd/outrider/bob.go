package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"

	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/bob"
)

func bobHeaders(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bob headers", flag.ContinueOnError)
	var (
		file    = fs.String("file", "", "`file` of serialised headers, 80 bytes each, one after another, plain or .zst")
		network = fs.String("network", "mainnet", "the `chain` that they are of")
		from    = fs.Int64("from", -1, "the `height` of the first; what needs headers below it is not checked")
		asJSON  = fs.Bool("json", false, "print JSON")
	)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bob headers verifies Bitcoin's headers, as relays on BOB need them. Exit status: 0 when all are\n"+
			"valid, 1 when one is not or the file cannot be read, 2 when the command line is wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var mistakes []error
	if *file == "" {
		mistakes = append(mistakes, errors.New("--file: name the file of headers"))
	}
	if err := bob.CheckNetwork(*network); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--network: %w", err))
	}
	if *from < 0 || *from > math.MaxUint32 {
		mistakes = append(mistakes, errors.New("--from: name the height of the first header"))
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	rep, err := bob.CheckHeaders(*file, *network, uint32(*from))
	if err != nil {
		return err
	}
	if *asJSON {
		err = bench.WriteJSON(stdout, rep)
	} else {
		err = bob.WriteHeaders(stdout, rep)
	}
	if err == nil && !rep.Valid {
		return errReported
	}
	return err
}

func bobRelayReplay(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bob relay replay", flag.ContinueOnError)
	var (
		kind   = fs.String("kind", "", "the `relay`: full or light")
		file   = fs.String("file", "", "JSON `file` of headers, plain or .zst: genesis, chain, oldPeriodStart and others, or a retarget")
		asJSON = fs.Bool("json", false, "print JSON")
	)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bob relay replay shows headers to a model of a relay contract, and prints each call with its gas, or\n"+
			"why it reverts. Exit status: 0, 1 when the file is of no use, 2 when the command line is wrong. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var mistakes []error
	if err := bob.CheckKind(*kind); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--kind: %w", err))
	}
	if *file == "" {
		mistakes = append(mistakes, errors.New("--file: name the file of headers"))
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	rep, err := bob.Replay(*file, *kind)
	if err != nil {
		return err
	}
	if *asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return bob.WriteReplay(stdout, rep)
}
