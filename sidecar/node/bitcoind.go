package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// A BitcoindConfig says how to reach a bitcoind. A field that is zero has the
// default that its comment names.
type BitcoindConfig struct {
	// Address is the host and port of bitcoind's RPC server (rpcbind, rpcport),
	// which serves REST too. It must be a loopback address: bitcoind has no
	// TLS, so the password travels in the clear.
	Address string
	// AllowRemote lets Address be any other, for a link that is private or
	// encrypted by other means.
	AllowRemote bool
	// CookieFile is the file that bitcoind writes a user and password to at
	// each start (.cookie in the network's data directory, or rpccookiefile).
	CookieFile string
	// User and Password are those of an rpcauth line, or rpcuser and
	// rpcpassword; they stand instead of CookieFile.
	User, Password string
	// BlocksDir is the directory with bitcoind's blk and rev files ("blocks" in
	// the network's data directory, or below blocksdir), if this process can
	// read it: the cheapest source of what blocks spend. Files are only read.
	BlocksDir string
	// MaxCalls is how many calls are open at once (default 4). It must be well
	// below bitcoind's rpcthreads (16; 4 before v29), or else other users wait.
	// MostCalls is how many the knob node.calls may allow (default MaxCalls).
	MaxCalls, MostCalls int

	// Notifiers are what to subscribe to instead of what getzmqnotifications
	// names, for a node whose addresses are others from here; of each topic it
	// must publish something. NoZMQ subscribes to nothing: the node is polled.
	Notifiers []Notifier
	NoZMQ     bool
	// SurveyInterval is how often the node is asked what it publishes, so that
	// a notifier that died is found (10 s).
	SurveyInterval time.Duration
	// Subscription has the times and bounds of subscriptions; address and topics
	// are filled in.
	Subscription zmq.Options

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
}

// withDefaults returns cfg with the defaults filled in.
func (cfg BitcoindConfig) withDefaults() BitcoindConfig {
	if cfg.Recorder == nil {
		cfg.Recorder = perfcore.Discard
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = maxCalls
	}
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = 15 * time.Second
	}
	if cfg.BulkTimeout == 0 {
		cfg.BulkTimeout = time.Minute
	}
	if cfg.RetryDelay == 0 {
		cfg.RetryDelay = 100 * time.Millisecond
	}
	if cfg.SurveyInterval == 0 {
		cfg.SurveyInterval = 10 * time.Second
	}
	return cfg
}

// validate returns all the mistakes in cfg.
func (cfg *BitcoindConfig) validate() error {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	host, port, err := net.SplitHostPort(cfg.Address)
	switch n, perr := strconv.ParseUint(port, 10, 16); {
	case err != nil || host == "" || perr != nil || n == 0:
		mistake("address %q is not host:port, such as 127.0.0.1:8332", cfg.Address)
	case !cfg.AllowRemote && !isLoopback(host):
		mistake("the address must be a loopback one, not %q, unless remote ones are allowed: bitcoind has no TLS, and the password would travel in the clear", host)
	}
	switch hasUser := cfg.User != "" || cfg.Password != ""; {
	case cfg.CookieFile != "" && hasUser:
		mistake("there is a cookie file and a user or password: one of them is enough")
	case cfg.CookieFile == "" && (cfg.User == "" || cfg.Password == ""):
		mistake("a cookie file is needed, or user and password both")
	case strings.Contains(cfg.User, ":"):
		mistake("the user name contains a colon, which HTTP cannot carry")
	}
	if cfg.MaxCalls < 0 || cfg.MostCalls < 0 {
		mistake("%d calls, or %d, cannot be open at once", cfg.MaxCalls, cfg.MostCalls)
	}
	for _, n := range cfg.Notifiers {
		opts := cfg.Subscription
		opts.Address, opts.Topics = n.Address, []string{n.Topic}
		if err := opts.Validate(); err != nil {
			mistake("ZeroMQ: %w", err)
		}
	}
	if cfg.NoZMQ && len(cfg.Notifiers) > 0 {
		mistake("there are ZeroMQ addresses, and ZeroMQ is off")
	}
	for _, d := range []time.Duration{cfg.CallTimeout, cfg.BulkTimeout, cfg.RetryDelay, cfg.SurveyInterval} {
		if d < 0 {
			mistake("the duration %s is negative", d)
		}
	}
	return errors.Join(mistakes...)
}

