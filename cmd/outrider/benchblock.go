package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
)

// blockFlags are the flags of "outrider bench block".
type blockFlags struct {
	block, spent, network, config string
	challenge                     []byte // of a signet; nil is the default one's
	height                        int64
	seed                          uint64
	transactions                  int
	cores, rounds                 int
	warm                          float64
	asJSON                        bool
	given                         map[string]bool
}

func parseBlockFlags(args []string, stderr io.Writer) (*blockFlags, error) {
	fs := flag.NewFlagSet("outrider bench block", flag.ContinueOnError)
	f := &blockFlags{given: make(map[string]bool)}
	fs.StringVar(&f.block, "block", "", "`file` with the serialised block, plain or .zst (default: from the node with --height, else generated)")
	fs.StringVar(&f.spent, "spent", "", "`file` with the outputs that the block spends, JSON, plain or .zst")
	fs.Int64Var(&f.height, "height", -1, "the `height` of the block, in --block or of the node")
	fs.StringVar(&f.network, "network", "mainnet", "the `chain` that the block in --block is of")
	fs.Func("signet-challenge", "the `script`, in hexadecimal digits, that the blocks of the signet of the block in --block must satisfy\n"+
		"(default: the default signet's)", func(v string) (err error) {
		f.challenge, err = bench.ParseSignetChallenge(v)
		return err
	})
	fs.Uint64Var(&f.seed, "seed", 1, "generate the block of this `number`; the same number makes the same block")
	fs.IntVar(&f.transactions, "transactions", bench.MostTransactions, "generate a block of this `number` of transactions, at most the default")
	fs.IntVar(&f.cores, "cores", 0, "measure on this `number` of cores, from 1 (default: on one, and on all)")
	fs.IntVar(&f.rounds, "rounds", 5, "measure this `number` of times, and print medians")
	fs.Float64Var(&f.warm, "warm", 0.95, "measure also with this `share` of the transactions seen before, from 0 to 1: they are verified\n"+
		"beforehand, as those in the mempool are; 0 leaves it out")
	fs.BoolVar(&f.asJSON, "json", false, "print JSON")
	fs.StringVar(&f.config, "config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file`, for a block from the node "+configDefault)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "outrider bench block judges one block and measures that: the block in --block, that of the node at\n"+
			"--height, or without any of these flags a generated one, which is like mainnet's block 866342. Signatures are\n"+
			"verified by the code that OUTRIDER_SIGVERIFY says, as by outrider run. Exit status:\n"+
			"0 when it is valid, 1 when it is invalid, 2 when the command line is wrong, 3 when it could not be judged.\n"+
			"Flags:")
		fs.PrintDefaults()
	}
	if err := parse(fs, args, stderr); err != nil {
		return nil, err
	}
	fs.Visit(func(set *flag.Flag) { f.given[set.Name] = true })
	return f, nil
}

// The block comes from files, from the node, or is generated.
func (f *blockFlags) fromFiles() bool { return f.block != "" || f.spent != "" }
func (f *blockFlags) fromNode() bool  { return !f.fromFiles() && f.given["height"] }
func (f *blockFlags) generated() bool { return !f.fromFiles() && !f.fromNode() }

// mistakes returns what is wrong with the flags, and the configuration where the
// block comes from the node.
func (f *blockFlags) mistakes() (mistakes []error, cfg sidecar.Config) {
	complain := func(is bool, mistake string) {
		if is {
			mistakes = append(mistakes, errors.New(mistake))
		}
	}
	complain(!f.generated() && (f.height < 0 || f.height > math.MaxUint32), "--height: name the block's height")
	complain((f.block == "") != (f.spent == ""), "--block and --spent: name both files, or neither to take the block from the node")
	complain(f.given["cores"] && (f.cores < 1 || f.cores > 1024), "--cores: must be from 1 to 1024")
	complain(f.rounds < 1 || f.rounds > 1000, "--rounds: must be from 1 to 1000")
	complain(!(f.warm >= 0 && f.warm <= 1), "--warm: must be from 0 to 1")
	complain(f.transactions < 1 || f.transactions > bench.MostTransactions, fmt.Sprintf("--transactions: must be from 1 to %d", bench.MostTransactions))
	if err := bench.CheckNetwork(f.network); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--network: %w", err))
	}
	complain(f.challenge != nil && f.network != "signet", "--signet-challenge: is for --network signet")
	complain(f.fromNode() && f.given["network"], "--network: is for --block; the node says which chain it is on")
	complain(f.generated() && f.given["network"], "--network: is for --block; a generated block is of regtest")
	complain(f.generated() && f.given["config"], "--config: is for a block from the node; name its --height")
	complain(!f.generated() && (f.given["seed"] || f.given["transactions"]),
		"--seed and --transactions: are for a generated block, without --block, --spent and --height")
	if f.fromNode() {
		var err error
		if cfg, err = sidecar.LoadConfig(sidecar.Sources{Environ: os.Environ(), File: f.config}); err != nil {
			mistakes = append(mistakes, fmt.Errorf("no --block, and no node to take one from:\n%w", err))
		}
	}
	return mistakes, cfg
}

// input returns the block.
func (f *blockFlags) input(ctx context.Context, cfg sidecar.Config) (in bench.BlockInput, err error) {
	switch {
	case f.generated():
		return bench.GenerateBlock(f.seed, f.transactions)
	case f.fromNode():
		return blockFromNode(ctx, cfg, uint32(f.height))
	}
	in, err = bench.ReadBlock(f.block, f.spent)
	in.Network, in.SignetChallenge, in.Height = f.network, f.challenge, uint32(f.height)
	return in, err
}

func benchBlock(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseBlockFlags(args, stderr)
	if err != nil {
		return err
	}
	mistakes, cfg := f.mistakes()
	path, err := bench.ParseSigPath(os.Getenv("OUTRIDER_SIGVERIFY"))
	if err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	in, err := f.input(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", bench.ErrUnjudged, err)
	}
	o := bench.BlockOptions{Rounds: f.rounds, Warm: f.warm, Path: path}
	if f.cores > 0 {
		o.Cores = []int{f.cores}
	}
	rep, err := bench.Block(ctx, in, o)
	if err != nil {
		return err
	}
	if f.asJSON {
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
	params, err := sidecar.NetworkParams(ctx, cfg, n)
	if err != nil {
		return bench.BlockInput{}, err
	}
	return bench.FetchBlock(ctx, n, params, height)
}
