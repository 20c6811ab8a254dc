package bench

import (
	"bytes"
	"context"
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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outrider-project/outrider/sidecar/demo"
)

const (
	// coreStarts is how often a bitcoind is started anew with other ports when it
	// ends at its start: somebody may have taken one in the meantime.
	coreStarts = 3
	// coreReady bounds the wait for its first answer.
	coreReady = time.Minute
	// coreCall bounds one call or batch.
	coreCall = 2 * time.Minute
	// coreAnswer bounds an answer: getrawmempool tells 68 bytes of each
	// transaction.
	coreAnswer = 64 << 20
	// coreBatch is how many transactions one batch carries, coreSenders how many
	// batches are under way: bitcoind takes those of a batch one after the other,
	// and waits after each of them until its other threads have heard of it.
	coreBatch   = 50
	coreSenders = 8
)

// A coreNode is a bitcoind on regtest without peers and wallet, that listens on
// loopback only. It keeps its directory from start to start. It ends with this
// process where the system can do that (see demo.StartProcess).
type coreNode struct {
	program, dir string
	rpc          string // host and port, of the last start
	process      *demo.Process
	output       bytes.Buffer // read when the process has ended
	http         http.Client
}

// cookie returns the path of the file with user and password.
func (n *coreNode) cookie() string { return filepath.Join(n.dir, "regtest", ".cookie") }

// A coreSetup is what a coreNode can be started with in another way. The zero value
// has REST, and the topics sequence and rawtx, each at an address of its own; with
// oneSocket both are at one Unix socket (bitcoind 28), which holds less than a TCP
// connection. Their high-water mark is the default in any case.
type coreSetup struct{ noREST, oneSocket bool }

// start starts the process and waits until it answers.
func (n *coreNode) start(ctx context.Context, setup coreSetup) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	var err error
	for range coreStarts {
		if err = n.startOnce(ctx, setup); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("start %s: %w", n.program, err)
}

func (n *coreNode) startOnce(ctx context.Context, setup coreSetup) error {
	free, err := freeAddresses(3)
	if err != nil {
		return err
	}
	n.rpc = free[0]
	sequence, rawTx, rest := "tcp://"+free[1], "tcp://"+free[2], 1
	if setup.oneSocket {
		sequence = "unix:" + filepath.Join(n.dir, "zmq")
		rawTx = sequence
	}
	if setup.noREST {
		rest = 0
	}
	_, port, _ := strings.Cut(n.rpc, ":")
	arguments := []string{
		"-regtest", "-datadir=" + n.dir, "-server=1", "-listen=0", "-connect=0", "-dnsseed=0", "-natpmp=0", "-disablewallet=1",
		"-checkmempool=0", "-checkblockindex=0", // as on mainnet
		"-rpcport=" + port, "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-printtoconsole=0",
		"-zmqpubsequence=" + sequence, "-zmqpubrawtx=" + rawTx, fmt.Sprintf("-rest=%d", rest),
	}
	cmd := exec.Command(n.program, arguments...)
	n.output.Reset()
	cmd.Stdout, cmd.Stderr = &n.output, &n.output
	if n.process, err = demo.StartProcess(cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, coreReady, fmt.Errorf("it does not answer within %v", coreReady))
	defer cancel()
	for {
		err := n.call(ctx, nil, "getblockcount")
		if err == nil {
			return nil
		}
		select {
		case <-n.process.Done():
			return fmt.Errorf("it ended at its start: %s", bytes.TrimSpace(n.output.Bytes()))
		case <-ctx.Done():
			n.process.Kill()
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// restart stops the process and starts it anew.
func (n *coreNode) restart(ctx context.Context, setup coreSetup) error {
	if err := n.stop(ctx); err != nil {
		return err
	}
	return n.start(ctx, setup)
}

// freeAddresses returns loopback addresses that nobody listens at. Somebody may
// take them before they are used.
func freeAddresses(count int) ([]string, error) {
	addresses := make([]string, count)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // with the others, so that all are different
		addresses[i] = l.Addr().String()
	}
	return addresses, nil
}

// stop ends the process in an orderly way, in any case, and waits for it.
func (n *coreNode) stop(ctx context.Context) error {
	n.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return n.process.Stop(ctx)
}

// A coreRequest is a call on the wire.
type coreRequest struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// A coreResponse is the answer to one.
type coreResponse struct {
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// into decodes the result into v, unless that is nil, or returns the node's error.
func (r *coreResponse) into(v any) error {
	switch {
	case r.Error != nil:
		return fmt.Errorf("%s (%d)", r.Error.Message, r.Error.Code)
	case v == nil:
		return nil
	}
	return json.Unmarshal(r.Result, v)
}

// call calls a method and decodes its result into v, unless that is nil.
func (n *coreNode) call(ctx context.Context, v any, method string, params ...any) error {
	var answer coreResponse
	err := n.post(ctx, newCoreRequest(0, method, params), &answer)
	if err == nil {
		err = answer.into(v)
	}
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	return nil
}

func newCoreRequest(id int, method string, params []any) coreRequest {
	if params == nil {
		params = []any{}
	}
	return coreRequest{Version: "1.0", ID: id, Method: method, Params: params}
}

// post sends a request, or a batch of them, and decodes the answer into v.
func (n *coreNode) post(ctx context.Context, request, v any) error {
	ctx, cancel := context.WithTimeout(ctx, coreCall)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	cookie, err := os.ReadFile(n.cookie())
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.rpc+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	user, password, _ := strings.Cut(string(cookie), ":")
	req.SetBasicAuth(user, password)
	req.Close = true // a call on a kept connection may wait for 50 ms
	resp, err := n.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, coreAnswer))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("HTTP status %s: %.200q", resp.Status, raw)
	}
	return nil
}

