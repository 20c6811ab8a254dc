package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sigverify"
)

// A blockBench measures the validation of one block, which is valid.
type blockBench struct {
	params     *blockval.Params
	in         *BlockInput
	block      *blockval.Block
	coins      *spent
	signatures int
	path       sigverify.Path
	floor      *floor // nil without libsecp256k1
}

func newBlockBench(params *blockval.Params, in *BlockInput, signatures int, path sigverify.Path) (*blockBench, error) {
	block, err := blockval.Parse(in.Raw)
	if err != nil {
		return nil, err
	}
	f, err := newFloor()
	if err != nil {
		return nil, err
	}
	return &blockBench{
		params: params, in: in, block: block, coins: newSpent(block.Msg, in.Spent), signatures: signatures, path: path, floor: f,
	}, nil
}

// These are the anchors' names.
const (
	btcdAnchor  = "btcd"
	floorAnchor = "libsecp256k1-floor"
)

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

// blockTimes are what was measured, round by round: times in milliseconds, and
// allocated in sizes of the block.
type blockTimes struct {
	total, parse, lookup, rules, scripts, allocated []float64
	warm                                            []float64
	btcd, floor                                     []float64
}

// measure returns the rows of validating the block on k cores, and if share is
// above 0 that of doing so when the signatures of that share of the transactions
// were verified before.
func (m *blockBench) measure(ctx context.Context, k, rounds int, share float64) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(k))
	cold := newValidator(m.params, k, m.path)
	defer cold.close()
	var warm blockValidator
	if share > 0 {
		warm = newValidator(m.params, k, m.path)
		defer warm.close()
		if err := remember(ctx, warm.Validator, m.block.Msg, m.coins, share); err != nil {
			return nil, err
		}
	}
	var t blockTimes
	for range rounds {
		if err := m.round(ctx, &t, cold, k); err != nil {
			return nil, err
		}
		if share > 0 {
			_, took, err := m.validate(ctx, warm)
			if err != nil {
				return nil, err
			}
			t.warm = append(t.warm, millis(took))
		}
	}
	return t.rows(coresName(k), share), nil
}

// round measures all but warm once.
func (m *blockBench) round(ctx context.Context, t *blockTimes, v blockValidator, k int) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	verdict, took, err := m.validate(ctx, v)
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	t.allocated = append(t.allocated, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(m.in.Raw)))
	t.total = append(t.total, millis(took))
	t.parse = append(t.parse, millis(verdict.Stages.Parse))
	t.lookup = append(t.lookup, millis(verdict.Stages.Lookup))
	t.rules = append(t.rules, millis(verdict.Stages.Rules))
	t.scripts = append(t.scripts, millis(verdict.Stages.Scripts))

	if m.floor != nil {
		perSignature, err := m.floor.measure(k)
		if err != nil {
			return err
		}
		t.floor = append(t.floor, float64(m.signatures)*millis(perSignature))
	}
	runtime.GC()
	took, err = m.btcdScripts(ctx, k)
	t.btcd = append(t.btcd, millis(took))
	return err
}

// validate validates the block once, from its bytes on.
func (m *blockBench) validate(ctx context.Context, v blockValidator) (*blockval.Verdict, time.Duration, error) {
	runtime.GC()
	start := time.Now()
	b, err := blockval.Parse(m.in.Raw)
	if err != nil {
		return nil, 0, err
	}
	verdict, err := v.Check(ctx, b, m.in.at(m.coins))
	took := time.Since(start)
	if err == nil && !verdict.Valid() {
		err = fmt.Errorf("the block was valid, and now it is not: %w", verdict.Err)
	}
	return verdict, took, err
}

// rows returns the rows of the medians.
func (t *blockTimes) rows(at string, share float64) []Row {
	btcd := median(t.btcd)
	total := func(name string, ms []float64) []Row {
		var rows []Row
		value := median(ms)
		if len(t.floor) > 0 {
			rows = append(rows, lessIsBetter(name, value, "ms", floorAnchor, median(t.floor)))
		}
		return append(rows, lessIsBetter(name, value, "ms", btcdAnchor, btcd))
	}
	rows := append(total("block/total/"+at, t.total),
		plain("block/parse/"+at, median(t.parse), "ms"),
		plain("block/lookup/"+at, median(t.lookup), "ms"),
		plain("block/rules/"+at, median(t.rules), "ms"),
		lessIsBetter("block/scripts/"+at, median(t.scripts), "ms", btcdAnchor, btcd),
		plain("block/allocated/"+at, median(t.allocated), "× block size"),
	)
	if share > 0 {
		rows = append(rows, total(fmt.Sprintf("block/total/warm%g", math.Round(share*1e4)/100), t.warm)...)
	}
	return rows
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
