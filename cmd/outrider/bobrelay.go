package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/bench"
	"github.com/outrider-project/outrider/sidecar/bob"
	"github.com/outrider-project/outrider/sidecar/node"
)

// relayFlags are the flags of verbs about a relay contract: the settings of the relay and
// of the node.
type relayFlags struct {
	*flag.FlagSet
	given  map[string]string
	file   string
	asJSON bool
}

// newRelayFlags returns the flags of a verb; about says what it does.
func newRelayFlags(verb, about string) *relayFlags {
	f := &relayFlags{FlagSet: flag.NewFlagSet("outrider bob relay "+verb, flag.ContinueOnError), given: map[string]string{}}
	for _, st := range sidecar.Settings() {
		if st.Secret || !concerns(st.Name) {
			continue
		}
		set := func(value string) error { f.given[st.Name] = value; return nil }
		if st.Bool {
			f.BoolFunc(st.Name, st.Help, set)
		} else {
			f.Func(st.Name, st.Help, set)
		}
	}
	f.StringVar(&f.file, "config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file` "+configDefault)
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "%s\nThe nodes of the relay's chain are in OUTRIDER_BOB_L2, since their addresses may hold keys; outrider help settings\n"+
			"lists all. Exit status: 0 when all is well, 1 when it failed, 2 when the command line or the configuration is wrong.\nFlags:\n", about)
		f.PrintDefaults()
	}
	return f
}

// concerns reports whether a setting is about the relay or the node.
func concerns(name string) bool {
	for _, prefix := range []string{"bob-", "node-", "bitcoin-", "btcd-", "log-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "datadir" || name == "network"
}

// load parses args and returns the configuration and the node.
func (f *relayFlags) load(args []string, stderr io.Writer) (sidecar.Config, node.Node, error) {
	if err := parse(f.FlagSet, args, stderr); err != nil {
		return sidecar.Config{}, nil, err
	}
	cfg, err := sidecar.LoadConfig(sidecar.Sources{Flags: f.given, Environ: os.Environ(), File: f.file})
	if err != nil {
		return cfg, nil, &usageError{fmt.Errorf("the configuration has mistakes:\n%w", err)}
	}
	n, err := sidecar.Attach(cfg)
	if err != nil {
		return cfg, nil, &usageError{fmt.Errorf("the Bitcoin node: %w", err)}
	}
	return cfg, n, nil
}

// mistaken has what must be configured be a mistake of the command line.
func mistaken(err error) error {
	if m, ok := errors.AsType[*bob.MistakeError](err); ok {
		return &usageError{m.Err}
	}
	return err
}

func bobRelayPlan(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newRelayFlags("plan", "outrider bob relay plan compares a relay contract with Bitcoin, and prints what would be sent, why, and what it\n"+
		"would cost. It needs no key, and sends nothing.")
	cfg, n, err := f.load(args, stderr)
	if err != nil {
		return err
	}
	defer n.Close()
	plan, err := bob.Plan(ctx, &cfg.BOB, n, cfg.Datadir)
	if err != nil {
		return mistaken(err)
	}
	if f.asJSON {
		return bench.WriteJSON(stdout, plan)
	}
	return bob.WritePlan(stdout, plan)
}

func bobRelaySubmit(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newRelayFlags("submit", "outrider bob relay submit tells a relay contract of Bitcoin's headers, and returns when it is in step. Without\n"+
		"--send it does everything but sign and send, and says what it would do, and what must be set.")
	send := f.Bool("send", false, "really send")
	follow := f.Bool("follow", false, "go on, block after block, until interrupted; only with --send")
	cfg, n, err := f.load(args, stderr)
	if err != nil {
		return err
	}
	defer n.Close()
	if *follow && !*send {
		return &usageError{errors.New("--follow: only with --send")}
	}
	done, err := bob.Submit(ctx, &cfg.BOB, n, bob.Submission{Datadir: cfg.Datadir, Send: *send, Follow: *follow, Log: newLogger(cfg, stderr)})
	if *follow && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // interrupted, as it must be
	}
	if done != nil {
		write := bob.WriteSubmitted
		if f.asJSON {
			write = func(w io.Writer, s *bob.Submitted) error { return bench.WriteJSON(w, s) }
		}
		err = errors.Join(err, write(stdout, done))
	}
	return mistaken(err)
}
