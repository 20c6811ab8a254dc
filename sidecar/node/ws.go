package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// maxMessage bounds a message of the websocket. The largest that relay
	// rules allow, a transaction of 100 kvB in words, has about 2 MB.
	maxMessage = 16 << 20
	// subscribeTimeout bounds the time from dialling to both confirmations.
	subscribeTimeout = 15 * time.Second
)

// The commands that subscribe, by their ids.
const (
	notifyBlocksID = 1 + iota
	notifyTransactionsID
)

// These end a connection from our side.
var (
	errSilent = errors.New("the node did not answer a ping in time")
	errStall  = errors.New("the receiver of hints took none for too long")
)

// A wsConn is a websocket connection to btcd. One goroutine reads, heartbeat
// runs beside it.
type wsConn struct {
	conn *websocket.Conn
	cfg  *BtcdConfig
	perf *rpcPerf
	// progress counts messages and delivered hints: while it grows, the
	// connection is alive, however late a pong is.
	progress atomic.Uint64
	// delivering says that the reader waits for the receiver of hints, and
	// therefore sees no pong.
	delivering atomic.Bool
}

// subscribe connects and subscribes to blocks and transactions. When it
// returns, btcd has confirmed both. Notifications that came before are dropped:
// whoever hears of the new subscription looks at everything anyway.
func (b *Btcd) subscribe(ctx context.Context) (*wsConn, error) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, b.ws, &websocket.DialOptions{
		HTTPClient: b.rpc.http,
		HTTPHeader: http.Header{"Authorization": {b.rpc.authorize}},
	})
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		if err := statusError(resp.StatusCode); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, connectionError(ctx, err)
	}
	conn.SetReadLimit(maxMessage)
	c := &wsConn{conn: conn, cfg: &b.cfg, perf: &b.rpc.opts.perf}
	if err := c.subscribe(ctx); err != nil {
		conn.CloseNow()
		return nil, err
	}
	return c, nil
}

// subscribe sends the two commands and waits for their answers.
func (c *wsConn) subscribe(ctx context.Context) error {
	for _, r := range []rpcRequest{
		newRequest(notifyBlocksID, "notifyblocks", nil),
		newRequest(notifyTransactionsID, "notifynewtransactions", []any{true}),
	} {
		data, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode %s: %w", r.Method, err)
		}
		if err := c.conn.Write(ctx, websocket.MessageText, data); err != nil {
			return fmt.Errorf("%s: %w", r.Method, connectionError(ctx, err))
		}
	}
	confirmed := make(map[uint64]bool)
	for len(confirmed) < 2 {
		m, err := c.read(ctx)
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		if m.Method != "" {
			continue
		}
		if err := m.err(); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		if m.ID == nil || *m.ID != notifyBlocksID && *m.ID != notifyTransactionsID {
			return fmt.Errorf("subscribe: %w", malformed("it answers another command"))
		}
		confirmed[*m.ID] = true
	}
	return nil
}

// read returns the next message.
func (c *wsConn) read(ctx context.Context) (*wsMessage, error) {
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		return nil, connectionError(ctx, err)
	}
	c.progress.Add(1)
	c.perf.wsBytes.Add(uint64(len(data)))
	return decodeMessage(data)
}

// relayAlive relays with a heartbeat beside it, and returns why that ended.
func (c *wsConn) relayAlive(ctx context.Context, hints chan<- Hint) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var heart sync.WaitGroup
	heart.Go(func() {
		if err := c.heartbeat(ctx); err != nil {
			cancel(err)
		}
	})
	err := c.relay(ctx, hints)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	heart.Wait()
	return err
}

// relay sends a hint for each notification until the connection breaks, a
// message is malformed, the receiver stalls or ctx ends.
func (c *wsConn) relay(ctx context.Context, hints chan<- Hint) error {
	for {
		m, err := c.read(ctx)
		if err != nil {
			return err
		}
		if m.Method == "" {
			return malformed("it answers a command that was not given")
		}
		c.perf.notifications.Add(1)
		h, ok, err := m.hint(time.Now())
		if err != nil {
			return err
		}
		if ok {
			if err := c.deliver(ctx, hints, h); err != nil {
				return err
			}
		}
	}
}

// deliver sends a hint. Meanwhile nothing is read, so that a slow receiver
// costs no memory here.
func (c *wsConn) deliver(ctx context.Context, hints chan<- Hint, h Hint) error {
	select {
	case hints <- h:
		return nil
	default:
	}
	c.delivering.Store(true)
	defer func() {
		c.progress.Add(1)
		c.delivering.Store(false)
	}()
	stall := time.NewTimer(c.cfg.StallTimeout)
	defer stall.Stop()
	select {
	case hints <- h:
		return nil
	case <-stall.C:
		return errStall
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heartbeat pings the node, and returns errSilent once it finds that the
// connection is dead, or nil when ctx ends.
func (c *wsConn) heartbeat(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		before := c.progress.Load()
		busy := c.delivering.Load()
		if c.ping(ctx) == nil || ctx.Err() != nil {
			continue
		}
		if !busy && !c.delivering.Load() && c.progress.Load() == before {
			return errSilent
		}
	}
}

func (c *wsConn) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.PingTimeout)
	defer cancel()
	return c.conn.Ping(ctx)
}
