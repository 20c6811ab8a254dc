package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/demo"
)

func benchBlock(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider bench block", flag.ContinueOnError)
	var (
		block   = fs.String("block", "", "`file` with the serialised block, plain or .zst (default: from the node)")
		spent   = fs.String("spent", "", "`file` with the outputs that the block spends, JSON, plain or .zst")
		height  = fs.Int64("height", -1, "the block's `height`")
		network = fs.String("network", "mainnet", "the `chain` that the block in --block is of")
		cores   = fs.Int("cores", 0, "measure on this `number` of cores, from 1 (default: on one, and on all)")
		rounds  = fs.Int("rounds", 5, "measure this `number` of times, and print medians")
		asJSON  = fs.Bool("json", false, "print JSON")
		config  = fs.String("config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file`, for a block from the node "+configDefault)
	)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bench block judges one block and measures that. Exit status: 0 when it is valid, 1 when it is\n"+
			"invalid, 2 when the command line is wrong, 3 when it could not be judged. Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var mistakes []error
	complain := func(is bool, mistake string) {
		if is {
			mistakes = append(mistakes, errors.New(mistake))
		}
	}
	complain(*height < 0 || *height > 1<<32-1, "--height: name the block's height")
	complain((*block == "") != (*spent == ""), "--block and --spent: name both files, or neither to take the block from the node")
	complain(given["cores"] && (*cores < 1 || *cores > 1024), "--cores: must be from 1 to 1024")
	complain(*rounds < 1 || *rounds > 1000, "--rounds: must be from 1 to 1000")
	if err := bench.CheckNetwork(*network); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--network: %w", err))
	}
	fromNode := *block == "" && *spent == ""
	complain(fromNode && given["network"], "--network: is for --block; the node says which chain it is on")
	var cfg sidecar.Config
	if fromNode {
		var err error
		if cfg, err = sidecar.LoadConfig(sidecar.Sources{Environ: os.Environ(), File: *config}); err != nil {
			mistakes = append(mistakes, fmt.Errorf("no --block, and no node to take one from:\n%w", err))
		}
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	var in bench.BlockInput
	var err error
	if fromNode {
		in, err = blockFromNode(ctx, cfg, uint32(*height))
	} else {
		in, err = bench.ReadBlock(*block, *spent)
		in.Network, in.Height = *network, uint32(*height)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", bench.ErrUnjudged, err)
	}
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
// the configuration names or that was found.
func blockFromNode(ctx context.Context, cfg sidecar.Config, height uint32) (bench.BlockInput, error) {
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
		blocks = fs.Int("blocks", 100, "`number` of blocks that one sidecar follows, for the times to the verdict; at most 1000 (each takes about five seconds on two cores)")
		rounds = fs.Int("rounds", 10, "measure the node's own time on this `number` of blocks beside a sidecar, and on as many without; at most 30")
		txs    = fs.Int("transactions", 2000, "`number` of transactions in a block")
		asJSON = fs.Bool("json", false, "print JSON")
	)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var mistakes []error
	for _, f := range []struct {
		name        string
		value, most int
	}{{"blocks", *blocks, 1000}, {"rounds", *rounds, 30}, {"transactions", *txs, 10000}} {
		if f.value < 1 || f.value > f.most {
			mistakes = append(mistakes, fmt.Errorf("--%s: must be from 1 to %d", f.name, f.most))
		}
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	o := bench.FollowOptions{Blocks: *blocks, Rounds: *rounds, Transactions: *txs}
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

func benchBitcoind(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("outrider bench bitcoind", flag.ContinueOnError)
	var (
		bitcoind = fs.String("bitcoind", os.Getenv("BITCOIND"), "bitcoind `program`, v26 or later with ZeroMQ (default: what BITCOIND in the environment names)")
		blocks   = fs.Int("blocks", 30, "`number` of blocks that a sidecar follows, twice, and catches up with; at most 300 (30 take about five minutes on two cores)")
		txs      = fs.Int("transactions", 2000, "`number` of transactions in a block; at most 4000")
		asJSON   = fs.Bool("json", false, "print JSON")
	)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var mistakes []error
	if *bitcoind == "" {
		mistakes = append(mistakes, errors.New("--bitcoind: name a bitcoind to run, here or in the environment variable BITCOIND; it runs on regtest in a directory of its own"))
	} else if _, err := exec.LookPath(*bitcoind); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--bitcoind: %w", err))
	}
	if *blocks < 1 || *blocks > 300 {
		mistakes = append(mistakes, errors.New("--blocks: must be from 1 to 300"))
	}
	if *txs < 1 || *txs > 4000 {
		mistakes = append(mistakes, errors.New("--transactions: must be from 1 to 4000"))
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	o := bench.BitcoindOptions{Bitcoind: *bitcoind, Blocks: *blocks, Transactions: *txs}
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.Dir, err = os.MkdirTemp("", "outrider-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	o.Log = slog.New(slog.NewTextHandler(stderr, nil))
	rep, err := bench.Bitcoind(ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return rep.WriteTable(stdout)
}
