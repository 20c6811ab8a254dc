package monitor

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/opstack"
)

// A Reading is what a relay says of itself in one block of the L2.
type Reading struct {
	// Block is that block. It is its chain's unsafe head: it may be reorganised away.
	Block opstack.Ref `json:"l2_block"`
	// Full or Light is set, as the relay's kind is.
	Full  *FullReading  `json:"full,omitempty"`
	Light *LightReading `json:"light,omitempty"`
}

// A FullReading is what a FullRelay says of itself.
type FullReading struct {
	// Marked is the header that was marked as the best, at MarkedHeight by the relay's
	// count.
	Marked       chainhash.Hash `json:"marked"`
	MarkedHeight uint32         `json:"marked_height"`
	// GenesisHeight is that of the first header, below which nothing can be proven.
	GenesisHeight uint32 `json:"genesis_height"`
	// LastReorg is the common ancestor of the marked header and the one before it.
	LastReorg chainhash.Hash `json:"last_reorg_ancestor"`
	// Current is the difficulty of the marked header's period, Previous that of the one
	// before, 0 if no retarget was relayed yet.
	Current  Difficulty `json:"current_difficulty"`
	Previous Difficulty `json:"previous_difficulty"`
}

// A LightReading is what a LightRelay says of itself.
type LightReading struct {
	// Ready says that its genesis was set; without it, it is of no use.
	Ready bool `json:"ready"`
	// AuthorizationRequired says that not everybody may submit a retarget.
	AuthorizationRequired bool `json:"authorization_required"`
	// ProofLength is how many headers a retarget needs on either side of the boundary.
	ProofLength uint32 `json:"proof_length"`
	// GenesisEpoch and CurrentEpoch are heights divided by 2016: the first and the last
	// epoch that it knows.
	GenesisEpoch uint32     `json:"genesis_epoch"`
	CurrentEpoch uint32     `json:"current_epoch"`
	Current      Difficulty `json:"current_difficulty"`
	Previous     Difficulty `json:"previous_difficulty"`
}

// near returns a height that Bitcoin's tip is near to, or above.
func (r *Reading) near() uint32 {
	if r.Full != nil {
		return r.Full.MarkedHeight
	}
	return uint32(min(uint64(r.Light.CurrentEpoch)*interval, maxHeight))
}

// readFull reads a FullRelay.
func (c *reader) readFull(ctx context.Context) (*Reading, error) {
	w, err := c.all(ctx, of(getBestKnownDigest), of(getLastReorgCommonAncestor), of(getCurrentEpochDifficulty), of(getPrevEpochDifficulty), of(getRelayGenesis))
	if err != nil {
		return nil, err
	}
	f := &FullReading{Marked: digest(w[0][0]), LastReorg: digest(w[1][0]), Current: w[2][0].difficulty(), Previous: w[3][0].difficulty()}
	if w, err = c.all(ctx, of(findHeight, w[0][0]), of(findHeight, w[4][0])); err != nil {
		return nil, fmt.Errorf("the height of the marked header, or of the first: %w", err)
	}
	height, err1 := w[0][0].small(maxHeight)
	first, err2 := w[1][0].small(maxHeight)
	f.MarkedHeight, f.GenesisHeight = uint32(height), uint32(first)
	return &Reading{Block: c.at, Full: f}, errors.Join(err1, err2)
}

// readLight reads a LightRelay.
func (c *reader) readLight(ctx context.Context) (*Reading, error) {
	w, err := c.all(ctx, of(ready), of(authorizationRequired), of(proofLength), of(genesisEpoch), of(currentEpoch),
		of(getCurrentEpochDifficulty), of(getPrevEpochDifficulty))
	if err != nil {
		return nil, err
	}
	isReady, err1 := w[0][0].truth()
	authorization, err2 := w[1][0].truth()
	length, err3 := w[2][0].small(interval - 1)
	genesis, err4 := w[3][0].small(maxHeight / interval)
	current, err5 := w[4][0].small(maxHeight / interval)
	l := &LightReading{
		Ready: isReady, AuthorizationRequired: authorization, ProofLength: uint32(length),
		GenesisEpoch: uint32(genesis), CurrentEpoch: uint32(current),
		Current: w[5][0].difficulty(), Previous: w[6][0].difficulty(),
	}
	return &Reading{Block: c.at, Light: l}, errors.Join(err1, err2, err3, err4, err5)
}
