package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/outrider-project/outrider/sidecar"
)

// configDefault says where a configuration is looked for.
const configDefault = "(default: outrider.yaml here, else in ~/.outrider, wherever datadir is)"

func runVerb(ctx context.Context, args []string, _, stderr io.Writer) error {
	fs := flag.NewFlagSet("outrider run", flag.ContinueOnError)
	flags := make(map[string]string)
	for _, st := range sidecar.Settings() {
		if st.Secret {
			continue
		}
		set := func(value string) error { flags[st.Name] = value; return nil }
		if st.Bool {
			fs.BoolFunc(st.Name, st.Help, set)
		} else {
			fs.Func(st.Name, st.Help, set)
		}
	}
	file := fs.String("config", os.Getenv("OUTRIDER_CONFIG"), "configuration `file` "+configDefault)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	cfg, err := sidecar.LoadConfig(sidecar.Sources{Flags: flags, Environ: os.Environ(), File: *file})
	if err != nil {
		return &usageError{fmt.Errorf("the configuration has mistakes:\n%w", err)}
	}
	log := newLogger(cfg, stderr)
	s, err := sidecar.New(cfg, log, nil)
	if err != nil {
		return err
	}
	log.Info("outrider starts", "version", sidecar.Version(), "http", "http://"+s.Addr())
	if cfg.Found != "" {
		log.Info("node found", "by", cfg.Found, "kind", cfg.Node.Kind, "address", cfg.Node.Address)
	}
	return s.Run(ctx)
}

// newLogger returns the logger that cfg asks for, to w.
func newLogger(cfg sidecar.Config, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
