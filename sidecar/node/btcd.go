package node

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
)

// A BtcdConfig says how to reach a btcd. A field that is zero has the default
// that its comment names.
type BtcdConfig struct {
	// Address is the host and port of btcd's RPC server (rpclisten).
	Address string
	// User and Password are btcd's rpcuser and rpcpass. The limited pair
	// (rpclimituser, rpclimitpass) is enough for all that Btcd does.
	User, Password string
	// Certificate is the server's certificate in PEM, and the only one that is
	// accepted; see LoadCertificate.
	Certificate []byte
	// NoTLS says that btcd runs with notls, which it does on loopback only:
	// then Address must be a loopback address, and Certificate nil.
	NoTLS bool
	// SignetChallenge is the challenge of the signet that the node may be on, if
	// that is another than the default one: btcd tells its hash only.
	SignetChallenge []byte

	// Recorder receives metrics, Log what an operator acts on. Default: none.
	Recorder perfcore.Recorder
	Log      *slog.Logger

	// CallTimeout bounds a call with a small answer (default 15 s),
	// BulkTimeout one for blocks, headers, mempool or transactions (60 s).
	CallTimeout, BulkTimeout time.Duration
	// RetryDelay is how long a call waits before its second attempt after a
	// broken connection or a busy node (100 ms); the third and last waits
	// twice as long.
	RetryDelay time.Duration
	// PingInterval is how often the websocket is tested (15 s), and
	// PingTimeout how long it may then be silent before it is given up (10 s).
	PingInterval, PingTimeout time.Duration
	// StallTimeout is how long the receiver of hints may take none before the
	// websocket is given up (30 s): btcd queues for a slow client without
	// bound.
	StallTimeout time.Duration
	// ReconnectDelay is how long Watch waits before it connects again
	// (250 ms). The wait doubles up to MaxReconnectDelay (30 s) for as long as
	// connections fail or are lost again sooner than the wait before them
	// lasted. All waits vary by half.
	ReconnectDelay, MaxReconnectDelay time.Duration
}

