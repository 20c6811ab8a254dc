package contract

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/outrider-project/outrider/bob/relay"
)

// A step is a call of a contract, with arguments as go-ethereum's abi wants them.
type step struct {
	method string
	args   []any
}

// String returns the call in short: what is longer than two words by its length and
// digest.
func (s *step) String() string {
	var args []string
	for _, arg := range s.args {
		if data, ok := arg.([]byte); ok && len(data) > 64 {
			digest := hash256(data)
			args = append(args, fmt.Sprintf("%d bytes %x", len(data), digest[:4]))
			continue
		}
		args = append(args, fmt.Sprint(arg))
	}
	return s.method + "(" + strings.Join(args, ", ") + ")"
}

// An outcome is what a model says of a call.
type outcome struct {
	values []any
	events []relay.Event
	// exec is the gas of the execution, if the model tells it.
	exec uint64
	err  error
	// words are what result.describe says of err, if err does not.
	words string
}

// fullCall makes a call of a model.
func fullCall(m *relay.FullRelayWithVerify, s *step) outcome {
	raw := func(i int) []byte { return s.args[i].([]byte) }
	digest := func(i int) chainhash.Hash { return s.args[i].([32]byte) }
	num := func(i int) uint64 { return s.args[i].(*big.Int).Uint64() }
	does := func(receipt relay.Receipt, err error) outcome {
		return outcome{values: []any{true}, events: receipt.Events, exec: receipt.Exec, err: err}
	}
	proves := func(receipt relay.Receipt, err error) outcome { return outcome{exec: receipt.Exec, err: err} }
	switch s.method {
	case "addHeaders":
		return does(m.AddHeaders(raw(0), raw(1)))
	case "addHeadersWithRetarget":
		return does(m.AddHeadersWithRetarget(raw(0), raw(1), raw(2)))
	case "markNewHeaviest":
		return does(m.MarkNewHeaviest(digest(0), raw(1), raw(2), num(3)))
	case "verifyHeaderHash":
		return proves(m.VerifyHeaderHash(digest(0), s.args[1].(uint8)))
	case "verifyProof":
		return proves(m.VerifyProof(raw(0), raw(1), digest(2), num(3), s.args[4].(uint8)))
	case "findHeight":
		height, err := m.FindHeight(digest(0))
		return outcome{values: []any{number(height)}, err: err}
	case "findAncestor":
		ancestor, err := m.FindAncestor(digest(0), num(1))
		return outcome{values: []any{[32]byte(ancestor)}, err: err}
	case "isAncestor":
		return outcome{values: []any{m.IsAncestor(digest(0), digest(1), num(2))}}
	case "heaviestFromAncestor":
		heaviest, err := m.HeaviestFromAncestor(digest(0), raw(1), raw(2))
		return outcome{values: []any{[32]byte(heaviest)}, err: err}
	case "getRelayGenesis":
		return outcome{values: []any{[32]byte(m.RelayGenesis())}}
	case "getBestKnownDigest":
		return outcome{values: []any{[32]byte(m.BestKnownDigest())}}
	case "getLastReorgCommonAncestor":
		return outcome{values: []any{[32]byte(m.LastReorgCommonAncestor())}}
	case "getCurrentEpochDifficulty":
		return outcome{values: []any{bigOf(m.CurrentEpochDifficulty())}}
	case "getPrevEpochDifficulty":
		return outcome{values: []any{bigOf(m.PrevEpochDifficulty())}}
	case "HEIGHT_INTERVAL":
		return outcome{values: []any{uint32(relay.HeightInterval)}}
	}
	panic("no such call: " + s.method)
}

func bigOf(x relay.Uint256) *big.Int { return word(x).Big() }

