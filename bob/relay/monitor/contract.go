package monitor

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
)

// A Caller asks nodes of the L2; an *endpoint.Pool is one.
type Caller interface {
	Call(ctx context.Context, method string, params ...any) (json.RawMessage, error)
	// Batch calls a read once with each of params, and answers in their order.
	Batch(ctx context.Context, method string, params [][]any) []endpoint.Result
}

// These are the selectors of the calls that read a relay, and the lengths of what they
// return, in words.
var (
	getBestKnownDigest         = view{relay.Selector{0x19, 0x10, 0xd9, 0x73}, 1}
	getRelayGenesis            = view{relay.Selector{0xe3, 0xd8, 0xd8, 0xd8}, 1}
	getLastReorgCommonAncestor = view{relay.Selector{0xc5, 0x82, 0x42, 0xcd}, 1}
	getCurrentEpochDifficulty  = view{relay.Selector{0x11, 0x37, 0x64, 0xbe}, 1}
	getPrevEpochDifficulty     = view{relay.Selector{0x2b, 0x97, 0xbe, 0x24}, 1}
	findHeight                 = view{relay.Selector{0x60, 0xb5, 0xc3, 0x90}, 1}
	findAncestor               = view{relay.Selector{0x30, 0x01, 0x7b, 0x3b}, 1}

	ready                 = view{relay.Selector{0x6d, 0xef, 0xbf, 0x80}, 1}
	authorizationRequired = view{relay.Selector{0x95, 0x41, 0x0d, 0x2b}, 1}
	proofLength           = view{relay.Selector{0xf5, 0x61, 0x9f, 0xda}, 1}
	genesisEpoch          = view{relay.Selector{0xb7, 0x0e, 0x6b, 0xe6}, 1}
	currentEpoch          = view{relay.Selector{0x76, 0x67, 0x18, 0x08}, 1}
)

// A view is a call that changes nothing.
type view struct {
	selector relay.Selector
	words    int
}

// word is a word of the EVM.
type word [32]byte

// A query is a view with its arguments.
type query struct {
	view
	args []word
}

func of(v view, args ...word) query { return query{v, args} }

func (q *query) data() string {
	data := append([]byte(nil), q.selector[:]...)
	for _, a := range q.args {
		data = append(data, a[:]...)
	}
	return "0x" + hex.EncodeToString(data)
}

func wordOf(n uint64) (w word) {
	binary.BigEndian.PutUint64(w[24:], n)
	return w
}

// maxHeight bounds heights: header chains have uint32 ones.
const maxHeight = 1<<32 - 1

// small returns the word as a number that is no more than most.
func (w word) small(most uint64) (uint64, error) {
	n := new(big.Int).SetBytes(w[:])
	if !n.IsUint64() || n.Uint64() > most {
		return 0, fmt.Errorf("the contract says %#x, which is more than %d: it is of another kind", n, most)
	}
	return n.Uint64(), nil
}

// truth returns the word as a bool.
func (w word) truth() (bool, error) {
	n, err := w.small(1)
	return n == 1, err
}

// A Difficulty is one as the contracts have it: a whole number, 0 above the target of
// difficulty 1.
type Difficulty header.Uint256

// MarshalText returns it in decimal.
func (d Difficulty) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns it in decimal.
func (d Difficulty) String() string {
	var b [32]byte
	for i, limb := range d {
		binary.BigEndian.PutUint64(b[24-8*i:], limb)
	}
	return new(big.Int).SetBytes(b[:]).String()
}

func (w word) difficulty() (d Difficulty) {
	for i := range d {
		d[i] = binary.BigEndian.Uint64(w[24-8*i:])
	}
	return d
}

// These are reasons why something is not known.
var (
	errNoContract = errors.New("nothing answers at the relay's address: there is no contract, or it is of another kind")
	errForm       = errors.New("the answer is not of the contract's form")
)

// A reader reads a relay as of one block of the L2.
type reader struct {
	caller  Caller
	address relay.Address
	at      opstack.Ref
}

// read asks queries in one exchange and returns the words that they return. For one that
// the contract reverts, the words are nil and the revert is in reverts; any other answer
// that is not complete is the error, which says nothing about the contract.
func (c *reader) read(ctx context.Context, queries ...query) (words [][]word, reverts []*relay.Revert, err error) {
	const method = "eth_call"
	to := "0x" + hex.EncodeToString(c.address[:])
	// A node that does not have the block, or has another at its height, refuses
	// (EIP-1898): what is read together is as of one block.
	at := map[string]any{"blockHash": c.at.Hash, "requireCanonical": true}
	params := make([][]any, len(queries))
	for i := range queries {
		params[i] = []any{map[string]any{"to": to, "data": queries[i].data()}, at}
	}
	words, reverts = make([][]word, len(queries)), make([]*relay.Revert, len(queries))
	for i, r := range c.caller.Batch(ctx, method, params) {
		if errors.Is(r.Err, endpoint.UnknownBlock) {
			// That node is behind, or keeps less: another may have the block.
			r.Raw, r.Err = c.caller.Call(ctx, method, params[i]...)
		}
		if r.Err != nil {
			if reverts[i] = revertOf(r.Err); reverts[i] == nil {
				return nil, nil, r.Err
			}
			continue
		}
		if words[i], err = decodeWords(r.Raw, queries[i].words); err != nil {
			return nil, nil, err
		}
	}
	return words, reverts, nil
}

// all is read for queries of which none may revert.
func (c *reader) all(ctx context.Context, queries ...query) ([][]word, error) {
	words, reverts, err := c.read(ctx, queries...)
	if err != nil {
		return nil, err
	}
	for _, r := range reverts {
		if r != nil {
			return nil, fmt.Errorf("the contract is of another kind, or not begun: %w", r)
		}
	}
	return words, nil
}

// decodeWords decodes an answer to eth_call of so many words.
func decodeWords(raw json.RawMessage, n int) ([]word, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, errForm
	}
	digits, ok := strings.CutPrefix(text, "0x")
	switch {
	case !ok:
		return nil, errForm
	case digits == "":
		return nil, errNoContract
	case len(digits) != 64*n:
		return nil, errForm
	}
	data, err := hex.DecodeString(digits)
	if err != nil {
		return nil, errForm
	}
	words := make([]word, n)
	for i := range words {
		words[i] = word(data[32*i:])
	}
	return words, nil
}

// revertOf returns the revert that an error is, if the contract gave a reason that
// Solidity's Error(string) has; nil if the error is another, so that a node that reverts
// without a word, as one does that ran out of gas, says nothing.
func revertOf(err error) *relay.Revert {
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok || e.Kind != endpoint.Reverted {
		return nil
	}
	const (
		selector  = "\x08\xc3\x79\xa0"
		maxReason = 1024
	)
	data, ok := strings.CutPrefix(string(e.Data), selector)
	if !ok || len(data) < 64 || len(data)%32 != 0 {
		return nil
	}
	offset, oerr := word([]byte(data[:32])).small(32)
	length, lerr := word([]byte(data[32:64])).small(maxReason)
	if oerr != nil || lerr != nil || offset != 32 || uint64(len(data)-64) != (length+31)/32*32 {
		return nil
	}
	return &relay.Revert{Reason: data[64 : 64+length]}
}

// is reports whether r has a reason.
func is(r *relay.Revert, reason string) bool { return r != nil && r.Reason == reason }

func digest(w word) chainhash.Hash { return chainhash.Hash(w) }
