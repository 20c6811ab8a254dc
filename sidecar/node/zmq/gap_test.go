package zmq

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCounters(t *testing.T) {
	const last = math.MaxUint32
	for _, c := range []struct {
		name string
		came []uint32
		gaps []Gap // without the topic
	}{
		{"from 0", []uint32{0, 1, 2}, nil},
		{"from anywhere", []uint32{77, 78}, nil},
		{"wrap", []uint32{last - 1, last, 0, 1}, nil},
		{"first is the last of all", []uint32{last, 0}, nil},
		{"one lost", []uint32{5, 7, 8}, []Gap{{Expected: 6, Got: 7}}},
		{"lost at the wrap", []uint32{last, 1}, []Gap{{Expected: 0, Got: 1}}},
		{"lost across the wrap", []uint32{last - 1, 1, 2}, []Gap{{Expected: last, Got: 1}}},
		{"doubled", []uint32{5, 5, 6}, []Gap{{Expected: 6, Got: 5}}},
		{"reordered", []uint32{5, 7, 6, 8}, []Gap{{Expected: 6, Got: 7}, {Expected: 8, Got: 6}, {Expected: 7, Got: 8}}},
		{"started anew", []uint32{5, 6, 0, 1}, []Gap{{Expected: 7, Got: 0}}},
		{"stuck", []uint32{3, 3, 3}, []Gap{{Expected: 4, Got: 3}, {Expected: 4, Got: 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			follow := make(counters)
			var gaps []Gap
			for _, n := range c.came {
				// Another topic's counter must not matter.
				follow.follow(&Notification{Topic: TopicRawTx, Counter: n * 3})
				if g, ok := follow.follow(&Notification{Topic: TopicSequence, Counter: n}); ok {
					gaps = append(gaps, Gap{Expected: g.Expected, Got: g.Got})
					if g.Topic != TopicSequence {
						t.Errorf("gap in topic %q", g.Topic)
					}
				}
			}
			if !slices.Equal(gaps, c.gaps) {
				t.Errorf("gaps %v, want %v", gaps, c.gaps)
			}
		})
	}
}

func TestGapMissed(t *testing.T) {
	for _, c := range []struct {
		gap  Gap
		n    uint32
		sure bool
	}{
		{Gap{Expected: 6, Got: 7}, 1, true},
		{Gap{Expected: math.MaxUint32, Got: 1}, 2, true},
		{Gap{Expected: 6, Got: 5}, math.MaxUint32, false},
		{Gap{Expected: 1000, Got: 0}, math.MaxUint32 - 999, false},
		{Gap{Expected: 0, Got: 1<<31 - 1}, 1<<31 - 1, true},
		{Gap{Expected: 0, Got: 1 << 31}, 1 << 31, false},
	} {
		if n, ok := c.gap.Missed(); n != c.n || ok != c.sure {
			t.Errorf("%+v misses %d, %v, want %d, %v", c.gap, n, ok, c.n, c.sure)
		}
	}
}

// TestCountersProperty drops, doubles and reorders random streams of several
// topics and counts, without the tracker's arithmetic, at which notifications
// there must be a gap: those whose predecessor in the topic is not the one that
// was published just before.
func TestCountersProperty(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		type published struct {
			topic string
			index int // in the topic's stream
		}
		var stream []published
		first := make(map[string]uint32)
		indexes := make(map[string]int)
		for _, topic := range Topics() {
			first[topic] = rng.Uint32()
			if rng.IntN(2) == 0 {
				first[topic] = -rng.Uint32N(20) // near the wrap
			}
		}
		for range 60 {
			topic := Topics()[rng.IntN(5)]
			p := published{topic, indexes[topic]}
			indexes[topic]++
			switch rng.IntN(8) {
			case 0:
			case 1:
				stream = append(stream, p, p)
			case 2:
				i := rng.IntN(len(stream) + 1)
				stream = slices.Insert(stream, i, p)
			default:
				stream = append(stream, p)
			}
		}
		follow := make(counters)
		before := make(map[string]int)
		for i, p := range stream {
			previous, known := before[p.topic]
			before[p.topic] = p.index
			_, gap := follow.follow(&Notification{Topic: p.topic, Counter: first[p.topic] + uint32(p.index)})
			if want := known && previous+1 != p.index; gap != want {
				t.Fatalf("seed %d, notification %d: gap %v, want %v", seed, i, gap, want)
			}
		}
	}
}