// A flavour is a contract that a model is compared with, and where it differs by design.
type flavour struct {
	abi      *abi.ABI
	creation []byte
	// newTip is what the contract calls the event NewTip.
	newTip string
	// views are calls that the contract has, beside those that all have, and proofs says
	// that it has those of FullRelayWithVerify.
	views  []string
	proofs bool
	// excuse reports whether the contract may end a call so that the model ends with
	// other words; nil if it may not.
	excuse func(words, got string) bool
	// startNeedsWork says that the constructor refuses a first header of the period
	// without three zero bytes in its digest, which no mined world has.
	startNeedsWork bool
	// anyLimit says that markNewHeaviest has no highest limit, and wraps that a target
	// of more than 256 bits loses the highest, where the model reverts: neither is tried.
	anyLimit, wraps bool
	// costs are the contract's, if its gas is compared.
	costs *relay.Costs
}

// data returns the data of a call.
func (f *flavour) data(t testing.TB, s *step) []byte {
	t.Helper()
	data, err := f.abi.Pack(s.method, s.args...)
	if err != nil {
		t.Fatalf("%s: %v", s.method, err)
	}
	return data
}

// A tally counts what sequences did.
type tally struct {
	worked, reverted map[string]int
	// gas is the farthest that an estimate was off, a share of the transaction, and
	// worst the call.
	gas   float64
	worst string
}

func newTally() *tally { return &tally{worked: map[string]int{}, reverted: map[string]int{}} }

// add adds what other sequences did.
func (c *tally) add(other *tally) {
	for method, n := range other.worked {
		c.worked[method] += n
	}
	for words, n := range other.reverted {
		c.reverted[words] += n
	}
	if other.gas > c.gas {
		c.gas, c.worst = other.gas, other.worst
	}
}

func (c *tally) String() string {
	total := 0
	for _, n := range c.worked {
		total += n
	}
	var reverts []string
	for _, words := range slices.Sorted(maps.Keys(c.reverted)) {
		total += c.reverted[words]
		reverts = append(reverts, fmt.Sprintf("%d × %s", c.reverted[words], words))
	}
	return fmt.Sprintf("%d calls; worked: %v; %s; gas off by at most %.2f %%: %s", total, c.worked, strings.Join(reverts, "; "), 100*c.gas, c.worst)
}

// compare compares how a call ended with what the model says of it. data is the call's.
func (f *flavour) compare(c *tally, s *step, data []byte, want outcome, got result) error {
	words := want.words
	if want.err != nil && words == "" {
		words = want.err.Error()
	}
	if ended := got.describe(); ended != words && (f.excuse == nil || !f.excuse(words, ended)) {
		return fmt.Errorf("it ends with %q, the model says %q", ended, words)
	}
	if want.err != nil {
		c.reverted[strings.TrimPrefix(want.err.Error(), "reverted: ")]++
		if len(got.logs) != 0 {
			return fmt.Errorf("it reverts and leaves %d events", len(got.logs))
		}
		return nil
	}
	c.worked[s.method]++
	values, err := f.abi.Methods[s.method].Outputs.Pack(want.values...)
	if err != nil {
		return err
	}
	if !bytes.Equal(values, got.data) {
		return fmt.Errorf("it returns %x, the model says %x", got.data, values)
	}
	if err := f.compareEvents(want.events, got.logs); err != nil {
		return err
	}
	if f.costs != nil && want.exec != 0 {
		base := 21_000.0
		for _, b := range data {
			base += 16
			if b == 0 {
				base -= 12
			}
		}
		off := (base+float64(want.exec))/(base+float64(got.exec)) - 1
		if off = max(off, -off); off > c.gas {
			c.gas, c.worst = off, fmt.Sprintf("%s: %d, executed %d", s, want.exec, got.exec)
		}
	}
	return nil
}

