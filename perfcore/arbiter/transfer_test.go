package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
)

// A transfer that comes to nothing beyond what was given back is in force as far as leases have
// moved: it says how that is undone, and they do not go back before their parts have settled.
func TestTransferInPart(t *testing.T) {
	const (
		settle = time.Hour
		begun  = 11 * time.Minute // behind the first period
		ended  = begun + 16*time.Minute
	)
	errNo := errors.New("no")
	for _, tt := range []struct {
		name string
		// during is what happens when the donors have been told, and after what does when it was
		// decided how that went.
		during, after func(from, too, to, pinned *part)
		// failing are the calls that fail, counted from 0, of those that set a lease.
		failing []int
		reason  string
		moves   []perfcore.Move
	}{
		{
			name:   "nothing is given back",
			during: func(from, _, _, _ *part) { from.stubborn = true },
			after:  func(from, _, _, _ *part) { from.stubborn = false },
			reason: "from does not give its memory back",
			moves:  []perfcore.Move{{Knob: "from", From: 50 * mem, To: 44 * mem}, {Knob: "too", From: 20 * mem, To: 16 * mem}},
		},
		{
			name:   "the taker is pinned",
			during: func(_, _, to, _ *part) { to.owner = "it is pinned" },
			reason: "to has another owner now",
			moves:  []perfcore.Move{{Knob: "from", From: 50 * mem, To: 44 * mem}, {Knob: "too", From: 20 * mem, To: 16 * mem}},
		},
		{
			name:    "the taker fails",
			failing: []int{2},
			reason:  "no",
			moves:   []perfcore.Move{{Knob: "from", From: 50 * mem, To: 44 * mem}, {Knob: "too", From: 20 * mem, To: 16 * mem}},
		},
		{
			name:   "others take it",
			during: func(_, _, _, pinned *part) { pinned.lease, pinned.held = 5*mem, 5*mem },
			after:  func(_, _, _, pinned *part) { pinned.lease, pinned.held = 0, 0 },
			reason: "others have taken the memory that to was to have",
			moves:  []perfcore.Move{{Knob: "from", From: 50 * mem, To: 44 * mem}, {Knob: "too", From: 20 * mem, To: 16 * mem}},
		},
		{
			name:   "one donor is pinned",
			during: func(_, too, _, _ *part) { too.owner, too.lease, too.held = "it is pinned", 18*mem, 18*mem },
			reason: "too has another owner now",
			moves:  []perfcore.Move{{Knob: "from", From: 50 * mem, To: 44 * mem}},
		},
		{
			name:    "one donor fails, and the other does so with what it has back",
			failing: []int{1, 2},
			reason:  "memory is worth more elsewhere: no\nno",
			moves:   []perfcore.Move{{Knob: "from", From: 50 * mem, To: 44 * mem}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := &part{name: "from", lease: 50 * mem, bid: arbiter.Bid{Saved: rising(44, 100)}, settle: settle, slow: 2 * time.Minute}
				too := &part{name: "too", lease: 20 * mem, bid: arbiter.Bid{Saved: rising(10, 100)}, settle: settle, slow: 2 * time.Minute}
				to := &part{name: "to", lease: 30 * mem, bid: arbiter.Bid{Saved: rising(46, 9000)}, settle: settle}
				pinned := &part{name: "pinned", owner: "it is pinned"}
				b := &building{t: t, limit: 100 * mem, parts: []*part{from, too, to, pinned}}
				cfg, calls := b.config(), 0
				cfg.Set = func(ctx context.Context, knob string, bytes int64) error {
					calls++
					if slices.Contains(tt.failing, calls-1) {
						return errNo
					}
					return b.set(ctx, knob, bytes)
				}
				change := func(f func(from, too, to, pinned *part)) {
					b.mu.Lock()
					defer b.mu.Unlock()
					if f != nil {
						f(from, too, to, pinned)
					}
				}
				b.run(begun, cfg, func(*arbiter.Arbiter) {
					change(tt.during)
					time.Sleep(ended - begun)
					b.mu.Lock()
					d := b.decisions[0]
					b.mu.Unlock()
					if d.Verdict != perfcore.Leased || !strings.HasPrefix(d.Reason, "in part: "+tt.reason) || !slices.Equal(d.Moves, tt.moves) {
						t.Errorf("it was decided %+v", d)
					}
					if !strings.Contains(d.String(), "undo: pin from 52428800") {
						t.Errorf("it does not say how it is undone: %v", d)
					}
					change(tt.after)
					change(func(from, _, to, _ *part) {
						from.bid, to.bid = arbiter.Bid{Saved: rising(90, 9000)}, arbiter.Bid{Saved: rising(10, 100)}
					})
					time.Sleep(3*settle - 20*time.Minute)
					if got := b.leases(); got[0] > 44 {
						t.Errorf("before it has settled it has %d units again", got[0])
					}
					time.Sleep(time.Hour)
					if got := b.leases(); got[0] <= 44 {
						t.Errorf("behind that it still has %d units", got[0])
					}
				})
			})
		})
	}
}
