package submit

import (
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
)

// TestRehearse rehearses what would be sent, what is on its way, and what was mined before, beside
// a submitter that does it: only the first has no refusal.
func TestRehearse(t *testing.T) {
	w := newWorld(t, 5, "that a rehearsal says what keeps a submitter from sending")
	tip := w.mine(t, w.genesis, 1)
	s := w.open(t)
	check := func(when, want string) {
		t.Helper()
		r, err := Rehearse(t.Context(), w.options)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		as := len(r.Refusals) == 0
		if want != "" {
			as = len(r.Refusals) == 1 && strings.Contains(r.Refusals[0], want)
		}
		if !as || r.GasLimit == 0 || r.Spent != s.Spent().String() {
			t.Errorf("%s: %+v, want a refusal with %q", when, r, want)
		}
	}
	check("before", "")
	if _, err := s.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A day's spend has room for this or for what replaces it, and not for both.
	whole := w.options.Limits.DailySpend
	w.options.Limits.DailySpend = s.Spent()
	check("on its way", "(on its way): nonce 0 ")
	w.options.Limits.DailySpend = whole
	w.Mine(t)
	if o, err := s.Step(t.Context()); err != nil || len(o.Mined) != 1 || !o.Done {
		t.Fatalf("%+v, %v", o, err)
	}
	// The relay forgets what it was told.
	w.Must(t, nil, "anvil_setStorageAt", w.relay, common.Hash{31: 1}, common.Hash(w.genesis.Hash()))
	w.Must(t, nil, "anvil_setStorageAt", w.relay, slotOf(3, tip.Hash()), common.Hash{})
	w.Must(t, nil, "anvil_setStorageAt", w.relay, slotOf(4, tip.Hash()), common.Hash{})
	w.Mine(t)
	check("mined before", "(repeated): ")
	if sent := w.SentBy(t, w.account.Address()); len(sent) != 1 {
		t.Errorf("%d transactions were sent", len(sent))
	}
}