// compareEvents compares events with logs.
func (f *flavour) compareEvents(events []relay.Event, logs []*types.Log) error {
	if len(events) != len(logs) {
		return fmt.Errorf("it emits %d events, the model says %v", len(logs), events)
	}
	for i, event := range events {
		name, args := eventOf(event)
		if name == "NewTip" {
			name = f.newTip
		}
		description, ok := f.abi.Events[name]
		if !ok {
			return fmt.Errorf("the contract has no event %s", name)
		}
		topics := []common.Hash{description.ID}
		var rest []any
		var inputs abi.Arguments
		for j, input := range description.Inputs {
			if input.Indexed {
				packed, err := abi.Arguments{{Type: input.Type}}.Pack(args[j])
				if err != nil {
					return err
				}
				topics = append(topics, common.Hash(packed))
				continue
			}
			rest, inputs = append(rest, args[j]), append(inputs, input)
		}
		data, err := inputs.Pack(rest...)
		if err != nil {
			return err
		}
		if !slices.Equal(topics, logs[i].Topics) || !bytes.Equal(data, logs[i].Data) {
			return fmt.Errorf("it emits %x %x, the model says %v: %x %x", logs[i].Topics, logs[i].Data, event, topics, data)
		}
	}
	return nil
}

// eventOf returns an event's name and arguments.
func eventOf(event relay.Event) (string, []any) {
	switch e := event.(type) {
	case relay.Extension:
		return "Extension", []any{[32]byte(e.First), [32]byte(e.Last)}
	case relay.NewTip:
		return "NewTip", []any{[32]byte(e.From), [32]byte(e.To), [32]byte(e.GCD)}
	case relay.Genesis:
		return "Genesis", []any{number(e.Height)}
	case relay.Retarget:
		return "Retarget", []any{bigOf(e.OldDifficulty), bigOf(e.NewDifficulty)}
	case relay.ProofLengthChanged:
		return "ProofLengthChanged", []any{number(e.Length)}
	case relay.AuthorizationRequirementChanged:
		return "AuthorizationRequirementChanged", []any{e.Required}
	case relay.SubmitterAuthorized:
		return "SubmitterAuthorized", []any{common.Address(e.Submitter)}
	case relay.SubmitterDeauthorized:
		return "SubmitterDeauthorized", []any{common.Address(e.Submitter)}
	case relay.OwnershipTransferred:
		return "OwnershipTransferred", []any{common.Address(e.From), common.Address(e.To)}
	}
	panic(fmt.Sprintf("an event that no relay emits: %T", event))
}

// fullStorage returns what a contract in the model's state has in its storage, whose
// mappings only have entries for the world's digests.
func fullStorage(m *relay.FullRelayWithVerify, w *world) map[common.Hash]common.Hash {
	all := map[common.Hash]common.Hash{
		slot(0): common.Hash(m.RelayGenesis()),
		slot(1): common.Hash(m.BestKnownDigest()),
		slot(2): common.Hash(m.LastReorgCommonAncestor()),
		slot(5): word(m.CurrentEpochDifficulty()),
		slot(6): word(m.PrevEpochDifficulty()),
	}
	maps.DeleteFunc(all, func(_, value common.Hash) bool { return value == common.Hash{} })
	for i, digest := range w.digests {
		if previous := m.PreviousBlock(digest); previous != (chainhash.Hash{}) {
			all[w.slots[i][0]] = common.Hash(previous)
		}
		if height := m.BlockHeight(digest); height != 0 {
			all[w.slots[i][1]] = small(height)
		}
	}
	return all
}

