package contract

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/relay"
)

// A lightStep is a call of a LightRelay by somebody at some time.
type lightStep struct {
	step
	from relay.Address
	now  uint64
}

// lightCall makes a call of a model.
func lightCall(m *relay.LightRelay, s *lightStep) outcome {
	raw := func(i int) []byte { return s.args[i].([]byte) }
	num := func(i int) uint64 { return s.args[i].(*big.Int).Uint64() }
	account := func(i int) relay.Address { return relay.Address(s.args[i].(common.Address)) }
	does := func(receipt relay.Receipt, err error) outcome {
		return outcome{events: receipt.Events, exec: receipt.Exec, err: err}
	}
	rules := func(events []relay.Event, err error) outcome { return outcome{events: events, err: err} }
	asks := func(values ...any) outcome { return outcome{values: values} }
	switch s.method {
	case "genesis":
		return does(m.Genesis(s.from, raw(0), num(1), s.args[2].(uint64)))
	case "retarget":
		return does(m.Retarget(s.from, raw(0), s.now))
	case "validateChain":
		time, count, err := m.ValidateChain(raw(0))
		return outcome{values: []any{number(uint64(time)), number(uint64(count))}, err: err}
	case "setProofLength":
		return rules(m.SetProofLength(s.from, s.args[0].(uint64)))
	case "setAuthorizationStatus":
		return rules(m.SetAuthorizationStatus(s.from, s.args[0].(bool)))
	case "authorize":
		return rules(m.Authorize(s.from, account(0)))
	case "deauthorize":
		return rules(m.Deauthorize(s.from, account(0)))
	case "transferOwnership":
		return rules(m.TransferOwnership(s.from, account(0)))
	case "renounceOwnership":
		return rules(m.RenounceOwnership(s.from))
	case "getBlockDifficulty":
		difficulty, err := m.BlockDifficulty(num(0))
		return outcome{values: []any{bigOf(difficulty)}, err: err}
	case "getEpochDifficulty":
		difficulty, err := m.EpochDifficulty(num(0))
		return outcome{values: []any{bigOf(difficulty)}, err: err}
	case "getRelayRange":
		first, last := m.RelayRange()
		return asks(number(first), number(last))
	case "getCurrentEpochDifficulty":
		return asks(bigOf(m.CurrentEpochDifficulty()))
	case "getPrevEpochDifficulty":
		return asks(bigOf(m.PrevEpochDifficulty()))
	case "getCurrentAndPrevEpochDifficulty":
		return asks(bigOf(m.CurrentEpochDifficulty()), bigOf(m.PrevEpochDifficulty()))
	case "ready":
		return asks(m.Ready())
	case "authorizationRequired":
		return asks(m.AuthorizationRequired())
	case "proofLength":
		return asks(m.ProofLength())
	case "genesisEpoch":
		return asks(m.GenesisEpoch())
	case "currentEpoch":
		return asks(m.CurrentEpoch())
	case "isAuthorized":
		return asks(m.IsAuthorized(account(0)))
	case "owner":
		return asks(common.Address(m.Owner()))
	}
	panic("no such call: " + s.method)
}

// lightStorage returns what a contract in the model's state has in its storage.
func lightStorage(m *relay.LightRelay) map[common.Hash]common.Hash {
	owner := m.Owner()
	first := new(big.Int).SetBytes(owner[:])
	for shift, flag := range map[uint]bool{160: m.Ready(), 168: m.AuthorizationRequired()} {
		if flag {
			first.SetBit(first, int(shift), 1)
		}
	}
	first.Or(first, new(big.Int).Lsh(number(m.ProofLength()), 176))
	all := map[common.Hash]common.Hash{
		slot(0): common.BigToHash(first),
		slot(1): word(relay.Uint256{m.GenesisEpoch(), m.CurrentEpoch()}),
		slot(2): word(m.CurrentEpochDifficulty()),
		slot(3): word(m.PrevEpochDifficulty()),
	}
	for n := m.GenesisEpoch(); n <= m.CurrentEpoch(); n++ {
		known := m.Epoch(n)
		packed := new(big.Int).Lsh(bigOf(known.Target), 32)
		all[entry(4, small(n))] = common.BigToHash(packed.Or(packed, number(uint64(known.Time))))
	}
	for _, account := range append(accounts, relay.Address{}) {
		if m.IsAuthorized(account) {
			all[entry(5, common.BytesToHash(account[:]))] = small(1)
		}
	}
	maps.DeleteFunc(all, func(_, value common.Hash) bool { return value == common.Hash{} })
	return all
}

// The accounts that call a LightRelay: its owner and two others.
var accounts = []relay.Address{{1}, {2, 19: 9}, {3}}

// A lightWorld is real headers that a LightRelay may be told of as epochs: it does not
// know heights, so that an epoch may begin at any header whose time is right.
type lightWorld struct {
	chain [][]byte
	// boundaries has, for a header, those that may begin the epoch after the one that
	// it begins; for -1, those that may begin the one after a genesis epoch.
	boundaries map[int][]int
	// periodStart is the first header of the epoch that the chain begins in; if it is
	// nil there must be a forged one.
	periodStart []byte
}

