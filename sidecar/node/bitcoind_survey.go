package node

import (
	"context"
	"errors"
	"fmt"
)

// A Survey is what a bitcoind says of itself and of its configuration, as far as
// it does. What a version does not tell, or the node's rpcwhitelist forbids, is
// zero.
type Survey struct {
	// Version is the node's, as getnetworkinfo has it: 290100 is v29.1.
	Version int
	// Agent is the name and version that it tells its peers.
	Agent string
	// Pruned says that it deletes old blocks; those below PruneHeight are gone.
	Pruned      bool
	PruneHeight uint32
	// REST says that it serves REST (rest=1).
	REST bool
	// Notifiers are what it publishes by ZeroMQ.
	Notifiers []Notifier
	// TxIndex says that it has a transaction index (txindex=1), whether that
	// is complete or not.
	TxIndex bool
	// Refused are the methods that rpcwhitelist keeps from this user.
	Refused []string
}

// maxSurveyAnswer bounds the answers of which a Survey is made; getnetworkinfo
// has a list of addresses and warnings without bounds of their own.
const maxSurveyAnswer = 1 << 20

// Survey asks the node about itself. It answers for Core 26 to 31, which differ
// in methods and fields; an error is one of the connection or the credentials,
// or says that the node is starting. A REST server that has come or gone since
// it was looked for is taken note of for the calls to come.
func (b *Bitcoind) Survey(ctx context.Context) (Survey, error) {
	var s Survey
	ask := func(method string, v any) error {
		err := b.rpc.call(ctx, rpcMethod{method, b.cfg.CallTimeout, maxSurveyAnswer}, v)
		return s.refused(method, err)
	}
	var network struct {
		Version    int    `json:"version"`
		Subversion string `json:"subversion"`
	}
	var chain struct {
		Pruned      bool    `json:"pruned"`
		PruneHeight *height `json:"pruneheight"`
	}
	var indexes map[string]struct{}
	for _, q := range []struct {
		method string
		v      any
	}{
		{"getnetworkinfo", &network},
		{"getblockchaininfo", &chain},
		{"getindexinfo", &indexes},
	} {
		if err := ask(q.method, q.v); err != nil {
			return Survey{}, fmt.Errorf("bitcoind: %w", bitcoindError(err))
		}
	}
	s.Version, s.Agent = network.Version, network.Subversion
	s.Pruned = chain.Pruned
	if chain.PruneHeight != nil {
		s.PruneHeight = uint32(*chain.PruneHeight)
	}
	_, s.TxIndex = indexes["txindex"]
	notifiers, err := b.Notifiers(ctx)
	if err := s.refused("getzmqnotifications", err); err != nil {
		return Survey{}, err
	}
	s.Notifiers = notifiers
	if s.REST, err = b.probeREST(ctx); err != nil {
		return Survey{}, fmt.Errorf("bitcoind: %w", err)
	}
	return s, nil
}

// refused returns err, but not when it says only that the node has no such
// method, or keeps it from this user, which it notes.
func (s *Survey) refused(method string, err error) error {
	if errors.Is(err, ErrForbidden) {
		s.Refused = append(s.Refused, method)
		return nil
	}
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == unknownMethodCode {
		return nil
	}
	return err
}

// probeREST asks whether the node serves REST, whatever is known of it.
func (b *Bitcoind) probeREST(ctx context.Context) (bool, error) {
	switch _, err := b.get(ctx, b.m.restProbe, "/rest/chaininfo.json"); {
	case err == nil:
		b.rest.Store(int32(restOn))
		return true, nil
	case errors.Is(err, errNoFile):
		b.rest.Store(int32(restOff))
		return false, nil
	default:
		return false, err
	}
}
