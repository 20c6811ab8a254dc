package testvectors

import (
	"math/big"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// regtestHeaders returns the first n headers of a chain of regtest.
func regtestHeaders(n int) []wire.BlockHeader {
	headers := []wire.BlockHeader{chaincfg.RegressionNetParams.GenesisBlock.Header}
	for len(headers) < n {
		h := nextHeader(&headers[len(headers)-1])
		mine(&h)
		headers = append(headers, h)
	}
	return headers
}

// nextHeader returns a header on top of tip that commits to nothing.
func nextHeader(tip *wire.BlockHeader) wire.BlockHeader {
	return wire.BlockHeader{
		Version:   0x20000000,
		PrevBlock: tip.BlockHash(),
		Timestamp: tip.Timestamp.Add(blockInterval * time.Second),
		Bits:      chaincfg.RegressionNetParams.PowLimitBits,
	}
}

// mine finds a nonce.
func mine(h *wire.BlockHeader) {
	for ; ; h.Nonce++ {
		hash := h.BlockHash()
		for i, j := 0, len(hash)-1; i < j; i, j = i+1, j-1 {
			hash[i], hash[j] = hash[j], hash[i]
		}
		if new(big.Int).SetBytes(hash[:]).Cmp(chaincfg.RegressionNetParams.PowLimit) <= 0 {
			return
		}
	}
}

// merkleRoot returns the root of the tree over the hashes, which it overwrites.
func merkleRoot(level []chainhash.Hash) chainhash.Hash {
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := range len(level) / 2 {
			level[i] = chainhash.DoubleHashH(append(level[2*i][:], level[2*i+1][:]...))
		}
		level = level[:len(level)/2]
	}
	return level[0]
}
