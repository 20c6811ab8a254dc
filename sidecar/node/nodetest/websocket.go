package nodetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/coder/websocket"
)

// A wsClient is a connected websocket client.
type wsClient struct {
	// blocks and txs say what it subscribed to; Btcd.mu guards them.
	blocks, txs, verbose bool

	mu      sync.Mutex // guards pending
	pending [][]byte   // unbounded, as btcd's is
	wake    chan struct{}
}

// queue appends a message to those to be sent.
func (c *wsClient) queue(msg []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, msg)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *wsClient) take() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	msgs := c.pending
	c.pending = nil
	return msgs
}

// serveWebsocket serves one client until its connection breaks. Like btcd it
// lets a client without credentials in, and cuts it off at its first command.
func (b *Btcd) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	if !b.enter() {
		return
	}
	defer b.done.Done()
	ok, none := authorized(r)
	if !ok && !none {
		unauthorized(w)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	client := &wsClient{wake: make(chan struct{}, 1)}
	b.mu.Lock()
	b.clients[client] = true
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { client.write(ctx, conn) })
	if ok {
		b.readCommands(ctx, conn, client)
	}
	cancel()
	writer.Wait()
	b.mu.Lock()
	delete(b.clients, client)
	b.subscriptionChanged()
	b.mu.Unlock()
}

// write sends what is queued until ctx ends or the connection breaks.
func (c *wsClient) write(ctx context.Context, conn *websocket.Conn) {
	for {
		for _, msg := range c.take() {
			if conn.Write(ctx, websocket.MessageText, msg) != nil {
				conn.CloseNow()
				return
			}
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
	}
}

// readCommands runs the client's commands until the connection breaks.
func (b *Btcd) readCommands(ctx context.Context, conn *websocket.Conn, client *wsClient) {
	for {
		_, msg, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var req btcjson.Request
		if err := json.Unmarshal(msg, &req); err != nil {
			client.queue(reply(btcjson.RpcVersion1, nil, nil,
				btcjson.NewRPCError(btcjson.ErrRPCParse.Code, "Failed to parse request: "+err.Error())))
			continue
		}
		if a := b.replyWebsocket(&req, client); a != nil {
			client.queue(a)
		}
	}
}

// replyWebsocket runs one command: a subscription, or what HTTP has too.
func (b *Btcd) replyWebsocket(req *btcjson.Request, client *wsClient) []byte {
	if req.Method != "notifyblocks" && req.Method != "notifynewtransactions" || req.ID == nil {
		return b.reply(req)
	}
	cmd, err := btcjson.UnmarshalCmd(req)
	if err != nil {
		return reply(req.Jsonrpc, req.ID, nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParams.Code, err.Error()))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[req.Method]++
	switch c := cmd.(type) {
	case *btcjson.NotifyBlocksCmd:
		client.blocks = true
	case *btcjson.NotifyNewTransactionsCmd:
		client.txs, client.verbose = true, c.Verbose != nil && *c.Verbose
	}
	b.subscriptionChanged()
	return reply(req.Jsonrpc, req.ID, nil, nil)
}

// subscriptionChanged wakes those who wait for subscribers.
func (b *Btcd) subscriptionChanged() {
	close(b.subscribed)
	b.subscribed = make(chan struct{})
}

// notification marshals a notification as btcd does.
func notification(method string, params ...any) []byte {
	request, err := btcjson.NewRequest(btcjson.RpcVersion1, nil, method, params)
	if err != nil {
		panic(fmt.Sprintf("nodetest: make a notification: %v", err))
	}
	msg, err := json.Marshal(request)
	if err != nil {
		panic(fmt.Sprintf("nodetest: marshal a notification: %v", err))
	}
	return msg
}

// notifyBlock tells the subscribers that blk joined or left the best chain, in
// the two ways that btcd does.
func (b *Btcd) notifyBlock(blk *block, connected bool) {
	light, filtered := "blockdisconnected", notification("filteredblockdisconnected", blk.height, headerHex(blk))
	if connected {
		light = "blockconnected"
		filtered = notification("filteredblockconnected", blk.height, headerHex(blk), []string(nil))
	}
	when := blk.msg.Header.Timestamp.Unix()
	for c := range b.clients {
		if c.blocks {
			c.queue(notification(light, blk.hash.String(), blk.height, when))
			c.queue(filtered)
		}
	}
}

// connected implements steps.
func (b *Btcd) connected(blk *block, _ int, _ []chainhash.Hash) { b.notifyBlock(blk, true) }

// disconnected implements steps. As btcd does, it tells nobody of the
// transactions that are in the mempool again.
func (b *Btcd) disconnected(blk *block, _ []*wire.MsgTx, _ []chainhash.Hash) {
	b.notifyBlock(blk, false)
}

// removed, stored and settled implement steps: btcd tells nobody.
func (b *Btcd) removed([]chainhash.Hash) {}
func (b *Btcd) stored(*block)            {}
func (b *Btcd) settled(*block)           {}

// added tells the subscribers that tx entered the mempool.
func (b *Btcd) added(tx *wire.MsgTx) {
	var value int64
	for _, out := range tx.TxOut {
		value += out.Value
	}
	for c := range b.clients {
		switch {
		case c.txs && c.verbose:
			c.queue(notification("txacceptedverbose", rawTx(tx)))
		case c.txs:
			c.queue(notification("txaccepted", tx.TxHash().String(), float64(value)/1e8))
		}
	}
}
