package node

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Watch implements Node. A connection that breaks, falls silent or brings a
// message that cannot be read is replaced by a new one: a Lost hint follows the
// last of its hints, and a Connected hint comes once the new subscriptions are
// confirmed. Whatever happened in between is told by nobody.
//
// While nobody receives from hints nothing is read from the node, and after
// StallTimeout the connection is given up.
func (b *Btcd) Watch(ctx context.Context, hints chan<- Hint) error {
	delay := b.cfg.ReconnectDelay
	level := slog.LevelWarn
	for {
		began, err := b.watchOnce(ctx, hints)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, junk := errors.AsType[*malformedError](err); junk {
			b.rpc.opts.perf.junk.Add(1)
		}
		if !began.IsZero() {
			level = slog.LevelWarn
			if time.Since(began) > delay {
				delay = b.cfg.ReconnectDelay
			}
		}
		b.cfg.Log.Log(ctx, level, "no notifications from the node", "address", b.cfg.Address, "err", err)
		level = slog.LevelDebug // until there is a subscription again
		select {
		case <-time.After(jitter(delay)):
		case <-ctx.Done():
			return ctx.Err()
		}
		delay = min(2*delay, max(b.cfg.MaxReconnectDelay, b.cfg.ReconnectDelay))
	}
}

// watchOnce subscribes and relays notifications until the connection is lost.
// It sends the Connected and the Lost hint, and returns when the former was
// taken; the zero time when it was not.
func (b *Btcd) watchOnce(ctx context.Context, hints chan<- Hint) (began time.Time, err error) {
	c, err := b.subscribe(ctx)
	if err != nil {
		return began, err
	}
	defer c.conn.CloseNow()
	if err := c.deliver(ctx, hints, Hint{Kind: HintConnected, At: time.Now()}); err != nil {
		return began, err
	}
	began = time.Now()
	b.cfg.Log.Info("subscribed to the node's notifications", "address", b.cfg.Address)
	b.rpc.opts.perf.connects.Add(1)
	err = c.relayAlive(ctx, hints)
	c.conn.CloseNow() // before the wait for a receiver
	if ctx.Err() != nil {
		return began, ctx.Err()
	}
	b.rpc.opts.perf.losses.Add(1)
	select {
	case hints <- Hint{Kind: HintLost, At: time.Now()}:
	case <-ctx.Done():
	}
	return began, err
}
