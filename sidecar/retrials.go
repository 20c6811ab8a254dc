package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"time"
)

// The retrials are the bundles of evidence that wait to be judged again, by name, in the
// order in which they were written. That is done beside the judge, on one core, and
// one after the other: it takes longer than the verdict did, and no later verdict
// waits for it. It is work that can wait.
type retrials struct {
	waiting chan string // from the judge's goroutine to run
	within  time.Duration
	pace    pace                                                                         // nil if it waits for nobody
	try     func(ctx context.Context, dir string, workers int, p pace) (*Retrial, error) // retry, but in a test
	log     *slog.Logger
}

const (
	// maxRetrials bounds the bundles that wait.
	maxRetrials = 32
	// retrialTime is how long judging one bundle again may take, what it waits not counted.
	retrialTime = 20 * time.Minute
)

func newRetrials(e *elastic, log *slog.Logger) retrials {
	return retrials{
		waiting: make(chan string, maxRetrials), within: retrialTime, pace: e.pace(elasticEvidence), try: retry, log: log,
	}
}

// These are why a bundle was not judged again, or not to the end.
const (
	untried = "it has not been judged again yet; if the program that wrote it has ended since, it was not"
	crowded = "too many others waited to be judged again"
	stopped = "the program ended before it was judged again"
)

// due returns what the next bundle says of having been judged again when it is
// written. Only add, which the same goroutine calls, makes more of them wait.
func (r *retrials) due() bundleAgain {
	if len(r.waiting) == cap(r.waiting) {
		return failedAgain(crowded)
	}
	return failedAgain(untried)
}

func failedAgain(why string) bundleAgain {
	return bundleAgain{bundleVerdict: bundleVerdict{Unchecked: []string{}}, Failure: cut(why)}
}

// add has the bundle wait, if there is room.
func (r *retrials) add(name string) {
	select {
	case r.waiting <- name:
	default:
	}
}

// run judges the bundles again that wait, until ctx ends.
func (e *evidence) run(ctx context.Context) {
	for {
		select {
		case name := <-e.retrials.waiting:
			e.tryAgain(ctx, name)
		case <-ctx.Done():
			return
		}
	}
}

// tryAgain judges a bundle again, and notes there and in the log what came of it.
func (e *evidence) tryAgain(ctx context.Context, name string) {
	within := e.retrials.within
	bounded, at, end := bound(ctx, within, e.retrials.pace)
	defer end()
	dir := filepath.Join(e.dir, name)
	r, err := e.retrials.try(bounded, dir, 1, at)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = errors.New(stopped)
	case bounded.Err() != nil:
		err = fmt.Errorf("it was not judged again within %v of work", within)
	}
	log := e.retrials.log.With(slog.String("path", dir))
	if gone, failed := e.amend(name, r, err); failed != nil {
		log.Error("what came of judging the evidence again could not be written to it", slog.Any("err", failed))
	} else if gone {
		log.Info("the evidence has made room for that of later differences before it was judged again")
		return
	}
	switch {
	case err != nil:
		log.Warn("the evidence was not judged again", slog.Any("err", err))
	case r.Same:
		log.Info("the evidence was judged again: it leads to the same verdict", slog.String("verdict", r.Now.String()))
	default:
		log.Error("THE EVIDENCE LEADS TO ANOTHER VERDICT", slog.String("then", r.Recorded.String()), slog.String("now", r.Now.String()))
	}
}

// bound returns a context that ends with ctx, with end, or when so long was worked under
// it: what p, which may be nil, waits does not count. Work goes at the pace that it returns.
func bound(ctx context.Context, within time.Duration, p pace) (bounded context.Context, at pace, end func()) {
	bounded, cancel := context.WithCancel(ctx)
	if p == nil {
		p = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	left, began := within, time.Now()
	late := time.AfterFunc(left, cancel)
	at = func(ctx context.Context, took time.Duration) error {
		late.Stop()
		left -= time.Since(began)
		err := p(ctx, took)
		began = time.Now()
		late.Reset(left)
		return err
	}
	return bounded, at, func() { late.Stop(); cancel() }
}

// amend writes into a bundle what came of judging it again, or why nothing did. The
// bundle keeps its age. It reports whether the bundle has gone, and then does nothing.
func (e *evidence) amend(name string, r *Retrial, why error) (gone bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	parent, err := os.OpenRoot(e.dir)
	if err != nil {
		return false, err
	}
	defer parent.Close()
	file := path.Join(name, verdictFile)
	info, err := parent.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	b, err := e.reread(parent, name)
	if err != nil {
		return false, err
	}
	if why != nil {
		b.Again = failedAgain(why.Error())
	} else {
		b.Again = bundleAgain{bundleVerdict: r.Now, Same: r.Same}
	}
	if err := errors.Join(parent.RemoveAll(unfinished), b.write(parent, unfinished)); err != nil {
		return false, err
	}
	err = errors.Join(
		parent.Chtimes(unfinished, info.ModTime(), info.ModTime()),
		parent.Rename(unfinished, file), syncDir(parent, name), e.makeRoom(parent, 0, 0),
	)
	return false, err
}

// reread returns the verdict.json of a bundle in parent.
func (e *evidence) reread(parent *os.Root, name string) (*bundle, error) {
	root, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readBundle(root)
}
