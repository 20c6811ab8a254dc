package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/demo"
)

func benchVerb(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "block":
			return benchBlock(ctx, args[1:], stdout, stderr)
		case "follow":
			return benchFollow(ctx, args[1:], stdout, stderr)
		}
	}
	return &usageError{errors.New("name what to measure: block, follow")}
}

func benchBlock(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bench block", flag.ContinueOnError)
	var (
		block   = fs.String("block", "", "`file` with the serialised block, plain or .zst (default: from the node)")
		spent   = fs.String("spent", "", "`file` with the outputs that the block spends, JSON, plain or .zst")
		height  = fs.Int64("height", -1, "the block's `height`")
		network = fs.String("network", "mainnet", "the `chain` that the block is of")
		cores   = fs.Int("cores", 0, "measure on this `number` of cores (default: on one, and on all)")
		rounds  = fs.Int("rounds", 5, "measure this `number` of times, and print medians")
		asJSON  = fs.Bool("json", false, "print JSON")
		config  = fs.String("config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file`, for a block from the node")
	)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var mistakes []error
	if *height < 0 || *height > 1<<32-1 {
		mistakes = append(mistakes, errors.New("--height: name the block's height"))
	}
	if (*block == "") != (*spent == "") {
		mistakes = append(mistakes, errors.New("--block and --spent: name both files, or neither to take the block from the node"))
	}
	if *cores < 0 || *cores > 1024 {
		mistakes = append(mistakes, errors.New("--cores: must be from 1 to 1024"))
	}
	if *rounds < 1 || *rounds > 1000 {
		mistakes = append(mistakes, errors.New("--rounds: must be from 1 to 1000"))
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	var in bench.BlockInput
	var err error
	if *block != "" {
		in, err = bench.ReadBlock(*block, *spent)
		in.Network = *network
	} else {
		in, err = blockFromNode(ctx, *config, uint32(*height))
	}
	if err != nil {
		return err
	}
	in.Height = uint32(*height)
	var ks []int
	if *cores > 0 {
		ks = []int{*cores}
	}
	rep, err := bench.Block(ctx, in, ks, *rounds)
	if err != nil {
		return err
	}
	if *asJSON {
		err = bench.WriteJSON(stdout, rep)
	} else {
		err = rep.WriteTable(stdout)
	}
	if err == nil && !rep.Valid {
		return errReported
	}
	return err
}

// blockFromNode fetches the best chain's block at height from the node that
// the configuration names or that is found.
func blockFromNode(ctx context.Context, file string, height uint32) (bench.BlockInput, error) {
	cfg, err := sidecar.LoadConfig(sidecar.Sources{Environ: os.Environ(), File: file})
	if err != nil {
		return bench.BlockInput{}, &usageError{fmt.Errorf("no --block, and no node to take one from:\n%w", err)}
	}
	n, err := sidecar.Attach(cfg)
	if err != nil {
		return bench.BlockInput{}, err
	}
	defer n.Close()
	return bench.FetchBlock(ctx, n, height)
}

func benchFollow(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("outrider bench follow", flag.ContinueOnError)
	var (
		btcd   = fs.String("btcd", "", "btcd `program` (default: beside this one, or built from its module)")
		rounds = fs.Int("rounds", 10, "measure this `number` of blocks with the sidecar, and as many without; at most 30")
		txs    = fs.Int("transactions", 2000, "`number` of transactions in a block")
		asJSON = fs.Bool("json", false, "print JSON")
	)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *rounds < 1 || *rounds > 30 || *txs < 1 || *txs > 10000 {
		return &usageError{errors.New("--rounds must be from 1 to 30, --transactions from 1 to 10000")}
	}
	o := bench.FollowOptions{Rounds: *rounds, Transactions: *txs}
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.Btcd, err = demo.FindBtcd(ctx, *btcd); err != nil {
		return err
	}
	if o.Dir, err = os.MkdirTemp("", "outrider-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	rep, err := bench.Follow(ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return rep.WriteTable(stdout)
}
