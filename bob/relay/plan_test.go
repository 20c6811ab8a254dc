package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"golang.org/x/crypto/sha3"

	"github.com/outrider-project/outrider/blockval/header"
)

var contract, multicall = Address{0xaa}, Address{0xbb}

// follow does a plan's calls, and expects the estimates of a transaction on its own.
func follow(t *testing.T, r *FullRelay, p *Plan, caps Caps) {
	t.Helper()
	headers, gas := 0, uint64(0)
	for i, tx := range p.Transactions {
		if tx.GasLimit <= tx.Gas || tx.GasLimit > caps.TransactionGas || tx.GasLimit > caps.BlockGas {
			t.Errorf("transaction %d takes %d gas, limit %d", i, tx.Gas, tx.GasLimit)
		}
		for j := range tx.Calls {
			receipt, err := r.Do(&tx.Calls[j])
			if err != nil {
				t.Fatalf("transaction %d: %s: %v", i, tx.Calls[j].Function, err)
			}
			if tx.To == contract && (receipt.Gas != tx.Gas || string(tx.Data) != string(tx.Calls[0].Data()) || len(tx.Calls) != 1) {
				t.Errorf("transaction %d takes %d gas, planned %d", i, receipt.Gas, tx.Gas)
			}
		}
		if tx.To == multicall && string(tx.Data) != string(MulticallData(contract, tx.Calls)) {
			t.Errorf("transaction %d has other data than its calls", i)
		}
		headers += tx.Headers
		gas += tx.Gas
	}
	if headers != p.Headers || gas != p.Gas {
		t.Errorf("the plan counts %d headers and %d gas, its transactions %d and %d", p.Headers, p.Gas, headers, gas)
	}
}

// period is a chain of 2,016 headers after genesis, across a change of the target, which
// takes half a million hashes to mine; start is the first of the period of genesis.
var period = sync.OnceValue(func() (chain struct{ start, genesis, before, after []byte }) {
	const bits = 0x2000ffff // one of 256; of easier targets the contract's sum overflows
	chain.start = first(bits)
	chain.genesis = chainOn(chain.start, 1, bits, 2)
	chain.before = chainOn(chain.genesis, 1015, bits, 3)
	target, _ := targetOf(chain.start)
	next, _ := retarget(target, timeAt(chain.start, 0), timeAt(last(chain.before), 0))
	chain.after = chainOn(last(chain.before), 1001, next.Compact(), 4)
	return chain
})

// catchUp returns a relay, and what it is asked to catch up with: that chain.
func catchUp(t testing.TB) (*FullRelay, Request) {
	t.Helper()
	const height = 2016*10 + 1000
	chain := period()
	r, err := NewFullRelay(chain.genesis, height, hash256(chain.start))
	if err != nil {
		t.Fatal(err)
	}
	return r, Request{
		Headers: slices.Concat(chain.before, chain.after), Height: height + 1,
		Anchor: chain.genesis, PeriodStart: chain.start,
		Best: chain.genesis, Ancestor: hash256(chain.genesis), Relay: contract,
	}
}

// TestPlanCatchesUp plans 2,016 headers, with a multicall and without.
func TestPlanCatchesUp(t *testing.T) {
	r, req := catchUp(t)
	caps := DefaultCaps()
	for _, tt := range []struct {
		multicall    Address
		transactions int
		perHeader    float64
	}{
		{multicall, 4, 32_000}, // at most 6, and 34,000
		{Address{}, 5, 34_000}, // four to add, and a mark
	} {
		req.Multicall = tt.multicall
		before := copyFull(r)
		p, err := r.Plan(req, caps)
		if err != nil {
			t.Fatal(err)
		}
		if !sameFull(&before, r) {
			t.Error("planning changed the relay")
		}
		if len(p.Transactions) > tt.transactions || p.GasPerHeader() > tt.perHeader {
			t.Errorf("multicall %x: %d transactions, %.0f gas a header", tt.multicall[:1], len(p.Transactions), p.GasPerHeader())
		}
		t.Logf("multicall %x: %d transactions, %.0f gas a header", tt.multicall[:1], len(p.Transactions), p.GasPerHeader())
		done := copyFull(r)
		follow(t, &done, p, caps)
		if done.best != hash256(last(req.Headers)) {
			t.Errorf("the best is %s", done.best)
		}
	}
}

