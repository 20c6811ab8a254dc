package monitor

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/perfcore"
)

// The blocks that are said to have too few confirmations are those that the contract says it
// of, and when one has enough again is what the contract then says.
func TestWrap(t *testing.T) {
	chain := trunk()
	const first = interval + 1
	tip := first + 300
	l := newL2(t, append(contract.FullRelayWithVerify().Creation, relay.ConstructorData(chain[first][:], first, chain[interval].Hash())...))
	l.add(chain, first+1, tip)
	l.must(mark(first, chain[:first+1], chain[:tip+1]))
	pool := newFresh(t, newServer(t, l))
	for _, confs := range []uint8{1, 6, 40} {
		m := watch(t, l, relay.KindFullWithVerify, pool, newBitcoin(chain[:tip+1]))
		m.cfg.Confirmations = confs
		p := known(t, m.Refresh(t.Context()))
		if len(p.Outages) != 1 || p.Outages[0].Kind != Wrapped || !p.Outages[0].Active {
			t.Fatalf("outages: %+v", p.Outages)
		}
		o := p.Outages[0]
		for height := first; height <= tip-int(confs); height++ {
			err := l.send(relay.VerifyHeaderHashData(chain[height].Hash(), confs))
			if within := uint32(height) >= o.From && uint32(height) <= o.To; within != (err != nil) {
				t.Errorf("%d confirmations at height %d: %v; the outage is of %d to %d", confs, height, err, o.From, o.To)
			}
			v, perr := m.State().Provable(uint32(height), uint32(confs))
			if perr != nil || v.Now != (err == nil) || v.Now != (v.Outage == "") || int(v.Confirmations) != tip-height {
				t.Errorf("%d confirmations at height %d: %v; it is said %+v, %v", confs, height, err, v, perr)
			}
		}
		if p.ProvableHeight != uint32(tip)-uint32(confs) {
			t.Errorf("%d confirmations: the newest that can be proven is at %d", confs, p.ProvableHeight)
		}
		next, ok := relay.NextProvable(256, confs)
		if want := timeOf(&chain[tip]).Add(time.Duration(next-256) * 10 * time.Minute); !ok || !o.Ends.Equal(want) {
			t.Errorf("it ends at %v, want %v", o.Ends, want)
		}
	}
	m := watch(t, l, relay.KindFull, pool, newBitcoin(chain[:tip+1]))
	if p := known(t, m.Refresh(t.Context())); len(p.Outages) != 0 {
		t.Errorf("a relay without proofs has outages: %+v", p.Outages)
	}
}

