package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/perfcore"
)

// A Config says what a Monitor watches.
type Config struct {
	// L2 is asked about the relay, the contract at Address, of a Kind.
	L2      Caller
	Address relay.Address
	Kind    relay.Kind
	Bitcoin Bitcoin
	// Confirmations is how many the proofs that are foreseen ask of the contract: headers
	// on top, one less than Bitcoin Core counts (0: 6).
	Confirmations uint8
	// Interval returns how long Run waits between two rounds; it is asked each time, and
	// nil is a second.
	Interval func() time.Duration
	// Timeout bounds one round (0: 10 s), and MaxAge how old a reading may be to count
	// while the nodes are behind the block that it is of (0: 15 s).
	Timeout, MaxAge time.Duration
	Recorder        perfcore.Recorder
}

// A Monitor watches a relay. It is safe for concurrent use.
type Monitor struct {
	cfg   Config
	perf  *instruments
	state atomic.Pointer[State]

	mu sync.Mutex // guards what follows; held during a round
	// chain is the Bitcoin node's.
	chain chain
	// seen are blocks of the L2 by height, among them those that were read lately.
	seen map[uint64]common.Hash
	// place is where the relay is by the block and the tip that it was found with.
	place       place
	placeAt     common.Hash
	placeTip    Block
	bitcoin     Value[Block]
	relay       Value[Reading]
	position    Value[Position]
	reorganised uint64
}

// A State is what a Monitor knows at one moment. Nobody changes it.
type State struct {
	At   time.Time  `json:"at"`
	Kind relay.Kind `json:"kind"`
	// Bitcoin is the tip of Bitcoin's best chain, Relay what the relay says of itself,
	// and Position what follows from both, at the same moment.
	Bitcoin  Value[Block]    `json:"bitcoin"`
	Relay    Value[Reading]  `json:"relay"`
	Position Value[Position] `json:"position"`
	// Reorganisations counts those of the L2 that took away a block that was read.
	Reorganisations uint64 `json:"l2_reorganisations"`
}

