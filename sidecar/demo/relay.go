package demo

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/devchain"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

const (
	// relayPeriod is the time from block to block of the relay's chain, as on BOB.
	relayPeriod = 2 * time.Second
	// relayEpoch is after how many headers the relay expects a retarget.
	relayEpoch = 2016
	// deployGas is enough to deploy it: two million are used.
	deployGas = 3_000_000
)

// A Relay is a Bitcoin relay that is told of the network's blocks: a FullRelayWithVerify
// of the project's own, on an Ethereum chain in this process, with an account whose key
// nobody else has.
//
// The relay expects a change of the target after each 2,016 blocks, as on the main
// network, and counts the work of regtest's targets as none. On regtest no target ever
// changes. Where it cannot follow, after a period and after a reorganisation that reaches
// below its first header, another one is deployed, whose first header is the first of the
// period. Its first header is never the genesis block, whose height, 0, the contract takes
// for unknown.
type Relay struct {
	chain   *devchain.Chain
	account *devchain.Account
	period  time.Duration
	report  func(RelayState)
	tree    *headers.Tree
	wake    chan struct{} // holds a value when the tip is another

	mu      sync.Mutex // guards what follows
	arrived map[chainhash.Hash]arrival

	state atomic.Pointer[RelayState]

	// These are Run's.
	model   *relay.FullRelay // the relay that is deployed; nil before
	at      [20]byte
	first   headers.Node // what it began with
	deploys int
}

// An arrival is when the network had a block, and the height of that.
type arrival struct {
	at     time.Time
	height uint32
}

// A RelayState is where the relay is beside the network.
type RelayState struct {
	// ChainID is that of the relay's chain, Block its newest block when this was read,
	// and Address the contract's.
	ChainID, Block uint64
	Address        [20]byte
	// Relays counts those that were deployed. First is what this one began with.
	Relays int
	First  uint32
	// Height and Hash are of the best header that the relay has, as the contract
	// tells, and Bitcoin is the height of the network's tip at that moment.
	Height, Bitcoin uint32
	Hash            chainhash.Hash
	// Behind is how many blocks of the network's best chain the relay has not.
	Behind uint32
	// Headers is how many it was told since the state before, Gas what that took, with
	// marking and without deploying, and Took the time since the network had the block
	// with this hash.
	Headers int
	Gas     uint64
	Took    time.Duration
}

// A RelayConfig says how a Relay works.
type RelayConfig struct {
	// Period is the time from block to block of the relay's chain; 0 means 2 s.
	Period time.Duration
	// Report, unless nil, is told each time when the relay has moved.
	Report func(RelayState)
}

// NewRelay returns a Relay that has been told of nothing.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	account, err := devchain.NewAccount()
	if err != nil {
		return nil, err
	}
	chain, err := devchain.New(devchain.Options{Rich: []*devchain.Account{account}})
	if err != nil {
		return nil, err
	}
	params, err := header.For("regtest")
	if err != nil {
		return nil, err
	}
	tree, err := headers.NewTree(params, headers.Genesis(params), headers.DefaultLimits())
	if err != nil {
		return nil, err
	}
	r := &Relay{
		chain: chain, account: account, period: cmp.Or(cfg.Period, relayPeriod), report: cfg.Report, tree: tree,
		wake: make(chan struct{}, 1), arrived: make(map[chainhash.Hash]arrival),
	}
	if r.report == nil {
		r.report = func(RelayState) {}
	}
	return r, nil
}

// State returns where the relay is beside the network as of now; false before one is
// deployed. It is safe for concurrent use.
func (r *Relay) State() (RelayState, bool) {
	s := r.state.Load()
	if s == nil {
		return RelayState{}, false
	}
	now := *s
	now.Bitcoin, now.Behind = r.beside(now.Hash)
	return now, true
}

// beside returns the height of the network's tip, and how many blocks of its chain the
// one that ends with a hash lacks.
func (r *Relay) beside(hash chainhash.Hash) (height, behind uint32) {
	tip := r.tree.Tip()
	fork, ok := r.tree.Fork(hash, tip.Hash)
	if !ok {
		return tip.Height, tip.Height
	}
	return tip.Height, tip.Height - fork.Height
}

