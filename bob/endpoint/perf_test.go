package endpoint

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

func TestKnobs(t *testing.T) {
	p := open(t, options(newServer(t, nil)))
	for _, k := range p.Knobs() {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
		for _, v := range k.Ladder {
			if err := k.Set(t.Context(), v); err != nil {
				t.Error(err)
			}
		}
	}
	if got := p.PollInterval(); got != 8*time.Second {
		t.Errorf("the interval is %v", got)
	}
}

// What was asked is measured, by endpoint and class.
func TestInstruments(t *testing.T) {
	registry := new(perfcore.Registry)
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool {
		if c.Method == "eth_call" {
			refuse(w, c, 3, "no")
		}
		return c.Method == "eth_call"
	})
	opts := options(a)
	opts.Recorder = registry
	p := open(t, opts)
	for range 3 {
		if _, err := p.Call(t.Context(), "eth_getLogs"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Call(t.Context(), "eth_call"); !errors.Is(err, Reverted) {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, s := range registry.Series() {
		key := s.Metric.Name + strings.Join(s.Metric.Labels, ",")
		switch {
		case s.Timer != nil:
			got[key] = s.Timer.Snapshot().Count
		case s.Counter != nil:
			got[key] = s.Counter.Value()
		}
	}
	for key, want := range map[string]uint64{
		"outrider_bob_rpc_secondslayer,l2,endpoint,a,class,logs":            3,
		"outrider_bob_rpc_secondslayer,l2,endpoint,a,class,call":            1,
		"outrider_bob_rpc_secondslayer,l2,endpoint,a,class,head":            1, // its chain
		"outrider_bob_rpc_failures_totallayer,l2,endpoint,a,kind,reverted":  1,
		"outrider_bob_rpc_failures_totallayer,l2,endpoint,a,kind,timed_out": 0,
	} {
		if n, ok := got[key]; !ok || n != want {
			t.Errorf("%s is %d, want %d", key, n, want)
		}
	}
}
