package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A restState is what is known about a node's REST server.
type restState int32

const (
	restUnknown restState = iota
	restOn
	restOff
)

// restWarmUp is how REST answers while the node starts (rest.cpp, CheckWarmup).
const restWarmUp = "Service temporarily unavailable"

// errNoFile says that REST has no file of that path: the node does not have the
// block, or does not serve REST (any more).
var errNoFile = errors.New("REST does not have it (HTTP 404)")

// restRefusal is bitcoindRefusal for REST.
func restRefusal(status int, body []byte) error {
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return errNoFile
	}
	if err := bitcoindRefusal(status, body); err != nil {
		return err
	}
	return fmt.Errorf("HTTP status %d (%.100q)", status, body)
}

// get fetches a REST file.
func (b *Bitcoind) get(ctx context.Context, m rpcMethod, path string) ([]byte, error) {
	return b.rpc.get(ctx, m, message{url: b.base + path, refused: restRefusal})
}

// hasREST reports whether the node serves REST. It asks once, and anew when
// forgetREST was called.
func (b *Bitcoind) hasREST(ctx context.Context) (bool, error) {
	if s := restState(b.rest.Load()); s != restUnknown {
		return s == restOn, nil
	}
	switch _, err := b.get(ctx, b.m.restProbe, "/rest/chaininfo.json"); {
	case err == nil:
		b.rest.Store(int32(restOn))
		return true, nil
	case errors.Is(err, errNoFile):
		if b.rest.Swap(int32(restOff)) != int32(restOff) {
			b.cfg.Log.Info("bitcoind does not serve REST: rest=1 in bitcoin.conf makes blocks and headers cheaper to fetch")
		}
		return false, nil
	default:
		return false, err
	}
}

// forgetREST makes hasREST ask again.
func (b *Bitcoind) forgetREST() { b.rest.Store(int32(restUnknown)) }

// Headers implements Node. Each of the headers follows the one before it, and
// the first a hash of the locator that was in the best chain, or the genesis
// block.
func (b *Bitcoind) Headers(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	rest, err := b.hasREST(ctx)
	var headers []header.Header
	if err == nil && rest {
		headers, err = b.headersByREST(ctx, locator)
		if errors.Is(err, errNoFile) {
			b.forgetREST() // REST knows no 404 for headers: the node serves it no more
			rest = false
		}
	}
	if !rest && (err == nil || errors.Is(err, errNoFile)) {
		headers, err = b.headersByRPC(ctx, locator)
	}
	if err != nil {
		return nil, fmt.Errorf("bitcoind: headers: %w", bitcoindError(err))
	}
	return headers, nil
}

// headersByREST asks for the headers from each hash of the locator on, until
// there are some: for a hash outside the best chain there are none.
func (b *Bitcoind) headersByREST(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	for _, from := range locator {
		headers, err := b.headersFrom(ctx, from)
		if err != nil {
			return nil, err
		}
		if len(headers) > 0 {
			return headers[1:], nil
		}
	}
	genesis, err := b.BlockHash(ctx, 0)
	if err != nil {
		return nil, err
	}
	headers, err := b.headersFrom(ctx, genesis)
	if err != nil {
		return nil, err
	}
	if len(headers) == 0 {
		return nil, malformed("the genesis block %s is not in the best chain", genesis)
	}
	return headers[1:], nil
}

// headersFrom returns the header of a block of the best chain and those that
// follow it, maxHeaders in all; none for any other block.
func (b *Bitcoind) headersFrom(ctx context.Context, from chainhash.Hash) ([]header.Header, error) {
	raw, err := b.get(ctx, b.m.restHeaders, fmt.Sprintf("/rest/headers/%s.bin?count=%d", from, maxHeaders))
	if err != nil {
		return nil, err
	}
	return decodeHeaders(raw, from)
}

// decodeHeaders decodes headers that follow one another, the first of which, if
// there is one, has the given hash.
func decodeHeaders(raw []byte, first chainhash.Hash) ([]header.Header, error) {
	if len(raw)%header.Size != 0 {
		return nil, malformed("%d bytes are not whole headers", len(raw))
	}
	headers := make([]header.Header, len(raw)/header.Size)
	for i := range headers {
		headers[i] = header.Header(raw[i*header.Size:][:header.Size])
	}
	if len(headers) > 0 && headers[0].Hash() != first {
		return nil, malformed("the headers from %s begin with %s", first, headers[0].Hash())
	}
	if err := linked(headers); err != nil {
		return nil, err
	}
	return headers, nil
}

