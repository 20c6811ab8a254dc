package utxocache

// A Coin is an unspent transaction output.
type Coin struct {
	// Value is in satoshis.
	Value int64
	// Script is the output's locking script. It is shared and must not be
	// changed.
	Script []byte
	// Height is the height of the block that created the coin.
	Height uint32
	// Coinbase says that a coinbase transaction created it.
	Coinbase bool
}

const (
	opReturn      = 0x6a
	maxScriptSize = 10_000
)

// unspendable reports whether an output with this locking script never becomes
// a coin, as Bitcoin Core's CScript::IsUnspendable has it.
func unspendable(script []byte) bool {
	return len(script) > 0 && script[0] == opReturn || len(script) > maxScriptSize
}
