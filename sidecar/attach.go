package sidecar

import (
	"fmt"
	"log/slog"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
)

// Attach returns the node that cfg names, ready to be asked; nothing is sent
// to it yet. The caller closes it.
func Attach(cfg Config) (node.Node, error) {
	return attach(cfg.Node, perfcore.Discard, slog.New(slog.DiscardHandler))
}

func attach(cfg NodeConfig, rec perfcore.Recorder, log *slog.Logger) (node.Node, error) {
	switch cfg.Kind {
	case KindBitcoind:
		return attachBitcoind(cfg, rec, log)
	case KindBtcd, "":
		return attachBtcd(cfg, rec, log)
	}
	return nil, fmt.Errorf("there is no kind of node %q", cfg.Kind)
}

func attachBtcd(cfg NodeConfig, rec perfcore.Recorder, log *slog.Logger) (node.Node, error) {
	var certificate []byte
	if !cfg.NoTLS {
		var err error
		if certificate, err = node.LoadCertificate(cfg.Certificate); err != nil {
			return nil, err
		}
	}
	return node.NewBtcd(node.BtcdConfig{
		Address: cfg.Address, User: cfg.User, Password: cfg.Password,
		Certificate: certificate, NoTLS: cfg.NoTLS, SignetChallenge: cfg.SignetChallenge, Recorder: rec, Log: log,
	})
}

func attachBitcoind(cfg NodeConfig, rec perfcore.Recorder, log *slog.Logger) (node.Node, error) {
	return node.NewBitcoind(node.BitcoindConfig{
		Address: cfg.Address, AllowRemote: cfg.AllowRemote,
		CookieFile: cfg.Cookie, User: cfg.User, Password: cfg.Password,
		Notifiers: cfg.ZMQ, NoZMQ: cfg.NoZMQ, BlocksDir: cfg.BlocksDir,
		MaxCalls: maxCalls(cfg.Threads), MostCalls: mostCalls(cfg.Threads), Recorder: rec, Log: log,
	})
}

// mostCalls returns how many calls may ever be open at once to a bitcoind with so many
// RPC threads, that a quarter is left for others; 0 stands for the default.
func mostCalls(threads int) int {
	const enough = 16
	return min(threads*3/4, enough)
}

// maxCalls returns how many calls may be open at once to a bitcoind with so many
// RPC threads, that one is left for others; 0 stands for the default.
func maxCalls(threads int) int {
	const byDefault = 4 // of node.BitcoindConfig
	if threads == 0 || threads > byDefault {
		return 0
	}
	return max(threads-1, 1)
}
