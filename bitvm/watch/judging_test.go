package watch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
)

// A judge finds the same of every claim, and remembers what it was given.
type judge struct {
	name  string
	finds watch.Judgement
	given []watch.Committed
}

func (j *judge) Judge(_ context.Context, c *watch.Committed) watch.Judgement {
	j.given = append(j.given, *c)
	return j.finds
}

func (j *judge) Name() string { return j.name }

func disprovable() *judge {
	leaf := 217
	return &judge{finds: watch.Judgement{Finding: watch.Disprovable, Leaf: &leaf, Reason: "hash mismatch"}}
}

// A claim of which nobody could tell is judged again by the next run, which may have a key,
// and one that another judge judged, who may have had a wrong one; what it finds is told
// once, and only if it is something else.
func TestJudgedAgain(t *testing.T) {
	o := watch.Options{Dir: t.TempDir()}
	s := newScene(t, watchtest.Small(), o)
	s.claimed()
	finding := func() (found []watch.Finding) {
		for _, e := range s.events {
			if e.Kind == watch.Judged {
				found = append(found, e.Judgement.Finding)
			}
		}
		return found
	}
	o.Blocks, o.Event = s.chain, func(e watch.Event) { s.events = append(s.events, e) }
	for _, tt := range []struct {
		judge watch.Judge
		want  []watch.Finding // told until then
		asked int
	}{
		{nil, []watch.Finding{watch.Undecided}, 0},
		{&judge{finds: watch.Judgement{Finding: watch.Undecided, Reason: "other"}}, []watch.Finding{watch.Undecided, watch.Undecided}, 1},
		{&judge{finds: watch.Judgement{Finding: watch.Undecided, Reason: "other"}}, []watch.Finding{watch.Undecided, watch.Undecided}, 1},
		{disprovable(), []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable}, 1},
		{&judge{finds: watch.Judgement{Finding: watch.Valid}}, []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable}, 0},
		{&judge{name: "right", finds: watch.Judgement{Finding: watch.Valid}}, []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable, watch.Valid}, 1},
		{&judge{name: "right"}, []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable, watch.Valid}, 0},
		{nil, []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable, watch.Valid}, 0},
		{&judge{name: "other", finds: watch.Judgement{Finding: watch.Valid}}, []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable, watch.Valid}, 1},
		{&judge{name: "other"}, []watch.Finding{watch.Undecided, watch.Undecided, watch.Disprovable, watch.Valid}, 0},
	} {
		if err := s.w.Close(); err != nil {
			t.Fatal(err)
		}
		o.Judge = tt.judge
		s.w = watch.New(o)
		if err := s.w.Add(s.bridge.Instance(first)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s.connect()
		}
		if got := finding(); !slices.Equal(got, tt.want) {
			t.Errorf("it was found %v, want %v", got, tt.want)
		}
		if j, ok := tt.judge.(*judge); ok && len(j.given) != tt.asked {
			t.Errorf("the judge was asked %d times, want %d", len(j.given), tt.asked)
		}
		claims := s.status().Claims
		if got := claims[0].Judgement; got == nil || got.Finding != tt.want[len(tt.want)-1] {
			t.Errorf("the status has %+v, want %v", got, tt.want)
		}
	}
}

// What another judge found is not believed while it cannot be judged again; and what this
// one finds makes a deadline urgent that was told of calmly.
func TestOtherJudge(t *testing.T) {
	o := watch.Options{Dir: t.TempDir(), Judge: &judge{name: "wrong", finds: watch.Judgement{Finding: watch.Valid, Input: "0badcafe"}}}
	s := newScene(t, watchtest.Small(), o)
	s.claimed()
	if text := fmt.Sprint(s.status().Next); !strings.Contains(text, "its proof is valid for the public input 0badcafe; compare the input with what the peg-out must have") {
		t.Errorf("of a valid claim is said %q", text)
	}
	due := func() (urgent []bool) {
		for _, e := range s.events {
			if e.Kind == watch.Due && e.Transaction == "disprove" && !e.Earliest {
				urgent = append(urgent, e.Urgent)
			}
		}
		return urgent
	}
	if got := due(); !slices.Equal(got, []bool{false}) {
		t.Errorf("it is due %v", got)
	}
	if err := s.w.Close(); err != nil {
		t.Fatal(err)
	}
	right := disprovable()
	right.name = "right"
	o.Judge, o.Blocks, o.Event = right, s.chain, func(e watch.Event) { s.events = append(s.events, e) }
	s.w = watch.New(o)
	if err := s.w.Add(s.bridge.Instance(first)); err != nil {
		t.Fatal(err)
	}
	s.chain.lost = true
	if err := s.w.Sync(t.Context(), s.chain); err != nil {
		t.Fatal(err)
	}
	if c := s.status().Claims[0]; c.Judgement != nil || !strings.Contains(c.Unjudged, "is pruned") {
		t.Errorf("another's judgement is believed: %+v", c)
	}
	s.chain.lost = false
	if err := s.w.Sync(t.Context(), s.chain); err != nil {
		t.Fatal(err)
	}
	if c := s.status().Claims[0]; c.Judgement == nil || c.Judgement.Finding != watch.Disprovable {
		t.Errorf("%+v", c)
	}
	if got := due(); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("it is due %v", got)
	}
}

// An answer to a claim of which nobody can tell is urgent when it is due, and is told of
// again when the chain was another meanwhile.
func TestUndecidedIsUrgent(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	s.claimed()
	s.undo(1)
	s.mine("assert_final")
	n := 0
	for _, e := range s.events {
		if e.Kind == watch.Due && e.Transaction == "disprove" && !e.Earliest {
			if n++; !e.Urgent {
				t.Errorf("%+v is calm", e)
			}
		}
	}
	if n != 2 {
		t.Errorf("it was told of %d times, want twice", n)
	}
}

// A claim whose blocks cannot be had is not judged, which is said, until they can.
func TestJudgedLater(t *testing.T) {
	j := disprovable()
	s := newScene(t, watchtest.Small(), watch.Options{Judge: j})
	s.chain.lost = true
	s.claimed()
	c := s.status().Claims[0]
	if !c.Made || c.Judgement != nil || !strings.Contains(c.Unjudged, "is pruned") || len(j.given) != 0 {
		t.Errorf("%+v", c)
	}
	if text := s.status().Next[0].Text; !strings.HasPrefix(text, "The operator claims, and nobody here knows yet whether it is true: ") {
		t.Errorf("the advice is %q", text)
	}
	s.chain.lost = false
	s.connect()
	if c := s.status().Claims[0]; c.Judgement == nil || c.Unjudged != "" || len(j.given) != 1 {
		t.Errorf("%+v", c)
	}
}

// A reorganisation takes a judgement back.
func TestReorganisedClaim(t *testing.T) {
	j := disprovable()
	s := newScene(t, watchtest.Small(), watch.Options{Judge: j})
	s.claimed()
	s.undo(3) // assert_final, assert_commit_2 and assert_commit_1
	if c := s.status().Claims[0]; c.Made || c.Judgement != nil {
		t.Errorf("%+v", c)
	}
	j.finds = watch.Judgement{Finding: watch.Valid}
	s.mine("assert_commit_1", "assert_commit_2", "assert_final")
	if c := s.status().Claims[0]; !c.Made || c.Judgement == nil || c.Judgement.Finding != watch.Valid || len(j.given) != 2 {
		t.Errorf("%+v, asked %d times", c, len(j.given))
	}
}
