package node

import (
	"context"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// An inbox takes the node's hints while the feed is busy, in bounded memory:
// what it cannot hold it forgets, and says that the feed must look for itself.
type inbox struct {
	// wake has room for one token, which says that there is something to take.
	wake chan struct{}

	mu       sync.Mutex // guards pending; held for moments only
	pending  mail
	buffered int // bytes in pending.txs
}

// mail is what came in since the inbox was last emptied.
type mail struct {
	// chain says that the best chain may have changed, since when.
	chain bool
	seen  map[chainhash.Hash]time.Time
	// txs are transactions that entered the mempool, in order.
	txs [][]byte
	// resync says that hints may be missing.
	resync bool
}

const (
	// maxBufferedTxs bounds the bytes of transactions that wait.
	maxBufferedTxs = 16 << 20
	// maxSeen bounds the blocks whose arrival time is remembered.
	maxSeen = 512
)

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// collect puts every hint into the inbox until ctx ends. It tells attached at
// once when the subscription comes and goes.
func (b *inbox) collect(ctx context.Context, hints <-chan Hint, attached func(bool)) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-hints:
			if h.Kind == HintConnected || h.Kind == HintLost {
				attached(h.Kind == HintConnected)
			}
			b.put(h)
		}
	}
}

func (b *inbox) put(h Hint) {
	b.mu.Lock()
	m := &b.pending
	switch h.Kind {
	case HintConnected, HintLost:
		m.chain, m.resync = true, true
	case HintBlockConnected:
		m.chain = true
		if m.seen == nil {
			m.seen = make(map[chainhash.Hash]time.Time)
		}
		if _, ok := m.seen[h.Tip.Hash]; !ok && len(m.seen) < maxSeen {
			m.seen[h.Tip.Hash] = h.At
		}
	case HintBlockDisconnected:
		m.chain = true
	case HintTx:
		if b.buffered+len(h.Tx) > maxBufferedTxs {
			m.resync = true
			break
		}
		b.buffered += len(h.Tx)
		m.txs = append(m.txs, h.Tx)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (b *inbox) take() mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.pending
	b.pending, b.buffered = mail{}, 0
	return m
}
