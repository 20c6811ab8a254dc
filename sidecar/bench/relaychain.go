package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

const (
	// relayPeriod is after how many headers the target changes.
	relayPeriod = 2016
	// relayBits are a target that one in 256 hashes meets: the easiest that the
	// contracts have room for when they compute the next.
	relayBits = 0x2000ffff
	// relayL2 is the time from block to block of the relay's chain, as on BOB.
	relayL2 = 2 * time.Second
)

// A relayBench is what the figures of the relay have in common: a chain of headers by
// the main network's rules, but for the target.
type relayBench struct {
	params *header.Params
	chain  header.Chain // from the genesis block on
	now    time.Time
}

func newRelayBench(size relaySize) (*relayBench, error) {
	p, err := header.For("main")
	if err != nil {
		return nil, err
	}
	p.PowLimit = header.Uint256{^uint64(0), ^uint64(0), ^uint64(0), 1<<56 - 1}
	binary.LittleEndian.PutUint32(p.Genesis[72:], relayBits)
	if err := mineHeader(p, &p.Genesis); err != nil {
		return nil, err
	}
	b := &relayBench{params: p, chain: header.Chain{p.Genesis}}
	// A catch-up begins in the second period, and plans cross into the third.
	count := 2*relayPeriod + size.plans/2 + 2
	for _, offset := range size.catchups {
		count = max(count, 2*relayPeriod+offset+1)
	}
	for len(b.chain) < count {
		last := b.chain[len(b.chain)-1]
		// Blocks come a little too soon, so that each period's target is another, and
		// their times are not in order.
		at := p.Genesis.Time() + 590*uint32(len(b.chain)) + uint32(len(b.chain)*7919%2400)
		bits, err := p.NextBits(b.chain, uint32(len(b.chain)), at)
		if err != nil {
			return nil, err
		}
		var h header.Header
		prev := last.Hash()
		binary.LittleEndian.PutUint32(h[:], 4)
		copy(h[4:], prev[:])
		binary.LittleEndian.PutUint32(h[36:], uint32(len(b.chain)))
		binary.LittleEndian.PutUint32(h[68:], at)
		binary.LittleEndian.PutUint32(h[72:], bits)
		if err := mineHeader(p, &h); err != nil {
			return nil, err
		}
		b.chain = append(b.chain, h)
	}
	last := b.chain[len(b.chain)-1]
	b.now = time.Unix(int64(last.Time()), 0)
	return b, nil
}

// mineHeader finds the header's proof of work.
func mineHeader(p *header.Params, h *header.Header) error {
	for nonce := range uint32(1 << 20) {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		if digest := sha256Twice(h); digest[31] == 0 && p.CheckProofOfWork(h) == nil {
			return nil
		}
	}
	return fmt.Errorf("no nonce for header %x", *h)
}

// sha256Twice is the hash of a header by the standard library.
func sha256Twice(h *header.Header) [32]byte {
	first := sha256.Sum256(h[:])
	return sha256.Sum256(first[:])
}

// tree returns a tree of the headers up to height.
func (b *relayBench) tree(height int) (*headers.Tree, error) {
	base := headers.Base{Work: b.params.Genesis.Work(), Headers: b.chain[:height+1]}
	return headers.NewTree(b.params, base, headers.DefaultLimits())
}

// newModel returns the model of a relay that begins with the header at height.
func (b *relayBench) newModel(height int) (*relay.FullRelay, error) {
	m, err := relay.NewFullRelay(b.chain[height][:], uint64(height), b.chain[height-height%relayPeriod].Hash())
	if err != nil {
		return nil, err
	}
	m.SetCosts(contract.Costs())
	return m, nil
}

// request returns what tells a relay, whose best header is that at height best, of the
// headers after it, up to and with that at height to.
func (b *relayBench) request(best, to int, c *relayChain) relay.Request {
	data := make([]byte, 0, (to-best)*header.Size)
	for i := best + 1; i <= to; i++ {
		data = append(data, b.chain[i][:]...)
	}
	return relay.Request{
		Headers: data, Height: uint64(best + 1), Anchor: b.chain[best][:], PeriodStart: b.chain[best-best%relayPeriod][:],
		Best: b.chain[best][:], Ancestor: b.chain[best].Hash(), Relay: c.at, Multicall: c.multicall,
	}
}
