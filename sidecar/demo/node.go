package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// startAttempts is how often a node is started with fresh ports when
	// somebody took one of them in the meantime.
	startAttempts = 5
	// startTimeout bounds the wait for a started node's first answer.
	startTimeout = time.Minute
	// tryTimeout bounds one try of it: somebody else may listen there and say
	// nothing.
	tryTimeout = 2 * time.Second
	// pollInterval is the pause between two looks at a node that is waited for.
	pollInterval = 20 * time.Millisecond
)

// An Endpoint is where a node's JSON-RPC server is, and what it takes to be let
// in.
type Endpoint struct {
	// Address is host:port; the server speaks TLS.
	Address string
	// User and Password are the node's full-access credentials.
	User, Password string
	// Certificate is the file that holds the server's own certificate in PEM.
	Certificate string
}

// A NodeConfig says how to start a Node.
type NodeConfig struct {
	// Btcd is the btcd program (see FindBtcd).
	Btcd string
	// Dir is the node's own directory. It is created if need be.
	Dir string
	// Connect lists the peer-to-peer addresses of the nodes to connect to.
	Connect []string
	// Log gets what happens to the node. Nil discards it.
	Log *slog.Logger
}

// A Node is a btcd node on regtest, a child process of this one. Its methods are
// safe for concurrent use, except that only one of Stop, Kill and Restart may
// run at a time and none of the other methods beside Restart.
//
// The node ends with this process, even if that is killed with -9, on Linux and
// FreeBSD. On other systems it ends with Stop or Kill only. Besides Dir, btcd
// creates an empty directory in the user's home (~/.btcd on Linux).
type Node struct {
	// RPC is where and how to call the node. It survives Restart.
	RPC Endpoint
	// Peer is the address at which the node listens for other nodes. It
	// survives Restart.
	Peer string
	// Dir is the node's directory. btcd's log is logs/regtest/btcd.log there.
	Dir string

	btcd    string
	log     *slog.Logger
	client  *client
	process *Process
}

// A Tip is a block and its place in the chain.
type Tip struct {
	Hash   chainhash.Hash
	Height uint32
}

// A ChainTip is the last block of a branch that a node knows.
type ChainTip struct {
	Tip
	// BranchLen is how many blocks the branch has off the best chain.
	BranchLen uint32
	// Status is what the node thinks of the branch, as getchaintips has it.
	Status string
}

// StartNode starts a node with an empty chain and waits until it answers. ctx
// bounds the wait only: the node runs until Stop, Kill, or the end of this
// process.
func StartNode(ctx context.Context, cfg NodeConfig) (*Node, error) {
	n, err := newNode(cfg)
	if err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	for range startAttempts {
		if n.RPC.Address, n.Peer, err = freeAddresses(); err != nil {
			break
		}
		err = n.start(ctx, cfg.Connect)
		if !errors.Is(err, errAddressTaken) {
			break
		}
		n.log.Debug("an address was taken, trying others", "error", err)
	}
	if err != nil {
		return nil, fmt.Errorf("start a node in %s: %w", n.Dir, err)
	}
	return n, nil
}

