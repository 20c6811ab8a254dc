package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/utxo"
)

func utxoVerbs() []verb {
	return []verb{
		{"utxo load", "load a snapshot of the unspent outputs into a coin database", utxoLoad},
		{"utxo get", "tell of outpoints, TXID:VOUT", utxoGet},
		{"utxo stats", "tell the size of the coin database", utxoStats},
		{"utxo verify", "hash all coins afresh, and check the database", utxoVerify},
		{"utxo compact", "rewrite the coin database", utxoCompact},
		{"utxo index build", "make the index of scripts", utxoIndexBuild},
		{"utxo index drop", "remove the index of scripts", utxoIndexDrop},
		{"utxo index show", "list the coins with a script", utxoIndexShow},
	}
}

// utxoFlags are the flags that every verb of "outrider utxo" has.
type utxoFlags struct {
	*flag.FlagSet
	place  utxo.Place
	asJSON bool
}

// newUtxoFlags returns the flags of a verb. about says in a sentence or two what it
// does, and args what it takes beside flags.
func newUtxoFlags(verb, args, about string) *utxoFlags {
	f := &utxoFlags{FlagSet: flag.NewFlagSet("outrider utxo "+verb, flag.ContinueOnError)}
	f.StringVar(&f.place.Datadir, "datadir", cmp.Or(os.Getenv("OUTRIDER_DATADIR"), sidecar.DefaultConfig().Datadir), "Outrider's data `directory`; the database is in NETWORK/coins below it")
	f.Func("network", "the `chain`: main, test, testnet4, signet, regtest, simnet (default: the snapshot's, or the one that has a database)", func(v string) (err error) {
		f.place.Network, err = utxo.CheckNetwork(v)
		return err
	})
	f.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "outrider utxo %s [flags] %s\n\n%s\nExit status: 0 when all is well, 1 when it failed or something is wrong, 2 when the command line is wrong.\nFlags:\n", verb, args, about)
		f.PrintDefaults()
	}
	return f
}

// hash has a flag be a hash.
func (f *utxoFlags) hash(name, help string) **chainhash.Hash {
	h := new(*chainhash.Hash)
	f.Func(name, help, func(v string) (err error) {
		*h, err = utxo.ParseHash(v)
		return err
	})
	return h
}

// print prints what a verb found.
func (f *utxoFlags) print(stdout io.Writer, found interface{ WriteTable(io.Writer) error }) error {
	if f.asJSON {
		return bench.WriteJSON(stdout, found)
	}
	return found.WriteTable(stdout)
}

func utxoLoad(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("load", "--snapshot FILE", "It streams what Bitcoin Core's dumptxoutset wrote into the coin database, verifies it by hash_serialized_3 and\n"+
		"prints that and the MuHash. If it is interrupted, the same command goes on.")
	o := utxo.LoadOptions{Stdin: os.Stdin}
	f.StringVar(&o.Snapshot, "snapshot", "", "`file` or named pipe to load; - is standard input")
	height := f.Uint("height", 0, "`height` of the snapshot's base, which is not in it and without which no block can follow; 0 means that it is\n"+
		"not known: then it is taken from Bitcoin Core's chain parameters or, unless the snapshot is a pipe, from its coins")
	expect := f.hash("expect", "fail unless hash_serialized_3 is this `hash` (default: what Bitcoin Core's chain parameters say of the base)")
	f.BoolVar(&o.Fresh, "fresh", false, "remove the database, or the unfinished load, that is there")
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	switch {
	case o.Snapshot == "":
		return &usageError{errors.New("--snapshot: name the file or pipe, or - for standard input")}
	case *height >= math.MaxInt32:
		return &usageError{errors.New("--height: no block has it")}
	}
	o.Place, o.Height, o.Expect = f.place, uint32(*height), *expect
	bar := utxo.NewBar(stderr)
	o.Progress, o.Note = bar.Show, bar.Note
	loaded, err := utxo.Load(ctx, o)
	bar.End()
	if err != nil {
		return err
	}
	return f.print(stdout, loaded)
}

