package relay

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Selector is the first four bytes of the data of a call.
type Selector [4]byte

// These are the selectors of what changes a relay, and of the proofs.
var (
	selectAddHeaders             = Selector{0x65, 0xda, 0x41, 0xb9}
	selectAddHeadersWithRetarget = Selector{0x7f, 0xa6, 0x37, 0xfc}
	selectMarkNewHeaviest        = Selector{0x74, 0xc3, 0xa3, 0xa9}
	selectVerifyHeaderHash       = Selector{0xe4, 0x71, 0xe7, 0x2c}
	selectVerifyProof            = Selector{0x05, 0xd0, 0x9a, 0x70}
	selectGenesis                = Selector{0x4c, 0xa4, 0x9f, 0x51}
	selectRetarget               = Selector{0x7c, 0xa5, 0xb1, 0xdd}
)

// AddHeadersData returns the data of a call of addHeaders.
func AddHeadersData(anchor, headers []byte) []byte {
	return encode(selectAddHeaders, anchor, headers)
}

// AddHeadersWithRetargetData returns the data of a call of addHeadersWithRetarget.
func AddHeadersWithRetargetData(oldStart, oldEnd, headers []byte) []byte {
	return encode(selectAddHeadersWithRetarget, oldStart, oldEnd, headers)
}

// MarkNewHeaviestData returns the data of a call of markNewHeaviest.
func MarkNewHeaviestData(ancestor chainhash.Hash, currentBest, newBest []byte, limit uint64) []byte {
	return encode(selectMarkNewHeaviest, ancestor, currentBest, newBest, limit)
}

// VerifyHeaderHashData returns the data of a call of verifyHeaderHash.
func VerifyHeaderHashData(digest chainhash.Hash, numConfs uint8) []byte {
	return encode(selectVerifyHeaderHash, digest, uint64(numConfs))
}

// VerifyProofData returns the data of a call of verifyProof.
func VerifyProofData(header, proof []byte, txID chainhash.Hash, index uint64, numConfs uint8) []byte {
	return encode(selectVerifyProof, header, proof, txID, index, uint64(numConfs))
}

// GenesisData returns the data of a call of genesis.
func GenesisData(header []byte, height, proofLength uint64) []byte {
	return encode(selectGenesis, header, height, proofLength)
}

// RetargetData returns the data of a call of retarget.
func RetargetData(headers []byte) []byte { return encode(selectRetarget, headers) }

// ConstructorData returns what follows FullRelay's creation bytecode, and that of
// FullRelayWithVerify, in the transaction that deploys it: NewFullRelay's arguments.
// LightRelay's constructor has none.
func ConstructorData(genesisHeader []byte, height uint64, periodStart chainhash.Hash) []byte {
	return encode(Selector{}, genesisHeader, height, periodStart)[4:]
}

// encode returns the data of a call by Solidity's ABI: a uint64 and a digest are a
// word each; bytes are a word with their offset, and after all words their length
// and they themselves, filled up to whole words.
func encode(selector Selector, args ...any) []byte {
	head := make([]byte, 0, 4+32*len(args))
	head = append(head, selector[:]...)
	var tail []byte
	for _, arg := range args {
		switch arg := arg.(type) {
		case uint64:
			head = appendWord(head, arg)
		case chainhash.Hash:
			head = append(head, arg[:]...)
		case []byte:
			head = appendWord(head, uint64(32*len(args)+len(tail)))
			tail = appendWord(tail, uint64(len(arg)))
			tail = append(tail, arg...)
			tail = append(tail, make([]byte, (32-len(arg)%32)%32)...)
		default:
			panic("relay: an argument of a kind that no call has")
		}
	}
	return append(head, tail...)
}

func appendWord(b []byte, n uint64) []byte {
	b = append(b, make([]byte, 24)...)
	return binary.BigEndian.AppendUint64(b, n)
}
