package nodetest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A BitcoindRecording is what a real bitcoind on regtest said and stored.
type BitcoindRecording struct {
	// Chain is the active chain at the end, from the genesis block on.
	Chain []chainhash.Hash
	// Blocks has every block that the node stored, of any branch.
	Blocks map[chainhash.Hash][]byte
	// Calls are the JSON-RPC calls in order.
	Calls []RecordedCall

	files map[string][]byte // block and undo files and their key, by name
}

// A RecordedCall is a call and its answer.
type RecordedCall struct {
	Node    int `json:"node"`
	Request struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	} `json:"-"`
	RawRequest json.RawMessage `json:"request"`
	Response   struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	} `json:"-"`
	RawResponse json.RawMessage `json:"response"`
	// Text stands for RawResponse where the answer was recorded as it was sent.
	Text string `json:"raw_response"`
}

// ReadBitcoindRecording reads a recording whose files load returns, without
// their compression, by name.
func ReadBitcoindRecording(tb testing.TB, load func(name string) []byte) *BitcoindRecording {
	tb.Helper()
	rec := &BitcoindRecording{Blocks: make(map[chainhash.Hash][]byte), files: make(map[string][]byte)}
	for line := range strings.Lines(string(load("chain.hex.zst"))) {
		raw, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil || len(raw) <= 80 {
			tb.Fatalf("nodetest: block %d of the recorded chain: %d bytes, %v", len(rec.Chain), len(raw), err)
		}
		rec.Chain = append(rec.Chain, rec.add(raw))
	}
	for _, name := range []string{"blk00000.dat.zst", "rev00000.dat.zst", "xor.dat"} {
		rec.files[strings.TrimSuffix(name, ".zst")] = load(name)
	}
	stored := bytes.Clone(rec.files["blk00000.dat"])
	for i, key := 0, rec.files["xor.dat"]; i < len(stored); i++ {
		stored[i] ^= key[i%len(key)]
	}
	for len(stored) > 8 && binary.LittleEndian.Uint32(stored) == uint32(wire.TestNet) {
		size := binary.LittleEndian.Uint32(stored[4:])
		rec.add(stored[8 : 8+size])
		stored = stored[8+size:]
	}
	for line := range bytes.Lines(load("rpc.jsonl.zst")) {
		var c RecordedCall
		if err := json.Unmarshal(line, &c); err != nil {
			tb.Fatalf("nodetest: recorded call %d: %v", len(rec.Calls), err)
		}
		if c.RawResponse == nil {
			c.RawResponse = json.RawMessage(c.Text)
		}
		if json.Unmarshal(c.RawRequest, &c.Request) != nil || json.Unmarshal(c.RawResponse, &c.Response) != nil {
			continue // an exchange that is no call: wrong credentials
		}
		rec.Calls = append(rec.Calls, c)
	}
	return rec
}

// Height returns the height of a block.
func (rec *BitcoindRecording) Height(hash chainhash.Hash) (height uint32) {
	for hash != rec.Chain[0] {
		hash = chainhash.Hash(rec.Blocks[hash][4:36])
		height++
	}
	return height
}

func (rec *BitcoindRecording) add(raw []byte) chainhash.Hash {
	hash := chainhash.DoubleHashH(raw[:80])
	rec.Blocks[hash] = raw
	return hash
}

// BitcoindOptions are what a Bitcoind can be made different in. The zero value
// has REST and a transaction index.
type BitcoindOptions struct {
	NoREST    bool
	NoTxIndex bool
	// CoinStatsIndex keeps the MuHash of the coins of every block.
	CoinStatsIndex bool
}

// A Bitcoind answers JSON-RPC 1.x and REST on a loopback port as Bitcoin Core
// does, from the blocks of a recording. Connections stay open between calls. It
// starts with the recording's last chain and an empty mempool. All methods are
// safe for concurrent use.
type Bitcoind struct {
	opts     BitcoindOptions
	rec      *BitcoindRecording
	listener *gateListener
	server   *http.Server
	done     sync.WaitGroup
	cookie   string // the file
	info     map[string]json.RawMessage

	mu       sync.Mutex // guards what follows
	password string
	rest     bool
	chain    []chainhash.Hash
	tips     map[chainhash.Hash]uint32 // last blocks of branches, with heights
	invalid  map[chainhash.Hash]bool   // of tips
	mempool  []chainhash.Hash
	// nextChange is the number of the mempool's next change, notifiers what
	// is published by ZeroMQ.
	nextChange uint64
	notifiers  []Notifier
	txs        map[chainhash.Hash]*recordedTx
	warmUp     bool
	pruned     int // blocks below this height are not there
	rewrite    func(what string, a Answer) Answer
	calls      map[string]int
	conns      []string
}

// A recordedTx is a transaction and the block that the index has it in.
type recordedTx struct {
	raw   []byte
	block chainhash.Hash
}