// A Bitcoind speaks to a Bitcoin Core node, v26 or later, by JSON-RPC, and by
// REST where the node serves it (rest=1), which spares it the hexadecimal
// digits of blocks and headers. A node that is starting answers everything with
// ErrWarmUp, which is the caller's to wait for.
type Bitcoind struct {
	cfg  BitcoindConfig
	rpc  *rpcClient
	base string // of all URLs
	m    bitcoindMethods
	rest atomic.Int32 // a restState

	spent *spentSources

	zmq      zmqPerf
	zmqBytes *perfcore.Counter
}

// bitcoindMethods are what Bitcoind asks for.
type bitcoindMethods struct {
	getBlockchainInfo, getBlockHash, getBlockHeader, getBlock, getBlockSpent, getChainTips,
	getRawMempool, getMempoolInfo, getRawTransaction, getZMQNotifications rpcMethod
	// These are called in batches.
	blockHashes, headers, verboseHeaders, verboseTransactions, getTxOut rpcMethod
	// These are REST's.
	restProbe, restHeaders, restBlock rpcMethod
}

func newBitcoindMethods(quick, bulk time.Duration) bitcoindMethods {
	return bitcoindMethods{
		// The warnings, and on signet the challenge, have no bound of their own.
		getBlockchainInfo: rpcMethod{"getblockchaininfo", quick, 256 << 10},
		getBlockHash:      rpcMethod{"getblockhash", quick, maxSmallAnswer},
		getBlockHeader:    rpcMethod{"getblockheader", quick, maxSmallAnswer},
		getBlock:          rpcMethod{"getblock", bulk, 2*maxBlockSize + maxSmallAnswer},
		getBlockSpent:     rpcMethod{"getblock", bulk, maxVerboseBlock},
		getChainTips:      rpcMethod{"getchaintips", quick, 4 << 20},
		getRawMempool:     rpcMethod{"getrawmempool", bulk, 64 << 20},
		getMempoolInfo:    rpcMethod{"getmempoolinfo", quick, maxSmallAnswer},
		getRawTransaction: rpcMethod{"getrawtransaction", bulk, maxTxAnswer},

		getZMQNotifications: rpcMethod{"getzmqnotifications", quick, maxSmallAnswer},

		blockHashes:         rpcMethod{"getblockhash", bulk, batchSize * maxSmallAnswer},
		headers:             rpcMethod{"getblockheader", bulk, batchSize * maxSmallAnswer},
		verboseHeaders:      rpcMethod{"getblockheader", bulk, batchSize * maxSmallAnswer},
		verboseTransactions: rpcMethod{"getrawtransaction", bulk, 64 << 20},
		// The largest script takes less than 100 KB in hexadecimal digits, words
		// and a descriptor.
		getTxOut: rpcMethod{"gettxout", bulk, maxBatchAnswer},

		restProbe:   rpcMethod{"rest/chaininfo", quick, 256 << 10},
		restHeaders: rpcMethod{"rest/headers", bulk, maxHeaders * header.Size},
		restBlock:   rpcMethod{"rest/block", bulk, maxBlockSize},
	}
}

// NewBitcoind returns a Bitcoind. It checks cfg, and returns all its mistakes in
// one error; it does not connect, nor read the cookie.
func NewBitcoind(cfg BitcoindConfig) (*Bitcoind, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("bitcoind: %w", err)
	}
	opts := rpcOptions{
		url:        "http://" + cfg.Address + "/",
		user:       cfg.User,
		password:   cfg.Password,
		keepAlive:  true,
		refused:    bitcoindRefusal,
		maxCalls:   cfg.MaxCalls,
		mostCalls:  cfg.MostCalls,
		retryDelay: cfg.RetryDelay,
		perf: newRPCPerf(cfg.Recorder, "getblockchaininfo", "getblockhash", "getblockheader", "getblock",
			"getchaintips", "getrawmempool", "getmempoolinfo", "getrawtransaction", "gettxout", "gettxoutsetinfo", "getindexinfo", "getzmqnotifications", "rest/chaininfo", "rest/headers", "rest/block"),
	}
	if cfg.CookieFile != "" {
		opts.credentials = &cookieFile{path: cfg.CookieFile}
	}
	b := &Bitcoind{
		cfg:  cfg,
		rpc:  newRPCClient(opts),
		base: "http://" + cfg.Address,
		m:    newBitcoindMethods(cfg.CallTimeout, cfg.BulkTimeout),

		zmq:      newZMQPerf(cfg.Recorder),
		zmqBytes: cfg.Recorder.Counter(receivedBytes("zmq")),
	}
	b.spent = b.newSpentSources()
	return b, nil
}

// Close implements Node.
func (b *Bitcoind) Close() { b.rpc.close() }

// A refusal is how bitcoind turns any call away: one of the Err values, in its
// own words.
type refusal struct {
	kind error
	text string
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.kind }

