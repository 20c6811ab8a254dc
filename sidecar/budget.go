package sidecar

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// budgetBurst is for how long a budget that is not spent is kept.
	budgetBurst = time.Second
	// budgetLook is how often who waits for it looks whether the share is another.
	budgetLook = 250 * time.Millisecond
	// elasticPatience is how long a piece of work is waited for on account of others: what is
	// left of a debt then is paid at the whole share. Without a bound, a piece that took
	// seconds would be paid for by minutes of waiting, with nobody else at work any more.
	elasticPatience = 15 * time.Second
)

// A budget is a share of the time of one core: on average, no more than that is
// spent. It may be overdrawn by one piece of work, which is paid for by waiting. It
// belongs to one goroutine, but for the share.
type budget struct {
	percent *atomic.Int64
	elastic *elastic      // says how much of that there is; nil for all
	late    bool          // elastic's patience has ended
	credit  time.Duration // below zero while it is overdrawn
	at      time.Time     // when credit was that; zero before the first time
}

// share returns the share at this moment, in percent.
func (b *budget) share() time.Duration {
	percent := b.percent.Load()
	if b.elastic == nil || b.late || percent == 0 {
		return time.Duration(percent)
	}
	return time.Duration(max(percent*b.elastic.now()/100, 1))
}

// refill brings the credit up to date.
func (b *budget) refill() {
	now, percent := time.Now(), b.share()
	most := budgetBurst * percent / 100
	if b.at.IsZero() {
		b.credit, b.at = most, now
	}
	b.credit = min(b.credit+now.Sub(b.at)*percent/100, most)
	b.at = now
}

// wait returns when something can be spent, or ctx's error when that ends.
func (b *budget) wait(ctx context.Context) error {
	defer func() { b.late = false }()
	for began := time.Now(); ; {
		if b.refill(); b.credit > 0 {
			return ctx.Err()
		}
		b.late = time.Since(began) >= elasticPatience
		if b.elastic != nil {
			b.elastic.wanted.Store(true)
		}
		pause := budgetLook
		if percent := b.share(); percent > 0 {
			pause = min(pause, -b.credit*100/percent+time.Millisecond)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// spend takes off the budget what was spent.
func (b *budget) spend(d time.Duration) { b.credit -= d }

// sleep returns after d, or ctx's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