// TestPlanMarksInTime plans more headers than one mark reaches over.
func TestPlanMarksInTime(t *testing.T) {
	r, req := catchUp(t)
	bits := binary.LittleEndian.Uint32(last(req.Headers)[72:])
	req.Headers = slices.Concat(req.Headers, chainOn(last(req.Headers), 20, bits, 5))
	p, err := r.Plan(req, DefaultCaps())
	if err != nil {
		t.Fatal(err)
	}
	marks := 0
	for _, tx := range p.Transactions {
		if tx.Calls[0].Function == "markNewHeaviest" {
			marks++
		}
	}
	if marks != 2 {
		t.Errorf("%d marks, want 2", marks)
	}
	done := copyFull(r)
	follow(t, &done, p, DefaultCaps())
	if done.best != hash256(last(req.Headers)) {
		t.Errorf("the best is %s", done.best)
	}
}

// TestPlanOneHeader plans what a new block takes: one transaction, or two.
func TestPlanOneHeader(t *testing.T) {
	f := load(t, "relay/headers.json")
	r := newRelay(t, f.Genesis.Raw, f.Genesis.Height)
	req := Request{
		Headers: f.Chain[0].Raw, Height: f.Chain[0].Height, Anchor: f.Genesis.Raw,
		Best: f.Genesis.Raw, Ancestor: f.Genesis.Digest, Relay: contract,
	}
	for via, want := range map[Address][]string{multicall: {"addHeaders markNewHeaviest"}, {}: {"addHeaders", "markNewHeaviest"}} {
		req.Multicall = via
		p, err := r.Plan(req, DefaultCaps())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tx := range p.Transactions {
			var names []string
			for _, c := range tx.Calls {
				names = append(names, c.Function)
			}
			got = append(got, strings.Join(names, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("planned %q, want %q", got, want)
		}
		done := copyFull(&r.FullRelay)
		follow(t, &done, p, DefaultCaps())
		if done.best != f.Chain[0].Digest {
			t.Errorf("the best is %s", done.best)
		}
	}
}

// TestPlanReorganises plans a longer branch in transactions so small that the first ones
// have less work than the best.
func TestPlanReorganises(t *testing.T) {
	genesis := first(easyBits)
	r := newRelay(t, genesis, 20_200)
	old, long := chainOn(genesis, 9, easyBits, 1), chainOn(genesis, 20, easyBits, 2)
	if _, err := r.AddHeaders(genesis, old); err != nil {
		t.Fatal(err)
	}
	if _, err := r.MarkNewHeaviest(hash256(genesis), genesis, last(old), 9); err != nil {
		t.Fatal(err)
	}
	caps := Caps{TransactionGas: 250_000, BlockGas: 30_000_000}
	req := Request{
		Headers: long, Height: 20_201, Anchor: genesis, Best: last(old), Ancestor: hash256(genesis),
		Relay: contract, Multicall: multicall,
	}
	p, err := r.Plan(req, caps)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Transactions); n < 3 || len(p.Transactions[0].Calls) != 1 || len(p.Transactions[n-1].Calls) != 2 {
		t.Errorf("%d transactions, %d calls in the first", n, len(p.Transactions[0].Calls))
	}
	done := copyFull(&r.FullRelay)
	follow(t, &done, p, caps)
	if done.best != hash256(last(long)) {
		t.Errorf("the best is %s", done.best)
	}
	// Without enough work there is nothing to mark.
	req.Headers = long[:9*header.Size]
	_, err = r.Plan(req, caps)
	reverts(t, "a branch with as much work", err, NotHeaviest)
}

func TestPlanFails(t *testing.T) {
	r, good := catchUp(t)
	spoilt := slices.Clone(good.Headers)
	spoilt[100*header.Size+40] ^= 1
	for _, tt := range []struct {
		name  string
		spoil func(*Request, *Caps)
		want  string
	}{
		{"no headers", func(q *Request, _ *Caps) { q.Headers = nil }, "0 bytes"},
		{"a torn header", func(q *Request, _ *Caps) { q.Headers = q.Headers[:81] }, "81 bytes"},
		{"another height", func(q *Request, _ *Caps) { q.Height++ }, "on an anchor at"},
		{"an unknown anchor", func(q *Request, _ *Caps) { q.Anchor = first(hardBits) }, "Unknown block"},
		{"another best", func(q *Request, _ *Caps) { q.Best = first(hardBits) }, "Unknown block"},
		{"no work", func(q *Request, _ *Caps) { q.Headers = spoilt }, "Header work is insufficient"},
		{"another start of the period", func(q *Request, _ *Caps) { q.PeriodStart = q.Anchor }, "Must provide exactly 1 difficulty period"},
		{"too little gas", func(_ *Request, c *Caps) { c.TransactionGas = 60_000 }, ErrCaps.Error()},
		{"too small a block", func(_ *Request, c *Caps) { c.BlockGas = 60_000 }, ErrCaps.Error()},
		{"too large a footprint", func(_ *Request, c *Caps) { c.FootprintScalar = 1<<16 - 1 }, ErrCaps.Error()},
	} {
		for _, via := range []Address{multicall, {}} {
			req, caps := good, DefaultCaps()
			req.Multicall = via
			tt.spoil(&req, &caps)
			if _, err := r.Plan(req, caps); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			}
		}
	}
	// A footprint that bounds the transactions more than gas does.
	caps := DefaultCaps()
	caps.FootprintScalar = 2000
	good.Multicall = multicall
	p, err := r.Plan(good, caps)
	if err != nil {
		t.Fatal(err)
	}
	for i, tx := range p.Transactions {
		if len(tx.Data)*2000 > int(caps.BlockGas) {
			t.Errorf("transaction %d has %d bytes", i, len(tx.Data))
		}
	}
	if len(p.Transactions) < 10 {
		t.Errorf("%d transactions", len(p.Transactions))
	}
	if _, err := r.FindHeight(chainhash.Hash{}); !errors.As(err, new(*Revert)) {
		t.Errorf("a relay after all this: %v", err)
	}
}