// queueFull is the text with which bitcoind turns a call away when rpcworkqueue
// calls wait already (httpserver.cpp), with status 503, or 500 by older versions.
const queueFull = "Work queue depth exceeded"

// bitcoindRefusal returns the error that the status and body of an answer are.
// Of JSON-RPC 1.x, whose errors have the statuses 400, 404 and 500, and of 2.0,
// whose errors have 200, the body says what went wrong.
func bitcoindRefusal(status int, body []byte) error {
	text := string(body[:min(len(body), maxErrorMessage)])
	busy := strings.HasPrefix(text, queueFull)
	switch {
	case status == http.StatusInternalServerError && busy, status == http.StatusServiceUnavailable && !strings.HasPrefix(text, restWarmUp):
		return &refusal{ErrBusy, "bitcoind's queue of calls is full (HTTP " + strconv.Itoa(status) + "): close other clients of its RPC server or raise rpcworkqueue and rpcthreads"}
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w (%q)", ErrWarmUp, text)
	case status == http.StatusUnauthorized:
		return &refusal{ErrUnauthorized, "bitcoind refused the user and password (HTTP 401): the cookie is another node's, or rpcauth, rpcuser and rpcpassword in bitcoin.conf differ"}
	case status == http.StatusForbidden:
		return &refusal{ErrForbidden, "bitcoind does not serve this address or user (HTTP 403): see rpcallowip and rpcwhitelist in bitcoin.conf"}
	case status == http.StatusOK, status == http.StatusInternalServerError,
		(status == http.StatusNotFound || status == http.StatusBadRequest) && strings.HasPrefix(text, "{"):
		return nil
	}
	return fmt.Errorf("HTTP status %d (%.100q)", status, text)
}

// The codes of Bitcoin Core's rpc/protocol.h that Bitcoind tells apart.
const (
	miscCode     = -1  // RPC_MISC_ERROR
	badParamCode = -8  // RPC_INVALID_PARAMETER
	inWarmUpCode = -28 // RPC_IN_WARMUP
	// unknownMethodCode is RPC_METHOD_NOT_FOUND.
	unknownMethodCode = -32601
	blockNotPrefix    = "Block not "
)

// bitcoindError says what an error of a call means: ErrWarmUp of any call,
// ErrNotFound of one about a block or transaction that the node does not have.
// A block that was pruned, or of which only the header came, is such a one.
func bitcoindError(err error) error {
	e, ok := errors.AsType[*RPCError](err)
	switch {
	case ok && e.Code == inWarmUpCode:
		return fmt.Errorf("%w: %w", ErrWarmUp, err)
	case ok && e.Code == miscCode && strings.HasPrefix(e.Message, blockNotPrefix):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return notFound(err)
}

// A chainInfo is an answer of getblockchaininfo, all of one moment.
type chainInfo struct {
	Chain  string       `json:"chain"`
	Blocks *height      `json:"blocks"`
	Best   *displayHash `json:"bestblockhash"`
	// SignetChallenge is nil but on signet, and there before v29.
	SignetChallenge *string `json:"signet_challenge"`
}

func (b *Bitcoind) chainInfo(ctx context.Context) (chainInfo, error) {
	var info chainInfo
	if err := b.rpc.call(ctx, b.m.getBlockchainInfo, &info); err != nil {
		return chainInfo{}, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	if info.Chain == "" || info.Blocks == nil || info.Best == nil {
		return chainInfo{}, fmt.Errorf("bitcoind: getblockchaininfo: %w", malformed("chain, blocks or bestblockhash is missing"))
	}
	return info, nil
}

// Network implements Node.
func (b *Bitcoind) Network(ctx context.Context) (string, error) {
	info, err := b.chainInfo(ctx)
	return info.Chain, err
}

// SignetChallenge implements Node.
func (b *Bitcoind) SignetChallenge(ctx context.Context) ([]byte, error) {
	info, err := b.chainInfo(ctx)
	if err != nil || info.SignetChallenge == nil {
		return nil, err
	}
	challenge, err := blockval.ParseSignetChallenge(*info.SignetChallenge)
	if err != nil {
		return nil, fmt.Errorf("bitcoind: getblockchaininfo: %w", malformed("signet_challenge %w", err))
	}
	return challenge, nil
}

// Tip implements Node.
func (b *Bitcoind) Tip(ctx context.Context) (Tip, error) {
	info, err := b.chainInfo(ctx)
	if err != nil {
		return Tip{}, err
	}
	return Tip{Hash: chainhash.Hash(*info.Best), Height: uint32(*info.Blocks)}, nil
}

// BlockHash implements Node. The error wraps ErrNotFound when the best chain is
// not that high.
func (b *Bitcoind) BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error) {
	if height > math.MaxInt32 {
		return chainhash.Hash{}, fmt.Errorf("bitcoind: hash of block %d: %w", height, ErrNotFound)
	}
	var hash displayHash
	err := b.rpc.call(ctx, b.m.getBlockHash, &hash, height)
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == badParamCode {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("bitcoind: hash of block %d: %w", height, bitcoindError(err))
	}
	return chainhash.Hash(hash), nil
}

// Header implements Node.
func (b *Bitcoind) Header(ctx context.Context, hash chainhash.Hash) (header.Header, error) {
	var h hexHeader
	if err := b.rpc.call(ctx, b.m.getBlockHeader, &h, hash.String(), false); err != nil {
		return header.Header{}, fmt.Errorf("bitcoind: header %s: %w", hash, bitcoindError(err))
	}
	got := header.Header(h)
	if got.Hash() != hash {
		return header.Header{}, fmt.Errorf("bitcoind: header %s: %w", hash, malformed("it is that of %s", got.Hash()))
	}
	return got, nil
}

// Block implements Node. The error wraps ErrNotFound for a block that the node
// has pruned too.
func (b *Bitcoind) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	raw, err := b.block(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("bitcoind: block %s: %w", hash, bitcoindError(err))
	}
	if len(raw) <= header.Size || len(raw) > maxBlockSize {
		return nil, fmt.Errorf("bitcoind: block %s: %w", hash, malformed("it has %d bytes", len(raw)))
	}
	got := header.Header(raw[:header.Size])
	if got.Hash() != hash {
		return nil, fmt.Errorf("bitcoind: block %s: %w", hash, malformed("it is %s", got.Hash()))
	}
	return raw, nil
}

