package node

import (
	"context"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A CoinHasher is a Node that tells the MuHash of its coins.
type CoinHasher interface {
	// HasCoinStats reports whether the node keeps the MuHash of every block, and
	// has it up to its tip.
	HasCoinStats(ctx context.Context) (bool, error)
	// CoinHash returns the MuHash of the coins as of a block, and that block; as of
	// the tip if hash is nil. Without what HasCoinStats reports it can be asked as
	// of the tip only, and keeps the node busy for minutes.
	CoinHash(ctx context.Context, hash *chainhash.Hash) (chainhash.Hash, Tip, error)
}

// coinScan is for how long a node may scan its coins.
const coinScan = time.Hour

// HasCoinStats implements CoinHasher, by the coinstatsindex.
func (b *Bitcoind) HasCoinStats(ctx context.Context) (bool, error) {
	var indexes map[string]struct {
		Synced bool `json:"synced"`
	}
	var s Survey
	err := b.rpc.call(ctx, rpcMethod{"getindexinfo", b.cfg.CallTimeout, maxSurveyAnswer}, &indexes)
	if err := s.refused("getindexinfo", err); err != nil {
		return false, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	return indexes["coinstatsindex"].Synced, nil
}

// CoinHash implements CoinHasher, by gettxoutsetinfo.
func (b *Bitcoind) CoinHash(ctx context.Context, hash *chainhash.Hash) (chainhash.Hash, Tip, error) {
	params := []any{"muhash"}
	if hash != nil {
		params = append(params, hash.String())
	}
	var info struct {
		Height *height      `json:"height"`
		Best   *displayHash `json:"bestblock"`
		MuHash *displayHash `json:"muhash"`
	}
	if err := b.rpc.call(ctx, rpcMethod{"gettxoutsetinfo", coinScan, maxSmallAnswer}, &info, params...); err != nil {
		return chainhash.Hash{}, Tip{}, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	if info.Height == nil || info.Best == nil || info.MuHash == nil {
		return chainhash.Hash{}, Tip{}, fmt.Errorf("bitcoind: gettxoutsetinfo: %w", malformed("height, bestblock or muhash is missing"))
	}
	tip := Tip{Hash: chainhash.Hash(*info.Best), Height: uint32(*info.Height)}
	if hash != nil && tip.Hash != *hash {
		return chainhash.Hash{}, Tip{}, fmt.Errorf("bitcoind: gettxoutsetinfo: %w", malformed("asked as of %s, told as of %s", hash, tip.Hash))
	}
	return chainhash.Hash(*info.MuHash), tip, nil
}