// What follows from a reading, without anybody to ask.
func TestPosition(t *testing.T) {
	at := func(height uint32) Block {
		return Block{Height: height, Time: time.Unix(firstTime+int64(height)*spacing, 0)}
	}
	one := Difficulty{1}
	for _, tt := range []struct {
		name    string
		kind    relay.Kind
		tip     uint32
		reading Reading
		place   place
		want    Position
	}{
		{
			"a wedge needs a difficulty of 0", relay.KindFull, 10_090,
			Reading{Full: &FullReading{MarkedHeight: 10_090, Current: one}}, place{ancestor: 10_079, stored: 10_079, next: at(10_080)},
			Position{LagBlocks: 11, StoredHeight: 10_079, MarkedHeight: 10_079, EpochGap: 1, ForkDepth: 11, Wedge: Free},
		},
		{
			"and a retarget in between", relay.KindFull, 10_090,
			Reading{Full: &FullReading{MarkedHeight: 10_089}}, place{ancestor: 10_080, stored: 10_082, next: at(10_081)},
			Position{LagBlocks: 10, StoredHeight: 10_082, MarkedHeight: 10_080, ForkDepth: 9, Wedge: Exposed},
		},
		{
			"then it is there", relay.KindFull, 10_090,
			Reading{Full: &FullReading{MarkedHeight: 10_080}}, place{ancestor: 10_079, stored: 10_079, next: at(10_080)},
			Position{LagBlocks: 11, StoredHeight: 10_079, MarkedHeight: 10_079, EpochGap: 1, ForkDepth: 1, Wedge: Wedged},
		},
		{
			"far above a retarget nothing is exposed", relay.KindFull, 10_280,
			Reading{Full: &FullReading{MarkedHeight: 10_180}}, place{ancestor: 10_180, stored: 10_280, next: at(10_181)},
			Position{LagBlocks: 100, StoredHeight: 10_280, MarkedHeight: 10_180, Wedge: Free},
		},
		{
			"in the first period there is none below", relay.KindFull, 20,
			Reading{Full: &FullReading{MarkedHeight: 20}}, place{ancestor: 20, stored: 20},
			Position{StoredHeight: 20, MarkedHeight: 20, Wedge: Free},
		},
		{
			"a light relay two periods behind", relay.KindLight, 14_112 + 100,
			Reading{Light: &LightReading{Ready: true, ProofLength: 20, CurrentEpoch: 5}},
			place{agrees: true, boundary: at(12_096), due: at(12_115)},
			Position{LagBlocks: 2098, EpochGap: 2, Agrees: true, Due: 12_115},
		},
		{
			"a light relay of another chain", relay.KindLight, 10_080 + 100,
			Reading{Light: &LightReading{Ready: true, ProofLength: 20, CurrentEpoch: 5}}, place{},
			Position{Due: 12_115},
		},
	} {
		s := sight{
			now: at(tt.tip).Time.Add(time.Minute), kind: tt.kind, confs: 6, tip: at(tt.tip), spacing: spacing * time.Second,
			reading: &tt.reading, place: tt.place,
		}
		p := *s.position()
		if p.LagBlocks > 0 {
			first := tt.place.next.Height
			if tt.reading.Light != nil {
				first = tt.place.due.Height
			}
			if want := float64((tt.tip-first)*spacing + 60); p.LagSeconds != want {
				t.Errorf("%s: behind for %v s, want %v", tt.name, p.LagSeconds, want)
			}
		}
		next := (tt.tip/interval + 1) * interval
		if want := (Retarget{next, next - tt.tip, at(next).Time}); p.NextRetarget != want {
			t.Errorf("%s: the next retarget is %+v, want %+v", tt.name, p.NextRetarget, want)
		}
		var kinds []OutageKind
		for _, o := range p.Outages {
			kinds = append(kinds, o.Kind)
		}
		var want []OutageKind
		switch {
		case tt.reading.Light != nil && !tt.place.agrees:
			want = []OutageKind{Mismatch, Retargeting}
		case tt.reading.Light != nil:
			want = []OutageKind{Retargeting}
		case tt.want.ForkDepth > 0:
			want = []OutageKind{Forked}
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("%s: outages %v, want %v", tt.name, kinds, want)
		}
		if tt.want.Wedge == Wedged && !strings.Contains(p.Outages[0].Why, "deployed anew") {
			t.Errorf("%s: %s", tt.name, p.Outages[0].Why)
		}
		if p.BlockSeconds != spacing || p.TipProvable == nil || p.TipProvable.Height != tt.tip || p.TipProvable.Now {
			t.Errorf("%s: of the tip it is said %+v", tt.name, p.TipProvable)
		}
		p.Outages, p.LagSeconds, p.NextRetarget, p.BlockSeconds, p.ProvableHeight, p.TipProvable = nil, 0, Retarget{}, 0, 0, nil
		if got, want := asJSON(t, p), asJSON(t, tt.want); got != want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, want)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A light relay that was begun with another difficulty than the chain has is not believed.
func TestLightMismatch(t *testing.T) {
	chain := trunk()
	l := newL2(t, contract.LightRelay().Creation)
	other := chain[interval]
	copy(other[72:], []byte{0xff, 0xff, 0x00, 0x1d}) // difficulty 1
	l.must(relay.GenesisData(other[:], interval, 5))
	m := watch(t, l, relay.KindLight, newFresh(t, newServer(t, l)), newBitcoin(chain[:beginAt]))
	p := known(t, m.Refresh(t.Context()))
	if p.Agrees || p.Outages[0].Kind != Mismatch || p.Outages[0].From != interval || !strings.Contains(p.Outages[0].Why, "is 1, which is not") {
		t.Errorf("the position is %+v", p)
	}
}

// The metrics are what the state says, and no number where it is not known.
func TestInstruments(t *testing.T) {
	registry := new(perfcore.Registry)
	in := newInstruments(registry)
	value := func(name string, labels ...string) float64 {
		t.Helper()
		for _, s := range registry.Series() {
			if s.Metric.Name == name && slices.Equal(s.Metric.Labels, labels) {
				return s.Gauge.Value()
			}
		}
		t.Fatalf("there is no %s %v", name, labels)
		return 0
	}
	block, position := Block{Height: 900}, Position{
		LagBlocks: 3, LagSeconds: 30, EpochGap: 1, NextRetarget: Retarget{Blocks: 7}, StoredHeight: 899, MarkedHeight: 897, ForkDepth: 2, Wedge: Wedged,
		Outages: []Outage{{Kind: Forked, Active: true}, {Kind: Retargeting}},
	}
	st := &State{Bitcoin: Value[Block]{Known: true, V: &block}, Relay: Value[Reading]{Known: true, V: &Reading{Full: &FullReading{}}}, Position: Value[Position]{Known: true, V: &position}}
	in.record(st, time.Second)
	check := func(when string, want map[string]float64) {
		t.Helper()
		for key, v := range want {
			name, label, labelled := strings.Cut(key, " ")
			var labels []string
			if labelled {
				labels = strings.Split(label, "=")
			}
			if got := value("outrider_bob_relay_"+name, labels...); got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
				t.Errorf("%s: %s is %v, want %v", when, key, got, v)
			}
		}
	}
	check("known", map[string]float64{
		"height of=bitcoin": 900, "height of=marked": 897, "height of=stored": 899, "behind_blocks": 3, "lag_seconds": 30, "epoch_gap": 1,
		"fork_depth": 2, "wedged": 1, "retarget_blocks": 7, "outages kind=fork": 1, "outages kind=retarget": 0, "outages kind=mismatch": 0,
		"unknown what=bitcoin": 0, "unknown what=relay": 0, "unknown what=position": 0,
	})
	st.Relay.Known, st.Position.Known = false, false
	in.record(st, time.Second)
	nan := math.NaN()
	check("unknown", map[string]float64{
		"height of=bitcoin": 900, "height of=marked": nan, "height of=stored": nan, "behind_blocks": nan, "lag_seconds": nan, "epoch_gap": nan,
		"fork_depth": nan, "wedged": nan, "retarget_blocks": nan, "outages kind=fork": nan,
		"unknown what=bitcoin": 0, "unknown what=relay": 1, "unknown what=position": 1,
	})
	st.Bitcoin.Known = false
	in.record(st, time.Second)
	check("nothing known", map[string]float64{"height of=bitcoin": nan, "unknown what=bitcoin": 1})
	if got := in.refresh.Snapshot(); got.Count != 3 {
		t.Errorf("%d rounds were timed", got.Count)
	}
}

