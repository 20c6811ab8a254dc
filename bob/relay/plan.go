package relay

import (
	"errors"
	"fmt"
	"sort"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// Caps are what a chain allows.
type Caps struct {
	// TransactionGas and BlockGas bound the gas limit of a transaction.
	TransactionGas, BlockGas uint64
	// FootprintScalar is what a byte of a transaction's estimated size counts as gas
	// of a block's data footprint, which BlockGas bounds, too (Jovian); 0 if the
	// chain has no such bound.
	FootprintScalar uint16
}

// DefaultCaps are BOB's: the cap of EIP-7825, which comes with Karst, and the gas limit
// of its genesis.
func DefaultCaps() Caps { return Caps{TransactionGas: 1 << 24, BlockGas: 30_000_000} }

// A Request is what a relay is to be told.
type Request struct {
	// Headers are those of one chain, 80 bytes each, the first of which is at Height
	// and follows Anchor, a header that the relay knows.
	Headers []byte
	Height  uint64
	Anchor  []byte
	// PeriodStart is the first header of the period that Anchor is in. It is only
	// needed if Headers reach into the next.
	PeriodStart []byte
	// Best is the relay's best header, and Ancestor the last header that its chain
	// and that of Headers have in common.
	Best     []byte
	Ancestor chainhash.Hash
	// Relay and Multicall are the addresses of the contracts. Without a Multicall3 the
	// zero Multicall: then every call is a transaction.
	Relay, Multicall Address
}

// A Plan is transactions that tell a relay what was requested, in order.
type Plan struct {
	Transactions []Transaction
	// Gas is what all of them take, and Headers how many they bring.
	Gas     uint64
	Headers int
}

// GasPerHeader returns the gas for each header, marks and transactions included.
func (p *Plan) GasPerHeader() float64 { return float64(p.Gas) / float64(max(p.Headers, 1)) }

// A Transaction is one call of a relay or several in a multicall.
type Transaction struct {
	To    Address
	Data  []byte
	Calls []Call
	// Gas is what it is estimated to take, and GasLimit what to send with it: a
	// hundredth more, and with a multicall as much as must be left over when it
	// calls (EIP-150).
	Gas, GasLimit uint64
	// Headers counts those that it brings. FromHeight is the first one's, or of a
	// mark the marked one's.
	Headers    int
	FromHeight uint64
}

// ErrCaps says that not even one header fits into a transaction.
var ErrCaps = errors.New("no header fits into a transaction")

// Plan returns the cheapest transactions that add the requested headers and mark the
// last: as few as the caps allow, as each has a price of its own. With a multicall each
// marks what it adds, since what was just written is cheap to read. The calls have been
// tried on a fork of r: a call that would revert is the error, a *Revert, that of r's
// own state, too.
func (r *FullRelay) Plan(req Request, caps Caps) (*Plan, error) {
	if len(req.Headers) == 0 || len(req.Headers)%header.Size != 0 {
		return nil, fmt.Errorf("a plan for %d bytes: want headers of %d", len(req.Headers), header.Size)
	}
	switch height, err := r.FindHeight(hash256(req.Anchor)); {
	case err != nil:
		return nil, fmt.Errorf("the anchor: %w", err)
	case height+1 != req.Height:
		return nil, fmt.Errorf("headers from height %d on an anchor at %d", req.Height, height)
	}
	p := &planner{caps: caps, req: req, relay: r.Fork(), plan: &Plan{Headers: len(req.Headers) / header.Size}}
	for len(p.req.Headers) > 0 {
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	if p.unmarked {
		if err := p.mark(); err != nil {
			return nil, err
		}
	}
	return p.plan, nil
}

// PlanMark plans the mark of the anchor, where that is all there is left to do. It is
// else as Plan.
func (r *FullRelay) PlanMark(req Request, caps Caps) (*Plan, error) {
	if len(req.Headers) != 0 {
		return nil, fmt.Errorf("a plan to mark, with %d bytes of headers", len(req.Headers))
	}
	p := &planner{caps: caps, req: req, relay: r.Fork(), plan: new(Plan)}
	if err := p.mark(); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// A planner is a plan in the making: req is what is left of it, and relay has what the
// plan does so far.
type planner struct {
	caps     Caps
	req      Request
	relay    *FullRelay
	plan     *Plan
	unmarked bool
}

// next plans a transaction that adds as many headers as it can.
func (p *planner) next() error {
	most := len(p.req.Headers) / header.Size
	if p.req.Multicall == (Address{}) {
		// A call cannot reach over a change of the target, and a mark not further
		// than a period.
		most = min(most, int(epochLength-p.req.Height%epochLength))
		if err := p.markInTime(most); err != nil {
			return err
		}
	}
	tx, fork, marked, err := p.try(most)
	if err != nil {
		return err
	}
	if !p.fits(tx) {
		n := sort.Search(most, func(n int) bool {
			if n == 0 || err != nil {
				return false
			}
			var tx Transaction
			tx, _, _, err = p.try(n)
			return err == nil && !p.fits(tx)
		}) - 1
		if err != nil {
			return err
		}
		if n < 1 {
			return fmt.Errorf("%w: one takes %d gas", ErrCaps, tx.GasLimit)
		}
		if tx, fork, marked, err = p.try(n); err != nil {
			return err
		}
	}
	p.take(tx, fork, marked)
	return nil
}

// take adds a transaction to the plan.
func (p *planner) take(tx Transaction, fork *FullRelay, marked bool) {
	p.plan.Transactions = append(p.plan.Transactions, tx)
	p.plan.Gas += tx.Gas
	p.relay = fork
	done := p.req.Headers[:tx.Headers*header.Size]
	for i := range tx.Headers {
		if (p.req.Height+uint64(i))%epochLength == 0 {
			p.req.PeriodStart = done[i*header.Size:][:header.Size]
		}
	}
	if tx.Headers > 0 {
		p.req.Headers = p.req.Headers[len(done):]
		p.req.Height += uint64(tx.Headers)
		p.req.Anchor = done[len(done)-header.Size:]
		p.unmarked = true
	}
	if marked {
		p.req.Best, p.req.Ancestor = p.req.Anchor, hash256(p.req.Anchor)
		p.unmarked = false
	}
}

// try returns the transaction that adds the next n headers, and in a multicall marks the
// last if it has the most work, and the relay after it.
func (p *planner) try(n int) (tx Transaction, fork *FullRelay, marked bool, err error) {
	tx = Transaction{To: p.req.Relay, Headers: n, FromHeight: p.req.Height}
	anchor, start := p.req.Anchor, p.req.PeriodStart
	headers, height := p.req.Headers[:n*header.Size], p.req.Height
	for len(headers) > 0 {
		part := min(uint64(len(headers)/header.Size), epochLength-height%epochLength)
		batch := headers[:part*header.Size]
		if height%epochLength == 0 {
			tx.Calls = append(tx.Calls, Call{Function: "addHeadersWithRetarget", Args: [][]byte{start, anchor, batch}})
			start = batch[:header.Size]
		} else {
			tx.Calls = append(tx.Calls, Call{Function: "addHeaders", Args: [][]byte{anchor, batch}})
		}
		anchor = batch[len(batch)-header.Size:]
		headers, height = headers[len(batch):], height+part
	}
	if p.req.Multicall == (Address{}) {
		fork, err = p.run(&tx)
		return tx, fork, false, err
	}
	adds := tx.Calls
	tx.To = p.req.Multicall
	c, err := p.markCall(anchor, height-1)
	if err != nil {
		return tx, nil, false, err
	}
	tx.Calls = append(tx.Calls[:len(adds):len(adds)], c)
	fork, err = p.run(&tx)
	if r, ok := errors.AsType[*Revert](err); ok && r.Reason == NotHeaviest && n < len(p.req.Headers)/header.Size {
		// A branch that is not the best yet: later headers make it so.
		tx.Calls = adds
		fork, err = p.run(&tx)
		return tx, fork, false, err
	}
	return tx, fork, true, err
}

// mark plans a transaction that marks the last header that was added.
func (p *planner) mark() error {
	c, err := p.markCall(p.req.Anchor, p.req.Height-1)
	if err != nil {
		return err
	}
	tx := Transaction{To: p.req.Relay, Calls: []Call{c}, FromHeight: p.req.Height - 1}
	fork, err := p.run(&tx)
	if err != nil {
		return err
	}
	if !p.fits(tx) {
		return fmt.Errorf("%w: the mark takes %d gas", ErrCaps, tx.GasLimit)
	}
	p.take(tx, fork, true)
	return nil
}

// markInTime plans a mark if after n headers more it would have to reach too far.
func (p *planner) markInTime(n int) error {
	ancestor, err := p.relay.FindHeight(p.req.Ancestor)
	if err != nil {
		return err
	}
	if p.unmarked && p.req.Height-1+uint64(n) > ancestor+epochLength {
		return p.mark()
	}
	return nil
}

// markCall returns the call that marks the header best at height.
func (p *planner) markCall(best []byte, height uint64) (Call, error) {
	ancestor, err := p.relay.FindHeight(p.req.Ancestor)
	if err != nil {
		return Call{}, err
	}
	old, err := p.relay.FindHeight(hash256(p.req.Best))
	if err != nil {
		return Call{}, err
	}
	return Call{
		Function: "markNewHeaviest",
		Args:     [][]byte{p.req.Best, best},
		Ancestor: p.req.Ancestor,
		Limit:    min(max(height, old)-ancestor, epochLength),
	}, nil
}

// run does a transaction's calls on a fork of the relay, and fills in what they take.
func (p *planner) run(tx *Transaction) (*FullRelay, error) {
	fork := p.relay.Fork()
	multicall := tx.To != p.req.Relay
	if multicall {
		tx.Data = MulticallData(p.req.Relay, tx.Calls)
	} else {
		tx.Data = tx.Calls[0].Data()
	}
	m := fork.costs.call(tx.Data)
	if multicall {
		m.multicall(tx.Calls)
	}
	for i := range tx.Calls {
		if _, err := fork.do(m, &tx.Calls[i]); err != nil {
			return nil, fmt.Errorf("%s from height %d: %w", tx.Calls[i].Function, tx.FromHeight, err)
		}
	}
	tx.Gas = m.receipt(nil).Gas
	tx.GasLimit = tx.Gas + tx.Gas/100
	if multicall {
		tx.GasLimit += tx.GasLimit / 63
	}
	return fork, nil
}

func (p *planner) fits(tx Transaction) bool { return p.caps.allow(&tx) }

// allow reports whether a transaction is within the caps. Its estimated size is at most
// its size.
func (c Caps) allow(tx *Transaction) bool {
	footprint := uint64(len(tx.Data)+transactionSize) * uint64(c.FootprintScalar)
	return tx.GasLimit <= min(c.TransactionGas, c.BlockGas) && footprint <= c.BlockGas
}

// transactionSize is the most that a transaction has beside its data: fees, nonce,
// limits, signature and lengths.
const transactionSize = 200

// NotHeaviest is the reason that a mark without more work reverts with.
const NotHeaviest = "New best hash does not have more work than previous"
