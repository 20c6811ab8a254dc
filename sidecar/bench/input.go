package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/testvectors"
)

// ReadBlock returns the block and the outputs that it spends from two files,
// in the form that testvectors reads. Network and Height are the caller's to
// set.
func ReadBlock(block, spent string) (BlockInput, error) {
	raw, err := testvectors.ReadBlock(block)
	if err != nil {
		return BlockInput{}, fmt.Errorf("--block: %w", ofFile(err))
	}
	outputs, err := testvectors.ReadSpent(spent)
	if err != nil {
		return BlockInput{}, fmt.Errorf("--spent: %w", ofFile(err))
	}
	return BlockInput{Raw: raw, Spent: coinsOf(outputs)}, nil
}

// coinsOf returns the outputs as the validator knows them.
func coinsOf(outputs []testvectors.SpentOutput) []blockval.Coin {
	coins := make([]blockval.Coin, len(outputs))
	for i, o := range outputs {
		coins[i] = blockval.Coin{Value: o.Value, Script: o.Script, Height: o.Height, Coinbase: o.Coinbase}
	}
	return coins
}

// ofFile returns err, without a word on test vectors where it is about a file
// that the user named.
func ofFile(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path
	}
	return err
}

// FetchBlock returns the block at height of n's best chain, which is of the network
// of params, and the outputs that it spends as n knows them.
func FetchBlock(ctx context.Context, n node.Node, params *blockval.Params, height uint32) (BlockInput, error) {
	hash, err := n.BlockHash(ctx, height)
	if err != nil {
		return BlockInput{}, fmt.Errorf("block %d: %w", height, err)
	}
	in := BlockInput{Network: params.Name, SignetChallenge: params.SignetChallenge, Height: height}
	if in.Raw, err = n.Block(ctx, hash); err != nil {
		return in, fmt.Errorf("block %d: %w", height, err)
	}
	b, err := blockval.Parse(in.Raw)
	if err != nil {
		return in, fmt.Errorf("block %d: %w", height, err)
	}
	var ops []wire.OutPoint
	for _, tx := range b.Msg.Transactions[min(1, len(b.Msg.Transactions)):] {
		for _, txin := range tx.TxIn {
			ops = append(ops, txin.PreviousOutPoint)
		}
	}
	told, err := n.Prevouts(ctx, ops)
	if err != nil {
		return in, fmt.Errorf("outputs that block %d spends: %w", height, err)
	}
	in.Spent = make([]blockval.Coin, len(told))
	for i, p := range told {
		if p.Missing {
			return in, fmt.Errorf("the node does not know %v, which block %d spends", ops[i], height)
		}
		in.Spent[i] = p.Coin
	}
	return in, nil
}

// WriteTable writes the verdict and the figures for people.
func (r *BlockReport) WriteTable(w io.Writer) error {
	verdict := "valid"
	if !r.Valid {
		verdict = "INVALID: " + r.Detail
	}
	if r.Seed != nil {
		verdict = fmt.Sprintf("block of mainnet's shape, generated from seed %d: %s", *r.Seed, verdict)
	}
	for _, note := range r.Notes {
		verdict += "\n" + note
	}
	_, err := fmt.Fprintf(w, "%s\n%d transactions, %d inputs, %d signatures\npath %s: %s\nnot checked, because a block alone does not decide it: %v\n\n",
		verdict, r.Transactions, r.Inputs, r.Signatures, r.Path, r.Reason, r.Unchecked)
	return errors.Join(err, r.Report.WriteTable(w))
}