// Follow makes tip, and the blocks below it that are not known, known: Run has the relay
// told. It is called with each tip, or at least once in keptBlocks, by the goroutine that
// has the network.
func (r *Relay) Follow(tip *Block) error {
	var news []header.Header
	now := time.Now()
	b := tip
	for ; b != nil; b = b.parent {
		if _, known := r.tree.Get(b.Hash); known {
			break
		}
		h, err := serialize(b.Msg.Header.Serialize)
		if err != nil {
			return err
		}
		news = append(news, header.Header(h))
	}
	switch {
	case b == nil:
		return fmt.Errorf("the relay follows block %d: what is below is not kept any more", tip.Height)
	case len(news) == 0:
		return nil
	}
	r.mu.Lock()
	r.arrived[tip.Hash] = arrival{now, tip.Height}
	r.mu.Unlock()
	slices.Reverse(news)
	if _, err := r.tree.Add(news, now); err != nil {
		return fmt.Errorf("the relay follows block %d: %w", tip.Height, err)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run runs the relay's chain, answers a node's JSON-RPC at l, which it closes, and tells
// the relay of what Follow is told of, until ctx ends, and then returns nil. It fails if
// the relay refuses something.
func (r *Relay) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var mining, serving error
	wg.Go(func() { defer cancel(); mining = r.chain.Run(ctx, r.period) })
	wg.Go(func() { defer cancel(); serving = r.chain.Serve(ctx, l) })
	telling := r.tell(ctx)
	if ctx.Err() != nil && errors.Is(telling, ctx.Err()) {
		telling = nil
	}
	cancel()
	wg.Wait()
	return errors.Join(telling, mining, serving)
}

// tell tells the relay of the network's blocks.
func (r *Relay) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		for tip := r.tree.Tip(); tip.Height > 0 && !r.has(tip); tip = r.tree.Tip() {
			if err := r.advance(ctx, tip); err != nil {
				return fmt.Errorf("tell the relay of block %d: %w", tip.Height, err)
			}
		}
	}
}

// has reports whether the relay's best header is this.
func (r *Relay) has(tip headers.Node) bool {
	return r.model != nil && r.model.BestKnownDigest() == tip.Hash
}

// advance tells the relay of the chain that ends in tip.
func (r *Relay) advance(ctx context.Context, tip headers.Node) error {
	period := tip.Height - tip.Height%relayEpoch
	if r.model == nil || period > r.first.Height || !r.descends(tip) {
		if err := r.deploy(ctx, max(period, 1)); err != nil {
			return err
		}
		if !r.descends(tip) {
			return nil // there is another tip meanwhile
		}
	}
	told, gas, err := r.submit(ctx, tip)
	if err != nil {
		return err
	}
	s, err := r.read(ctx)
	if err != nil {
		return err
	}
	if s.Hash != tip.Hash || s.Height != tip.Height {
		return fmt.Errorf("its best header is %s at height %d then", s.Hash, s.Height)
	}
	s.Headers, s.Gas = told, gas
	r.mu.Lock()
	s.Took = time.Since(r.arrived[tip.Hash].at)
	maps.DeleteFunc(r.arrived, func(_ chainhash.Hash, a arrival) bool { return a.height <= tip.Height })
	r.mu.Unlock()
	r.state.Store(&s)
	r.report(s)
	return nil
}

// descends reports whether tip has the relay's first header below it, or is that.
func (r *Relay) descends(tip headers.Node) bool {
	_, ok := r.tree.Path(r.first.Hash, tip.Hash)
	return ok
}

