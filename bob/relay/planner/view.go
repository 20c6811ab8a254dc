package planner

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
)

// A view is a call that changes nothing: a selector and one word, or none.
type view []byte

// These are the views that plans are made from.
var (
	getBestKnownDigest         = view{0x19, 0x10, 0xd9, 0x73}
	getRelayGenesis            = view{0xe3, 0xd8, 0xd8, 0xd8}
	getLastReorgCommonAncestor = view{0xc5, 0x82, 0x42, 0xcd}
	getCurrentEpochDifficulty  = view{0x11, 0x37, 0x64, 0xbe}
	getPrevEpochDifficulty     = view{0x2b, 0x97, 0xbe, 0x24}
	findHeight                 = view{0x60, 0xb5, 0xc3, 0x90}
	ready                      = view{0x6d, 0xef, 0xbf, 0x80}
	authorizationRequired      = view{0x95, 0x41, 0x0d, 0x2b}
	proofLength                = view{0xf5, 0x61, 0x9f, 0xda}
	genesisEpoch               = view{0xb7, 0x0e, 0x6b, 0xe6}
	currentEpoch               = view{0x76, 0x67, 0x18, 0x08}
	isAuthorized               = view{0xfe, 0x9f, 0xbb, 0x80}
)

// of returns the view with an argument.
func (v view) of(word common.Hash) view { return append(v[:4:4], word[:]...) }

// A word is what a view returned.
type word common.Hash

// number returns a word that has up to 64 bits.
func (w word) number() (uint64, error) {
	if [24]byte(w[:24]) != [24]byte{} {
		return 0, fmt.Errorf("%x exceeds 64 bits", w)
	}
	return binary.BigEndian.Uint64(w[24:]), nil
}

// uint256 returns a word as a number.
func (w word) uint256() relay.Uint256 {
	var x relay.Uint256
	for i := range x {
		x[i] = binary.BigEndian.Uint64(w[24-8*i:])
	}
	return x
}

// A said is what became of a view: a word, or the contract's revert.
type said struct {
	word   word
	revert *relay.Revert
}

// ask calls views of a contract in the state after a block. It fails unless each
// returned one word, or reverted.
func ask(ctx context.Context, chain Chain, to common.Address, at common.Hash, views []view) ([]said, error) {
	params := make([][]any, len(views))
	for i, v := range views {
		params[i] = []any{map[string]any{"to": to, "data": hexutil.Bytes(v)}, blockID(at)}
	}
	answers := make([]said, len(views))
	for i, r := range chain.Batch(ctx, "eth_call", params) {
		if r.Err != nil {
			e, ok := errors.AsType[*endpoint.Error](r.Err)
			if ok && e.Kind == endpoint.Reverted && len(e.Data) > 0 {
				answers[i].revert = ParseRevert(e.Data)
				continue
			}
			return nil, fmt.Errorf("relay %v, call %x: %w", to, []byte(views[i][:4]), r.Err)
		}
		w, err := parseWord(r.Raw)
		if err != nil {
			return nil, fmt.Errorf("relay %v, call %x: %w (is there such a contract?)", to, []byte(views[i][:4]), err)
		}
		answers[i].word = w
	}
	return answers, nil
}

// blockID names the state after a block (EIP-1898).
func blockID(at common.Hash) any { return map[string]any{"blockHash": at} }

// parseWord decodes a result of 32 bytes.
func parseWord(raw json.RawMessage) (word, error) {
	var data hexutil.Bytes
	if err := json.Unmarshal(raw, &data); err != nil {
		return word{}, err
	}
	if len(data) != 32 {
		return word{}, fmt.Errorf("it returned %d bytes, not a word", len(data))
	}
	return word(data), nil
}

// unknownBlock is what the contract says of a header that it does not know.
const unknownBlock = "Unknown block"

// height returns what findHeight said; false if the relay does not know the header.
func (s said) height() (uint64, bool, error) {
	if s.revert == nil {
		n, err := s.word.number()
		return n, true, err
	}
	if s.revert.Reason == unknownBlock {
		return 0, false, nil
	}
	return 0, false, s.revert
}

// heights asks for the heights of headers.
func heights(ctx context.Context, chain Chain, to common.Address, at common.Hash, digests []chainhash.Hash) ([]said, error) {
	views := make([]view, len(digests))
	for i, d := range digests {
		views[i] = findHeight.of(common.Hash(d))
	}
	return ask(ctx, chain, to, at, views)
}

// These begin the data of reverts.
var (
	selectError = []byte{0x08, 0xc3, 0x79, 0xa0} // Error(string)
	selectPanic = []byte{0x4e, 0x48, 0x7b, 0x71} // Panic(uint256)
)

// custom are the errors of a LightRelay's owner, by selector.
var custom = map[[4]byte]string{
	{0x11, 0x8c, 0xda, 0xa7}: "OwnableUnauthorizedAccount(address)",
	{0x1e, 0x4f, 0xbd, 0xf7}: "OwnableInvalidOwner(address)",
}

// maxReason bounds a reason: the relays' are short.
const maxReason = 256

// ParseRevert decodes what a call reverted with. What has none of the forms that relays
// revert with is a custom error named by its selector, or "without a word".
func ParseRevert(data []byte) *relay.Revert {
	switch {
	case len(data) < 4:
		return &relay.Revert{Custom: "without a word"}
	case bytes.HasPrefix(data, selectError) && len(data) >= 4+64:
		offset, size := word(data[4:36]), word(data[36:68])
		if o, err := offset.number(); err == nil && o == 32 {
			if n, err := size.number(); err == nil && n > 0 && n <= maxReason && n <= uint64(len(data)-68) {
				return &relay.Revert{Reason: string(bytes.ToValidUTF8(data[68:68+n], []byte("?")))}
			}
		}
	case bytes.HasPrefix(data, selectPanic) && len(data) == 4+32:
		if code, err := word(data[4:]).number(); err == nil && code > 0 && code < 256 {
			return &relay.Revert{Panic: uint8(code)}
		}
	}
	if name, ok := custom[[4]byte(data[:4])]; ok {
		return &relay.Revert{Custom: name}
	}
	return &relay.Revert{Custom: fmt.Sprintf("error 0x%x", data[:4])}
}
