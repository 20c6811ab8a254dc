package arbiter_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore/arbiter"
)

// sloping returns what is saved by a cache that misses one in five with 20 units, and less
// the more it has, by slope a unit, up to so many.
func sloping(slope float64, units int) []float64 {
	saved := make([]float64, 101)
	for u := range saved {
		saved[u] = 0.8*min(1, float64(u)/20) + slope*float64(max(min(u, units)-20, 0))
	}
	return saved
}

// peaking returns what is saved by a cache that saves most with so many units, and less by
// slope for each that it has more or less.
func peaking(slope float64, units int) []float64 {
	saved := make([]float64, 101)
	for u := range saved {
		saved[u] = 1 - slope*max(float64(u-units), float64(units-u))
	}
	return saved
}

// What is taken back costs one error of the bid at most, however often it is looked at and
// however soon memory may be given again; then leases rest.
func TestArbiterReclaimsOneError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		settle time.Duration
		parts  []*part
		want   []int
	}{
		{"settles in a day", 24 * time.Hour, []*part{
			{name: "coins", lease: 42 * mem, bid: arbiter.Bid{Saved: sloping(0.0045, 42), Error: 0.01}},
		}, []int{40}},
		{"settles in a minute", time.Minute, []*part{
			{name: "coins", lease: 42 * mem, bid: arbiter.Bid{Saved: sloping(0.0045, 42), Error: 0.01}},
		}, []int{40}},
		{"rises to the end", time.Minute, []*part{
			{name: "coins", lease: 42 * mem, bid: arbiter.Bid{Saved: sloping(0.0004, 100), Error: 0.01}},
		}, []int{42}},
		{"rises further than it may go", time.Minute, []*part{
			{name: "coins", lease: 42 * mem, most: 50 * mem, bid: arbiter.Bid{Saved: sloping(0.0011, 100), Error: 0.01}},
		}, []int{41}},
		{"rises further than there is", time.Minute, []*part{
			{name: "coins", lease: 42 * mem, bid: arbiter.Bid{Saved: sloping(0.0011, 100), Error: 0.01}},
			{name: "pinned", lease: 40 * mem, owner: "it is pinned"},
			{name: "floor", lease: 10 * mem, least: 10 * mem, bid: arbiter.Bid{Saved: rising(1, 0.1)}},
		}, []int{41, 40, 10}},
		{"flat below a cliff that is out of reach", time.Minute, []*part{
			{name: "loop", lease: 42 * mem, bid: arbiter.Bid{Saved: append(sloping(0, 20)[:90:90], 9), Error: 0.01}},
			{name: "pinned", lease: 40 * mem, owner: "it is pinned"},
		}, []int{20, 40}},
		{"flat below a cliff that is not worth it", time.Minute, []*part{
			{name: "loop", lease: 42 * mem, bid: arbiter.Bid{Saved: append(sloping(0, 20)[:90:90], 0.812), Error: 0.01}},
		}, []int{20}},
		{"falls beyond a peak", time.Minute, []*part{
			{name: "coins", lease: 42 * mem, bid: arbiter.Bid{Saved: peaking(0.0005, 20), Error: 0.0001}},
		}, []int{20}},
		{"two", time.Minute, []*part{
			{name: "coins", lease: 42 * mem, bid: arbiter.Bid{Saved: sloping(0.0045, 42), Error: 0.01}},
			{name: "blocks", lease: 58 * mem, bid: arbiter.Bid{Saved: sloping(0.002, 58), Error: 0.005}},
		}, []int{40, 56}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &building{t: t, limit: 100 * mem, parts: tt.parts}
				for _, p := range b.parts {
					p.settle = tt.settle
				}
				b.run(48*time.Hour, b.config())
				if got := b.leases(); !slices.Equal(got, tt.want) {
					t.Errorf("the leases are %v, want %v", got, tt.want)
				}
				if len(b.decisions) > 4 {
					t.Errorf("%d decisions were made in two days", len(b.decisions))
				}
			})
		})
	}
}