// withDefaults returns cfg with the defaults filled in.
func (cfg BtcdConfig) withDefaults() BtcdConfig {
	if cfg.Recorder == nil {
		cfg.Recorder = perfcore.Discard
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&cfg.CallTimeout, 15 * time.Second},
		{&cfg.BulkTimeout, time.Minute},
		{&cfg.RetryDelay, 100 * time.Millisecond},
		{&cfg.PingInterval, 15 * time.Second},
		{&cfg.PingTimeout, 10 * time.Second},
		{&cfg.StallTimeout, 30 * time.Second},
		{&cfg.ReconnectDelay, 250 * time.Millisecond},
		{&cfg.MaxReconnectDelay, 30 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return cfg
}

// validate returns all the mistakes in cfg, and the certificates to trust.
func (cfg *BtcdConfig) validate() (*x509.CertPool, error) {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	host, port, err := net.SplitHostPort(cfg.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 {
		mistake("address %q is not host:port, such as 127.0.0.1:8334", cfg.Address)
	}
	if cfg.User == "" || cfg.Password == "" {
		mistake("user and password are both needed: btcd's rpcuser and rpcpass")
	}
	if strings.Contains(cfg.User, ":") {
		mistake("the user name contains a colon, which HTTP cannot carry")
	}
	var roots *x509.CertPool
	switch {
	case cfg.NoTLS && !isLoopback(host):
		mistake("without TLS the address must be a loopback one, not %q: the password would travel in the clear", host)
	case cfg.NoTLS && cfg.Certificate != nil:
		mistake("there is a certificate, but TLS is off")
	case !cfg.NoTLS && cfg.Certificate == nil:
		mistake("btcd's certificate (rpc.cert) is needed")
	case !cfg.NoTLS:
		if roots, err = certPool(cfg.Certificate); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	for _, d := range []time.Duration{
		cfg.CallTimeout, cfg.BulkTimeout, cfg.RetryDelay, cfg.PingInterval, cfg.PingTimeout,
		cfg.StallTimeout, cfg.ReconnectDelay, cfg.MaxReconnectDelay,
	} {
		if d < 0 {
			mistake("the duration %s is negative", d)
		}
	}
	return roots, errors.Join(mistakes...)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// A Btcd is a [Node] that speaks to a btcd (tested with v0.26) over HTTP and
// websocket. It keeps at most four calls open, unless its knob is set otherwise, of
// the ten that btcd allows all its clients together by default.
type Btcd struct {
	cfg BtcdConfig
	rpc *rpcClient
	ws  string // the websocket's URL
	m   btcdMethods
	// signets are the signets that can be told apart, by their magic.
	signets map[wire.BitcoinNet]*blockval.Params
}

var _ Node = (*Btcd)(nil)

// maxCalls is how many HTTP calls are open at once, and mostCalls how many there may be:
// btcd serves ten of all its clients (rpcmaxclients).
const maxCalls, mostCalls = 4, 8

// btcdMethods are the methods that Btcd calls.
type btcdMethods struct {
	getCurrentNet, getBestBlock, getBlockHash, getHeaders, getBlockHeader, getBlock,
	getChainTips, getRawMempool, getRawTransaction, getInfo rpcMethod
	// These two are called in batches.
	verboseTransactions, verboseHeaders, getTxOut rpcMethod
}

const (
	maxBlockSize   = 4_000_000 // MAX_BLOCK_SERIALIZED_SIZE
	maxHeaders     = 2000
	maxSmallAnswer = 8 << 10
	maxTxAnswer    = 2*maxBlockSize + maxSmallAnswer
)

func newBtcdMethods(quick, bulk time.Duration) btcdMethods {
	return btcdMethods{
		getCurrentNet:     rpcMethod{"getcurrentnet", quick, maxSmallAnswer},
		getBestBlock:      rpcMethod{"getbestblock", quick, maxSmallAnswer},
		getBlockHash:      rpcMethod{"getblockhash", quick, maxSmallAnswer},
		getBlockHeader:    rpcMethod{"getblockheader", quick, maxSmallAnswer},
		getChainTips:      rpcMethod{"getchaintips", quick, 4 << 20},
		getInfo:           rpcMethod{"getinfo", quick, maxSmallAnswer},
		getHeaders:        rpcMethod{"getheaders", bulk, maxHeaders*(2*header.Size+8) + maxSmallAnswer},
		getBlock:          rpcMethod{"getblock", bulk, 2*maxBlockSize + maxSmallAnswer},
		getRawMempool:     rpcMethod{"getrawmempool", bulk, 64 << 20},
		getRawTransaction: rpcMethod{"getrawtransaction", bulk, maxTxAnswer},
		// The largest possible transaction takes some 30 MB in words.
		verboseTransactions: rpcMethod{"getrawtransaction", bulk, 64 << 20},
		getTxOut:            rpcMethod{"gettxout", bulk, maxBatchAnswer},
		verboseHeaders:      rpcMethod{"getblockheader", bulk, batchSize * maxSmallAnswer},
	}
}

// NewBtcd returns a Btcd. It checks cfg, and returns all its mistakes in one
// error; it does not connect.
func NewBtcd(cfg BtcdConfig) (*Btcd, error) {
	cfg = cfg.withDefaults()
	roots, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	signets, err := signetsOf(cfg.SignetChallenge)
	if err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	post, ws := "https://"+cfg.Address, "wss://"+cfg.Address+"/ws"
	if cfg.NoTLS {
		post, ws = "http://"+cfg.Address, "ws://"+cfg.Address+"/ws"
	}
	return &Btcd{
		cfg: cfg,
		ws:  ws,
		m:   newBtcdMethods(cfg.CallTimeout, cfg.BulkTimeout),
		rpc: newRPCClient(rpcOptions{
			url:        post,
			user:       cfg.User,
			password:   cfg.Password,
			roots:      roots,
			maxCalls:   maxCalls,
			mostCalls:  mostCalls,
			retryDelay: cfg.RetryDelay,
			perf: newRPCPerf(cfg.Recorder, "getcurrentnet", "getbestblock", "getblockhash", "getheaders",
				"getblockheader", "getblock", "getchaintips", "getrawmempool", "getrawtransaction", "gettxout", "getinfo"),
		}),
		signets: signets,
	}, nil
}

// Close implements Node. Between calls a Btcd holds nothing that it must let go.
func (b *Btcd) Close() {}

// notFound wraps an error by which the node says that it does not have what was
// asked for in ErrNotFound.
func notFound(err error) error {
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == notFoundCode {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// signetsOf returns the default signet's parameters and, unless it is nil, those
// of the signet with this challenge.
func signetsOf(challenge []byte) (map[wire.BitcoinNet]*blockval.Params, error) {
	signets := make(map[wire.BitcoinNet]*blockval.Params)
	for _, challenge := range [][]byte{nil, challenge} {
		p, err := blockval.ParamsFor("signet")
		if err == nil && challenge != nil {
			err = p.SetSignetChallenge(challenge)
		}
		if err != nil {
			return nil, err
		}
		signets[wire.BitcoinNet(binary.LittleEndian.Uint32(p.Magic[:]))] = p
	}
	return signets, nil
}

// currentNet returns the magic of the node's network.
func (b *Btcd) currentNet(ctx context.Context) (wire.BitcoinNet, error) {
	var magic uint32
	if err := b.rpc.call(ctx, b.m.getCurrentNet, &magic); err != nil {
		return 0, fmt.Errorf("btcd: %w", err)
	}
	return wire.BitcoinNet(magic), nil
}

// SignetChallenge implements Node. btcd tells the magic of its network, which is a
// hash of the challenge.
func (b *Btcd) SignetChallenge(ctx context.Context) ([]byte, error) {
	net, err := b.currentNet(ctx)
	if p := b.signets[net]; err == nil && p != nil {
		return p.SignetChallenge, nil
	}
	return nil, err
}

// Network implements Node.
func (b *Btcd) Network(ctx context.Context) (string, error) {
	net, err := b.currentNet(ctx)
	if err != nil {
		return "", err
	}
	if b.signets[net] != nil {
		return "signet", nil
	}
	switch net {
	case wire.MainNet:
		return "main", nil
	case wire.TestNet3:
		return "test", nil
	case wire.TestNet4:
		return "testnet4", nil
	case wire.TestNet:
		return "regtest", nil
	case wire.SimNet:
		return "simnet", nil
	}
	return "", fmt.Errorf("btcd: getcurrentnet: the network with magic %08x is not known, unless it is a signet of its own: then set its challenge, signet-challenge", uint32(net))
}

// Tip implements Node.
func (b *Btcd) Tip(ctx context.Context) (Tip, error) {
	var best struct {
		Hash   *displayHash `json:"hash"`
		Height *height      `json:"height"`
	}
	if err := b.rpc.call(ctx, b.m.getBestBlock, &best); err != nil {
		return Tip{}, fmt.Errorf("btcd: %w", err)
	}
	if best.Hash == nil || best.Height == nil {
		return Tip{}, fmt.Errorf("btcd: getbestblock: %w", malformed("hash or height is missing"))
	}
	return Tip{Hash: chainhash.Hash(*best.Hash), Height: uint32(*best.Height)}, nil
}

// BlockHash implements Node. The error wraps ErrNotFound when the best chain is
// not that high.
func (b *Btcd) BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error) {
	if height > math.MaxInt32 {
		return chainhash.Hash{}, fmt.Errorf("btcd: hash of block %d: %w", height, ErrNotFound)
	}
	var hash displayHash
	err := b.rpc.call(ctx, b.m.getBlockHash, &hash, height)
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == outOfRangeCode {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("btcd: hash of block %d: %w", height, err)
	}
	return chainhash.Hash(hash), nil
}

// outOfRangeCode is btcd's answer to a getblockhash above its tip
// (RPC_MISC_ERROR).
const outOfRangeCode = -1

// Headers implements Node. Each of the headers follows the one before it.
func (b *Btcd) Headers(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	hashes := make([]string, 0, max(len(locator), 1))
	for _, h := range locator {
		hashes = append(hashes, h.String())
	}
	if len(hashes) == 0 {
		// btcd answers an empty locator with nothing, and one that it does
		// not know with the chain from its start.
		hashes = append(hashes, chainhash.Hash{}.String())
	}
	var list []hexHeader
	if err := b.rpc.call(ctx, b.m.getHeaders, &list, hashes, ""); err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	if len(list) > maxHeaders {
		return nil, fmt.Errorf("btcd: getheaders: %w", malformed("it has %d headers", len(list)))
	}
	headers := make([]header.Header, len(list))
	for i := range list {
		headers[i] = header.Header(list[i])
		if i > 0 && headers[i].Prev() != headers[i-1].Hash() {
			return nil, fmt.Errorf("btcd: getheaders: %w", malformed("header %d does not follow the one before it", i))
		}
	}
	return headers, nil
}

// Header implements Node.
func (b *Btcd) Header(ctx context.Context, hash chainhash.Hash) (header.Header, error) {
	var h hexHeader
	if err := b.rpc.call(ctx, b.m.getBlockHeader, &h, hash.String(), false); err != nil {
		return header.Header{}, fmt.Errorf("btcd: header %s: %w", hash, notFound(err))
	}
	got := header.Header(h)
	if got.Hash() != hash {
		return header.Header{}, fmt.Errorf("btcd: header %s: %w", hash, malformed("it is that of %s", got.Hash()))
	}
	return got, nil
}

// Block implements Node.
func (b *Btcd) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	var raw hexBytes
	if err := b.rpc.call(ctx, b.m.getBlock, &raw, hash.String(), 0); err != nil {
		return nil, fmt.Errorf("btcd: block %s: %w", hash, notFound(err))
	}
	if len(raw) <= header.Size || len(raw) > maxBlockSize {
		return nil, fmt.Errorf("btcd: block %s: %w", hash, malformed("it has %d bytes", len(raw)))
	}
	got := header.Header(raw[:header.Size])
	if got.Hash() != hash {
		return nil, fmt.Errorf("btcd: block %s: %w", hash, malformed("it is %s", got.Hash()))
	}
	return raw, nil
}

// ChainTips implements Node. btcd tells valid-headers not apart from
// valid-fork.
func (b *Btcd) ChainTips(ctx context.Context) ([]ChainTip, error) {
	var list []struct {
		Height    *height      `json:"height"`
		Hash      *displayHash `json:"hash"`
		BranchLen *height      `json:"branchlen"`
		Status    string       `json:"status"`
	}
	if err := b.rpc.call(ctx, b.m.getChainTips, &list); err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	tips := make([]ChainTip, len(list))
	for i, t := range list {
		if t.Height == nil || t.Hash == nil || t.BranchLen == nil || t.Status == "" {
			return nil, fmt.Errorf("btcd: getchaintips: %w", malformed("tip %d lacks a field", i))
		}
		if *t.BranchLen > *t.Height {
			return nil, fmt.Errorf("btcd: getchaintips: %w", malformed("tip %d has a branch longer than its chain", i))
		}
		status := t.Status
		if strings.HasPrefix(status, "unknown") {
			status = "headers-only" // btcd has no word for a tip that is neither stored nor refused
		}
		tips[i] = ChainTip{
			Tip:       Tip{Hash: chainhash.Hash(*t.Hash), Height: uint32(*t.Height)},
			BranchLen: uint32(*t.BranchLen),
			Status:    status,
		}
	}
	return tips, nil
}

// Mempool implements Node.
func (b *Btcd) Mempool(ctx context.Context) ([]chainhash.Hash, error) {
	var list []displayHash
	if err := b.rpc.call(ctx, b.m.getRawMempool, &list, false); err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	txids := make([]chainhash.Hash, len(list))
	for i, txid := range list {
		txids[i] = chainhash.Hash(txid)
	}
	return txids, nil
}

// Transaction implements Node. A btcd with a transaction index has those of its
// best chain too.
func (b *Btcd) Transaction(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	var raw hexBytes
	if err := b.rpc.call(ctx, b.m.getRawTransaction, &raw, txid.String(), 0); err != nil {
		return nil, fmt.Errorf("btcd: transaction %s: %w", txid, notFound(err))
	}
	if _, err := decodeTx(raw, txid); err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	return raw, nil
}