// deploy deploys a relay whose first header is that at height of the best chain.
func (r *Relay) deploy(ctx context.Context, height uint32) error {
	first, ok := r.tree.At(height)
	start, known := r.tree.At(height - height%relayEpoch)
	if !ok || !known {
		return fmt.Errorf("deploy a relay: the header at height %d is not kept", height)
	}
	model, err := relay.NewFullRelay(first.Header[:], uint64(height), start.Hash)
	if err != nil {
		return err
	}
	model.SetCosts(contract.Costs())
	creation := append(contract.FullRelayWithVerify().Creation, relay.ConstructorData(first.Header[:], uint64(height), start.Hash)...)
	hash, at, err := r.chain.Deploy(r.account, creation, deployGas)
	if err != nil {
		return fmt.Errorf("deploy a relay: %w", err)
	}
	receipt, err := r.chain.Await(ctx, hash)
	if err != nil {
		return err
	}
	if receipt.Status != 1 {
		return errors.New("deploy a relay: it is refused")
	}
	r.model, r.at, r.first = model, at, first
	r.deploys++
	return nil
}

// submit has the relay told, and returns of how many headers, and for how much gas.
func (r *Relay) submit(ctx context.Context, tip headers.Node) (told int, gas uint64, err error) {
	best, ok := r.tree.Get(r.model.BestKnownDigest())
	fork, forks := r.tree.Fork(best.Hash, tip.Hash)
	if !ok || !forks {
		return 0, 0, errors.New("the relay's best header is not kept any more")
	}
	path, ok := r.tree.Path(fork.Hash, tip.Hash)
	if !ok || len(path) == 0 {
		return 0, 0, nil // it was deployed with it
	}
	plan, err := r.model.Plan(relay.Request{
		Headers: headers.Serialised(path), Height: uint64(path[0].Height), Anchor: fork.Header[:],
		Best: best.Header[:], Ancestor: fork.Hash, Relay: r.at,
	}, relay.DefaultCaps())
	if err != nil {
		return 0, 0, err
	}
	hashes := make([][32]byte, len(plan.Transactions))
	for i := range plan.Transactions {
		tx := &plan.Transactions[i]
		if hashes[i], err = r.chain.Transact(r.account, r.at, tx.Data, tx.GasLimit); err != nil {
			return 0, 0, err
		}
	}
	for i, hash := range hashes {
		receipt, err := r.chain.Await(ctx, hash)
		if err != nil {
			return 0, 0, err
		}
		tx := &plan.Transactions[i]
		if receipt.Status != 1 {
			return 0, 0, fmt.Errorf("%s of %d headers is reverted", tx.Calls[0].Function, tx.Headers)
		}
		gas += receipt.GasUsed
		for j := range tx.Calls {
			if _, err := r.model.Do(&tx.Calls[j]); err != nil {
				return 0, 0, err
			}
		}
	}
	return plan.Headers, gas, nil
}

// These are the selectors of what the state is read with, see bob/relay.
var (
	selectBest       = []byte{0x19, 0x10, 0xd9, 0x73} // getBestKnownDigest()
	selectFindHeight = []byte{0x60, 0xb5, 0xc3, 0x90} // findHeight(bytes32)
)

// read reads the state of the relay from the contract.
func (r *Relay) read(ctx context.Context) (RelayState, error) {
	s := RelayState{ChainID: r.chain.ChainID(), Block: r.chain.Number(), Address: r.at, Relays: r.deploys, First: r.first.Height}
	best, err := r.chain.Call(ctx, r.at, selectBest)
	if err != nil {
		return s, fmt.Errorf("read the relay's best header: %w", err)
	}
	if len(best) != len(s.Hash) {
		return s, fmt.Errorf("read the relay's best header: %d bytes", len(best))
	}
	s.Hash = chainhash.Hash(best)
	height, err := r.chain.Call(ctx, r.at, append(selectFindHeight[:4:4], best...))
	if err != nil {
		return s, fmt.Errorf("read the relay's height: %w", err)
	}
	if len(height) != 32 {
		return s, fmt.Errorf("read the relay's height: %d bytes", len(height))
	}
	s.Height = uint32(binary.BigEndian.Uint64(height[24:]))
	s.Bitcoin, s.Behind = r.beside(s.Hash)
	return s, nil
}