// newNode returns a node without addresses that was never started, and creates
// its directory.
func newNode(cfg NodeConfig) (*Node, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	n := &Node{
		RPC: Endpoint{
			User: randomHex(), Password: randomHex(),
			Certificate: filepath.Join(dir, "rpc.cert"),
		},
		Dir: dir, btcd: cfg.Btcd, log: cfg.Log,
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	return n, nil
}

// Restart starts the node again, with the same addresses, credentials and
// certificate, connected to the peers at connect; it stops it first if it runs.
//
// btcd throws a regtest chain away when it starts: the node is at the genesis
// block until it has fetched the chain from its peers again.
func (n *Node) Restart(ctx context.Context, connect []string) error {
	if err := n.Stop(ctx); err != nil {
		n.log.Warn("the node did not stop in order", "error", err)
	}
	if err := n.start(ctx, connect); err != nil {
		return fmt.Errorf("restart the node in %s: %w", n.Dir, err)
	}
	return nil
}

// Stop shuts the node down in order and waits for its end. When ctx ends, or
// after 20 seconds, it kills the node, and says so. It does nothing to a node
// that has ended.
func (n *Node) Stop(ctx context.Context) error {
	return n.process.Stop(ctx)
}

// Kill ends the node at once, as a crash would, and waits for its end.
func (n *Node) Kill() { n.process.Kill() }

// Running reports whether the node's process has not ended.
func (n *Node) Running() bool { return n.process.Running() }

// PID returns the id of the node's process, which may have ended.
func (n *Node) PID() int { return n.process.cmd.Process.Pid }

// errAddressTaken says that btcd could not listen where it was told to.
var errAddressTaken = errors.New("btcd could not listen at its addresses")

// start starts the process and waits until it answers.
func (n *Node) start(ctx context.Context, connect []string) error {
	conf := filepath.Join(n.Dir, "btcd.conf")
	if err := writePrivate(conf, n.config(connect)); err != nil {
		return err
	}
	output, err := os.Create(filepath.Join(n.Dir, "output.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	cmd := exec.Command(n.btcd, "--configfile="+conf)
	cmd.Dir = n.Dir
	cmd.Stderr = output
	p, err := StartProcess(cmd)
	if err != nil {
		return err
	}
	n.process = p
	if err := n.waitReady(ctx); err != nil {
		p.Kill()
		return err
	}
	n.log.Debug("node started", "rpc", n.RPC.Address, "peer", n.Peer, "pid", n.PID())
	return nil
}

// config returns the node's configuration file. The network is named there and
// not on the command line, because btcd ignores peers from a file when the
// command line says regtest.
func (n *Node) config(connect []string) string {
	lines := []string{
		"[Application Options]",
		"regtest=1",
		"datadir=" + filepath.Join(n.Dir, "data"),
		"logdir=" + filepath.Join(n.Dir, "logs"),
		"listen=" + n.Peer,
		"rpclisten=" + n.RPC.Address,
		"rpcuser=" + n.RPC.User,
		"rpcpass=" + n.RPC.Password,
		"rpccert=" + n.RPC.Certificate,
		"rpckey=" + filepath.Join(n.Dir, "rpc.key"),
		"txindex=1",
		"nodnsseed=1",
		"norelaypriority=1",
		// What main would not relay is not relayed here.
		"rejectnonstd=1",
		// The default of ten seconds is for privacy.
		"trickleinterval=100ms",
		// Blocks that follow each other fast look like misbehaviour, and a
		// peer that has nothing to say looks stalled.
		"nobanning=1",
		"nostalldetect=1",
	}
	for _, peer := range connect {
		lines = append(lines, "connect="+peer)
	}
	return strings.Join(lines, "\n") + "\n"
}

// waitReady waits until the node answers.
func (n *Node) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("btcd did not answer within %v", startTimeout))
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := n.ready(ctx)
		if err == nil {
			return nil
		}
		if !n.Running() {
			return n.startError()
		}
		select {
		case <-n.process.done:
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// ready asks the node for its best block.
func (n *Node) ready(ctx context.Context) error {
	c, err := newClient(n.RPC)
	if err != nil {
		return err
	}
	n.client = c
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	_, err = n.BestBlock(ctx)
	return err
}

// startError says why a process that ended during its start did so.
func (n *Node) startError() error {
	log := tail(filepath.Join(n.Dir, "logs", "regtest", "btcd.log"))
	text := strings.TrimSpace(tail(filepath.Join(n.Dir, "output.log")) + log)
	if strings.Contains(log, "Can't listen on") {
		return fmt.Errorf("%w: %s", errAddressTaken, text)
	}
	return fmt.Errorf("btcd ended (%w): %s", n.process.err, text)
}

// BestBlock returns the tip of the node's best chain.
func (n *Node) BestBlock(ctx context.Context) (Tip, error) {
	var r struct {
		Hash   string
		Height uint32
	}
	if err := n.client.call(ctx, &r, "getbestblock"); err != nil {
		return Tip{}, err
	}
	hash, err := parseHash(r.Hash)
	return Tip{Hash: hash, Height: r.Height}, err
}

// BlockHash returns the hash of the block at height in the best chain.
func (n *Node) BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error) {
	var r string
	if err := n.client.call(ctx, &r, "getblockhash", height); err != nil {
		return chainhash.Hash{}, err
	}
	return parseHash(r)
}

// Describe has the node decode a whole block and print it, and forgets the answer but for
// its length: work that takes the node a processor for a while.
func (n *Node) Describe(ctx context.Context, hash chainhash.Hash) (printed int, err error) {
	var block json.RawMessage
	err = n.client.call(ctx, &block, "getblock", hash.String(), 2)
	return len(block), err
}

// ChainTips returns the tips of all the branches that the node knows.
func (n *Node) ChainTips(ctx context.Context) ([]ChainTip, error) {
	var rs []struct {
		Hash      string
		Height    uint32
		BranchLen uint32
		Status    string
	}
	if err := n.client.call(ctx, &rs, "getchaintips"); err != nil {
		return nil, err
	}
	tips := make([]ChainTip, len(rs))
	for i, r := range rs {
		hash, err := parseHash(r.Hash)
		if err != nil {
			return nil, err
		}
		tips[i] = ChainTip{Tip{hash, r.Height}, r.BranchLen, r.Status}
	}
	return tips, nil
}

// Mempool returns the ids of the transactions in the node's mempool, sorted by
// their bytes.
func (n *Node) Mempool(ctx context.Context) ([]chainhash.Hash, error) {
	var rs []string
	if err := n.client.call(ctx, &rs, "getrawmempool"); err != nil {
		return nil, err
	}
	ids := make([]chainhash.Hash, len(rs))
	for i, r := range rs {
		var err error
		if ids[i], err = parseHash(r); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(ids, compareHashes)
	return ids, nil
}

// Peers returns how many nodes the node is connected to.
func (n *Node) Peers(ctx context.Context) (int, error) {
	var count int
	err := n.client.call(ctx, &count, "getconnectioncount")
	return count, err
}

// Send hands transactions to the node's mempool, in order, and returns what the
// node said against each: nil if it took it.
func (n *Node) Send(ctx context.Context, txs ...*wire.MsgTx) ([]error, error) {
	params := make([]any, len(txs))
	for i, tx := range txs {
		raw, err := serialize(tx.Serialize)
		if err != nil {
			return nil, err
		}
		params[i] = hex.EncodeToString(raw)
	}
	return n.client.callEach(ctx, "sendrawtransaction", params)
}

// A RejectedError says that a node refused a block.
type RejectedError struct {
	Block Tip
	// Reason is what the node said.
	Reason string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("block %d %v: %s", e.Block.Height, e.Block.Hash, e.Reason)
}

// Submit hands a block to the node. It returns a *RejectedError if the node
// refuses it; btcd refuses a block that it has, too.
func (n *Node) Submit(ctx context.Context, b *Block) error {
	var reason *string
	if err := n.client.call(ctx, &reason, "submitblock", hex.EncodeToString(b.Raw())); err != nil {
		return err
	}
	if reason != nil {
		return &RejectedError{Block: b.Tip, Reason: *reason}
	}
	return nil
}

// Invalidate makes the node treat a block as invalid: it leaves the best chain
// with everything above it.
func (n *Node) Invalidate(ctx context.Context, hash chainhash.Hash) error {
	return n.client.call(ctx, nil, "invalidateblock", hash.String())
}

// Reconsider takes Invalidate back.
func (n *Node) Reconsider(ctx context.Context, hash chainhash.Hash) error {
	return n.client.call(ctx, nil, "reconsiderblock", hash.String())
}

// freeAddresses returns two loopback addresses that nobody listens at. Somebody
// may take them before they are used.
func freeAddresses() (rpc, peer string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}

// writePrivate writes a file that only its owner can read.
func writePrivate(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// tail returns the end of a file, or nothing if it cannot be read.
func tail(path string) string {
	const size = 2048
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-size):])
}

// randomHex returns 32 random bytes in hex.
func randomHex() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func parseHash(s string) (chainhash.Hash, error) {
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("decode a hash: %w", err)
	}
	return *h, nil
}