func utxoGet(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("get", "TXID:VOUT...", "It tells of each outpoint whether there is a coin, and which, all as of one block.")
	others, err := parseMixed(f.FlagSet, args, stderr)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		return &usageError{errors.New("name outpoints, TXID:VOUT")}
	}
	var mistakes []error
	ops := make([]wire.OutPoint, len(others))
	for i, s := range others {
		if ops[i], err = utxo.ParseOutPoint(s); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	if len(mistakes) > 0 {
		return &usageError{errors.Join(mistakes...)}
	}
	found, err := utxo.Get(f.place, ops)
	if err != nil {
		return err
	}
	return f.print(stdout, found)
}

func utxoStats(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("stats", "", "It tells the size of the coin database, and reads no coin.")
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	stats, err := utxo.ReadStats(f.place)
	if err != nil {
		return err
	}
	return f.print(stdout, stats)
}

func utxoVerify(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("verify", "", "It hashes all coins of the database, in the two ways of Bitcoin Core's gettxoutsetinfo.")
	var o utxo.VerifyOptions
	expect := f.hash("expect", "report it unless hash_serialized_3 is this `hash` (default: what Bitcoin Core's chain parameters say of the tip)")
	expectMu := f.hash("expect-muhash", "report it unless the MuHash is this `hash`")
	f.BoolVar(&o.Check, "check", false, "read every record beforehand, also those that undo blocks and the index, and the checksums of all files")
	f.BoolVar(&o.Repair, "repair", false, "as --check, and remove what is damaged if that is no coin: undo records and the index")
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	bar := utxo.NewBar(stderr)
	o.Place, o.Expect, o.ExpectMuHash, o.Progress = f.place, *expect, *expectMu, bar.Show
	v, err := utxo.Verify(ctx, o)
	bar.End()
	if err != nil {
		return err
	}
	if err = f.print(stdout, v); err == nil && !v.Whole {
		return errReported
	}
	return err
}

func utxoCompact(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("compact", "", "It rewrites the whole database, so that nothing that is overwritten or deleted is left. It needs as much\n"+
		"free space again.")
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	stats, err := utxo.Compact(ctx, f.place)
	if err != nil {
		return err
	}
	return f.print(stdout, stats)
}

func utxoIndexBuild(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("index build", "", "It makes the index of scripts. If it is interrupted, the same command goes on.")
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	bar := utxo.NewBar(stderr)
	state, err := utxo.BuildIndex(ctx, f.place, bar.Show)
	bar.End()
	if err != nil {
		return err
	}
	return f.print(stdout, state)
}

func utxoIndexDrop(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("index drop", "", "It removes the index of scripts, if there is one.")
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return err
	}
	state, err := utxo.DropIndex(f.place)
	if err != nil {
		return err
	}
	return f.print(stdout, state)
}

func utxoIndexShow(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newUtxoFlags("index show", "SCRIPTHASH", "It lists the coins with a script. SCRIPTHASH is the SHA-256 of the script with its last byte first, as in the\n"+
		"Electrum protocol.")
	script := f.String("script", "", "the script itself in `hex`, instead of SCRIPTHASH")
	others, err := parseMixed(f.FlagSet, args, stderr)
	if err != nil {
		return err
	}
	var hash [32]byte
	switch {
	case *script != "" && len(others) == 0:
		raw, err := hex.DecodeString(*script)
		if err != nil {
			return &usageError{fmt.Errorf("--script: %w", err)}
		}
		hash = sha256.Sum256(raw)
	case *script == "" && len(others) == 1:
		if hash, err = utxo.ParseScriptHash(others[0]); err != nil {
			return &usageError{err}
		}
	default:
		return &usageError{errors.New("name one SCRIPTHASH, or the script with --script")}
	}
	shown, err := utxo.Show(f.place, hash)
	if err != nil {
		return err
	}
	return f.print(stdout, shown)
}
