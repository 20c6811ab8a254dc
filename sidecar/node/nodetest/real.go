package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// BuildRealBtcd builds btcd, in the version that the module asks for, and
// returns the path of the program, which the end of the test removes.
func BuildRealBtcd(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "btcd")
	out, err := exec.CommandContext(tb.Context(), "go", "build", "-o", path, "github.com/btcsuite/btcd").CombinedOutput()
	if err != nil {
		tb.Fatalf("build btcd: %v\n%s", err, out)
	}
	return path
}

// The credentials of a RealBtcd's limited user; those of its full user are User
// and Password.
const (
	LimitedUser     = "limited"
	LimitedPassword = "limited password"
)

// A RealBtcd is a btcd process on regtest, with a transaction index, folders of
// its own and nobody to talk to. Its blocks pay to anyone. On regtest btcd
// begins with the genesis block at every start: it deletes what it had.
type RealBtcd struct {
	tb      testing.TB
	program string
	dir     string
	rpc     string // the RPC server's host and port
	p2p     string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone
}

// NewRealBtcd starts the program that BuildRealBtcd built, waits until it
// answers, and stops it when the test ends.
func NewRealBtcd(tb testing.TB, program string) *RealBtcd {
	tb.Helper()
	b := &RealBtcd{tb: tb, program: program, dir: tb.TempDir(), rpc: freeAddr(tb), p2p: freeAddr(tb)}
	b.Start()
	tb.Cleanup(func() { b.stop(os.Kill) })
	return b
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Addr returns the host and port of the RPC server.
func (b *RealBtcd) Addr() string { return b.rpc }

// Certificate returns the RPC server's certificate in PEM.
func (b *RealBtcd) Certificate() []byte {
	b.tb.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "rpc.cert"))
	if err != nil {
		b.tb.Fatalf("btcd's certificate: %v", err)
	}
	return data
}

// Start starts the process.
func (b *RealBtcd) Start() {
	b.tb.Helper()
	program := sha256.Sum256(anyoneCanSpend[:])
	payTo, err := address.NewAddressWitnessScriptHash(program[:], &chaincfg.RegressionNetParams)
	if err != nil {
		b.tb.Fatalf("mining address: %v", err)
	}
	b.cmd = exec.Command(b.program, "--regtest", "--txindex", "--nodnsseed", "--utxocachemaxsize=16",
		"--configfile="+filepath.Join(b.dir, "none.conf"),
		"--datadir="+filepath.Join(b.dir, "data"), "--logdir="+filepath.Join(b.dir, "logs"),
		"--rpccert="+filepath.Join(b.dir, "rpc.cert"), "--rpckey="+filepath.Join(b.dir, "rpc.key"),
		"--rpcuser="+User, "--rpcpass="+Password,
		"--rpclimituser="+LimitedUser, "--rpclimitpass="+LimitedPassword, "--rpclisten="+b.rpc, "--listen="+b.p2p,
		"--miningaddr="+payTo.EncodeAddress(),
	)
	var output bytes.Buffer
	b.cmd.Stdout, b.cmd.Stderr = &output, &output
	if err := b.cmd.Start(); err != nil {
		b.tb.Fatalf("start btcd: %v", err)
	}
	b.exited = make(chan struct{})
	go func() {
		defer close(b.exited)
		b.cmd.Wait() // how it ended is in the output
	}()
	deadline := time.After(time.Minute)
	for {
		select {
		case <-b.exited:
			b.tb.Fatalf("btcd ended at its start:\n%s", &output)
		case <-deadline:
			b.tb.Fatal("btcd does not answer")
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := b.post([]byte(`{"jsonrpc":"1.0","id":1,"method":"getbestblock","params":[]}`)); err == nil {
			return
		}
	}
}

// Stop ends the process in an orderly way, Kill as a power cut does.
func (b *RealBtcd) Stop() { b.stop(os.Interrupt) }

// Kill ends the process at once.
func (b *RealBtcd) Kill() { b.stop(os.Kill) }

func (b *RealBtcd) stop(sig os.Signal) {
	if err := b.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.tb.Errorf("stop btcd: %v", err)
	}
	select {
	case <-b.exited:
	case <-time.After(time.Minute):
		b.tb.Errorf("btcd does not stop")
		b.cmd.Process.Kill()
		<-b.exited
	}
}

// post sends a request as it is and returns the answer as it came.
func (b *RealBtcd) post(body []byte) ([]byte, error) {
	cert, err := os.ReadFile(filepath.Join(b.dir, "rpc.cert"))
	if err != nil {
		return nil, err
	}
	return post(b.rpc, cert, body)
}

// post sends a request to the RPC server of a real btcd or of a fake.
func post(addr string, cert, body []byte) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust(cert), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+addr, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(User, Password)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}

func trust(cert []byte) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Call calls a method and decodes its result into v, unless v is nil.
func (b *RealBtcd) Call(v any, method string, params ...any) {
	b.tb.Helper()
	if refusal := b.Try(v, method, params...); refusal != "" {
		b.tb.Fatalf("%s: %s", method, refusal)
	}
}

// Try is Call for a method that the node may answer with an error, which it
// returns.
func (b *RealBtcd) Try(v any, method string, params ...any) (refusal string) {
	b.tb.Helper()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		b.tb.Fatalf("%s: %v", method, err)
	}
	data, err := b.post(body)
	if err != nil {
		b.tb.Fatalf("%s: %v", method, err)
	}
	var a struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &a); err != nil {
		b.tb.Fatalf("%s: %v", method, err)
	}
	if string(a.Error) != "null" {
		return string(a.Error)
	}
	if v == nil {
		return ""
	}
	if err := json.Unmarshal(a.Result, v); err != nil {
		b.tb.Fatalf("%s: %v", method, err)
	}
	return ""
}

// Mine adds n blocks to the best chain and returns their hashes.
func (b *RealBtcd) Mine(n int) []chainhash.Hash {
	b.tb.Helper()
	var hashes []string
	b.Call(&hashes, "generate", n)
	parsed := make([]chainhash.Hash, len(hashes))
	for i, s := range hashes {
		if err := chainhash.Decode(&parsed[i], s); err != nil {
			b.tb.Fatalf("generate: %v", err)
		}
	}
	return parsed
}

// Spend sends a transaction that spends the coinbase of the block at height,
// and returns it. The coinbase must be mature, and unspent.
func (b *RealBtcd) Spend(height int) *wire.MsgTx {
	b.tb.Helper()
	var hash, raw string
	b.Call(&hash, "getblockhash", height)
	b.Call(&raw, "getblock", hash, 0)
	var msg wire.MsgBlock
	if err := msg.Deserialize(hex.NewDecoder(bytes.NewReader([]byte(raw)))); err != nil {
		b.tb.Fatalf("getblock: %v", err)
	}
	from := msg.Transactions[0]
	tx := spend(coin{wire.OutPoint{Hash: from.TxHash()}, from.TxOut[0].Value})
	b.Call(nil, "sendrawtransaction", hex.EncodeToString(serializeTx(tx)))
	return tx
}

// Reorg invalidates the top depth blocks of the best chain and mines length
// others in their place.
func (b *RealBtcd) Reorg(depth, length int) []chainhash.Hash {
	b.tb.Helper()
	var height int
	b.Call(&height, "getblockcount")
	var hash string
	b.Call(&hash, "getblockhash", height-depth+1)
	b.Call(nil, "invalidateblock", hash)
	return b.Mine(length)
}
