package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

// When a block is said to be provable, and until when, is when the contract accepts it and
// when it no longer does, as the relay is told of one block after another.
func TestProvableIsWhatTheContractSays(t *testing.T) {
	chain := trunk()
	const first, confs, wrap = interval + 1, 6, 1 << 8
	start := first + 12
	l := newL2(t, append(contract.FullRelayWithVerify().Creation, relay.ConstructorData(chain[first][:], first, chain[interval].Hash())...))
	l.add(chain, first+1, start)
	l.must(mark(first, chain[:first+1], chain[:start+1]))
	pool, node := newFresh(t, newServer(t, l)), newBitcoin(chain[:start+1])
	m := watch(t, l, relay.KindFullWithVerify, pool, node)
	known(t, m.Refresh(t.Context()))
	// Blocks that have confirmations, and that lack some, or all.
	blocks := map[uint32]*Provability{}
	for _, height := range []uint32{first, uint32(start) - confs, uint32(start) - confs + 1, uint32(start)} {
		v, err := m.State().Provable(height, confs)
		if err != nil {
			t.Fatal(err)
		}
		if lacks := int(height)+confs > start; v.Now == lacks || lacks && (v.WaitsFor != OnBitcoin || v.AtHeight != height+confs ||
			!v.Expected.Equal(timeOf(&chain[start]).Add(time.Duration(int(height)+confs-start)*spacing*time.Second))) {
			t.Errorf("at height %d: %+v", height, v)
		}
		blocks[height] = v
	}
	for tip := start; tip <= start+wrap+confs; tip++ {
		if tip > start {
			l.add(chain[:tip+1], tip, tip)
			l.must(mark(tip-1, chain[:tip], chain[:tip+1]))
		}
		for height, v := range blocks {
			accepted := l.send(relay.VerifyHeaderHashData(chain[height].Hash(), confs)) == nil
			// The second time, after the wrap, is not foreseen in the first answer.
			if again := tip >= int(height)+wrap+confs; accepted != (uint32(tip) >= v.AtHeight && uint32(tip) < v.UntilHeight || again) {
				t.Errorf("block %d with the relay at %d: accepted %t, and it was said %+v", height, tip, accepted, v)
			}
		}
	}
	// Bitcoin is ahead of the relay: who is to act is the relay's submitter.
	tip := start + wrap + confs
	node.set(chain[:tip+4])
	known(t, m.Refresh(t.Context()))
	v, err := m.State().Provable(uint32(tip-4), confs)
	if err != nil || v.Now || v.WaitsFor != OnRelay || int(v.AtHeight) != tip+2 || !v.Expected.IsZero() || int(v.RelayBest) != tip || v.Confirmations != 4 {
		t.Errorf("behind: %+v, %v", v, err)
	}
	// Within the wrap, when it is provable again is the model's word.
	v, err = m.State().Provable(uint32(tip-wrap-2), confs)
	if next, _ := relay.NextProvable(wrap+2, confs); err != nil || v.Now || v.Outage != Wrapped || v.AtHeight != uint32(tip-wrap-2)+uint32(next) || !strings.Contains(v.Why, "counts 2") {
		t.Errorf("within the wrap: %+v, %v", v, err)
	}
	if v, err = m.State().Provable(first-1, confs); err != nil || v.Now || v.AtHeight != 0 || !strings.Contains(v.Why, "begins with block") {
		t.Errorf("below the first: %+v, %v", v, err)
	}
	if _, err = m.State().Provable(uint32(tip+4), confs); err == nil || !strings.Contains(err.Error(), "no block at height") {
		t.Errorf("above the tip: %v", err)
	}
	if _, err = (&State{Position: Value[Position]{Reason: "no answer"}}).Provable(1, 1); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("of nothing known: %v", err)
	}
}

