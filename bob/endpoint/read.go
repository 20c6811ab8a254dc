package endpoint

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// An allowance is how many reads may be asked twice: one in ten, and ten after a pause.
type allowance struct {
	mu     sync.Mutex
	tenths int // guarded by mu
}

const maxTenths = 100

// earn adds a tenth of a hedge, for a read.
func (a *allowance) earn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tenths = min(a.tenths+1, maxTenths)
}

// spend takes a hedge if there is one.
func (a *allowance) spend() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tenths < 10 {
		return false
	}
	a.tenths -= 10
	return true
}

// methodNotFound is the code of JSON-RPC for a method that a server does not have.
const methodNotFound = -32601

// A reply is what one endpoint answered to a read.
type reply struct {
	node  *node
	hasty bool
	answer
}

// read asks endpoints until one answers, or as many as Options.Confirm asks for have
// answered null. All that it starts has ended when it returns.
func (p *Pool) read(ctx context.Context, q *question) answer {
	p.hedges.earn()
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()

	replies := make(chan reply, len(p.nodes))
	var asked []*node
	under := 0
	// ask asks the best endpoint that was not asked; it reports whether there is one.
	ask := func(hasty bool) bool {
		candidates := p.ranked(asked)
		if len(candidates) == 0 {
			return false
		}
		n := candidates[0]
		asked = append(asked, n)
		under++
		asking.Go(func() { replies <- reply{n, hasty, p.askOne(ctx, n, q, hasty)} })
		return true
	}

	var hedge <-chan time.Time
	if d := p.hedgeDelay.Load(); d > 0 && len(p.nodes) > 1 {
		timer := time.NewTimer(time.Duration(d) * time.Millisecond)
		defer timer.Stop()
		hedge = timer.C
	}
	var absent, said, last *Error
	absences := 0
	ask(false)
	for under > 0 {
		select {
		case <-hedge:
			hedge = nil
			if p.hedges.spend() && ask(true) {
				p.perf.hedges.Add(1)
			}
		case r := <-replies:
			under--
			switch {
			case r.err == nil:
				return r.answer
			case r.err.Kind == Absent:
				absent = r.err
				if absences++; absences == p.opts.Confirm {
					return answer{err: absent}
				}
			case r.err.Kind == UnknownBlock || r.err.Code == methodNotFound:
				// Another may have it: this one is behind, keeps less, or can less.
				said = r.err
			case r.err.Kind.said() || ctx.Err() != nil:
				return r.answer
			case r.hasty && r.err.Kind == Overloaded:
				// It was not asked; it may be, with time.
				asked = slices.DeleteFunc(asked, func(n *node) bool { return n == r.node })
			default:
				last = r.err
			}
			if under == 0 {
				ask(false)
			}
		}
	}
	return answer{err: p.exhausted(q, absent, said, last, absences)}
}

// exhausted is the error of a read when there is nobody left to ask.
func (p *Pool) exhausted(q *question, absent, said, last *Error, absences int) *Error {
	switch {
	case absent != nil:
		p.perf.unconfirmed.Add(1)
		return &Error{
			Kind: Unconfirmed, Method: q.method,
			Message: fmt.Sprintf("%d answered null, %d must", absences, p.opts.Confirm),
		}
	case said != nil:
		return said
	}
	return p.nobody(q, last)
}

// askOne asks one endpoint for a read.
func (p *Pool) askOne(ctx context.Context, n *node, q *question, hasty bool) answer {
	answers, err := p.askProven(ctx, n, q, hasty)
	if err != nil {
		return answer{err: err}
	}
	return answers[0]
}