// linked returns an error unless each header follows the one before it.
func linked(headers []header.Header) error {
	for i := 1; i < len(headers); i++ {
		if headers[i].Prev() != headers[i-1].Hash() {
			return malformed("header %d does not follow the one before it", i)
		}
	}
	return nil
}

// headerRounds is how often headersByRPC begins anew when the chain moves
// between its calls.
const headerRounds = 3

// errMoved says that the best chain changed between calls.
var errMoved = errors.New("the best chain changes faster than its headers can be read")

// headersByRPC finds the first hash of the locator that is in the best chain,
// and reads the hashes above it and their headers.
func (b *Bitcoind) headersByRPC(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	for round := 1; ; round++ {
		headers, err := b.headersOnce(ctx, locator)
		if !errors.Is(err, errMoved) || round == headerRounds {
			return headers, err
		}
	}
}

func (b *Bitcoind) headersOnce(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	from, err := b.fork(ctx, locator)
	if err != nil {
		return nil, err
	}
	tip, err := b.Tip(ctx)
	if err != nil {
		return nil, err
	}
	if tip.Height < from.Height {
		return nil, errMoved
	}
	n := min(int(tip.Height-from.Height), maxHeaders-1)
	hashes := make([]displayHash, n+1) // with that of from, which must still be there
	err = b.inBatches(ctx, b.m.blockHashes, len(hashes), func(i int) []any {
		return []any{from.Height + uint32(i)}
	}, func(i int, a *answer) error { return a.decodeInto(&hashes[i]) })
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == badParamCode {
		return nil, errMoved
	}
	if err != nil {
		return nil, err
	}
	if chainhash.Hash(hashes[0]) != from.Hash {
		return nil, errMoved
	}
	headers := make([]header.Header, len(hashes))
	err = b.inBatches(ctx, b.m.headers, len(hashes), func(i int) []any {
		return []any{chainhash.Hash(hashes[i]).String(), false}
	}, func(i int, a *answer) error {
		var h hexHeader
		if err := a.decodeInto(&h); err != nil {
			return err
		}
		headers[i] = header.Header(h)
		if headers[i].Hash() != chainhash.Hash(hashes[i]) {
			return malformed("the header of %s is that of %s", chainhash.Hash(hashes[i]), headers[i].Hash())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Each header is that of its hash, so if they do not follow one another the
	// hashes are not of one chain.
	if linked(headers) != nil {
		return nil, errMoved
	}
	return headers[1:], nil
}

// fork returns the first block of the locator that is in the best chain, or the
// genesis block.
func (b *Bitcoind) fork(ctx context.Context, locator []chainhash.Hash) (Tip, error) {
	for _, hash := range locator {
		var info blockInfo
		err := b.rpc.call(ctx, b.m.getBlockHeader, &info, hash.String(), true)
		if e, ok := errors.AsType[*RPCError](err); ok && e.Code == notFoundCode {
			continue
		}
		if err == nil {
			err = info.check()
		}
		if err != nil {
			return Tip{}, err
		}
		if info.inBestChain() {
			return Tip{Hash: hash, Height: uint32(*info.Height)}, nil
		}
	}
	genesis, err := b.BlockHash(ctx, 0)
	return Tip{Hash: genesis}, err
}

// A blockInfo is what getblockheader says of a block beside its header.
type blockInfo struct {
	Height *height `json:"height"`
	// Confirmations is -1 for a block that is not in the best chain.
	Confirmations *int64 `json:"confirmations"`
}

func (i *blockInfo) check() error {
	if i.Height == nil || i.Confirmations == nil {
		return malformed("height or confirmations is missing")
	}
	return nil
}

func (i *blockInfo) inBestChain() bool { return *i.Confirmations > 0 }

// inBatches calls m n times with what params returns, in batches, and gives
// each answer to take. Calls of take may be concurrent, each for an i of its own.
func (b *Bitcoind) inBatches(ctx context.Context, m rpcMethod, n int, params func(i int) []any, take func(i int, a *answer) error) error {
	return b.rpc.inChunks(ctx, n, func(ctx context.Context, from, to int) error {
		calls := make([][]any, to-from)
		for i := range calls {
			calls[i] = params(from + i)
		}
		answers, err := b.rpc.batch(ctx, m, calls)
		if err != nil {
			return err
		}
		for i := range answers {
			if err := take(from+i, &answers[i]); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		return nil
	})
}
