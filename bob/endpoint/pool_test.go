package endpoint

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

func TestOpenRefuses(t *testing.T) {
	one := []Endpoint{{Name: "a", URL: "http://127.0.0.1:1"}}
	for name, opts := range map[string]Options{
		"no layer":       {ChainID: 1, Endpoints: one},
		"no chain":       {Layer: "l2", Endpoints: one},
		"no endpoint":    {Layer: "l2", ChainID: 1},
		"a role":         {Layer: "l2", ChainID: 1, Role: 9, Endpoints: one},
		"too many":       {Layer: "l2", ChainID: 1, Confirm: 2, Endpoints: one},
		"a budget":       {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "a", URL: "http://h", Rate: -1}}},
		"one name twice": {Layer: "l2", ChainID: 1, Endpoints: append(slices.Clone(one), one...)},
		"a name":         {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "A b", URL: "http://h"}}},
		"a scheme":       {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "a", URL: "ws://key@h"}}},
		"an address":     {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "a", URL: "http://key\x7f@h"}}},
	} {
		if _, err := New(opts); err == nil || strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTooLong(t *testing.T) {
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool {
		result(w, c, `"`+strings.Repeat("x", 2<<20)+`"`)
		return true
	})
	p := open(t, options(a))
	if _, err := p.Call(t.Context(), "eth_blockNumber"); !errors.Is(err, TooLong) {
		t.Errorf("2 MiB for a number: %v", err)
	}
	if raw, err := p.Call(t.Context(), "eth_getBalance"); err != nil || len(raw) < 2<<20 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

// A pool of one endpoint asks no other, and shares what the endpoint may be asked and what
// is known of it; a pool that has asked nobody proves the chain with its first question.
func TestOnly(t *testing.T) {
	a, b := newServer(t, nil), newServer(t, always("null"))
	b.chain.Store(1)
	p, err := New(options(a, b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if p.Only("c") != nil {
		t.Error("there is a pool of an endpoint that there is not")
	}
	if _, err := p.Only("b").Call(t.Context(), "eth_getTransactionReceipt", "0x01"); !errors.Is(err, WrongChain) {
		t.Errorf("of another chain: %v", err)
	}
	if got := p.Status()[1].Chain; got != "wrong" {
		t.Errorf("what the one learnt is %q to all", got)
	}
	b.chain.Store(60808)
	p.prove(t.Context())
	if _, err := p.Only("b").Call(t.Context(), "eth_getTransactionReceipt", "0x01"); !errors.Is(err, Absent) {
		t.Errorf("null, by the only one: %v", err)
	}
	if _, calls := a.seen(); calls != 0 {
		t.Errorf("the other was asked %d times", calls)
	}
	for _, k := range p.Knobs() {
		if tried := k.Carry == perfcore.Memoryless; tried != (k.Name == "bob.l2_batch_size") {
			t.Errorf("an optimizer tries %s: %t", k.Name, tried)
		}
		if k.Name == "bob.l2_poll_interval" {
			if err := k.Set(t.Context(), 4000); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := p.Only("a").PollInterval(); got != 4*time.Second {
		t.Errorf("the knob of all has one poll each %v", got)
	}
}
