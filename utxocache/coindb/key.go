package coindb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// The kinds of keys. A kind is a key's first byte.
const (
	kindCoin   = 'c'
	kindHash   = 'h'
	kindMeta   = 'm'
	kindScript = 's'
	kindUndo   = 'u'
)

const (
	outPointSize  = chainhash.HashSize + 4
	coinKeySize   = 1 + outPointSize
	scriptKeySize = 1 + chainhash.HashSize + outPointSize
	heightKeySize = 1 + 4
)

var (
	tipKey   = []byte("mtip")
	loadKey  = []byte("mload")
	indexKey = []byte("mindex")
)

// span returns the keys of a kind: from the first on, and below the last.
func span(kind byte) (lower, upper []byte) { return []byte{kind}, []byte{kind + 1} }

// A coinKey is the key of a coin.
type coinKey [coinKeySize]byte

func coinKeyOf(op wire.OutPoint) (k coinKey) {
	k[0] = kindCoin
	copy(k[1:], op.Hash[:])
	binary.BigEndian.PutUint32(k[1+chainhash.HashSize:], op.Index)
	return k
}

// outPoint returns the outpoint in the last bytes of a key.
func outPoint(key []byte) (op wire.OutPoint) {
	b := key[len(key)-outPointSize:]
	copy(op.Hash[:], b)
	op.Index = binary.BigEndian.Uint32(b[chainhash.HashSize:])
	return op
}

// compareOps compares outpoints as their keys sort.
func compareOps(a, b wire.OutPoint) int {
	if c := bytes.Compare(a.Hash[:], b.Hash[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Index, b.Index)
}

// A place is where an outpoint stands in a list, and the beginning of its
// txid, which nearly always tells two apart.
type place struct {
	prefix uint64
	index  uint32
}

// indexBits is how much of a number says which outpoint it is of, while numbers are
// sorted whose rest is the beginning of its txid.
const indexBits = 24

// sorted returns the places of n outpoints in the order of their keys. Numbers are sorted
// without calling back; outpoints that begin alike, such as the outputs of one
// transaction, are then put in order.
func sorted(n int, op func(int) *wire.OutPoint) []place {
	places := make([]place, n)
	for i := range places {
		places[i] = place{binary.BigEndian.Uint64(op(i).Hash[:]), uint32(i)}
	}
	byKey := func(a, b place) int {
		if c := cmp.Compare(a.prefix, b.prefix); c != 0 {
			return c
		}
		return compareOps(*op(int(a.index)), *op(int(b.index)))
	}
	if n > 1<<indexBits {
		slices.SortFunc(places, byKey)
		return places
	}
	numbers := make([]uint64, n)
	for i, p := range places {
		numbers[i] = p.prefix&^(1<<indexBits-1) | uint64(i)
	}
	slices.Sort(numbers)
	for i, number := range numbers {
		index := uint32(number & (1<<indexBits - 1))
		places[i] = place{binary.BigEndian.Uint64(op(int(index)).Hash[:]), index}
	}
	for first := 0; first < n; {
		end := first + 1
		for end < n && numbers[end]>>indexBits == numbers[first]>>indexBits {
			end++
		}
		slices.SortFunc(places[first:end], byKey)
		first = end
	}
	return places
}

func undoKey(height uint32) []byte { return heightKey(kindUndo, height) }

func hashKey(height uint32) []byte { return heightKey(kindHash, height) }

func heightKey(kind byte, height uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, height)
}

// heightIn returns the height in such a key, and whether it is one.
func heightIn(key []byte) (height uint32, ok bool) {
	if len(key) != heightKeySize {
		return 0, false
	}
	return binary.BigEndian.Uint32(key[1:]), true
}

// undoHeight returns the height in the key of an undo record; the largest if
// it is none.
func undoHeight(key []byte) uint32 {
	if height, ok := heightIn(key); ok {
		return height
	}
	return math.MaxUint32 - 1
}

// appendScriptKey appends the key under which the index has the coin of op,
// whose script has that hash.
func appendScriptKey(dst []byte, script [32]byte, op wire.OutPoint) []byte {
	dst = append(dst, kindScript)
	dst = append(dst, script[:]...)
	dst = append(dst, op.Hash[:]...)
	return binary.BigEndian.AppendUint32(dst, op.Index)
}
