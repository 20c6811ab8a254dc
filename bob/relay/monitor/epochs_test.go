package monitor

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/testvectors"
)

// begins are real heights of headers of difficulty 1 that, to a contract, may each begin the epoch
// after that which the one before begins: it knows no heights, and what comes before each is some
// fortnights and a few seconds after the one before.
var begins = []int{41, 5131, 6654}

// A LightRelay that is three epochs behind is seen to be, and to come nearer with each retarget
// that its contract takes; what is provable follows.
func TestLightRelayEpochsBehind(t *testing.T) {
	const length, epoch = 5, 3 // the relay's, at first
	real := testvectors.Load(t, "headers/mainnet_0_10236.bin.zst", "a LightRelay several epochs behind")
	around := func(at int) []byte { return real[(at-length)*header.Size : (at+length)*header.Size] }

	// Bitcoin's chain has the same difficulty. The monitor believes its node, and so do we that
	// there is work behind it.
	const tip = (epoch+3)*interval + length + 20
	chain := make([]header.Header, tip+1)
	for i := range chain {
		if i > 0 {
			prev := chain[i-1].Hash()
			copy(chain[i][4:], prev[:])
		}
		binary.LittleEndian.PutUint32(chain[i][68:], firstTime+uint32(i)*spacing)
		binary.LittleEndian.PutUint32(chain[i][72:], 0x1d00ffff)
	}
	node := newBitcoin(chain)
	l := newL2(t, contract.LightRelay().Creation)
	genesis := header.Header(real[(begins[0]-1)*header.Size:])
	binary.LittleEndian.PutUint32(genesis[68:], genesis.Time()-fortnight)
	l.must(relay.GenesisData(genesis[:], epoch*interval, length))
	m := watch(t, l, relay.KindLight, newFresh(t, newServer(t, l)), node)

	provable := func(height uint32) *Provability {
		t.Helper()
		v, err := m.State().Provable(height, 6)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for told := range 4 {
		p := known(t, m.Refresh(t.Context()))
		r := m.State().Relay.V.Light
		current := uint32(epoch + told)
		boundary := (current + 1) * interval
		due := boundary + length - 1
		if r.CurrentEpoch != current || r.Current != (Difficulty{1}) || !p.Agrees || p.EpochGap != uint32(3-told) || p.Due != due {
			t.Fatalf("told of %d: %+v of %+v", told, p, r)
		}
		behind := uint32(0)
		if told < 3 {
			behind = tip - due + 1
			if lag := time.Since(timeOf(&chain[due])).Seconds(); p.LagSeconds < lag-5 || p.LagSeconds > lag+5 {
				t.Errorf("told of %d: behind for %v s, not %v", told, p.LagSeconds, lag)
			}
		}
		if o := p.Outages; p.LagBlocks != behind || len(o) != 1 || o[0].Kind != Retargeting || o[0].From != boundary || o[0].Active != (told < 3) || o[0].Ends.IsZero() != (told < 3) {
			t.Errorf("told of %d: %d blocks behind, %+v", told, p.LagBlocks, o)
		}
		newest := min(boundary-1, tip-6)
		if p.ProvableHeight != newest {
			t.Errorf("told of %d: the newest that is provable is %d, want %d", told, p.ProvableHeight, newest)
		}
		// The current epoch and the one before, if the relay was begun with it, and no other.
		for e := uint32(1); e <= epoch+3; e++ {
			v := provable(e*interval + 3)
			now := e >= epoch && (e == current || e+1 == current)
			waits := e > current
			if v.Now != now || waits != (v.WaitsFor == OnRelay) || waits && v.AtHeight != max(e*interval+3+6, e*interval+length-1) || (v.Outage == Retargeting) != waits {
				t.Errorf("told of %d, epoch %d: %+v", told, e, v)
			}
		}
		if told < 3 {
			l.must(relay.RetargetData(around(begins[told])))
		}
	}
}