// fullSequence deploys a FullRelay for a random world, makes random calls of it and of
// the model, and compares all that can be seen of both after each.
func fullSequence(t testing.TB, f *flavour, c *tally, rng *rand.Rand, w *world) error {
	genesis, start := slices.Clone(w.genesis), hash256(w.periodStart)
	if spoilt := spoil(rng, genesis); rng.IntN(40) == 0 && !(f.wraps && wraps(spoilt)) {
		genesis = spoilt
	}
	height := w.height
	m, modelErr := relay.NewFullRelayWithVerify(genesis, height, start)
	told := start
	if f.startNeedsWork {
		told = chainhash.Hash{1}
	}
	d, r := deploy(t, f.abi, relay.Address{1}, slices.Concat(f.creation, relay.ConstructorData(genesis, height, told)))
	constructor := &step{method: "constructor", args: []any{genesis, height, start}}
	if modelErr != nil {
		return f.compare(c, constructor, nil, outcome{err: modelErr}, r)
	}
	if r.err != nil {
		return fmt.Errorf("%s: it ends with %q, the model is well", constructor, r.describe())
	}
	if f.costs != nil {
		m.SetCosts(*f.costs)
	}
	if told != start {
		d.set(entry(4, told), common.Hash{})
		d.set(entry(4, start), small(m.BlockHeight(start)))
	}
	w.know(genesis)
	g := &fullGenerator{rng: rng, w: w, m: m, flavour: f}
	var done []string
	for range 12 + rng.IntN(20) {
		s := g.next()
		data := f.data(t, s)
		var got result
		if f.abi.Methods[s.method].IsConstant() {
			got = d.view(data)
		} else {
			got = d.call(relay.Address{7}, data, 0)
		}
		g.remember(s)
		want := fullCall(m, s)
		done = append(done, s.String())
		err := f.compare(c, s, data, want, got)
		if err == nil {
			err = compareStorage(fullStorage(m, w), d.storage())
		}
		if err == nil && m.Headers() != storedHeaders(m, w) {
			err = fmt.Errorf("the model has %d headers, of which %d were ever added", m.Headers(), storedHeaders(m, w))
		}
		if err != nil {
			return fmt.Errorf("call %d: %w\n%s", len(done), err, strings.Join(done, "\n"))
		}
	}
	return nil
}

func storedHeaders(m *relay.FullRelayWithVerify, w *world) (n int) {
	for digest := range w.raw {
		if m.Knows(digest) {
			n++
		}
	}
	return n
}

// compareStorage compares what a model expects in storage with what is there.
func compareStorage(want, got map[common.Hash]common.Hash) error {
	if maps.Equal(want, got) {
		return nil
	}
	for slot, value := range want {
		if got[slot] != value {
			return fmt.Errorf("slot %x is %x, the model says %x", slot, got[slot], value)
		}
	}
	for slot, value := range got {
		if want[slot] != value {
			return fmt.Errorf("slot %x is %x, the model says %x", slot, value, want[slot])
		}
	}
	return nil
}

// A fullGenerator invents calls of a FullRelay that may work, and spoils some.
type fullGenerator struct {
	rng     *rand.Rand
	w       *world
	m       *relay.FullRelayWithVerify
	flavour *flavour
}

func (g *fullGenerator) next() *step {
	s := g.sound()
	if g.rng.IntN(5) == 0 {
		for range 1 + g.rng.IntN(2) {
			g.spoil(s)
		}
	}
	for g.flavour.wraps && slices.ContainsFunc(s.args, func(arg any) bool { data, ok := arg.([]byte); return ok && wraps(data) }) {
		s = g.sound()
	}
	if g.flavour.anyLimit && s.method == "markNewHeaviest" && s.args[3].(*big.Int).Uint64() > epoch {
		s.args[3] = number(epoch)
	}
	return s
}

// sound returns a call that works if the relay knows enough.
func (g *fullGenerator) sound() *step {
	rng := g.rng
	switch n := rng.IntN(100); {
	case n < 38:
		return g.add()
	case n < 58:
		return g.mark()
	case n < 66 && g.flavour.proofs:
		return &step{"verifyHeaderHash", []any{[32]byte(g.marked()), g.confirmations()}}
	case n < 76 && g.flavour.proofs:
		return g.prove()
	case n < 80:
		return &step{"findHeight", []any{[32]byte(g.digest())}}
	case n < 85:
		return &step{"findAncestor", []any{[32]byte(g.stored()), number(uint64(rng.IntN(10)))}}
	case n < 90:
		return &step{"isAncestor", []any{[32]byte(g.stored()), [32]byte(g.stored()), g.limit(uint64(rng.IntN(20)))}}
	}
	views := append([]string{
		"getRelayGenesis", "getBestKnownDigest", "getLastReorgCommonAncestor",
		"getCurrentEpochDifficulty", "getPrevEpochDifficulty", "HEIGHT_INTERVAL",
	}, g.flavour.views...)
	s := &step{method: views[rng.IntN(len(views))]}
	if s.method == "heaviestFromAncestor" {
		left, right := g.w.raw[g.stored()], g.w.raw[g.stored()]
		ancestor, _ := g.w.commonAncestor(hash256(left), hash256(right))
		s.args = []any{[32]byte(ancestor), left, right}
	}
	return s
}

