package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
)

// A watchBench is a block of as many inputs as a block has room for, and ten instances
// that watch a thousand outputs each, none of which it spends.
type watchBench struct {
	watcher *watch.Watcher
	block   *watch.Block
	plain   map[wire.OutPoint]int
	blocks  uint32
}

const (
	watchedInstances = 10
	watchedOutputs   = 1000 // of each
	// fullInputs is how many inputs of 41 bytes without witnesses are 4 MWU.
	fullInputs = 4_000_000 / (41 * 4)
)

func newWatchBench() (*watchBench, error) {
	b := &watchBench{watcher: watch.New(watch.Options{}), plain: make(map[wire.OutPoint]int)}
	for i := range watchedInstances {
		in, err := b.instance(i)
		if err == nil {
			err = b.watcher.Add(in)
		}
		if err != nil {
			return nil, err
		}
	}
	msg := &wire.MsgBlock{}
	var n [8]byte
	for i := 0; i < fullInputs; i += 2 {
		tx := wire.NewMsgTx(2)
		for j := range 2 {
			binary.LittleEndian.PutUint64(n[:], uint64(i+j))
			tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: sha256.Sum256(n[:])}, nil, nil))
		}
		tx.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
		msg.Transactions = append(msg.Transactions, tx)
	}
	b.block = watch.NewBlock(msg, 1)
	return b, nil
}

// instance returns an instance with outputs that are all there.
func (b *watchBench) instance(number int) (*watch.Instance, error) {
	g := &watch.Graph{Version: watch.GraphVersion, Name: "row", Claimant: "operator"}
	in := &watch.Instance{
		Version: watch.InstanceVersion, Name: fmt.Sprintf("row-%d", number), Network: "regtest", Graph: g, Start: 2,
		Outpoints: make(map[string]watch.Existing),
	}
	for i := range watchedOutputs {
		name := fmt.Sprintf("c%d", i)
		g.Connectors = append(g.Connectors, watch.Connector{Name: name, Leaves: []watch.Leaf{{Name: "0", By: "operator"}}})
		op := wire.OutPoint{Hash: sha256.Sum256(fmt.Appendf(nil, "%d %d", number, i))}
		b.plain[op] = i
		in.Outpoints[name] = watch.Existing{Outpoint: op.String(), Height: 1}
	}
	return in, in.Bind()
}

// connect has the watcher take the block, each time as the next of the chain.
func (b *watchBench) connect(ctx context.Context) (int, error) {
	b.blocks++
	b.block.Prev = b.block.Hash
	b.block.Tip = watch.Tip{Height: b.blocks + 1, Hash: chainhash.Hash{1}}
	binary.LittleEndian.PutUint32(b.block.Hash[4:], b.blocks)
	return 1, b.watcher.Connect(ctx, b.block)
}

// theirs looks every input up in a map of the same outputs, and does nothing else.
func (b *watchBench) theirs(context.Context) (int, error) {
	for _, tx := range b.block.Txs {
		for _, in := range tx.TxIn {
			if _, ok := b.plain[in.PreviousOutPoint]; ok {
				return 0, errors.New("the block spends what is watched")
			}
		}
	}
	return 1, nil
}

// watchFigures: the block is parsed and its ids are known, as a node's are that was
// judged.
func watchFigures() ([]*bitvmFigure, error) {
	b, err := newWatchBench()
	if err != nil {
		return nil, err
	}
	return []*bitvmFigure{{name: "watch/block10k", ours: b.connect, anchor: "look-ups in a Go map", theirs: b.theirs}}, nil
}