// What is said of a block follows from the position.
func TestProvable(t *testing.T) {
	at := func(height uint32) Block {
		return Block{Height: height, Time: time.Unix(firstTime+int64(height)*spacing, 0).UTC()}
	}
	full := func(marked uint32) Reading {
		return Reading{Full: &FullReading{MarkedHeight: marked, Current: Difficulty{1}}}
	}
	light := func(epoch, genesis uint32) Reading {
		return Reading{Light: &LightReading{Ready: true, ProofLength: 20, CurrentEpoch: epoch, GenesisEpoch: genesis}}
	}
	const verify = relay.KindFullWithVerify
	for _, tt := range []struct {
		name           string
		kind           relay.Kind
		tip            uint32
		reading        Reading
		place          place
		height, needed uint32
		want           Provability
		newest         uint32
	}{
		{
			"a relay that does not prove itself has no wrap", relay.KindFull, 10_280, full(10_280), place{ancestor: 10_280}, 10_020, 6,
			Provability{Confirmations: 260, RelayBest: 10_280, Now: true}, 10_274,
		},
		{
			"one that does has", verify, 10_280, full(10_280), place{ancestor: 10_280}, 10_020, 6,
			Provability{Confirmations: 260, RelayBest: 10_280, AtHeight: 10_282, WaitsFor: OnBitcoin, Outage: Wrapped, UntilHeight: 10_532}, 10_274,
		},
		{
			"the wrap comes", verify, 10_280, full(10_280), place{ancestor: 10_280}, 10_100, 6,
			Provability{Confirmations: 180, RelayBest: 10_280, Now: true, UntilHeight: 10_356}, 10_274,
		},
		{
			"it is behind the window", verify, 10_280, full(10_280), place{ancestor: 10_280}, 8_232, 6,
			Provability{Confirmations: 2048, RelayBest: 10_280}, 10_274,
		},
		{
			"the last within it", verify, 10_280, full(10_280), place{ancestor: 10_280}, 8_233, 6,
			Provability{Confirmations: 2047, RelayBest: 10_280, Now: true, UntilHeight: 10_281}, 10_274,
		},
		{
			"more than can be asked for", verify, 10_280, full(10_280), place{ancestor: 10_280}, 10_000, 256,
			Provability{Confirmations: 280, RelayBest: 10_280}, 0,
		},
		{
			"on the branch that the relay has left out", verify, 10_288, full(10_284), place{ancestor: 10_280}, 10_281, 6,
			Provability{RelayBest: 10_280, AtHeight: 10_287, WaitsFor: OnRelay, Outage: Forked, UntilHeight: 10_537}, 10_278,
		},
		{
			"a wedge", relay.KindFull, 10_090, Reading{Full: &FullReading{MarkedHeight: 10_080}}, place{ancestor: 10_079}, 10_085, 6,
			Provability{RelayBest: 10_079, Outage: Forked}, 10_074,
		},
		{
			"too few headers are no wrap", verify, 10_280, full(10_280), place{ancestor: 10_280}, 10_277, 6,
			Provability{Confirmations: 3, RelayBest: 10_280, AtHeight: 10_283, WaitsFor: OnBitcoin, UntilHeight: 10_533}, 10_274,
		},
		{
			"the tip is enough, once it is told", relay.KindFull, 10_280, full(10_270), place{ancestor: 10_270}, 10_274, 6,
			Provability{RelayBest: 10_270, AtHeight: 10_280, WaitsFor: OnRelay}, 10_264,
		},
		{
			"with none on top it must be marked, too", verify, 10_280, full(10_270), place{ancestor: 10_270}, 10_271, 0,
			Provability{RelayBest: 10_270, AtHeight: 10_271, WaitsFor: OnRelay, UntilHeight: 10_271 + 2048}, 10_270,
		},
		{
			"a light relay knows its epoch", relay.KindLight, 10_180, light(5, 4), place{agrees: true}, 10_174, 6,
			Provability{Confirmations: 6, RelayBest: 12_095, Now: true, UntilHeight: 7*2016 + 19}, 10_174,
		},
		{
			"and needs headers on top", relay.KindLight, 10_180, light(5, 4), place{agrees: true}, 10_175, 6,
			Provability{Confirmations: 5, RelayBest: 12_095, AtHeight: 10_181, WaitsFor: OnBitcoin, UntilHeight: 7*2016 + 19}, 10_174,
		},
		{
			"the epoch before", relay.KindLight, 10_180, light(5, 4), place{agrees: true}, 8_064, 6,
			Provability{Confirmations: 2116, RelayBest: 12_095, Now: true, UntilHeight: 6*2016 + 19}, 10_174,
		},
		{
			"and not the one before that", relay.KindLight, 10_180, light(5, 3), place{agrees: true}, 8_063, 6,
			Provability{Confirmations: 2117, RelayBest: 12_095}, 10_174,
		},
		{
			"nor one from before its genesis", relay.KindLight, 10_180, light(5, 5), place{agrees: true}, 10_079, 6,
			Provability{Confirmations: 101, RelayBest: 12_095}, 10_174,
		},
		{
			"an epoch begins", relay.KindLight, 12_100, light(5, 4), place{agrees: true}, 12_096, 2,
			Provability{Confirmations: 4, RelayBest: 12_095, AtHeight: 12_115, WaitsFor: OnBitcoin, Outage: Retargeting, UntilHeight: 8*2016 + 19}, 12_095,
		},
		{
			"it could have been told", relay.KindLight, 12_120, light(5, 4), place{agrees: true}, 12_096, 2,
			Provability{Confirmations: 24, RelayBest: 12_095, AtHeight: 12_115, WaitsFor: OnRelay, Outage: Retargeting, UntilHeight: 8*2016 + 19}, 12_095,
		},
		{
			"it is two epochs behind", relay.KindLight, 14_112 + 100, light(5, 4), place{agrees: true}, 14_112, 6,
			Provability{Confirmations: 100, RelayBest: 12_095, AtHeight: 14_131, WaitsFor: OnRelay, Outage: Retargeting, UntilHeight: 9*2016 + 19}, 12_095,
		},
		{
			"another difficulty", relay.KindLight, 10_180, light(5, 4), place{}, 10_100, 6,
			Provability{Confirmations: 80, RelayBest: 12_095, Outage: Mismatch}, 0,
		},
		{
			"not begun", relay.KindLight, 10_180, Reading{Light: &LightReading{}}, place{}, 10_100, 6,
			Provability{Confirmations: 80, Outage: Mismatch}, 0,
		},
	} {
		s := sight{
			now: at(tt.tip).Time, kind: tt.kind, confs: uint8(tt.needed), tip: at(tt.tip), spacing: spacing * time.Second, reading: &tt.reading, place: tt.place,
		}
		p := s.position()
		st := &State{At: s.now, Kind: tt.kind, Bitcoin: Value[Block]{Known: true, V: &s.tip}, Relay: Value[Reading]{Known: true, V: &tt.reading}, Position: Value[Position]{Known: true, V: p}}
		v, err := st.Provable(tt.height, tt.needed)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := tt.want
		want.Height, want.Needed, want.Why = tt.height, tt.needed, v.Why
		if want.WaitsFor == OnBitcoin {
			want.Expected = at(want.AtHeight).Time
		}
		if want.UntilHeight > 0 {
			want.Until = at(want.UntilHeight).Time
		}
		if *v != want || v.Why == "" {
			t.Errorf("%s:\n%+v, want\n%+v", tt.name, *v, want)
		}
		if tt.needed <= maxNeeded && s.newest(p, tt.needed) != tt.newest {
			t.Errorf("%s: the newest is %d, want %d", tt.name, s.newest(p, tt.needed), tt.newest)
		}
	}
}