// block fetches a block, by REST if it can. What REST does not have is asked
// for by RPC, which says why.
func (b *Bitcoind) block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	rest, err := b.hasREST(ctx)
	if err != nil {
		return nil, err
	}
	if rest {
		raw, err := b.get(ctx, b.m.restBlock, "/rest/block/"+hash.String()+".bin")
		if !errors.Is(err, errNoFile) {
			return raw, err
		}
	}
	var raw hexBytes
	if err := b.rpc.call(ctx, b.m.getBlock, &raw, hash.String(), 0); err != nil {
		return nil, err
	}
	if rest {
		b.forgetREST() // it may be gone
	}
	return raw, nil
}

// ChainTips implements Node.
func (b *Bitcoind) ChainTips(ctx context.Context) ([]ChainTip, error) {
	var list []struct {
		Height    *height      `json:"height"`
		Hash      *displayHash `json:"hash"`
		BranchLen *height      `json:"branchlen"`
		Status    string       `json:"status"`
	}
	if err := b.rpc.call(ctx, b.m.getChainTips, &list); err != nil {
		return nil, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	tips := make([]ChainTip, len(list))
	for i, t := range list {
		if t.Height == nil || t.Hash == nil || t.BranchLen == nil || t.Status == "" {
			return nil, fmt.Errorf("bitcoind: getchaintips: %w", malformed("tip %d lacks a field", i))
		}
		if *t.BranchLen > *t.Height {
			return nil, fmt.Errorf("bitcoind: getchaintips: %w", malformed("tip %d has a branch longer than its chain", i))
		}
		tips[i] = ChainTip{
			Tip:       Tip{Hash: chainhash.Hash(*t.Hash), Height: uint32(*t.Height)},
			BranchLen: uint32(*t.BranchLen),
			Status:    t.Status,
		}
	}
	return tips, nil
}

// Mempool implements Node.
func (b *Bitcoind) Mempool(ctx context.Context) ([]chainhash.Hash, error) {
	var list []displayHash
	if err := b.rpc.call(ctx, b.m.getRawMempool, &list, false); err != nil {
		return nil, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	txids := make([]chainhash.Hash, len(list))
	for i, txid := range list {
		txids[i] = chainhash.Hash(txid)
	}
	return txids, nil
}

// Transaction implements Node. A bitcoind with a transaction index has those of
// its best chain too.
func (b *Bitcoind) Transaction(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	var raw hexBytes
	if err := b.rpc.call(ctx, b.m.getRawTransaction, &raw, txid.String(), 0); err != nil {
		return nil, fmt.Errorf("bitcoind: transaction %s: %w", txid, bitcoindError(err))
	}
	if _, err := decodeTx(raw, txid); err != nil {
		return nil, fmt.Errorf("bitcoind: %w", err)
	}
	return raw, nil
}
