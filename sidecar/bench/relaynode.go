package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/bob/devchain"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

// A relayChain is a chain that has a relay and a multicall, the model of the relay, and the
// clock, which only moves when a block is mined.
type relayChain struct {
	*devchain.Chain
	account       *devchain.Account // that deploys
	payer         relaySigner       // of a submitter
	at, multicall relay.Address
	model         *relay.FullRelay
	clock         time.Time
}

// deploy returns a chain with a relay that begins with the header at height.
func (b *relayBench) deploy(ctx context.Context, height int) (*relayChain, error) {
	account, err := devchain.NewAccount()
	if err != nil {
		return nil, err
	}
	payer, err := devchain.NewAccount()
	if err != nil {
		return nil, err
	}
	c := &relayChain{account: account, payer: relaySigner{payer}, clock: b.now}
	if c.Chain, err = devchain.New(devchain.Options{Time: c.clock, Rich: []*devchain.Account{account, payer}}); err != nil {
		return nil, err
	}
	if c.model, err = b.newModel(height); err != nil {
		return nil, err
	}
	first := b.chain[height]
	creation := slices.Concat(contract.FullRelayWithVerify().Creation,
		relay.ConstructorData(first[:], uint64(height), b.chain[height-height%relayPeriod].Hash()))
	if c.at, err = c.create(ctx, creation); err != nil {
		return nil, err
	}
	c.multicall, err = c.create(ctx, contract.Multicall().Creation)
	return c, err
}

// create deploys a contract.
func (c *relayChain) create(ctx context.Context, creation []byte) (at relay.Address, err error) {
	hash, address, err := c.Deploy(c.account, creation, 3_000_000)
	at = address
	if err != nil {
		return at, err
	}
	if err := c.tick(); err != nil {
		return at, err
	}
	_, err = c.succeeded(ctx, hash)
	return at, err
}

// tick mines the next block.
func (c *relayChain) tick() error {
	c.clock = c.clock.Add(relayL2)
	_, err := c.Mine(c.clock)
	return err
}

// send sends the transactions of a plan, and has the model do what they do.
func (c *relayChain) send(plan *relay.Plan) (hashes [][32]byte, err error) {
	for i := range plan.Transactions {
		tx := &plan.Transactions[i]
		hash, err := c.Transact(c.account, tx.To, tx.Data, tx.GasLimit)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
		for j := range tx.Calls {
			if _, err := c.model.Do(&tx.Calls[j]); err != nil {
				return nil, err
			}
		}
	}
	return hashes, nil
}

// succeeded returns the gas of a transaction that was mined and worked.
func (c *relayChain) succeeded(ctx context.Context, hash [32]byte) (gas uint64, err error) {
	receipt, err := c.Await(ctx, hash)
	if err != nil {
		return 0, err
	}
	if receipt.Status != 1 {
		return 0, errors.New("the relay reverts a transaction of the benchmark's")
	}
	return receipt.GasUsed, nil
}

// nodes serves the chain's JSON-RPC at so many addresses, and calls do with a pool for
// each. When it returns, nobody serves any more.
func (c *relayChain) nodes(ctx context.Context, count int, do func(context.Context, []*endpoint.Pool) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	served := make([]error, count)
	pools := make([]*endpoint.Pool, count)
	var err error
	for i := range pools {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			break
		}
		wg.Go(func() { served[i] = c.Serve(ctx, l) })
		pools[i], err = endpoint.Open(ctx, endpoint.Options{Layer: "l2", ChainID: c.ChainID(), Endpoints: []endpoint.Endpoint{
			{Name: fmt.Sprintf("node%d", i), URL: "http://" + l.Addr().String(), Rate: 1e6, Burst: 1e6},
		}})
		if err != nil {
			break
		}
		// It closes the connections when ctx ends.
		wg.Go(func() { _ = pools[i].Run(ctx) })
	}
	if err == nil {
		err = do(ctx, pools)
	}
	cancel()
	wg.Wait()
	return errors.Join(append(served, err)...)
}
