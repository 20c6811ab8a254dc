package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// RealCoreProgram returns the bitcoind that BITCOIND names; unchecked says what
// is not checked without one. Since nobody but the operator can bring one, its
// absence is not a failure under CI=true.
func RealCoreProgram(tb testing.TB, unchecked string) string {
	tb.Helper()
	path := os.Getenv("BITCOIND")
	if path == "" {
		tb.Skipf("BITCOIND does not name a bitcoind: not checked: %s", unchecked)
	}
	if _, err := exec.LookPath(path); err != nil {
		tb.Fatalf("BITCOIND: %v", err)
	}
	return path
}

// A RealCore is a bitcoind process with a wallet, in folders of its own, that
// speaks to loopback only. It is on regtest, or on signet if its arguments say
// -signet.
type RealCore struct {
	tb        testing.TB
	program   string
	dir       string
	chain     string
	rpc, p2p  string // hosts and ports
	arguments []string
	cmd       *exec.Cmd
	exited    chan struct{} // closed when the process is gone
	client    http.Client
	address   string
}

// NewRealCore starts a bitcoind with these arguments beside what keeps it to
// itself, waits until it answers, and stops it when the test ends.
func NewRealCore(tb testing.TB, program string, arguments ...string) *RealCore {
	tb.Helper()
	c := &RealCore{
		tb: tb, program: program, dir: tb.TempDir(), rpc: freeAddr(tb), p2p: freeAddr(tb), arguments: arguments,
		client: http.Client{Timeout: time.Minute}, chain: "regtest",
	}
	if slices.Contains(arguments, "-signet") {
		c.chain = "signet"
	}
	c.Start()
	tb.Cleanup(func() {
		c.stop(os.Interrupt)
		c.client.CloseIdleConnections()
	})
	c.Call(nil, "createwallet", "w")
	c.Call(&c.address, "getnewaddress")
	return c
}

// FreeZMQ returns an address for a notifier.
func FreeZMQ(tb testing.TB) string { return "tcp://" + freeAddr(tb) }

// Addr returns the host and port of the RPC server.
func (c *RealCore) Addr() string { return c.rpc }

// P2P returns the host and port for peers.
func (c *RealCore) P2P() string { return c.p2p }

// CookieFile returns the path of the cookie.
func (c *RealCore) CookieFile() string { return filepath.Join(c.dir, c.chain, ".cookie") }

// BlocksDir returns the directory of block and undo files.
func (c *RealCore) BlocksDir() string { return filepath.Join(c.dir, c.chain, "blocks") }

// Datadir returns the data directory.
func (c *RealCore) Datadir() string { return c.dir }

// Start starts the process and waits until it answers.
func (c *RealCore) Start() {
	c.tb.Helper()
	_, rpcPort, _ := strings.Cut(c.rpc, ":")
	_, port, _ := strings.Cut(c.p2p, ":")
	c.cmd = exec.Command(c.program, append([]string{
		"-" + c.chain, "-datadir=" + c.dir, "-server=1", "-listen=1", "-bind=127.0.0.1:" + port,
		"-rpcport=" + rpcPort, "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-port=" + port,
		"-fallbackfee=0.0001", "-dnsseed=0", "-fixedseeds=0", "-discover=0", "-natpmp=0", "-listenonion=0",
		"-printtoconsole=0", "-dbcache=16", "-maxmempool=50",
	}, c.arguments...)...)
	var output bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &output, &output
	if err := c.cmd.Start(); err != nil {
		c.tb.Fatalf("start bitcoind: %v", err)
	}
	c.exited = make(chan struct{})
	go func() {
		defer close(c.exited)
		c.cmd.Wait() // how it ended is in the output
	}()
	deadline := time.After(time.Minute)
	for {
		select {
		case <-c.exited:
			c.tb.Fatalf("bitcoind ended at its start:\n%s", &output)
		case <-deadline:
			c.tb.Fatal("bitcoind does not answer")
		case <-time.After(50 * time.Millisecond):
		}
		if c.call(nil, "getbestblockhash") == nil {
			break
		}
	}
	if c.address != "" {
		c.Call(nil, "loadwallet", "w")
	}
}

// Kill ends the process at once, as a power cut does; Stop in an orderly way.
func (c *RealCore) Kill() { c.stop(os.Kill) }

// Stop ends the process in an orderly way.
func (c *RealCore) Stop() { c.stop(os.Interrupt) }

func (c *RealCore) stop(signal os.Signal) {
	select {
	case <-c.exited:
		return
	default:
	}
	c.cmd.Process.Signal(signal)
	select {
	case <-c.exited:
	case <-time.After(time.Minute):
		c.cmd.Process.Kill()
		<-c.exited
	}
}

// Call calls a method and decodes its result into v, unless that is nil.
func (c *RealCore) Call(v any, method string, params ...any) {
	c.tb.Helper()
	if err := c.call(v, method, params...); err != nil {
		c.tb.Fatalf("bitcoind: %s: %v", method, err)
	}
}

// Refuses calls a method that is to fail, and returns how it did.
func (c *RealCore) Refuses(method string, params ...any) error {
	c.tb.Helper()
	err := c.call(nil, method, params...)
	if err == nil {
		c.tb.Fatalf("bitcoind: %s: it did not fail", method)
	}
	return err
}

func (c *RealCore) call(v any, method string, params ...any) error {
	cookie, err := os.ReadFile(c.CookieFile())
	if err != nil {
		return err
	}
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	// The context is not the test's: that has ended when things are cleaned up.
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+c.rpc+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	user, password, _ := strings.Cut(string(cookie), ":")
	req.SetBasicAuth(user, password)
	req.Close = true
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var a struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("HTTP status %d: %.200q", resp.StatusCode, raw)
	}
	if a.Error != nil {
		return errors.New(a.Error.Message)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(a.Result, v)
}

