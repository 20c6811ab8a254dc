package sidecar

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sidecar/bob"
	"github.com/outrider-project/outrider/sidecar/perf"
	"github.com/outrider-project/outrider/sidecar/web"
)

// Describe registers every metric that a sidecar can have with registry. To find
// them it puts together a sidecar for each kind of node and of coins, in dir, an
// empty directory for it alone. None of them runs, listens, or asks a node.
func Describe(ctx context.Context, registry *perfcore.Registry, dir string) error {
	web.Served(registry)
	for _, kind := range []NodeKind{KindBtcd, KindBitcoind} {
		for _, mode := range []UTXOMode{UTXOCache, UTXOFull} {
			cfg := DefaultConfig()
			first := uint32(0)
			cfg.Datadir, cfg.Start = filepath.Join(dir, string(kind)+"-"+string(mode)), &first
			cfg.Node = NodeConfig{Kind: kind, Address: "127.0.0.1:1", NoTLS: true, User: "nobody", Password: "nothing"}
			cfg.UTXOMode, cfg.Perf = mode, perf.Optimize
			cfg.BOB = nobodysBOB()
			var err error
			if cfg.BitVM, err = nobodysBridge(dir); err != nil {
				return err
			}
			if err := describeOne(ctx, cfg, registry); err != nil {
				return err
			}
		}
	}
	return nil
}

// nobodysBOB is a configuration of nodes that do not answer.
func nobodysBOB() bob.Config {
	c := bob.DefaultConfig()
	c.Execution = []endpoint.Endpoint{{Name: "l2-1", URL: "http://127.0.0.1:1"}}
	c.OpNodes = []endpoint.Endpoint{{Name: "op-node-1", URL: "http://127.0.0.1:1"}}
	c.L1 = []endpoint.Endpoint{{Name: "l1-1", URL: "http://127.0.0.1:1"}}
	c.Relay, c.Kind = relay.Address{1}, relay.KindLight
	return c
}

// nobodysBridge is a configuration of a bridge that nobody uses, in a file in dir.
func nobodysBridge(dir string) (bitvm.Config, error) {
	path := filepath.Join(dir, "bridge.json")
	const instance = `{"version":1,"name":"nobodys","network":"regtest","builtin":"bitvm2","start":1}`
	return bitvm.Config{Instances: []string{path}}, os.WriteFile(path, []byte(instance), 0o600)
}

func describeOne(ctx context.Context, cfg Config, registry *perfcore.Registry) error {
	s, err := unserved(cfg, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer s.node.Close()
	s.Claims()
	defer s.claims.close()
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		return err
	}
	return s.wire(ctx, params, func(_ context.Context, w *wiring) error {
		return s.perf.Describe(s.plant(w.network, w.feed, w.share))
	})
}
