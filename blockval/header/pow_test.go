package header

import (
	"errors"
	"fmt"
	"testing"
)

// TestRetargetAgainstCore has the cases of Bitcoin Core's get_next_work tests:
// real retargets of the main network and both limits of a step.
func TestRetargetAgainstCore(t *testing.T) {
	p, err := For("main")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		first, last uint32 // times
		height      uint32
		bits, want  uint32
	}{
		{"no constraint", 1261130161, 1262152739, 32256, 0x1d00ffff, 0x1d00d86a},
		{"proof-of-work limit", 1231006505, 1233061996, 2016, 0x1d00ffff, 0x1d00ffff},
		{"a quarter of the timespan at least", 1279008237, 1279297671, 68544, 0x1c05a3f4, 0x1c0168fd},
		{"four times the timespan at most", 1263163443, 1269211443, 46368, 0x1c387f6f, 0x1d00e1fd},
		{"the last block before the first", 1279297671, 1279008237, 68544, 0x1c05a3f4, 0x1c0168fd},
	} {
		var first, last Header
		first.setTime(c.first)
		last.setTime(c.last)
		first.setBits(0x1b00ffff) // of no effect without BIP94
		last.setBits(c.bits)
		got, err := p.NextBits(sparse{c.height - 2016: first, c.height - 1: last}, c.height, 0)
		if err != nil || got != c.want {
			t.Errorf("%s: NextBits = %08x, %v, want %08x", c.name, got, err, c.want)
		}
	}
}

// TestRetargetSimnet has the product pass 2^256, where btcd goes on counting.
func TestRetargetSimnet(t *testing.T) {
	p, err := For("simnet")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bits   uint32
		actual int64
		want   uint32
	}{
		{0x207fffff, p.TargetTimespan, 0x207fffff},
		{0x207fffff, p.TargetTimespan * 2, 0x207fffff}, // the quotient is just below 2^256
		{0x207fffff, p.TargetTimespan * 4, 0x207fffff}, // and above
		{0x20400000, p.TargetTimespan * 4, 0x207fffff}, // and exactly that
		{0x207fffff, p.TargetTimespan / 2, 0x203fffff},
		{0x207fffff, 0, 0x201fffff},
	} {
		if got := p.retarget(c.bits, c.actual); got != c.want {
			t.Errorf("%08x after %d s: %08x, want %08x", c.bits, c.actual, got, c.want)
		}
	}
}

// TestMinDifficulty walks through the exception of the test networks, and what
// it does to the retarget.
func TestMinDifficulty(t *testing.T) {
	const (
		limit = 0x1d00ffff
		hard  = 0x1c0ffff0
		start = uint32(1_700_000_000)
	)
	// period is one of 2016 blocks, ten minutes apart, at heights 2016 to 4031,
	// of which the given ones used the exception. Its retarget
	// multiplies the target by 2015/2016.
	period := func(exceptions ...uint32) sparse {
		chain := sparse{}
		for height := uint32(2016); height < 4032; height++ {
			var h Header
			h.setTime(start + (height-2016)*600)
			h.setBits(hard)
			chain[height] = h
		}
		for _, height := range exceptions {
			h := chain[height]
			h.setBits(limit)
			chain[height] = h
		}
		return chain
	}
	// late has a block at the end of the clock's range.
	late := period()
	last := late[4030]
	last.setTime(1<<32 - 100)
	late[4030] = last
	whole := func(from, to uint32) (heights []uint32) {
		for ; from <= to; from++ {
			heights = append(heights, from)
		}
		return heights
	}
	at := func(height uint32) uint32 { return start + (height-2016)*600 }

	for _, c := range []struct {
		name    string
		network string
		chain   sparse
		height  uint32
		time    uint32
		want    uint32
	}{
		{"twenty minutes are not enough", "test", period(), 3000, at(2999) + 1200, hard},
		{"a second more is", "test", period(), 3000, at(2999) + 1201, limit},
		{"not on the main network", "main", period(), 3000, at(2999) + 1201, hard},
		{"nor on signet", "signet", period(), 3000, at(2999) + 1201, hard},
		{"back after one exception", "test", period(2999), 3000, at(2999) + 1, hard},
		{"the main network does not look back", "main", period(2999), 3000, at(2999) + 1, limit},
		{"back after a run of them", "testnet4", period(whole(2017, 2999)...), 3000, at(2999) + 1, hard},
		{"no further back than the period's first", "test", period(whole(2016, 2999)...), 3000, at(2999) + 1, limit},
		{"an earlier time than the last is not late", "test", period(), 3000, 0, hard},
		{"nor is one after the clock's range", "test", late, 4031, 2000, hard},
		{"no exception for the first of a period", "test", period(), 4032, at(4031) + 100_000, 0x1c0ffde7},
		{"the retarget of testnet3 forgets the difficulty", "test", period(4031), 4032, at(4032), 0x1d00ffde},
		{"that of testnet4 keeps it", "testnet4", period(4031), 4032, at(4032), 0x1c0ffde7},
		{"even after a run", "testnet4", period(whole(2017, 4031)...), 4032, at(4032), 0x1c0ffde7},
	} {
		p, err := For(c.network)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.NextBits(c.chain, c.height, c.time)
		if err != nil || got != c.want {
			t.Errorf("%s: NextBits = %08x, %v, want %08x", c.name, got, err, c.want)
		}
	}
}

// TestNextBitsReads has every ancestor that NextBits needs fail once: the error
// must come back, and not as a broken rule.
func TestNextBitsReads(t *testing.T) {
	p := small(t, "testnet4")
	slow := grow(t, p, 60, 1300) // 1300 s apart: every block an exception
	fast := grow(t, p, 40, 100)  // the second period is harder than the limit
	for _, c := range []struct {
		chain  Chain
		height uint32
		needs  []uint32
	}{
		{slow, 1, []uint32{0}},
		{slow, 20, []uint32{0, 19}},
		{slow, 25, []uint32{20, 21, 22, 23, 24}},
		{slow, 40, []uint32{20, 39}},
		{fast, 30, []uint32{29}},
	} {
		chain := c.chain
		time := chain[c.height-1].Time() + 1
		known := sparse{}
		for _, height := range c.needs {
			known[height] = chain[height]
		}
		if _, err := p.NextBits(known, c.height, time); err != nil {
			t.Errorf("height %d with headers %v: %v", c.height, c.needs, err)
		}
		for _, height := range c.needs {
			delete(known, height)
			_, err := p.NextBits(known, c.height, time)
			if want := fmt.Sprintf("read the header at height %d: no header at height %d", height, height); err == nil || err.Error() != want {
				t.Errorf("height %d without header %d: error %v, want %s", c.height, height, err, want)
			}
			if rule, ok := errors.AsType[*RuleError](err); ok {
				t.Errorf("height %d without header %d: a missing header is a broken rule: %v", c.height, height, rule)
			}
			known[height] = chain[height]
		}
	}
}