// New returns a Monitor that has asked nobody.
func New(cfg Config) (*Monitor, error) {
	switch {
	case cfg.L2 == nil || cfg.Bitcoin == nil:
		return nil, errors.New("a monitor needs an L2 and a Bitcoin node")
	case !slices.Contains(relay.Kinds, cfg.Kind):
		return nil, fmt.Errorf("there is no kind of relay %.20q", cfg.Kind)
	case cfg.Address == relay.Address{}:
		return nil, errors.New("a monitor needs the relay's address")
	}
	if cfg.Confirmations == 0 {
		cfg.Confirmations = 6
	}
	if cfg.Interval == nil {
		cfg.Interval = func() time.Duration { return time.Second }
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxAge <= 0 {
		cfg.MaxAge = 15 * time.Second
	}
	if cfg.Recorder == nil {
		cfg.Recorder = perfcore.Discard
	}
	return &Monitor{
		cfg: cfg, chain: chain{node: cfg.Bitcoin}, seen: make(map[uint64]common.Hash), perf: newInstruments(cfg.Recorder),
	}, nil
}

// State returns the newest state; nil before the first round has ended.
func (m *Monitor) State() *State { return m.state.Load() }

// Run does rounds until ctx ends, whose error it returns.
func (m *Monitor) Run(ctx context.Context) error {
	for {
		m.Refresh(ctx)
		select {
		case <-time.After(max(m.cfg.Interval(), time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Refresh does one round: it asks both parties and returns the state afterwards, in which
// what they did not answer is unknown. Rounds come one after another.
func (m *Monitor) Refresh(ctx context.Context) *State {
	m.mu.Lock()
	defer m.mu.Unlock()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()

	var bitcoinErr error
	var asking sync.WaitGroup
	if m.chain.begun() {
		asking.Go(func() { bitcoinErr = m.follow(ctx, m.chain.update) })
	}
	reading, relayErr := m.read(ctx)
	asking.Wait()
	if !m.chain.begun() && bitcoinErr == nil {
		if bitcoinErr = errBegin; relayErr == nil {
			bitcoinErr = m.follow(ctx, func(ctx context.Context) error { return m.chain.begin(ctx, reading.near()) })
		}
	}

	var tip Block
	if bitcoinErr == nil {
		tip = m.chain.tip()
	}
	var position *Position
	positionErr := cmp.Or(relayErr, bitcoinErr)
	if positionErr == nil {
		position, positionErr = m.locate(ctx, reading, tip)
	}
	now := time.Now()
	m.bitcoin = m.bitcoin.next(now, &tip, now, bitcoinErr)
	if relayErr == nil && m.relay.V != nil && reading == m.relay.V {
		m.relay = m.relay.next(now, reading, m.relay.At, nil)
	} else {
		m.relay = m.relay.next(now, reading, now, relayErr)
	}
	m.position = m.position.next(now, position, now, positionErr)
	st := &State{
		At: now, Kind: m.cfg.Kind, Bitcoin: m.bitcoin, Relay: m.relay, Position: m.position, Reorganisations: m.reorganised,
	}
	m.state.Store(st)
	m.perf.record(st, now.Sub(start))
	return st
}

// follow asks the Bitcoin node.
func (m *Monitor) follow(ctx context.Context, ask func(context.Context) error) error {
	start := time.Now()
	defer func() { m.perf.bitcoin.Since(start) }()
	return ask(ctx)
}

// maxTries is how often the L2 may reorganise during a round.
const maxTries = 2

// read reads the relay in the L2's newest block. The reading is the last one, m.relay.V, if
// that is of the newest block, too, or of one that the answering node does not have yet.
func (m *Monitor) read(ctx context.Context) (reading *Reading, err error) {
	start := time.Now()
	defer func() { m.perf.l2.Since(start) }()
	for range maxTries {
		header, err := opstack.Client{Caller: m.cfg.L2}.Header(ctx, opstack.Unsafe)
		if err != nil {
			return nil, fmt.Errorf("the L2: %w", err)
		}
		head := opstack.Ref{Hash: header.Hash(), Number: header.Number.Uint64(), Parent: header.ParentHash, Time: header.Time}
		behind, err := m.advance(ctx, head)
		if err != nil {
			return nil, err
		}
		if last := m.relay.V; last != nil && (behind || last.Block.Hash == head.Hash) {
			if age := time.Since(m.relay.At); behind && age > m.cfg.MaxAge {
				return nil, fmt.Errorf("the L2: the nodes are at block %d, and %d was read %v ago", head.Number, last.Block.Number, age.Round(time.Second))
			}
			if !behind {
				m.relay.At = time.Now() // it was asked for, and is the same
			}
			return last, nil
		}
		c := m.reader(head)
		if m.cfg.Kind == relay.KindLight {
			reading, err = c.readLight(ctx)
		} else {
			reading, err = c.readFull(ctx)
		}
		if err == nil {
			return reading, nil
		}
		err = fmt.Errorf("the relay: %w", err)
		if ctx.Err() != nil {
			return nil, err
		}
		// The block may have been reorganised away meanwhile. Whether it was is seen
		// by the next.
		if now, herr := (opstack.Client{Caller: m.cfg.L2}).HeaderByNumber(ctx, head.Number); herr != nil || now.Hash() == head.Hash {
			return nil, err
		}
	}
	return nil, errors.New("the L2 reorganises while it is asked")
}

func (m *Monitor) reader(at opstack.Ref) *reader { return &reader{m.cfg.L2, m.cfg.Address, at} }

// remembered is how many heights of the L2 below the last one read are remembered.
const remembered = 1024

// advance goes on to a head that a node answered with. It reports whether that is one below
// the block that was read last, whose chain it is of. If it shows that this block is no
// more, what was read in it is forgotten. An error says that neither is known.
func (m *Monitor) advance(ctx context.Context, head opstack.Ref) (behind bool, err error) {
	if m.relay.V == nil {
		m.remember(head)
		return false, nil
	}
	last := m.relay.V.Block
	here, known := m.seen[head.Number]
	gone := false
	switch {
	case head.Number == last.Number:
		gone = head.Hash != last.Hash
	case head.Number == last.Number+1:
		gone = head.Parent != last.Hash
	case head.Number > last.Number:
		h, err := opstack.Client{Caller: m.cfg.L2}.HeaderByNumber(ctx, last.Number)
		if err != nil {
			return false, fmt.Errorf("whether the L2 reorganised: %w", err)
		}
		gone = h.Hash() != last.Hash
	case known && here == head.Hash:
		return true, nil
	case known:
		gone = true
	default:
		return false, fmt.Errorf("the L2: a node is at block %d, and %d was read: whether it reorganised is not known", head.Number, last.Number)
	}
	if gone {
		m.reorganised++
		m.perf.reorganised.Add(1)
		m.relay, m.position, m.placeAt = Value[Reading]{}, Value[Position]{}, common.Hash{}
		clear(m.seen)
	}
	m.remember(head)
	return false, nil
}

// remember remembers a block and the one before it.
func (m *Monitor) remember(head opstack.Ref) {
	m.seen[head.Number] = head.Hash
	if head.Number > 0 {
		m.seen[head.Number-1] = head.Parent
	}
	if len(m.seen) > 2*remembered {
		for n := range m.seen {
			if n+remembered < head.Number {
				delete(m.seen, n)
			}
		}
	}
}

// locate returns the position of a reading beside a tip.
func (m *Monitor) locate(ctx context.Context, r *Reading, tip Block) (*Position, error) {
	if m.placeAt != r.Block.Hash || m.placeTip != tip {
		var err error
		start := time.Now()
		if c := m.reader(r.Block); r.Full != nil {
			m.place, err = c.locateFull(ctx, r.Full, &m.chain)
		} else {
			m.place, err = locateLight(ctx, r.Light, &m.chain)
		}
		m.perf.located.Since(start)
		if err != nil {
			m.placeAt = common.Hash{}
			return nil, err
		}
		m.placeAt, m.placeTip = r.Block.Hash, tip
	}
	s := sight{
		now: time.Now(), kind: m.cfg.Kind, confs: m.cfg.Confirmations,
		tip: tip, spacing: m.chain.spacing(), reading: r, place: m.place,
	}
	return s.position(), nil
}
