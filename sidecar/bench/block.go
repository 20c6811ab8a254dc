package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify"
)

// A BlockInput is a block to judge and what it takes to do so.
type BlockInput struct {
	// Network is the chain's name, Height the block's height in it.
	Network string
	Height  uint32
	// Raw is the serialised block.
	Raw []byte
	// Spent holds the coins that the block's inputs spend, in input order,
	// the coinbase left out.
	Spent []blockval.Coin
	// Ancestors are the headers below the block; nil where they are not known, and
	// what needs them is not checked.
	Ancestors header.Ancestors
	// Seed is what the block was generated from; nil if it was not.
	Seed *uint64
}

// BlockOptions says how Block measures.
type BlockOptions struct {
	// Cores are the numbers of cores to measure on; none means one, and all.
	Cores []int
	// Rounds is how often each figure is measured; its median is told.
	Rounds int
	// Warm is the share of the transactions, up to 1, whose signatures have been
	// verified before in the row of that name; 0 leaves the row out. It is
	// measured on the first of Cores.
	Warm float64
}

// A BlockReport is what "outrider bench block" prints.
type BlockReport struct {
	Valid        bool            `json:"valid"`
	Rule         blockval.Rule   `json:"rule"`
	Detail       string          `json:"detail"`
	Prevouts     blockval.Source `json:"prevouts"`
	Unchecked    []blockval.Rule `json:"unchecked"`
	Transactions int             `json:"transactions"`
	Inputs       int             `json:"inputs"`
	Signatures   int             `json:"signatures"`
	// Seed is what the block was generated from; nil if it was not.
	Seed *uint64 `json:"seed,omitempty"`
	// Notes says what is not in the rows.
	Notes []string `json:"notes"`
	Report
}

// ErrUnjudged says that a block could not be judged: what it takes is not there,
// or is of another block. It says nothing about the block.
var ErrUnjudged = errors.New("the block could not be judged")

// CheckNetwork returns an error that names the networks if this is none of them.
func CheckNetwork(name string) error {
	_, err := blockval.ParamsFor(name)
	return err
}

// Block judges the block and, if it is valid, measures that, from its bytes to the
// verdict, in turns with its anchors. What the anchors do is less than that: btcd's
// engine runs the scripts, and libsecp256k1-floor is libsecp256k1's time for as many
// signatures as the block has. A figure that has both has a row for each. The error
// is an ErrUnjudged if there is no verdict.
func Block(ctx context.Context, in BlockInput, o BlockOptions) (*BlockReport, error) {
	params, err := blockval.ParamsFor(in.Network)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnjudged, err)
	}
	if len(o.Cores) == 0 {
		o.Cores = []int{1}
		if n := runtime.NumCPU(); n > 1 {
			o.Cores = append(o.Cores, n)
		}
	}
	rep := &BlockReport{
		Report: Report{Machine: ThisMachine(), Rows: []Row{}}, Unchecked: []blockval.Rule{}, Notes: []string{}, Seed: in.Seed,
	}
	v := newValidator(params, o.Cores[len(o.Cores)-1])
	verdict, err := judge(ctx, v.Validator, &in)
	v.close()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnjudged, err)
	}
	rep.Valid = verdict.Valid()
	if verdict.Err != nil {
		rep.Rule, rep.Detail = verdict.Err.Rule, verdict.Err.Error()
	}
	rep.Prevouts = verdict.Prevouts
	rep.Unchecked = append(rep.Unchecked, verdict.Unchecked...)
	rep.Transactions, rep.Inputs, rep.Signatures = verdict.Transactions, verdict.Inputs, verdict.Signatures
	if !rep.Valid {
		return rep, nil
	}
	if libsecp() == nil {
		rep.Notes = append(rep.Notes, "no libsecp256k1-floor, because the program was built without cgo")
	}
	m, err := newBlockBench(params, &in, rep.Signatures)
	if err != nil {
		return nil, err
	}
	for i, k := range o.Cores {
		share := o.Warm
		if i > 0 {
			share = 0
		}
		rows, err := m.measure(ctx, k, o.Rounds, share)
		if err != nil {
			return nil, err
		}
		rep.Rows = append(rep.Rows, rows...)
	}
	return rep, nil
}

// A blockValidator is a validator with a verifier of its own, which remembers the
// signatures that it is told to, and no others.
type blockValidator struct {
	*blockval.Validator
	verifier *sigverify.Verifier
}

// newValidator returns a validator that works on k cores. The caller closes it.
func newValidator(params *blockval.Params, k int) blockValidator {
	verifier := sigverify.New(sigverify.Options{Workers: k})
	return blockValidator{blockval.New(params, blockval.Options{Verifier: verifier, Workers: k}), verifier}
}

func (v blockValidator) close() { v.verifier.Close() }

// at returns the block's place in its chain.
func (in *BlockInput) at(coins *spent) blockval.At {
	return blockval.At{Height: in.Height, Ancestors: in.Ancestors, Coins: coins}
}

// judge decodes and validates the block.
func judge(ctx context.Context, v *blockval.Validator, in *BlockInput) (*blockval.Verdict, error) {
	b, err := blockval.Parse(in.Raw)
	if err != nil {
		broken, ok := err.(*blockval.RuleError)
		if !ok {
			return nil, err
		}
		return &blockval.Verdict{Height: in.Height, Err: broken}, nil
	}
	coins := newSpent(b.Msg, in.Spent)
	verdict, err := v.Check(ctx, b, in.at(coins))
	if err == nil && verdict.Prevouts != "" {
		// It was not refused before the coins were looked at.
		err = coins.fit()
	}
	return verdict, err
}

// spent answers for the coins of one block. It is a blockval.Coins and a
// txscript.PrevOutputFetcher.
type spent struct {
	coins map[wire.OutPoint]blockval.Coin
	// inputs counts the block's inputs, the coinbase's left out, and given the
	// coins.
	inputs, given int
}

// newSpent pairs the block's inputs with the coins, which are in their order.
func newSpent(block *wire.MsgBlock, coins []blockval.Coin) *spent {
	s := &spent{coins: make(map[wire.OutPoint]blockval.Coin, len(coins)), given: len(coins)}
	for _, tx := range block.Transactions[min(1, len(block.Transactions)):] {
		for _, in := range tx.TxIn {
			if s.inputs++; s.inputs <= s.given {
				s.coins[in.PreviousOutPoint] = coins[s.inputs-1]
			}
		}
	}
	return s
}

// fit returns an error unless there is one coin for each input.
func (s *spent) fit() error {
	if s.given != s.inputs {
		return fmt.Errorf("the spent file has %d coins, the block spends %d: is it of another block?", s.given, s.inputs)
	}
	return nil
}

// Prevouts implements blockval.Coins. A coin that was not given is worth nothing,
// and fit tells of it.
func (s *spent) Prevouts(_ context.Context, ops []wire.OutPoint, into []blockval.Coin) (blockval.Source, error) {
	for i, op := range ops {
		into[i] = s.coins[op]
	}
	return blockval.Node, nil
}

// Unspent implements blockval.Coins: a list of spent outputs cannot say.
func (s *spent) Unspent(context.Context, []wire.OutPoint) (unspent, known bool, err error) {
	return false, false, nil
}

// FetchPrevOutput implements txscript.PrevOutputFetcher.
func (s *spent) FetchPrevOutput(op wire.OutPoint) *wire.TxOut {
	coin := s.coins[op]
	return &wire.TxOut{Value: coin.Value, PkScript: coin.Script}
}
