package planner

import (
	"context"
	"fmt"
	"math"
	"math/big"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
)

// A Verdict says how a relay and Bitcoin stand to each other.
type Verdict string

// These are the verdicts.
const (
	// InStep: there is nothing to tell the relay.
	InStep Verdict = "in step"
	// Behind: there is something to tell it, and a plan for that.
	Behind Verdict = "behind"
	// Waiting: there is something that the relay does not take yet.
	Waiting Verdict = "waiting"
	// Wedged: the relay can never follow Bitcoin's best chain from where it is.
	Wedged Verdict = "wedged"
	// Unauthorized: the relay takes nothing from the sender.
	Unauthorized Verdict = "unauthorized"
)

// A Place is a header. Its hash is in display order.
type Place struct {
	Height uint32 `json:"height"`
	Hash   string `json:"hash"`
}

// A Situation is what a relay is to be told, and why.
type Situation struct {
	Verdict Verdict
	// Why is a sentence for people, and Notes are others that they should know.
	Why   string
	Notes []string
	// Tip is Bitcoin's best header, Best the one that a FullRelay marked last, and
	// Stored the last of Tip's chain that it knows. ForkDepth is how many headers of
	// its chain are not in Bitcoin's.
	Tip, Best, Stored Place
	ForkDepth         uint32
	// Epoch is what a LightRelay knows last, and NextHeight that of the block with
	// which the next epoch after the plan's can be told.
	Epoch, NextHeight uint64
	// Behind is how many headers, or epochs of a LightRelay, Bitcoin is ahead.
	Behind int64
	// Plan is nil unless the verdict is Behind.
	Plan *relay.Plan
}

// Look reads the state of a relay after the last block and plans what it is to be told.
// schedule is as for ReadHead. The tree is the caller's to keep up to date; an
// *UnknownBestError names a header that it lacks.
func Look(ctx context.Context, chain Chain, t *Target, tree *headers.Tree, schedule *opstack.Schedule) (*Head, *Situation, error) {
	head, err := ReadHead(ctx, chain, schedule)
	if err != nil {
		return nil, nil, err
	}
	s, err := LookAt(ctx, chain, t, tree, head)
	return head, s, err
}

// LookAt is Look in the state after a block.
func LookAt(ctx context.Context, chain Chain, t *Target, tree *headers.Tree, head *Head) (*Situation, error) {
	if t.Kind == relay.KindLight {
		state, err := ReadLight(ctx, chain, t, head)
		if err != nil {
			return nil, err
		}
		return state.Plan(t, tree)
	}
	state, err := ReadFull(ctx, chain, t, tree, head)
	if err != nil {
		return nil, err
	}
	return state.Plan(t, tree)
}

// A Report is a Situation with what its plan costs. Its JSON is for programs: names stay;
// amounts of wei are decimal strings.
type Report struct {
	Relay   common.Address `json:"relay"`
	Kind    relay.Kind     `json:"kind"`
	Verdict Verdict        `json:"verdict"`
	Why     string         `json:"why"`
	Notes   []string       `json:"notes,omitempty"`
	// Block is the last of the chain that the relay is on.
	Block     uint64      `json:"block"`
	BlockHash common.Hash `json:"block_hash"`
	Tip       Place       `json:"bitcoin_tip"`
	// Best and the next two are a FullRelay's, Epoch and NextHeight a LightRelay's.
	Best       *Place  `json:"relay_best,omitempty"`
	Stored     *Place  `json:"relay_stored,omitempty"`
	ForkDepth  *uint32 `json:"fork_depth,omitempty"`
	Epoch      *uint64 `json:"relay_epoch,omitempty"`
	NextHeight *uint64 `json:"next_retarget_height,omitempty"`
	Behind     int64   `json:"behind"`

	Transactions []ReportedTransaction `json:"transactions"`
	Headers      int                   `json:"headers"`
	Gas          uint64                `json:"gas"`
	GasPerHeader float64               `json:"gas_per_header"`
	// Cost is that of all transactions at the fees of the last block, in wei.
	BaseFee     string `json:"base_fee_wei"`
	PriorityFee string `json:"priority_fee_wei"`
	Cost        string `json:"cost_wei"`
}

