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

	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/demo"
)

// benchFlags are the flags of a benchmark that is measured several times, and printed.
type benchFlags struct {
	*flag.FlagSet
	rounds int
	asJSON bool
}

// newBenchFlags returns the flags of a benchmark that is measured so many times by default;
// about says what it does.
func newBenchFlags(verb string, rounds int, about string) *benchFlags {
	f := &benchFlags{FlagSet: flag.NewFlagSet("outrider bench "+verb, flag.ContinueOnError)}
	f.IntVar(&f.rounds, "rounds", rounds, "measure this `number` of times, and print medians")
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), about)
		f.PrintDefaults()
	}
	return f
}

func (f *benchFlags) parse(args []string, stderr io.Writer) error {
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	if f.rounds < 1 || f.rounds > 1000 {
		return &usageError{errors.New("--rounds: must be from 1 to 1000")}
	}
	return nil
}

// write writes a report as it was asked for.
func (f *benchFlags) write(stdout io.Writer, rep interface{ WriteTable(io.Writer) error }) error {
	if f.asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return rep.WriteTable(stdout)
}

func benchFollow(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("outrider bench follow", flag.ContinueOnError)
	var (
		btcd   = fs.String("btcd", "", "btcd `program` (default: beside this one, or built from its module)")
		blocks = fs.Int("blocks", 100, "`number` of blocks that one sidecar follows, for the times to the verdict; at most 1000 (each takes about five seconds on two cores)")
		rounds = fs.Int("rounds", 10, "measure the node's own time on this `number` of blocks beside a sidecar, beside one with the node's priority, and without; at most 30")
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
		bitcoind = fs.String("bitcoind", os.Getenv("BITCOIND"), "bitcoind `program`, v28 or later with ZeroMQ (default: what BITCOIND in the environment names)")
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

func benchSig(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newBenchFlags("sig", 11, "outrider bench sig measures the verification of signatures, beside other verifiers. A row of 1core is one\n"+
		"thread, and where the system tells it, the time that this had a processor. One of allcores has a caller for\n"+
		"each core, with batches of that size; of scaling, a single caller, whose batches the pool divides. The code\n"+
		"that verifies is what OUTRIDER_SIGVERIFY says, as of outrider run, but in the rows of purego.\n"+
		"Exit status: 0 when all is well, 1 when a test vector failed or the work did, 2 when the command line is\n"+
		"wrong. Flags:")
	vectors := f.String("vectors", "", "check test vectors, too: Wycheproof's ECDSA on secp256k1, and BIP340's, plain or .zst, in this `file` or folder, of at most 64 MiB each")
	if err := f.parse(args, stderr); err != nil {
		return err
	}
	path, err := bench.ParseSigPath(os.Getenv("OUTRIDER_SIGVERIFY"))
	if err != nil {
		return &usageError{err}
	}
	rep, err := bench.Sig(ctx, bench.SigOptions{Rounds: f.rounds, Vectors: *vectors, Path: path})
	if err != nil {
		return err
	}
	err = f.write(stdout, rep)
	if err == nil && rep.Vectors != nil && rep.Vectors.Failed > 0 {
		return errReported
	}
	return err
}

func benchUtxo(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("outrider bench utxo", flag.ContinueOnError)
	var o bench.UtxoOptions
	fs.IntVar(&o.Rounds, "rounds", 5, "measure this `number` of times, and print medians")
	fs.IntVar(&o.Coins, "coins", 1_000_000, "measure with this `number` of coins; a million take 300 MB of disk and 1.4 GB of memory, and with five rounds about a minute")
	dir := fs.String("dir", "", "`directory` on the disk to measure; a new one is made in it, and removed (default: that of temporary files)")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if o.Rounds < 1 || o.Rounds > 1000 {
		return &usageError{errors.New("--rounds: must be from 1 to 1000")}
	}
	if least := bench.UtxoCoins(o.Rounds); o.Coins < least || o.Coins > bench.MostCoins {
		return &usageError{fmt.Errorf("--coins: must be from %d, for so many rounds, to %d", least, bench.MostCoins)}
	}
	if o.Dir, err = os.MkdirTemp(*dir, "outrider-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	rep, err := bench.Utxo(ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return bench.WriteJSON(stdout, rep)
	}
	return rep.WriteTable(stdout)
}
