package sidecar

import (
	"log/slog"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
)

// Attach returns the node that cfg names, ready to be asked; nothing is sent
// to it yet. The caller closes it.
func Attach(cfg Config) (node.Node, error) {
	return attach(cfg.Node, perfcore.Discard, slog.New(slog.DiscardHandler))
}

func attach(cfg NodeConfig, rec perfcore.Recorder, log *slog.Logger) (*node.Btcd, error) {
	var certificate []byte
	if !cfg.NoTLS {
		var err error
		if certificate, err = node.LoadCertificate(cfg.Certificate); err != nil {
			return nil, err
		}
	}
	return node.NewBtcd(node.BtcdConfig{
		Address: cfg.Address, User: cfg.User, Password: cfg.Password,
		Certificate: certificate, NoTLS: cfg.NoTLS, Recorder: rec, Log: log,
	})
}