// NewBitcoind starts a bitcoind, and stops it when the test ends.
func NewBitcoind(tb testing.TB, rec *BitcoindRecording, opts BitcoindOptions) *Bitcoind {
	tb.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	b := &Bitcoind{
		opts: opts, rec: rec, listener: newGateListener(inner), rest: !opts.NoREST,
		cookie: filepath.Join(tb.TempDir(), ".cookie"),
		tips:   make(map[chainhash.Hash]uint32), invalid: make(map[chainhash.Hash]bool), nextChange: 1, txs: make(map[chainhash.Hash]*recordedTx), calls: make(map[string]int),
	}
	for _, c := range rec.Calls {
		if c.Request.Method == "getblockchaininfo" && json.Unmarshal(c.Response.Result, &b.info) != nil {
			tb.Fatalf("nodetest: recorded getblockchaininfo: %s", c.Response.Result)
		}
	}
	if b.info == nil {
		b.info = map[string]json.RawMessage{"chain": json.RawMessage(`"regtest"`)}
	}
	b.SetCookie(tb, "first")
	b.MoveTo(tb, rec.Chain[len(rec.Chain)-1])
	b.server = &http.Server{
		Handler: http.HandlerFunc(b.serveHTTP), ReadTimeout: 30 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	b.done.Go(func() {
		if err := b.server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("nodetest: serve: %v", err)
		}
	})
	tb.Cleanup(b.Close)
	return b
}

// Close stops the node and waits for everything that it started. It may be
// called twice.
func (b *Bitcoind) Close() {
	b.server.Close()
	b.listener.dropAll()
	b.done.Wait()
}

// Addr returns the host and port of the server.
func (b *Bitcoind) Addr() string { return b.listener.Addr().String() }

// CookieFile returns the path of the cookie.
func (b *Bitcoind) CookieFile() string { return b.cookie }

// SetCookie lets the node accept this password alone, and writes the cookie as
// bitcoind does: a new file, put in place by a rename.
func (b *Bitcoind) SetCookie(tb testing.TB, password string) {
	tb.Helper()
	b.SetPassword(password)
	if err := os.WriteFile(b.cookie+".tmp", []byte("__cookie__:"+password), 0o600); err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	if err := os.Rename(b.cookie+".tmp", b.cookie); err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
}

// SetPassword is SetCookie without the file.
func (b *Bitcoind) SetPassword(password string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.password = password
}

// MoveTo makes the branch that ends with a recorded block the best chain. The
// transaction index learns its blocks, and forgets none.
func (b *Bitcoind) MoveTo(tb testing.TB, tip chainhash.Hash) {
	tb.Helper()
	var chain []chainhash.Hash
	for hash := tip; hash != (chainhash.Hash{}); hash = chainhash.Hash(b.rec.Blocks[hash][4:36]) {
		if b.rec.Blocks[hash] == nil {
			tb.Fatalf("nodetest: the recording has no block %s", hash)
		}
		chain = append(chain, hash)
	}
	slices.Reverse(chain)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chain = chain
	for _, hash := range chain {
		delete(b.tips, hash)
		var msg wire.MsgBlock
		if err := msg.Deserialize(bytes.NewReader(b.rec.Blocks[hash])); err != nil {
			tb.Fatalf("nodetest: block %s: %v", hash, err)
		}
		for _, tx := range msg.Transactions {
			var raw bytes.Buffer
			if err := tx.Serialize(&raw); err != nil {
				tb.Fatalf("nodetest: block %s: %v", hash, err)
			}
			b.txs[tx.TxHash()] = &recordedTx{raw.Bytes(), hash}
		}
	}
	b.tips[tip] = uint32(len(chain) - 1)
}

// ForgetBranches makes the best chain the only one that the node has seen.
func (b *Bitcoind) ForgetBranches() {
	b.mu.Lock()
	defer b.mu.Unlock()
	tip := b.chain[len(b.chain)-1]
	maps.DeleteFunc(b.tips, func(hash chainhash.Hash, _ uint32) bool { return hash != tip })
}

// SetMempool sets the mempool.
func (b *Bitcoind) SetMempool(txids []chainhash.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mempool = slices.Clone(txids)
}

// SetMempoolAt sets the mempool and the number of its next change.
func (b *Bitcoind) SetMempoolAt(txids []chainhash.Hash, next uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mempool, b.nextChange = slices.Clone(txids), next
}

// A Notifier is what a Bitcoind says that it publishes by ZeroMQ.
type Notifier struct{ Topic, Address string }

// SetNotifiers sets what getzmqnotifications says; what is published is the
// test's.
func (b *Bitcoind) SetNotifiers(notifiers []Notifier) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notifiers = slices.Clone(notifiers)
}

// SetWarmUp says whether the node is still starting.
func (b *Bitcoind) SetWarmUp(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warmUp = on
}

// SetREST says whether the node serves REST from now on.
func (b *Bitcoind) SetREST(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = on
}

// Rewrite lets f replace every answer from now on: what is the method, "batch",
// or the path of a REST file. A nil f ends it. f may move the node, and is
// called concurrently where calls are.
func (b *Bitcoind) Rewrite(f func(what string, a Answer) Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rewrite = f
}