// Mine mines n blocks to the wallet and returns their hashes.
func (c *RealCore) Mine(n int) (hashes []chainhash.Hash) {
	c.tb.Helper()
	var list []string
	c.Call(&list, "generatetoaddress", n, c.address)
	for _, s := range list {
		hashes = append(hashes, c.hash(s))
	}
	return hashes
}

func (c *RealCore) hash(s string) chainhash.Hash {
	c.tb.Helper()
	hash, err := chainhash.NewHashFromStr(s)
	if err != nil {
		c.tb.Fatalf("bitcoind: %v", err)
	}
	return *hash
}

// Send pays amount bitcoins to an address of the wallet of that type, and
// returns the transaction's id.
func (c *RealCore) Send(kind string, amount float64) string {
	c.tb.Helper()
	var to, txid string
	c.Call(&to, "getnewaddress", "", kind)
	c.Call(&txid, "sendtoaddress", to, amount)
	return txid
}

// Spendable mines n coins that anyone can spend and returns transactions, each of
// which spends one of them, carries so many bytes of data, and is ready to be
// submitted.
func (c *RealCore) Spendable(n, data int) []*wire.MsgTx {
	c.tb.Helper()
	program := sha256.Sum256(anyoneCanSpend[:])
	to, err := address.NewAddressWitnessScriptHash(program[:], &chaincfg.RegressionNetParams)
	if err != nil {
		c.tb.Fatalf("bitcoind: %v", err)
	}
	var hashes []string
	c.Call(&hashes, "generatetoaddress", 1, to.EncodeAddress())
	c.Mine(coinbaseMaturity)
	var raw string
	c.Call(&raw, "getblock", hashes[0], 0)
	var msg wire.MsgBlock
	if err := msg.Deserialize(hex.NewDecoder(strings.NewReader(raw))); err != nil {
		c.tb.Fatalf("bitcoind: block %s: %v", hashes[0], err)
	}
	fan := wire.NewMsgTx(2)
	fan.AddTxIn(wire.NewTxIn(wire.NewOutPoint(new(msg.Transactions[0].TxHash()), 0), nil, wire.TxWitness{anyoneCanSpend[:]}))
	each := (msg.Transactions[0].TxOut[0].Value - int64(100*n)) / int64(n)
	for range n {
		fan.AddTxOut(wire.NewTxOut(each, coinScript()))
	}
	c.Submit(fan)
	c.Mine(1)
	txid := fan.TxHash()
	txs := make([]*wire.MsgTx, n)
	for i := range txs {
		txs[i] = spend(coin{wire.OutPoint{Hash: txid, Index: uint32(i)}, each})
		carrier, err := txscript.NewScriptBuilder().AddOp(txscript.OP_RETURN).AddData(make([]byte, data)).Script()
		if err != nil {
			c.tb.Fatalf("bitcoind: %v", err)
		}
		txs[i].AddTxOut(wire.NewTxOut(0, carrier))
	}
	return txs
}

// Submit sends a transaction.
func (c *RealCore) Submit(tx *wire.MsgTx) {
	c.tb.Helper()
	c.Call(nil, "sendrawtransaction", hex.EncodeToString(serializeTx(tx)))
}

// Connect makes a peer of another node, and Disconnect ends that.
func (c *RealCore) Connect(to *RealCore) {
	c.tb.Helper()
	c.Call(nil, "addnode", to.P2P(), "onetry")
}

// Disconnect ends the connection that Connect made.
func (c *RealCore) Disconnect(from *RealCore) {
	c.tb.Helper()
	c.Call(nil, "disconnectnode", from.P2P())
}

// Chain returns the hashes of the best chain, the genesis block's first.
func (c *RealCore) Chain() (hashes []chainhash.Hash) {
	c.tb.Helper()
	var n int
	c.Call(&n, "getblockcount")
	for height := range n + 1 {
		var s string
		c.Call(&s, "getblockhash", height)
		hashes = append(hashes, c.hash(s))
	}
	return hashes
}

// Mempool returns the ids of the mempool's transactions.
func (c *RealCore) Mempool() map[chainhash.Hash][]byte {
	c.tb.Helper()
	var list []string
	c.Call(&list, "getrawmempool")
	pool := make(map[chainhash.Hash][]byte, len(list))
	for _, s := range list {
		pool[c.hash(s)] = nil
	}
	return pool
}

// SubmitInvalid submits a block on top of the best one that pays its miner a
// satoshi too much, and returns its hash.
func (c *RealCore) SubmitInvalid() chainhash.Hash {
	c.tb.Helper()
	var best, raw string
	var height int32
	c.Call(&best, "getbestblockhash")
	c.Call(&height, "getblockcount")
	c.Call(&raw, "getblock", best, 0)
	var msg wire.MsgBlock
	if err := msg.Deserialize(hex.NewDecoder(strings.NewReader(raw))); err != nil {
		c.tb.Fatalf("bitcoind: block %s: %v", best, err)
	}
	blk := mine(&block{msg: &msg, hash: msg.BlockHash(), height: height}, nil, 1, 1)
	var why string
	c.Call(&why, "submitblock", hex.EncodeToString(blk.raw))
	if why != "bad-cb-amount" {
		c.tb.Fatalf("bitcoind: submitblock: %q", why)
	}
	return blk.hash
}
