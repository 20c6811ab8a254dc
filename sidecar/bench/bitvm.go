package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// BitvmOptions says how Bitvm measures.
type BitvmOptions struct {
	// Rounds is how often each figure is measured; its median is told.
	Rounds int
	// Claims is how many whole claims are judged on all cores, in each mode.
	Claims int
}

// A BitvmReport is what Bitvm measured.
type BitvmReport struct {
	Report
	// Claims are many claims on all cores, while the rows are of one.
	Claims []ClaimFigures `json:"claims"`
}

// claimsOfBench is how many claims take turns: more than fit into a processor's caches.
const claimsOfBench = 8

// A bitvmFigure is a row under way: how many milliseconds something takes on one thread,
// measured in turns with an anchor, if there is one.
type bitvmFigure struct {
	name         string
	ours, theirs task
	anchor       string // "" if theirs is nil
	did, didRef  []float64
}

// measure measures both once.
func (f *bitvmFigure) measure(ctx context.Context) error {
	for _, m := range []struct {
		run task
		did *[]float64
	}{{f.ours, &f.did}, {f.theirs, &f.didRef}} {
		if m.run == nil {
			continue
		}
		ms, err := each(ctx, m.run)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		*m.did = append(*m.did, ms)
	}
	return nil
}

// each runs a task for windowTime, once at least, and returns how many milliseconds of
// a processor one of what it does takes.
func each(ctx context.Context, run task) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	did := 0
	for start, began := time.Now(), threadTime(); ; {
		n, err := run(ctx)
		if err != nil {
			return 0, err
		}
		did += n
		if time.Since(start) >= windowTime {
			return float64((threadTime() - began).Nanoseconds()) / 1e6 / float64(did), nil
		}
	}
}

func (f *bitvmFigure) row() Row {
	if f.theirs == nil {
		return plain(f.name, median(f.did), "ms")
	}
	return lessIsBetter(f.name, median(f.did), "ms", f.anchor, median(f.didRef))
}

// Bitvm measures what a watchtower of BitVM bridges verifies, each figure in turns with
// its anchor, and then many whole claims on all cores.
func Bitvm(ctx context.Context, o BitvmOptions) (*BitvmReport, error) {
	var figures []*bitvmFigure
	verifier := newAdaptorVerifier()
	defer verifier.Close()
	adaptors := func() ([]*bitvmFigure, error) { return adaptorFigures(ctx, verifier) }
	for _, of := range []func() ([]*bitvmFigure, error){groth16Figures, wotsFigures, leafFigures, adaptors, watchFigures} {
		some, err := of()
		if err != nil {
			return nil, err
		}
		figures = append(figures, some...)
	}
	claims, err := newClaimBench(claimsOfBench)
	if err != nil {
		return nil, err
	}
	figures = append(figures, claims.figures()...)
	for range o.Rounds {
		for _, f := range figures {
			if err := f.measure(ctx); err != nil {
				return nil, err
			}
		}
	}
	rep := &BitvmReport{Report: Report{Machine: ThisMachine(), Rows: []Row{}}, Claims: []ClaimFigures{}}
	for _, f := range figures {
		rep.Rows = append(rep.Rows, f.row())
	}
	for _, validated := range []bool{false, true} {
		f, err := claims.many(ctx, validated, o.Claims)
		if err != nil {
			return nil, err
		}
		rep.Claims = append(rep.Claims, f)
	}
	return rep, nil
}

// WriteTable writes the report for people.
func (r *BitvmReport) WriteTable(w io.Writer) error {
	err := r.Report.WriteTable(w)
	for _, f := range r.Claims {
		_, wrong := fmt.Fprintf(w, "%d claims, %s, by %d goroutines: %s a second; %s CPU-seconds a thousand, %d MiB resident at most\n",
			f.Claims, f.Mode, f.Parallel, figure(f.PerSecond), figure(f.CPUSeconds), f.PeakRSS>>20)
		err = errors.Join(err, wrong)
	}
	return err
}