// add adds headers on top of one that is stored, mostly.
func (g *fullGenerator) add() *step {
	w := g.w
	first := w.pool[g.rng.IntN(len(w.pool))]
	for range 20 {
		if _, err := g.m.FindHeight(prevOf(first)); err == nil && (!g.m.Knows(hash256(first)) || g.rng.IntN(8) == 0) {
			break
		}
		first = w.pool[g.rng.IntN(len(w.pool))]
	}
	run := w.runFrom(g.rng, first, 1+g.rng.IntN(9))
	anchor, ok := w.raw[prevOf(first)]
	if !ok {
		anchor = w.genesis
	}
	height, known := w.heights[hash256(first)]
	retargets := known && height%epoch == 0
	// Mostly not beyond the end of the period.
	if left := epoch - height%epoch; known && uint64(len(run)/headerSize) > left && g.rng.IntN(8) != 0 {
		run = run[:left*headerSize]
	}
	if g.rng.IntN(12) == 0 {
		retargets = !retargets
	}
	if retargets {
		return &step{"addHeadersWithRetarget", []any{w.periodStart, anchor, run}}
	}
	return &step{"addHeaders", []any{anchor, run}}
}

// mark marks a header that is stored, mostly.
func (g *fullGenerator) mark() *step {
	best := g.m.BestKnownDigest()
	next := g.stored()
	// Mostly a higher one.
	for range 6 {
		if g.w.heights[next] > g.w.heights[best] {
			break
		}
		next = g.stored()
	}
	ancestor, steps := g.w.commonAncestor(best, next)
	if g.rng.IntN(10) == 0 {
		ancestor = g.stored()
	}
	return &step{"markNewHeaviest", []any{[32]byte(ancestor), g.w.raw[best], g.w.raw[next], g.limit(steps)}}
}

// prove proves a transaction in a header that is stored, if it has one.
func (g *fullGenerator) prove() *step {
	digest := g.marked()
	tx, ok := g.w.proofs[digest]
	if !ok {
		// As if the merkle root were the only transaction's txid.
		tx.txID = chainhash.Hash(g.w.raw[digest][36:68])
	}
	index := tx.index
	if g.rng.IntN(6) == 0 {
		index += uint64(g.rng.IntN(4)) << g.rng.IntN(8)
	}
	return &step{"verifyProof", []any{g.w.raw[digest], slices.Clone(tx.proof), [32]byte(tx.txID), number(index), g.confirmations()}}
}

func (g *fullGenerator) confirmations() uint8 {
	if g.rng.IntN(10) == 0 {
		return uint8(g.rng.IntN(256))
	}
	return uint8(g.rng.IntN(4))
}

// limit returns about as many steps as are needed.
func (g *fullGenerator) limit(needed uint64) *big.Int {
	switch n := g.rng.IntN(48); {
	case n == 0: // rarely: what is not found is looked for as long
		return number(epoch + 1)
	case n == 1:
		return number(epoch)
	case n < 6:
		return number(uint64(g.rng.IntN(8)))
	case n < 10:
		return number(needed)
	}
	return number(needed + uint64(g.rng.IntN(4)))
}

// digest returns a digest of the world.
func (g *fullGenerator) digest() chainhash.Hash {
	if g.rng.IntN(10) == 0 {
		return [...]chainhash.Hash{{}, {5}}[g.rng.IntN(2)]
	}
	all := g.w.digests
	return all[g.rng.IntN(len(all))]
}

