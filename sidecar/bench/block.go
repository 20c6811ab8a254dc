package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
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

// Block judges the block and, if it is valid, measures that rounds times on
// each of the given numbers of cores, in turns with btcd's script engine; no
// cores means one, and all. The error is an ErrUnjudged if there is no verdict.
func Block(ctx context.Context, in BlockInput, cores []int, rounds int) (*BlockReport, error) {
	params, err := blockval.ParamsFor(in.Network)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnjudged, err)
	}
	if len(cores) == 0 {
		cores = []int{1}
		if n := runtime.NumCPU(); n > 1 {
			cores = append(cores, n)
		}
	}
	rep := &BlockReport{Report: Report{Machine: ThisMachine(), Rows: []Row{}}, Unchecked: []blockval.Rule{}}
	verdict, err := judge(ctx, params, &in, cores[len(cores)-1])
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
	for _, k := range cores {
		rows, err := measureBlock(ctx, params, &in, k, rounds)
		if err != nil {
			return nil, err
		}
		rep.Rows = append(rep.Rows, rows...)
	}
	return rep, nil
}

// judge decodes and validates the block on k cores.
func judge(ctx context.Context, params *blockval.Params, in *BlockInput, k int) (*blockval.Verdict, error) {
	b, err := blockval.Parse(in.Raw)
	if err != nil {
		broken, ok := err.(*blockval.RuleError)
		if !ok {
			return nil, err
		}
		return &blockval.Verdict{Height: in.Height, Err: broken}, nil
	}
	v := blockval.New(params, blockval.Options{Verifier: sigverify.New(sigverify.Options{Workers: k}), Workers: k})
	coins := newSpent(b.Msg, in.Spent)
	verdict, err := v.Check(ctx, b, blockval.At{Height: in.Height, Coins: coins})
	if err == nil && verdict.Prevouts != "" {
		// It was not refused before the coins were looked at.
		err = coins.fit()
	}
	return verdict, err
}

// coresName is how row names call k cores.
func coresName(k int) string {
	switch k {
	case 1:
		return "1core"
	case runtime.NumCPU():
		return "allcores"
	}
	return fmt.Sprintf("%dcores", k)
}

// measureBlock returns the rows of validating the block on k cores.
func measureBlock(ctx context.Context, params *blockval.Params, in *BlockInput, k, rounds int) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(k))
	var parse, lookup, rules, scripts, total, allocated, anchor []float64
	for range rounds {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		v, err := judge(ctx, params, in, k)
		took := time.Since(start)
		if err != nil {
			return nil, err
		}
		runtime.ReadMemStats(&after)
		allocated = append(allocated, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(in.Raw)))
		total = append(total, millis(took))
		parse = append(parse, millis(v.Stages.Parse))
		lookup = append(lookup, millis(v.Stages.Lookup))
		rules = append(rules, millis(v.Stages.Rules))
		scripts = append(scripts, millis(v.Stages.Scripts))

		runtime.GC()
		took, err = btcdScripts(ctx, params, in, k)
		if err != nil {
			return nil, err
		}
		anchor = append(anchor, millis(took))
	}
	at := coresName(k)
	btcd := median(anchor)
	return []Row{
		lessIsBetter("block/total/"+at, median(total), "ms", "btcd scripts", btcd),
		plain("block/parse/"+at, median(parse), "ms"),
		plain("block/lookup/"+at, median(lookup), "ms"),
		plain("block/rules/"+at, median(rules), "ms"),
		lessIsBetter("block/scripts/"+at, median(scripts), "ms", "btcd scripts", btcd),
		plain("block/allocated/"+at, median(allocated), "× block size"),
	}, nil
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// btcdScripts runs every input through btcd's script engine on k goroutines; it
// is the anchor. What signature hashes share is computed once for each
// transaction that has a witness, as checkBlockScripts in btcd does. Decoding and
// everything but scripts is left out.
func btcdScripts(ctx context.Context, params *blockval.Params, in *BlockInput, k int) (time.Duration, error) {
	b, err := blockval.Parse(in.Raw)
	if err != nil {
		return 0, err
	}
	flags := params.ScriptFlags(b.Hash, in.Height)
	coins := newSpent(b.Msg, in.Spent)
	type job struct {
		tx     *wire.MsgTx
		input  int
		coin   blockval.Coin
		hashes *txscript.TxSigHashes
	}
	start := time.Now()
	var jobs []job
	for _, tx := range b.Msg.Transactions[1:] {
		var hashes *txscript.TxSigHashes
		if flags&txscript.ScriptVerifyWitness != 0 && tx.HasWitness() {
			hashes = txscript.NewTxSigHashes(tx, coins)
		}
		for i, txin := range tx.TxIn {
			jobs = append(jobs, job{tx, i, coins.coins[txin.PreviousOutPoint], hashes})
		}
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range k {
		wg.Go(func() {
			for ctx.Err() == nil && failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				j := &jobs[i]
				vm, err := txscript.NewEngine(j.coin.Script, j.tx, j.input, flags, nil, j.hashes, j.coin.Value, coins)
				if err == nil {
					err = vm.Execute()
				}
				if err != nil {
					err = fmt.Errorf("btcd refuses input %d of %v: %w", j.input, j.tx.TxHash(), err)
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return took, ctx.Err()
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