// Calls returns how often a method was called, "batch" came, a REST path with
// this beginning was asked for, or the credentials were refused ("401").
func (b *Bitcoind) Calls(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for w, times := range b.calls {
		if w == what || strings.HasPrefix(what, "/") && strings.HasPrefix(w, what) {
			n += times
		}
	}
	return n
}

// Connections returns the client's address of each request so far.
func (b *Bitcoind) Connections() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.conns)
}

// DropConnections cuts every connection.
func (b *Bitcoind) DropConnections() { b.listener.dropAll() }

func (b *Bitcoind) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b.mu.Lock()
	b.conns = append(b.conns, r.RemoteAddr)
	what, a := b.answer(r, body)
	b.calls[what]++
	rewrite := b.rewrite
	b.mu.Unlock()
	if rewrite != nil {
		a = rewrite(what, a)
	}
	if a.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
	}
	w.WriteHeader(a.Status)
	w.Write(a.Body)
}

// answer answers a request. b.mu must be held.
func (b *Bitcoind) answer(r *http.Request, body []byte) (what string, a Answer) {
	if strings.HasPrefix(r.URL.Path, "/rest/") {
		return r.URL.Path, b.restFile(r)
	}
	user, password, _ := r.BasicAuth()
	switch {
	case r.URL.Path != "/":
		return r.URL.Path, Answer{http.StatusNotFound, nil}
	case r.Method != http.MethodPost:
		return r.URL.Path, Answer{http.StatusMethodNotAllowed, []byte("JSONRPC server handles only POST requests")}
	case user != "__cookie__" || password != b.password:
		return "401", Answer{http.StatusUnauthorized, nil}
	}
	if !bytes.HasPrefix(body, []byte("[")) {
		var req coreRequest
		if err := json.Unmarshal(body, &req); err != nil {
			return "", Answer{500, []byte(`{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}` + "\n")}
		}
		answer, status := b.reply(&req)
		return req.Method, Answer{status, append(answer, '\n')}
	}
	var reqs []coreRequest
	if err := json.Unmarshal(body, &reqs); err != nil {
		return "batch", Answer{500, []byte(`{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}` + "\n")}
	}
	answers := make([][]byte, len(reqs))
	for i := range reqs {
		answers[i], _ = b.reply(&reqs[i])
	}
	return "batch", Answer{http.StatusOK, append(append([]byte("["), bytes.Join(answers, []byte(","))...), "]\n"...)}
}

// A coreRequest is a call of JSON-RPC 1.x.
type coreRequest struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// A coreError is an error of JSON-RPC.
type coreError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// reply answers one call and says with which HTTP status (rpc/protocol.h,
// httprpc.cpp).
func (b *Bitcoind) reply(req *coreRequest) (answer []byte, status int) {
	result, rpcErr := b.call(req.Method, req.Params)
	status = http.StatusOK
	if rpcErr != nil {
		status = http.StatusInternalServerError
		if rpcErr.Code == -32601 {
			status = http.StatusNotFound
		}
	}
	answer, err := json.Marshal(struct {
		Result any             `json:"result"`
		Error  *coreError      `json:"error"`
		ID     json.RawMessage `json:"id"`
	}{result, rpcErr, req.ID})
	if err != nil {
		panic(fmt.Sprintf("nodetest: marshal an answer: %v", err))
	}
	return answer, status
}

// restFile answers a REST request (rest.cpp).
func (b *Bitcoind) restFile(r *http.Request) Answer {
	if !b.rest {
		return Answer{http.StatusNotFound, nil}
	}
	if b.warmUp {
		return Answer{http.StatusServiceUnavailable, []byte("Service temporarily unavailable: Loading block index…\r\n")}
	}
	name := strings.TrimPrefix(r.URL.Path, "/rest/")
	kind, rest, _ := strings.Cut(name, "/")
	hash, err := chainhash.NewHashFromStr(strings.TrimSuffix(rest, ".bin"))
	switch {
	case name == "chaininfo.json":
		info, _ := json.Marshal(b.chainInfo())
		return Answer{http.StatusOK, append(info, '\n')}
	case err != nil || !strings.HasSuffix(rest, ".bin"):
		return Answer{http.StatusNotFound, []byte("output format not found (available: .bin, .hex, .json)\r\n")}
	case kind == "block" && b.known(*hash) && b.prunedError(*hash) == nil:
		return Answer{http.StatusOK, b.rec.Blocks[*hash]}
	case kind == "block":
		return Answer{http.StatusNotFound, []byte(hash.String() + " not found\r\n")}
	case kind == "headers":
		count, err := strconv.Atoi(r.URL.Query().Get("count"))
		if err != nil || count < 1 || count > 2000 {
			return Answer{http.StatusBadRequest, []byte("Header count is invalid or out of acceptable range (1-2000)\r\n")}
		}
		var headers []byte
		if at := slices.Index(b.chain, *hash); at >= 0 {
			for _, h := range b.chain[at:min(at+count, len(b.chain))] {
				headers = append(headers, b.rec.Blocks[h][:80]...)
			}
		}
		return Answer{http.StatusOK, headers}
	}
	return Answer{http.StatusNotFound, nil}
}