// stored returns the digest of a header that the relay has, mostly.
func (g *fullGenerator) stored() chainhash.Hash {
	if g.rng.IntN(12) != 0 {
		var stored []chainhash.Hash
		for _, digest := range g.w.digests {
			if g.m.Knows(digest) || g.m.BlockHeight(digest) != 0 {
				stored = append(stored, digest)
			}
		}
		if len(stored) > 0 {
			return stored[g.rng.IntN(len(stored))]
		}
	}
	all := g.w.digests
	return all[g.rng.IntN(len(all))]
}

// marked returns the digest of a header in the chain of the best one, mostly: the relay
// looks long for another.
func (g *fullGenerator) marked() chainhash.Hash {
	if g.rng.IntN(30) == 0 {
		return g.stored()
	}
	digest := g.m.BestKnownDigest()
	for range g.rng.IntN(6) {
		below := g.m.PreviousBlock(digest)
		if below == (chainhash.Hash{}) {
			break
		}
		digest = below
	}
	return digest
}

// spoil changes one argument of a call.
func (g *fullGenerator) spoil(s *step) {
	if len(s.args) == 0 {
		return
	}
	i := g.rng.IntN(len(s.args))
	switch arg := s.args[i].(type) {
	case []byte:
		if g.rng.IntN(4) == 0 {
			s.args[i] = g.w.pool[g.rng.IntN(len(g.w.pool))]
		} else {
			s.args[i] = spoil(g.rng, arg)
		}
	case [32]byte:
		s.args[i] = [32]byte(g.digest())
	case *big.Int:
		s.args[i] = number(uint64(g.rng.IntN(2100)))
	case uint8:
		s.args[i] = uint8(g.rng.IntN(256))
	}
}

// spoil returns other bytes: with a bit changed, most often where a header has its
// number fields, with a piece taken away or put in, or two headers in the other order.
func spoil(rng *rand.Rand, data []byte) []byte {
	data = slices.Clone(data)
	switch rng.IntN(8) {
	case 0:
		if rng.IntN(2) == 0 {
			return nil
		}
		return data[:rng.IntN(len(data)+1)]
	case 1:
		return append(data, make([]byte, 1+rng.IntN(headerSize))...)
	case 2:
		n := len(data) / headerSize
		if n > 1 {
			i, j := rng.IntN(n), rng.IntN(n)
			first := slices.Clone(headerAt(data, i))
			copy(headerAt(data, i), headerAt(data, j))
			copy(headerAt(data, j), first)
			return data
		}
	case 3:
		if n := len(data) / headerSize; n > 1 {
			i := rng.IntN(n)
			return slices.Delete(data, i*headerSize, (i+1)*headerSize)
		}
	case 4:
		if len(data) >= headerSize {
			at := rng.IntN(len(data)/headerSize)*headerSize + 68 + rng.IntN(8)
			data[at] = byte(rng.Uint32())
			return data
		}
	case 5:
		if len(data) >= headerSize {
			// A size that no target has, or a target of nothing.
			h := headerAt(data, rng.IntN(len(data)/headerSize))
			copy(h[72:], [][]byte{{0, 0, 1, 34}, {255, 255, 255, 33}, {1, 0, 0, 2}, {0, 0, 0, 23}, {0, 0, 0, 35}, {1, 0, 0, 3}}[rng.IntN(6)])
			return data
		}
	}
	if len(data) > 0 {
		data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
	}
	return data
}

// wraps reports whether data has a header whose target has not 256 bits.
func wraps(data []byte) bool {
	for ; len(data) >= headerSize; data = data[headerSize:] {
		if b := bits(data); b>>24 < 3 || b>>24 > 34 || targetOf(b).BitLen() > 256 {
			return true
		}
	}
	return false
}

// remember puts the headers of a call into the world: some that were spoiled have the
// work that they need.
func (g *fullGenerator) remember(s *step) {
	if !strings.HasPrefix(s.method, "addHeaders") {
		return
	}
	for _, arg := range s.args {
		for data := arg.([]byte); len(data) >= headerSize; data = data[headerSize:] {
			g.w.know(data[:headerSize])
		}
	}
}