// TestMulticallData compares a multicall with what Solidity's documents say of its bytes.
func TestMulticallData(t *testing.T) {
	h := sha3.NewLegacyKeccak256()
	h.Write([]byte("aggregate3((address,bool,bytes)[])"))
	if got := h.Sum(nil)[:4]; string(got) != string(selectAggregate3[:]) {
		t.Errorf("selector %x, want %x", selectAggregate3, got)
	}
	c := Call{Function: "addHeaders", Args: [][]byte{{1}, {2}}}
	word := func(tail string) string { return strings.Repeat("0", 64-len(tail)) + tail }
	element := strings.Repeat("0", 24) + "aa" + strings.Repeat("0", 38) + word("0") + word("60") + word("c4") +
		fmt.Sprintf("%x", c.Data()) + strings.Repeat("0", 56)
	want := "82ad56cb" + word("20") + word("2") + word("40") + word("1a0") + element + element
	if got := fmt.Sprintf("%x", MulticallData(contract, []Call{c, c})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// BenchmarkPlan plans one header on top of a relay with many, and a catch-up.
func BenchmarkPlan(b *testing.B) {
	r, all := catchUp(b)
	all.Multicall = multicall
	b.Run("1", func(b *testing.B) {
		one := all
		one.Headers = all.Headers[:header.Size]
		for b.Loop() {
			if _, err := r.Plan(one, DefaultCaps()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("2016", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Plan(all, DefaultCaps()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
