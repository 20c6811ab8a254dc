package watch_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
)

// seed returns the seed of a random test: OUTRIDER_SEED repeats a run.
func seed(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if s := os.Getenv("OUTRIDER_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("OUTRIDER_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// rounds returns how many random histories are tried: OUTRIDER_BITVM_BULK says how many.
func rounds(t *testing.T, few int) int {
	s := os.Getenv("OUTRIDER_BITVM_BULK")
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A model knows what is in the chain by looking at all of it, each time.
type model struct {
	*scene
	names  map[string]string // of transactions of the graph, by id
	strays map[string]bool
}

// check compares the watcher's status with a look at the whole chain.
func (m *model) check(g *watch.Graph) {
	m.t.Helper()
	type made struct {
		height uint32
		spent  bool
	}
	connectors := make(map[string]*made)
	confirmed := make(map[string]uint32)
	unknown := 0
	byName := make(map[string]*watch.Transaction)
	for i := range g.Transactions {
		byName[g.Transactions[i].Name] = &g.Transactions[i]
	}
	for _, b := range m.chain.blocks {
		for _, id := range b.Txids {
			if m.strays[id.String()] {
				unknown++
				connectors["A"].spent = true
			}
			name, ok := m.names[id.String()]
			if !ok {
				continue
			}
			confirmed[name] = b.Height
			for _, in := range byName[name].Inputs {
				connectors[in.Connector].spent = true
			}
			for _, out := range byName[name].Outputs {
				if out.Connector != "" {
					connectors[out.Connector] = &made{height: b.Height}
				}
			}
		}
	}
	st := m.status()
	if !st.Complete || st.Tip != m.chain.tip() || len(st.Unknown) != unknown {
		m.t.Fatalf("complete: %v %s, at %v, with %d unknown spends; want %v, %d", st.Complete, st.Behind, st.Tip, len(st.Unknown), m.chain.tip(), unknown)
	}
	for _, tx := range st.Transactions {
		height, in := confirmed[tx.Name]
		if in != (tx.State == watch.Confirmed) || tx.Height != height {
			m.t.Fatalf("%s is %+v, want it in block %d", tx.Name, tx, height)
		}
		if in || len(byName[tx.Name].Inputs) == 0 {
			continue
		}
		opens, there, over := uint32(0), true, false
		for _, spends := range byName[tx.Name].Inputs {
			c := connectors[spends.Connector]
			switch {
			case c == nil:
				there = false
			case c.spent:
				over = true
			default:
				for _, k := range g.Connectors {
					for _, l := range k.Leaves {
						if k.Name == spends.Connector && l.Name == spends.Leaf {
							opens = max(opens, c.height+l.Lock.Test)
						}
					}
				}
			}
		}
		switch {
		case over:
			if tx.State != watch.Over {
				m.t.Fatalf("%s is %+v, and cannot come any more", tx.Name, tx)
			}
		case there:
			want := watch.Locked
			if opens <= m.chain.next() {
				want = watch.Open
			}
			if tx.State != want || tx.Opens != opens {
				m.t.Fatalf("%s is %+v, want it %s from %d on", tx.Name, tx, want, opens)
			}
		}
	}
}

// possible returns transactions whose connectors are there at the end of the chain and of
// what is chosen already.
func (m *model) possible(g *watch.Graph, chosen []string) []string {
	done, spent, there := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	take := func(name string) {
		done[name] = true
		for i := range g.Transactions {
			if tx := &g.Transactions[i]; tx.Name == name {
				for _, in := range tx.Inputs {
					spent[in.Connector] = true
				}
				for _, out := range tx.Outputs {
					there[out.Connector] = true
				}
			}
		}
	}
	for _, b := range m.chain.blocks {
		for _, id := range b.Txids {
			if m.strays[id.String()] {
				spent["A"] = true
			}
			if name, ok := m.names[id.String()]; ok {
				take(name)
			}
		}
	}
	for _, name := range chosen {
		take(name)
	}
	var all []string
	for _, tx := range g.Transactions {
		if !done[tx.Name] && tx.Name != "peg_out" && !slices.ContainsFunc(tx.Inputs, func(in watch.Input) bool { return !there[in.Connector] || spent[in.Connector] }) {
			all = append(all, tx.Name)
		}
	}
	return all
}

// Random histories, with reorganisations and restarts, end as a look at the whole chain
// says; and the events are those of a watcher that was never stopped.
func TestRandomHistories(t *testing.T) {
	rng := seed(t)
	garbled, err := watch.Builtin("garbled", 2)
	if err != nil {
		t.Fatal(err)
	}
	for round := range rounds(t, 6) {
		g := watchtest.Small()
		if round%2 == 1 {
			g = garbled
		}
		randomHistory(t, rng, g)
	}
}

func randomHistory(t *testing.T, rng *rand.Rand, g *watch.Graph) {
	dir := t.TempDir()
	o := watch.Options{Dir: dir, Judge: disprovable()}
	m := &model{scene: newScene(t, g, o), names: make(map[string]string), strays: make(map[string]bool)}
	o.Blocks = m.chain
	steady := watch.New(watch.Options{Judge: disprovable(), Blocks: m.chain})
	if err := steady.Add(m.bridge.Instance(first)); err != nil {
		t.Fatal(err)
	}
	restart := func(kill bool) {
		if !kill {
			if err := m.w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		o.Event = func(e watch.Event) { m.events = append(m.events, e) }
		m.w = watch.New(o)
		if err := m.w.Add(m.bridge.Instance(first)); err != nil {
			t.Fatal(err)
		}
	}
	restart(false) // now with a store of blocks
	both := func(f func(*watch.Watcher) error) {
		for _, w := range []*watch.Watcher{m.w, steady} {
			if err := f(w); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 60 {
		switch rng.IntN(8) {
		case 0:
			for range min(1+rng.IntN(6), len(m.chain.blocks)) {
				b := m.chain.drop()
				both(func(w *watch.Watcher) error { return w.Disconnect(b.Tip, b.Prev) })
			}
			continue
		case 1:
			restart(rng.IntN(2) == 0)
		}
		var chosen []string
		var txs []*wire.MsgTx
		for range rng.IntN(4) {
			can := m.possible(g, chosen)
			if len(can) == 0 {
				break
			}
			name := can[rng.IntN(len(can))]
			tx := m.bridge.Tx(name)
			m.names[tx.TxHash().String()] = name
			chosen, txs = append(chosen, name), append(txs, tx)
		}
		if g.Name == "bitvm2" && rng.IntN(10) == 0 && slices.Contains(m.possible(g, chosen), "challenge") {
			stray := m.bridge.Stray("A", "0")
			m.strays[stray.TxHash().String()] = true
			txs = append(txs, stray)
		}
		b := m.chain.mine(txs...)
		both(func(w *watch.Watcher) error { return w.Connect(t.Context(), b) })
		m.check(g)
	}
	want := steady.Events("one", 0)
	if got := m.w.Events("one", 0); !sameEvents(got, want) {
		t.Errorf("%d events behind restarts, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	if !sameEvents(m.events, want) {
		t.Errorf("%d events were told, want %d", len(m.events), len(want))
	}
}

func sameEvents(a, b []watch.Event) bool {
	text := func(list []watch.Event) string {
		raw, err := json.Marshal(list)
		if err != nil {
			panic(err)
		}
		return string(raw)
	}
	return text(a) == text(b)
}