// A ReportedTransaction is one of a plan.
type ReportedTransaction struct {
	To         common.Address `json:"to"`
	Calls      []string       `json:"calls"`
	Headers    int            `json:"headers"`
	FromHeight uint64         `json:"from_height"`
	Gas        uint64         `json:"gas"`
	GasLimit   uint64         `json:"gas_limit"`
	Bytes      int            `json:"bytes"`
	// ExecutionFee, L1Fee and OperatorFee make up Cost; MostCost is what must be in
	// the account: with all of the gas limit.
	ExecutionFee string        `json:"execution_fee_wei"`
	L1Fee        string        `json:"l1_fee_wei"`
	OperatorFee  string        `json:"operator_fee_wei"`
	Cost         string        `json:"cost_wei"`
	MostCost     string        `json:"most_cost_wei"`
	Data         hexutil.Bytes `json:"data"`
}

// NewReport returns a report of a situation after a head, with these fees for gas.
func NewReport(t *Target, head *Head, s *Situation, fees Fees) (*Report, error) {
	r := &Report{
		Relay: t.Relay, Kind: t.Kind, Verdict: s.Verdict, Why: s.Why, Notes: s.Notes,
		Block: head.Number, BlockHash: head.Hash, Tip: s.Tip, Behind: s.Behind,
		BaseFee: fees.Base.String(), PriorityFee: fees.Tip.String(), Transactions: []ReportedTransaction{},
	}
	if head.Attributes == nil {
		r.Notes = append(r.Notes, "the last block has no L1 attributes, so this is no chain of the OP Stack: no L1 fee is counted")
	}
	if t.Kind == relay.KindLight {
		r.Epoch, r.NextHeight = &s.Epoch, &s.NextHeight
	} else {
		r.Best, r.Stored, r.ForkDepth = &s.Best, &s.Stored, &s.ForkDepth
	}
	total := new(big.Int)
	if s.Plan != nil {
		r.Headers, r.Gas, r.GasPerHeader = s.Plan.Headers, s.Plan.Gas, s.Plan.GasPerHeader()
		for i := range s.Plan.Transactions {
			tx, cost, err := reported(head, &s.Plan.Transactions[i], fees)
			if err != nil {
				return nil, fmt.Errorf("transaction %d: %w", i, err)
			}
			total.Add(total, cost)
			r.Transactions = append(r.Transactions, tx)
		}
	}
	r.Cost = total.String()
	return r, nil
}

// reported returns a transaction of a report, and what it costs.
func reported(head *Head, tx *relay.Transaction, fees Fees) (ReportedTransaction, *big.Int, error) {
	to := common.Address(tx.To)
	cost, err := head.Cost(to, tx.Data, tx.Gas, fees.Price())
	if err != nil {
		return ReportedTransaction{}, nil, err
	}
	most, err := head.Cost(to, tx.Data, tx.GasLimit, fees.Max)
	if err != nil {
		return ReportedTransaction{}, nil, err
	}
	r := ReportedTransaction{
		To: to, Headers: tx.Headers, FromHeight: tx.FromHeight, Gas: tx.Gas, GasLimit: tx.GasLimit, Bytes: len(tx.Data),
		ExecutionFee: cost.Execution.String(), L1Fee: cost.L1.String(), OperatorFee: cost.Operator.String(),
		Cost: cost.Total.String(), MostCost: most.Total.String(), Data: tx.Data,
	}
	for _, c := range tx.Calls {
		r.Calls = append(r.Calls, c.Function)
	}
	return r, cost.Total, nil
}

// Floor returns the height of the relay's best header, or of the first one of a
// LightRelay's epoch, in the state after head: a plan may need headers from a period below
// it on. It is 0 of a LightRelay that was told of nothing yet.
func Floor(ctx context.Context, chain Chain, t *Target, head *Head) (uint64, error) {
	if t.Kind == relay.KindLight {
		s, err := ReadLight(ctx, chain, t, head)
		if err != nil {
			return 0, err
		}
		if !s.Known.Ready {
			return math.MaxUint32, nil
		}
		return s.Known.CurrentEpoch * epochLength, nil
	}
	best, err := ask(ctx, chain, t.Relay, head.Hash, []view{getBestKnownDigest})
	if err != nil {
		return 0, err
	}
	if best[0].revert != nil {
		return 0, fmt.Errorf("relay %v: %w", t.Relay, best[0].revert)
	}
	known, err := heights(ctx, chain, t.Relay, head.Hash, []chainhash.Hash{chainhash.Hash(best[0].word)})
	if err != nil {
		return 0, err
	}
	height, ok, err := known[0].height()
	if err == nil && !ok {
		err = fmt.Errorf("relay %v does not know its own headers: %w", t.Relay, ErrDiverged)
	}
	return height, err
}