// lightWorlds returns the histories with retargets, and the one of difficulty 1, in
// which the target of a header is due again after a fortnight, two or three, and a few
// seconds.
func lightWorlds(t testing.TB) []lightWorld {
	t.Helper()
	var all []lightWorld
	for _, h := range histories(t) {
		if b := h.boundary(); b != 0 {
			all = append(all, lightWorld{chain: h.chain, boundaries: map[int][]int{-1: {b}}, periodStart: h.periodStart})
			continue
		}
		if len(h.chain) < 1000 {
			continue
		}
		w := lightWorld{chain: h.chain, boundaries: map[int][]int{}}
		for i := 40; i < len(h.chain)-40; i++ {
			w.boundaries[-1] = append(w.boundaries[-1], i)
			for j := i + 40; j < len(h.chain)-40; j++ {
				elapsed := int64(timeOf(h.chain[j-1])) - int64(timeOf(h.chain[i]))
				if elapsed > 4*fortnight {
					break
				}
				if elapsed >= fortnight && retargets(bits(h.chain[i]), uint64(elapsed), bits(h.chain[j])) {
					w.boundaries[i] = append(w.boundaries[i], j)
				}
			}
		}
		all = append(all, w)
	}
	if len(all) != 3 {
		t.Fatalf("%d light worlds, want 3", len(all))
	}
	return all
}

// retargets reports whether bits may be next after so many seconds, to 40 bits.
func retargets(old uint32, elapsed uint64, next uint32) bool {
	due := uint64(old&0xffffff) << 16 * elapsed / fortnight >> 16
	return old>>24 == next>>24 && due&uint64(next&0xffffff) == uint64(next&0xffffff)
}

// lightSequence deploys a LightRelay, makes random calls of it and of the model, and
// compares all that can be seen of both after each.
func lightSequence(t testing.TB, f *flavour, c *tally, rng *rand.Rand, worlds []lightWorld) error {
	d, r := deploy(t, f.abi, accounts[0], f.creation)
	if r.err != nil {
		return fmt.Errorf("the constructor ends with %q", r.describe())
	}
	m := relay.NewLightRelay(accounts[0])
	if f.costs != nil {
		m.SetCosts(*f.costs)
	}
	created := []relay.Event{relay.OwnershipTransferred{To: accounts[0]}}
	if err := f.compareEvents(created, r.logs); err != nil {
		return fmt.Errorf("the constructor: %w", err)
	}
	g := &lightGenerator{rng: rng, w: &worlds[rng.IntN(len(worlds))], m: m, last: -1}
	var done []string
	for i := range 12 + rng.IntN(16) {
		s := g.next()
		if i == 0 && rng.IntN(8) != 0 {
			s = g.genesis()
		}
		data := f.data(t, &s.step)
		var got result
		if f.abi.Methods[s.method].IsConstant() {
			got = d.view(data)
		} else {
			got = d.call(s.from, data, s.now)
		}
		epochs := m.CurrentEpoch()
		want := lightCall(m, s)
		if m.CurrentEpoch() == epochs+1 {
			g.last = g.proposed
		}
		done = append(done, fmt.Sprintf("%s from %x at %d", &s.step, s.from[:1], s.now))
		if revert, ok := want.err.(*relay.Revert); ok && revert.Custom != "" {
			of := s.from
			if strings.HasPrefix(revert.Custom, "OwnableInvalidOwner") {
				of = relay.Address{}
			}
			want.words = customError(revert.Custom, of)
		}
		err := f.compare(c, &s.step, data, want, got)
		if err == nil {
			err = compareStorage(lightStorage(m), d.storage())
		}
		if err != nil {
			return fmt.Errorf("call %d: %w\n%s", len(done), err, strings.Join(done, "\n"))
		}
	}
	return nil
}

// A lightGenerator invents calls of a LightRelay that may work, and spoils some.
type lightGenerator struct {
	rng *rand.Rand
	w   *lightWorld
	m   *relay.LightRelay
	// last is the header that begins the relay's last epoch; -1 for the genesis epoch.
	// proposed is the one that the last retarget made, or tried to make, the next.
	last, proposed int
	// planned is where the first epoch after genesis is to begin.
	planned int
}

func (g *lightGenerator) next() *lightStep {
	s := g.sound()
	if s.from == (relay.Address{}) {
		s.from = accounts[0]
		if g.rng.IntN(8) == 0 {
			s.from = g.account()
		}
	}
	if g.rng.IntN(6) == 0 {
		g.spoil(s)
	}
	return s
}

func (g *lightGenerator) account() relay.Address { return accounts[g.rng.IntN(len(accounts))] }

