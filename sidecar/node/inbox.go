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
	// sequenced says that the node's hints are steps, and that all of them have
	// come since the last resync: these, in order.
	sequenced bool
	steps     []Hint
	// raws are the RawTx hints.
	raws []Hint
}

const (
	// maxBufferedTxs bounds the bytes of transactions that wait.
	maxBufferedTxs = 16 << 20
	// maxSeen bounds the blocks whose arrival time is remembered.
	maxSeen = 512
	// maxSteps bounds the steps that wait, of some 130 bytes each. A block
	// that clears a full mempool, or a node that loads one, tells of hundreds
	// of thousands.
	maxSteps = 1 << 18
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
	case HintConnected, HintLost, HintMissed:
		m.chain, m.resync, m.steps = true, true, nil
		m.sequenced = h.Sequenced
	case HintTxAdded, HintTxRemoved:
		m.addStep(h)
	case HintRawTx:
		if b.buffered+len(h.Tx) <= maxBufferedTxs {
			b.buffered += len(h.Tx)
			m.raws = append(m.raws, h)
		}
	case HintBlockConnected, HintBlockDisconnected:
		if h.Sequenced {
			m.addStep(h)
			break
		}
		m.chain = true
		if h.Kind == HintBlockConnected {
			m.saw(h)
		}
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

// saw remembers when a block was first told of.
func (m *mail) saw(h Hint) {
	if m.seen == nil {
		m.seen = make(map[chainhash.Hash]time.Time)
	}
	if _, ok := m.seen[h.Tip.Hash]; !ok && len(m.seen) < maxSeen {
		m.seen[h.Tip.Hash] = h.At
	}
}

// addStep adds a step. If there are too many, all of them are forgotten and
// the feed must look for itself.
func (m *mail) addStep(h Hint) {
	if h.Kind == HintBlockConnected {
		m.saw(h)
	}
	if len(m.steps) == maxSteps {
		m.chain, m.resync, m.steps = true, true, nil
	}
	m.steps = append(m.steps, h)
}

// take empties the inbox.
func (b *inbox) take() mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.pending
	b.pending, b.buffered = mail{sequenced: m.sequenced}, 0
	return m
}
