package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/bob"
	"github.com/outrider-project/outrider/sidecar/node"
)

// proofFlags are the flags of bob proof.
type proofFlags struct {
	*flag.FlagSet
	query         bob.ProofQuery
	verify        string
	network       string
	config        string
	timeout       time.Duration
	asJSON        bool
	confirmations int
}

func newProofFlags() *proofFlags {
	f := &proofFlags{FlagSet: flag.NewFlagSet("outrider bob proof", flag.ContinueOnError), confirmations: -1}
	f.StringVar(&f.config, "config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file` "+configDefault)
	f.Func("block", "`hash` of the block that it is in, for a node without a transaction index", func(v string) error {
		hash, err := bob.ParseHash(v)
		f.query.Block = &hash
		return err
	})
	f.BoolVar(&f.query.Witness, "witness", false, "prove it with its witnesses, too")
	f.Func("confirmations", "the `number` of headers on top that are asked for, 0 to 255 (default: bob-confirmations)", func(v string) error {
		n, err := strconv.ParseUint(v, 10, 8)
		f.confirmations = int(n)
		return err
	})
	f.Func("kind", "the `kind` of relay that it is for: full, full-verify, light (default: bob-relay-kind, or full-verify)", func(v string) (err error) {
		f.query.Kind, err = bob.ParseKind(v)
		return err
	})
	f.StringVar(&f.verify, "verify", "", "instead, verify the proof in a `file` as --json prints it, - for standard input; nobody is asked")
	f.StringVar(&f.network, "network", "mainnet", "the `chain` that a proof to verify must be of")
	f.DurationVar(&f.timeout, "timeout", time.Minute, "give up after a `duration`")
	f.BoolVar(&f.asJSON, "json", false, "print JSON: the proof, with the fields that BOB's contracts take")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "outrider bob proof TXID fetches the block that a transaction is in from the Bitcoin node of the settings, builds the\n"+
			"proof, verifies it, and says when the relay of the settings accepts it, if there is one. It needs neither BOB nor a key.\n"+
			"Exit status: 0 when it is proven, 1 when it is not, 2 when the command line or the configuration is wrong. Flags:")
		f.PrintDefaults()
	}
	return f
}

func bobProof(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newProofFlags()
	words, err := parseMixed(f.FlagSet, args, stderr)
	if err != nil {
		return err
	}
	if f.verify != "" {
		if len(words) > 0 {
			return &usageError{errors.New("either --verify or a transaction")}
		}
		return f.verifyFile(stdout)
	}
	if len(words) != 1 {
		return &usageError{fmt.Errorf("name one transaction by its txid, not %d", len(words))}
	}
	if f.query.Txid, err = bob.ParseHash(words[0]); err != nil {
		return &usageError{err}
	}
	return f.prove(ctx, stdout)
}

func (f *proofFlags) verifyFile(stdout io.Writer) error {
	if err := bob.CheckNetwork(f.network); err != nil {
		return &usageError{fmt.Errorf("--network: %w", err)}
	}
	v, err := bob.VerifyProof(f.verify, f.network)
	switch {
	case err != nil:
		return err
	case f.asJSON:
		return bench.WriteJSON(stdout, v)
	}
	return bob.WriteVerified(stdout, v)
}

func (f *proofFlags) prove(ctx context.Context, stdout io.Writer) error {
	cfg, err := sidecar.LoadConfig(sidecar.Sources{Environ: os.Environ(), File: f.config})
	if err != nil {
		return &usageError{fmt.Errorf("the configuration has mistakes:\n%w", err)}
	}
	n, err := sidecar.Attach(cfg)
	if err != nil {
		return &usageError{fmt.Errorf("the Bitcoin node: %w", err)}
	}
	defer n.Close()
	source, ok := n.(interface {
		node.Node
		node.Locator
	})
	if !ok {
		return errors.New("the Bitcoin node cannot tell where its transactions are")
	}
	var watch *bob.Watch
	if cfg.BOB.WatchesRelay() {
		if watch, err = bob.New(cfg.BOB, n, nil); err != nil {
			return &usageError{err}
		}
	}
	q := f.query
	if q.Kind == "" {
		q.Kind = cfg.BOB.ProofKind()
	}
	if q.Confirmations = uint8(f.confirmations); f.confirmations < 0 {
		q.Confirmations = cfg.BOB.Confirmations
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	r, err := bob.Prove(ctx, source, watch, q)
	switch {
	case err != nil:
		return err
	case f.asJSON:
		return bench.WriteJSON(stdout, r)
	}
	return bob.WriteProof(stdout, r)
}