// sound returns a call that works in most states.
func (g *lightGenerator) sound() *lightStep {
	rng := g.rng
	call := func(method string, args ...any) *lightStep { return &lightStep{step: step{method, args}, now: 1 << 40} }
	switch n := rng.IntN(100); {
	case n < 6 || !g.m.Ready() && n < 50:
		return g.genesis()
	case n < 30:
		return g.retarget()
	case n < 58:
		return call("validateChain", g.part())
	case n < 63:
		return call("setProofLength", uint64(1+rng.IntN(9)))
	case n < 67:
		return call("setAuthorizationStatus", rng.IntN(2) == 0)
	case n < 72:
		return call("authorize", common.Address(g.account()))
	case n < 75:
		return call("deauthorize", common.Address(g.account()))
	case n < 78:
		return call("transferOwnership", common.Address(g.account()))
	case n < 79:
		return call("renounceOwnership")
	case n < 84:
		height := g.m.GenesisEpoch()*epoch + uint64(rng.IntN(4*epoch))
		return call("getBlockDifficulty", number(height-min(height, epoch)))
	case n < 89:
		epochNumber := g.m.GenesisEpoch() + uint64(rng.IntN(4))
		return call("getEpochDifficulty", number(epochNumber-min(epochNumber, 1)))
	case n < 91:
		return call("isAuthorized", common.Address(g.account()))
	}
	views := []string{
		"getRelayRange", "getCurrentEpochDifficulty", "getPrevEpochDifficulty", "getCurrentAndPrevEpochDifficulty",
		"ready", "authorizationRequired", "proofLength", "genesisEpoch", "currentEpoch", "owner",
	}
	return call(views[rng.IntN(len(views))])
}

// genesis begins the relay, mostly so that a retarget can follow.
func (g *lightGenerator) genesis() *lightStep {
	rng := g.rng
	next := g.w.boundaries[-1]
	g.planned = next[rng.IntN(len(next))]
	h := g.w.periodStart
	if h == nil {
		// Only its length is checked: a time from which on the target is due.
		h = slices.Clone(g.w.chain[0])
		setTime(h, timeOf(g.w.chain[g.planned-1])-fortnight-uint32(rng.IntN(18)))
	}
	switch rng.IntN(10) {
	case 0, 1:
		h = g.w.chain[max(g.planned-rng.IntN(6), 0)]
	case 2:
		h = slices.Clone(h)
		setTime(h, timeOf(h)+uint32(rng.IntN(2*fortnight))-fortnight)
	}
	height := uint64(rng.IntN(300)) * epoch
	if rng.IntN(6) == 0 {
		height = uint64(rng.IntN(3)) * epoch
	}
	if rng.IntN(30) == 0 {
		height++
	}
	return &lightStep{step{"genesis", []any{h, number(height), uint64(1 + rng.IntN(8))}}, accounts[0], 1 << 40}
}

// retarget tells the relay of its next epoch, if there is a known one.
func (g *lightGenerator) retarget() *lightStep {
	rng := g.rng
	g.proposed = g.planned
	if next := g.w.boundaries[g.last]; g.last >= 0 && len(next) > 0 {
		g.proposed = next[rng.IntN(len(next))]
	}
	if rng.IntN(6) == 0 {
		g.proposed = rng.IntN(len(g.w.chain))
	}
	length := int(g.m.ProofLength())
	if rng.IntN(12) == 0 {
		length = 1 + rng.IntN(9)
	}
	from, to := max(g.proposed-length, 0), min(g.proposed+length, len(g.w.chain))
	now := uint64(1 << 40)
	if rng.IntN(8) == 0 && g.proposed > 0 {
		now = uint64(timeOf(g.w.chain[g.proposed-1])) + uint64(rng.IntN(3))
	}
	return &lightStep{step{"retarget", []any{slices.Concat(g.w.chain[from:to]...)}}, g.account(), now}
}

// part returns a part of the chain, mostly near where an epoch begins.
func (g *lightGenerator) part() []byte {
	rng := g.rng
	near := g.planned
	if g.last >= 0 && rng.IntN(2) == 0 {
		near = g.last
	}
	if rng.IntN(6) == 0 {
		near = rng.IntN(len(g.w.chain))
	}
	from := min(max(near+rng.IntN(12)-8, 0), len(g.w.chain)-1)
	return slices.Concat(g.w.chain[from:min(from+1+rng.IntN(12), len(g.w.chain))]...)
}

// spoil changes one argument of a call, or who calls.
func (g *lightGenerator) spoil(s *lightStep) {
	if len(s.args) == 0 || g.rng.IntN(4) == 0 {
		s.from = g.account()
		return
	}
	i := g.rng.IntN(len(s.args))
	switch arg := s.args[i].(type) {
	case []byte:
		if g.rng.IntN(8) == 0 {
			// With the work that its own target asks for, which the relay does not know.
			arg = slices.Concat(arg, mine(g.rng, make([]byte, headerSize), easyBits, g.rng.Uint32()))
			s.args[i] = arg
			return
		}
		s.args[i] = spoil(g.rng, arg)
	case *big.Int:
		s.args[i] = number(g.rng.Uint64N(4 * epoch))
	case uint64:
		s.args[i] = []uint64{0, 1, epoch - 1, epoch, 1<<64 - 1}[g.rng.IntN(5)]
	case common.Address:
		s.args[i] = common.Address{}
	}
}
