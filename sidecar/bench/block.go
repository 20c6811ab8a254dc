package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify"
)

// A BlockInput is a block to judge and what it takes to do so.
type BlockInput struct {
	// Network is the chain's name, Height the block's height in it.
	Network string
	Height  uint32
	// SignetChallenge is the script that the blocks of Network, a signet, must
	// satisfy; nil means the default signet's.
	SignetChallenge []byte
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
	// Path is the code that verifies signatures; "" is the best one that the machine
	// has.
	Path sigverify.Path
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
	// Path is the code that verified them, and Reason why it was that.
	Path   sigverify.Path `json:"path"`
	Reason string         `json:"reason"`
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

// ParseSignetChallenge returns a BlockInput's challenge from its hexadecimal
// digits. The error says what they must be.
func ParseSignetChallenge(digits string) ([]byte, error) {
	return blockval.ParseSignetChallenge(digits)
}

// Block judges the block and, if it is valid, measures that, from its bytes to the
// verdict, in turns with its anchors. What the anchors do is less than that: btcd's
// engine runs the scripts, and libsecp256k1-floor is libsecp256k1's time for as many
// signatures as the block has. A figure that has both has a row for each. The error
// is an ErrUnjudged if there is no verdict.
func Block(ctx context.Context, in BlockInput, o BlockOptions) (*BlockReport, error) {
	params, err := blockval.ParamsFor(in.Network)
	if err == nil && in.SignetChallenge != nil {
		err = params.SetSignetChallenge(in.SignetChallenge)
	}
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
	v := newValidator(params, o.Cores[len(o.Cores)-1], o.Path)
	verdict, err := judge(ctx, v.Validator, &in)
	rep.Path, rep.Reason = pathOf(v.verifier, o.Path)
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
	m, err := newBlockBench(params, &in, rep.Signatures, o.Path)
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

// newValidator returns a validator that works on k cores, with signatures verified by
// the code of that path. The caller closes it.
func newValidator(params *blockval.Params, k int, path sigverify.Path) blockValidator {
	verifier := sigverify.New(sigverify.Options{Workers: k, Path: path})
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
