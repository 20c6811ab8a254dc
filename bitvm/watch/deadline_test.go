package watch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
)

// A deadline that may become later is told of as the earliest, once, and again when it is
// certain.
func TestEarliestDeadline(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	in := s.bridge.Instance(first)
	in.React = 30
	s.w = watch.New(watch.Options{Event: func(e watch.Event) { s.events = append(s.events, e) }})
	if err := s.w.Add(in); err != nil {
		t.Fatal(err)
	}
	due := func() (earliest []bool) {
		for _, e := range s.events {
			if e.Kind == watch.Due && e.Transaction == "challenge" {
				earliest = append(earliest, e.Earliest)
			}
		}
		return earliest
	}
	for _, name := range []string{"peg_in_deposit", "peg_in_confirm", "peg_out_confirm", "kick_off_1"} {
		s.mine(name)
	}
	if !s.tx("start_time").CLTV || s.tx("challenge").CLTV || !slices.ContainsFunc(s.status().Next, func(a watch.Advice) bool {
		return strings.HasPrefix(a.Text, "The operator may send start_time from height") && strings.Contains(a.Text, "not before its own lock")
	}) {
		t.Errorf("of an absolute lock is said %+v in %v", s.tx("start_time"), s.status().Next)
	}
	for range 8 { // it becomes later
		s.connect()
	}
	if got := due(); !slices.Equal(got, []bool{true}) {
		t.Errorf("the earliest was told of: %v", got)
	}
	s.mine("kick_off_2")
	if got := due(); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("behind kick_off_2 was told of: %v", got)
	}
}

// When nobody answers, the height at which the operator may take passes, and is told.
func TestNobodyAnswers(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{Judge: disprovable()})
	final := s.claimed()
	s.connect()
	d := s.tx("disprove")
	if d.Left != 0 || d.Deadline != final+2 || s.tx("take_2").State != watch.Open {
		t.Errorf("disprove is %+v, take_2 %+v", d, s.tx("take_2"))
	}
	if text := s.status().Next[0].Text; !strings.Contains(text, "that is over, and whichever comes first decides") {
		t.Errorf("the advice is %q", text)
	}
	s.mine("take_2")
	kinds := make(map[watch.Kind]bool)
	for _, e := range s.events {
		if e.Transaction == "disprove" {
			kinds[e.Kind] = true
		}
	}
	if !kinds[watch.Due] || !kinds[watch.Passed] {
		t.Errorf("of disprove was told %v", kinds)
	}
	last := s.events[len(s.events)-1]
	if last.Transaction != "take_2" || !last.Urgent || !strings.HasSuffix(last.Text, "though the claim could be disproved") {
		t.Errorf("of take_2 is told %+v", last)
	}
}

// Locks are heights by BIP68: that of the block with the output, and the lock.
func TestDeadlinesOnMainnet(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	in := s.bridge.Instance(first)
	in.Network = "main"
	s.w = watch.New(watch.Options{})
	if err := s.w.Add(in); err != nil {
		t.Fatal(err)
	}
	s.mine("peg_in_deposit")
	s.mine("peg_in_confirm")
	s.mine("peg_out_confirm")
	k := s.mine("kick_off_1").Height
	for name, want := range map[string][3]uint32{ // opens, deadline, firm
		"start_time":         {k, k + 36, 1},
		"start_time_timeout": {k + 36, k + 2016, 1},
		"kick_off_2":         {k + 2016, k + 2160, 1},
		"kick_off_timeout":   {k + 2160, 0, 0},
		"challenge":          {k, k + 2016 + 432, 0},
		"take_1":             {k + 2016 + 432, 0, 0},
	} {
		firm := uint32(0)
		got := s.tx(name)
		if got.Firm {
			firm = 1
		}
		if [3]uint32{got.Opens, got.Deadline, firm} != want {
			t.Errorf("%s: %+v, want %v", name, got, want)
		}
	}
}

// A counterproof has to come early enough for its acknowledgement.
func TestDeadlineOfWhatComesBefore(t *testing.T) {
	g, err := watch.Builtin("garbled", 1)
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t, g, watch.Options{})
	s.mine("deposit")
	s.mine("stake")
	s.mine("claim")
	c := s.mine("contest").Height
	// On test networks the payout opens 9 blocks behind the contest, and an
	// acknowledgement 3 behind the counterproof.
	got := s.tx("counterproof_0")
	if got.Deadline != c+9-3 || got.Rival != "contested_payout" || got.For != "counterproof_ack_0" || !got.Firm {
		t.Errorf("the counterproof is %+v, want it before %d", got, c+6)
	}
	s.idle(c + 6)
	// The acknowledgement opens no sooner than the payout now.
	if got := s.tx("counterproof_0"); got.Left != 0 || got.Deadline != c+6 {
		t.Errorf("behind its time the counterproof is %+v", got)
	}
	if !slices.ContainsFunc(s.events, func(e watch.Event) bool {
		return e.Kind == watch.Passed && e.Transaction == "counterproof_0" && e.Height == c+6
	}) {
		t.Error("that its time is over was not told")
	}
	if text := fmt.Sprint(s.status().Next); !strings.Contains(text, "that is over") {
		t.Errorf("%s", text)
	}
}