// send has the node take transactions that do not depend on one another into its
// mempool.
func (n *coreNode) send(ctx context.Context, txs []*demo.Tx) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan []*demo.Tx)
	var senders sync.WaitGroup
	for range coreSenders {
		senders.Go(func() {
			for batch := range batches {
				if err := n.sendBatch(ctx, batch); err != nil {
					cancel(err)
				}
			}
		})
	}
	for batch := range slices.Chunk(txs, coreBatch) {
		batches <- batch
	}
	close(batches)
	senders.Wait()
	return context.Cause(ctx)
}

func (n *coreNode) sendBatch(ctx context.Context, txs []*demo.Tx) error {
	batch := make([]coreRequest, len(txs))
	for i, tx := range txs {
		var raw bytes.Buffer
		if err := tx.Msg.Serialize(&raw); err != nil {
			return err
		}
		batch[i] = newCoreRequest(i, "sendrawtransaction", []any{hex.EncodeToString(raw.Bytes())})
	}
	var answers []coreResponse
	if err := n.post(ctx, batch, &answers); err != nil {
		return fmt.Errorf("call sendrawtransaction: %w", err)
	}
	if len(answers) != len(txs) {
		return fmt.Errorf("call sendrawtransaction: %d answers for %d transactions", len(answers), len(txs))
	}
	for i := range answers {
		if err := answers[i].into(nil); err != nil {
			return fmt.Errorf("transaction %s: %w", txs[i].Hash, err)
		}
	}
	return nil
}

// submit has the node connect a block, and measures that: from the call to the
// answer, with the block's hexadecimal digits ready to be sent.
func (n *coreNode) submit(ctx context.Context, b *demo.Block) (time.Duration, error) {
	digits := hex.EncodeToString(b.Raw())
	var refusal *string
	start := time.Now()
	err := n.call(ctx, &refusal, "submitblock", digits)
	took := time.Since(start)
	if err == nil && refusal != nil {
		err = errors.New("the node refused it: " + *refusal)
	}
	if err != nil {
		return 0, fmt.Errorf("block %d: %w", b.Height, err)
	}
	return took, nil
}