// What a state is in JSON is a contract with who reads it.
func TestStateJSON(t *testing.T) {
	v := Value[Block]{}.next(time.Unix(100, 0), nil, time.Time{}, errDown)
	if got, want := asJSON(t, v), `{"known":false,"value":null,"age_seconds":0,"reason":"HTTP 503: the node has too many calls open"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b := Block{Height: 5}
	v = v.next(time.Unix(100, 0), &b, time.Unix(90, 0), nil)
	if !v.Known || v.Age != 10 || v.Reason != "" || v.V != &b {
		t.Errorf("%+v", v)
	}
	if v = v.next(time.Unix(130, 0), nil, time.Time{}, errDown); v.Known || v.Age != 40 || v.V != &b {
		t.Errorf("%+v", v)
	}
	if got, want := asJSON(t, Difficulty{1 << 63, 1}), `"27670116110564327424"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Whatever a node answers, it is decoded within bounds, and taken for words only in their
// one form.
func FuzzWords(f *testing.F) {
	f.Add([]byte(`"0x`+strings.Repeat("0a", 64)+`"`), 2)
	f.Add([]byte(`"0x"`), 1)
	f.Add([]byte(`null`), 0)
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		n &= 15
		words, err := decodeWords(raw, n)
		if err == nil && (len(words) != n || n == 0) {
			t.Errorf("%q: %d words of %d", raw, len(words), n)
		}
	})
}

// A revert has a reason only if its data are Error(string), whole.
func FuzzRevert(f *testing.F) {
	good := reverts("Unknown block").data
	f.Add(good)
	f.Add(good[:68])
	f.Add(append(slices.Clone(good), 0))
	f.Add(reverts("").data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := revertOf(&endpoint.Error{Kind: endpoint.Reverted, Data: data})
		if r == nil {
			return
		}
		if again := reverts(r.Reason).data; len(again) != len(data) && len(r.Reason) > 0 || !strings.HasPrefix(string(data), string(again[:68])) {
			t.Errorf("%x is taken for %q", data, r.Reason)
		}
		if revertOf(&endpoint.Error{Kind: endpoint.RateLimited, Data: data}) != nil {
			t.Error("an error that is no revert is taken for one")
		}
	})
}

// A round on nodes of this machine, of which one in two sees a new block of the L2 and of
// Bitcoin.
func BenchmarkRefresh(b *testing.B) {
	chain := trunk()
	l := fullRelay(b, chain, contract.FullRelayWithVerify().Creation)
	l.add(chain, beginAt+1, retargetAt+10)
	l.must(mark(beginAt, chain[:beginAt+1], chain[:retargetAt+11]))
	node := newBitcoin(chain[:retargetAt+12])
	m := watch(b, l, relay.KindFullWithVerify, newFresh(b, newServer(b, l)), node)
	known(b, m.Refresh(b.Context()))
	took := make([]time.Duration, 0, 1<<16)
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			l.reorganise(0, 1)
			node.set(chain[:retargetAt+12+i/2%20])
		}
		start := time.Now()
		st := m.Refresh(b.Context())
		took = append(took, time.Since(start))
		if !st.Position.Known && i/2%20 != 0 { // but for where the chain begins again, the node goes back
			b.Fatal(st.Position.Reason)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
}
