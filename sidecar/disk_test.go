package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sigverify"
	"github.com/outrider-project/outrider/utxocache"
)

// A failing disk fails every read but the first left, of headers and of coins.
type failingDisk struct {
	chain header.Ancestors
	left  *int
	err   error
}

func (d failingDisk) read() error {
	if *d.left--; *d.left < 0 {
		return d.err
	}
	return nil
}

func (d failingDisk) At(height uint32) (header.Header, error) {
	if err := d.read(); err != nil {
		return header.Header{}, err
	}
	return d.chain.At(height)
}

// A disk that fails at any read, of a block that is valid and of one that is
// not, is never reported as a broken rule: the judge waits, and says for what.
func TestFailingDiskIsNoVerdict(t *testing.T) {
	good := aTrial(t)
	bad := good
	bad.told = testimony{ops: good.told.ops, knew: true, answers: append([]utxocache.Answer(nil), good.told.answers...)}
	bad.told.answers[1].Coin.Script = []byte{0}
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		t.Fatal(err)
	}
	verifier := sigverify.New(sigverify.Options{})
	defer verifier.Close()
	for what, x := range map[string]exhibit{"valid": good, "invalid": bad} {
		for _, failure := range []error{
			syscall.EIO, io.ErrUnexpectedEOF, fmt.Errorf("read: %w", &header.RuleError{Rule: header.HighHash}), blockval.MissingInputs,
		} {
			reads := 0
			for ; ; reads++ {
				left := reads
				disk := failingDisk{x.ancestors, &left, failure}
				ctx, cancel := context.WithCancel(t.Context())
				var troubles []error
				j := &judge{
					validator: blockval.New(params, blockval.Options{Verifier: verifier}),
					log:       slog.New(slog.DiscardHandler), metrics: newJudgeMetrics(perfcore.Discard),
					trouble: func(err error) { troubles = append(troubles, err); cancel() },
				}
				answer := newRecord(x.told)
				at := blockval.At{Height: x.Height, Ancestors: disk, TimeTaken: true, Coins: &prevouts{
					fetch: func(ops []wire.OutPoint, answers []utxocache.Answer) error {
						if err := disk.read(); err != nil {
							return err
						}
						for i, op := range ops {
							answers[i] = utxocache.Answer{State: utxocache.Absent, Own: true}
							if a := answer.answer[op]; a != nil {
								answers[i] = *a
							}
						}
						return nil
					},
				}}
				r, err := j.judge(ctx, node.Tip(x.Tip), x.raw, decode(x.raw), at)
				cancel()
				if err == nil {
					if r.Verdict.Valid() != (what == "valid") || len(troubles) != 0 {
						t.Errorf("%s, all %d reads answered: %v, troubles %v", what, reads, r.Verdict.Err, troubles)
					}
					break
				}
				if !errors.Is(err, context.Canceled) || r.Verdict.Err != nil || r.Outcome != "" || len(troubles) != 1 {
					t.Fatalf("%s, read %d fails with %v: outcome %q, %v, error %v, troubles %v",
						what, reads, failure, r.Outcome, r.Verdict.Err, err, troubles)
				}
			}
			if reads < 20 {
				t.Errorf("%s: only %d reads", what, reads)
			}
		}
	}
}
