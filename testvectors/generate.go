package testvectors

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// MostTransactions is how many transactions a generated block has, and at most can
// have: as many as mainnet's block 866342, with which it is almost full.
const MostTransactions = 4864

// A Generation says what block Generate makes. The zero value makes a full one.
type Generation struct {
	// Seed is what everything else follows from.
	Seed uint64
	// Transactions counts the block's, the coinbase's with them; from 1 to
	// MostTransactions, and 0 means MostTransactions.
	Transactions int
}

// A Generated is a generated block, and what it takes to judge it.
type Generated struct {
	// Network is the chain's name and Height the block's height in it.
	Network string
	Height  uint32
	// Headers are those below the block, of 80 bytes each, from the genesis block
	// on.
	Headers [][80]byte
	// Block is the serialised block.
	Block []byte
	// Spent are the outputs that the block spends, in the order of its inputs,
	// the coinbase's left out, those that the block itself creates with them.
	Spent []SpentOutput
}

const (
	generatedHeight = 1000
	blockInterval   = 600 // seconds
)

// Generate makes a valid block of regtest that is like block 866342 of mainnet in
// what it takes to validate it: the patterns of inputs and outputs, how many of
// them a transaction has, how many inputs spend outputs of the block itself in what
// chains, the sizes of data and scripts, the hash types of signatures, versions and
// lock times. With fewer transactions it is that on a smaller scale, and has every
// pattern of an input from 32 transactions on. All signatures are real.
//
// The same Generation gives the same bytes. A full block takes a second or two.
func Generate(g Generation) (*Generated, error) {
	n := g.Transactions
	if n == 0 {
		n = MostTransactions
	}
	if n < 1 || n > MostTransactions {
		return nil, fmt.Errorf("generate a block of %d transactions: it must have from 1 to %d", n, MostTransactions)
	}
	b := &builder{rng: rand.New(rand.NewPCG(g.Seed, 866342)), made: make(map[*plan]*madeTx)}
	headers := regtestHeaders(generatedHeight)
	tip := &headers[len(headers)-1]
	b.time = tip.Timestamp.Unix()
	for _, p := range plans(b.rng, mix866342(), n-1) {
		if err := b.add(p); err != nil {
			return nil, fmt.Errorf("generate transaction %d: %w", 1+len(b.txs), err)
		}
	}
	block := &wire.MsgBlock{Header: nextHeader(tip)}
	block.Transactions = append([]*wire.MsgTx{b.coinbase()}, b.txs...)
	var ids []chainhash.Hash
	for _, tx := range block.Transactions {
		ids = append(ids, tx.TxHash())
	}
	block.Header.MerkleRoot = merkleRoot(ids)
	mine(&block.Header)
	out := &Generated{Network: "regtest", Height: generatedHeight, Spent: b.spent}
	for i := range headers {
		out.Headers = append(out.Headers, [80]byte(serialized(headers[i].Serialize)))
	}
	out.Block = serialized(block.Serialize)
	return out, nil
}

// serialized returns what write writes.
func serialized(write func(io.Writer) error) []byte {
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		panic("testvectors: a write to memory failed: " + err.Error())
	}
	return buf.Bytes()
}
