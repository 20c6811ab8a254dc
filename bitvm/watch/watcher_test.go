package watch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

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

// The dispute of BitVM2, with every deadline as a height.
func TestDispute(t *testing.T) {
	j := disprovable()
	s := newScene(t, watch.BitVM2(), watch.Options{Judge: j})
	final := s.claimed()

	// The judge had all 378 witnesses, the 300 first.
	if len(j.given) != 1 || len(j.given[0].Transactions) != 2 {
		t.Fatalf("the judge was asked %d times", len(j.given))
	}
	for i, n := range []int{300, 78} {
		if got := j.given[0].Transactions[i].Witnesses(); len(got) != n || len(got[n-1]) != 2 {
			t.Errorf("commit %d has %d witnesses", i, len(got))
		}
	}
	d := s.tx("disprove")
	want := watch.TransactionStatus{Name: "disprove", By: "challenger", State: watch.Open, Opens: final, Deadline: final + 2, Firm: true, Rival: "take_2", Left: 1, CalledFor: true}
	if fmt.Sprint(d) != fmt.Sprint(want) {
		t.Errorf("disprove is %+v, want %+v", d, want)
	}
	advice := s.status().Next[0]
	say := fmt.Sprintf("The operator claims; the proof is invalid at leaf 217 (hash mismatch); broadcast disprove. "+
		"It must be in a block before height %d, when take_2 may be (1 block left). "+
		"With up to 955140 weight units it is too heavy for mempools: send it to miners.", final+2)
	if !advice.Urgent || advice.Text != say {
		t.Errorf("the advice is %q, want %q", advice.Text, say)
	}

	b := s.connect(s.bridge.TxBy("disprove", 217))
	if d := s.tx("disprove"); d.State != watch.Confirmed || d.Height != b.Height || !slices.Equal(d.Leaves, []string{"5:1", "C:chunk/217"}) {
		t.Errorf("disprove is %+v", d)
	}
	if got := s.tx("take_2").State; got != watch.Over {
		t.Errorf("take_2 is %s", got)
	}
	if st := s.status(); !st.Complete || st.Claims[0].Answered != "disprove" || slices.ContainsFunc(st.Next, func(a watch.Advice) bool { return a.Urgent }) {
		t.Errorf("behind the answer: %+v", st)
	}
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

// Signatures of an open transaction cover neither the place of its input nor other inputs:
// what it makes is where its input is.
func TestOpenTransaction(t *testing.T) {
	g, err := watch.DecodeGraph([]byte(`{"version":1,"name":"g","claimant":"operator",
		"connectors":[{"name":"A","leaves":[{"name":"0","by":"operator"}]},{"name":"B","leaves":[{"name":"0","by":"operator"}]}],
		"transactions":[
			{"name":"t","by":"operator","outputs":[{"connector":"A"}]},
			{"name":"u","by":"operator","open":true,"inputs":[{"connector":"A","leaf":"0"}],"outputs":[{"connector":"B"}]},
			{"name":"v","by":"operator","inputs":[{"connector":"B","leaf":"0"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t, g, watch.Options{})
	s.mine("t")
	u := s.bridge.Tx("u")
	u.TxIn = append([]*wire.TxIn{wire.NewTxIn(&wire.OutPoint{Index: 7}, nil, nil)}, u.TxIn...)
	v := s.bridge.Tx("v")
	wrong := u.Copy()
	wrong.TxOut = append(wrong.TxOut, wire.NewTxOut(1, watchtest.Anyone()))
	s.connect(wrong)
	if unknown := s.status().Unknown; len(unknown) != 1 || !strings.Contains(unknown[0].Why, "output 1 does not pay to connector B") {
		t.Errorf("%+v", unknown)
	}
	s.undo(1)
	u.TxOut = append([]*wire.TxOut{wire.NewTxOut(1, watchtest.Anyone())}, u.TxOut...)
	s.connect(u)
	v.TxIn[0].PreviousOutPoint = wire.OutPoint{Hash: u.TxHash(), Index: 1}
	s.connect(v)
	if s.tx("u").State != watch.Confirmed || s.tx("v").State != watch.Confirmed {
		t.Errorf("%+v", s.status())
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

// Every way through the graphs, as it is seen, with what it leaves possible.
func TestEveryTransaction(t *testing.T) {
	garbled, err := watch.Builtin("garbled", 2)
	if err != nil {
		t.Fatal(err)
	}
	bitvm2 := watchtest.Small()
	toKickOff := []string{"peg_in_deposit", "peg_in_confirm", "peg_out_confirm", "kick_off_1"}
	toProof := []string{"deposit", "stake", "claim", "contest"}
	seen := make(map[string]bool)
	for _, tt := range []struct {
		name   string
		graph  *watch.Graph
		before []string
		path   []string
		over   []string
	}{
		{"refund", bitvm2, nil, []string{"peg_in_deposit", "peg_in_refund"}, []string{"peg_in_confirm", "take_1", "take_2"}},
		{"paid out", bitvm2, nil, []string{"peg_out", "peg_in_deposit"}, nil},
		{"unchallenged", bitvm2, toKickOff, []string{"start_time", "kick_off_2", "take_1"}, []string{"challenge", "take_2", "disprove_chain", "disprove", "kick_off_timeout"}},
		{"no start time", bitvm2, toKickOff, []string{"start_time_timeout"}, []string{"start_time", "kick_off_2", "take_1", "take_2", "kick_off_timeout"}},
		{"no superblock", bitvm2, toKickOff, []string{"start_time", "kick_off_timeout"}, []string{"kick_off_2", "take_1", "assert_initial"}},
		{"another chain", bitvm2, toKickOff, []string{"start_time", "kick_off_2", "disprove_chain"}, []string{"take_1", "take_2", "assert_initial", "disprove"}},
		{"challenged", bitvm2, toKickOff, []string{"challenge", "kick_off_2", "assert_initial", "assert_commit_1", "assert_commit_2", "assert_final", "take_2"}, []string{"take_1", "disprove"}},
		{"disproved", bitvm2, toKickOff, []string{"challenge", "kick_off_2", "assert_initial", "assert_commit_2", "assert_commit_1", "assert_final", "disprove"}, []string{"take_1", "take_2"}},
		{"uncontested", garbled, nil, []string{"deposit", "stake", "claim", "uncontested_payout"}, []string{"contest", "contested_payout", "admin_burn"}},
		{"stopped", garbled, nil, []string{"deposit", "stake", "claim", "admin_burn"}, []string{"uncontested_payout", "contested_payout"}},
		{"left", garbled, nil, []string{"deposit", "stake", "claim", "unstaking_burn"}, []string{"uncontested_payout", "contested_payout", "admin_burn"}},
		{"unproved", garbled, toProof, []string{"bridge_proof_timeout", "slash"}, []string{"bridge_proof", "contested_payout", "counterproof_ack_0"}},
		{"proved", garbled, toProof, []string{"bridge_proof", "contested_payout"}, []string{"slash", "bridge_proof_timeout", "counterproof_ack_0", "counterproof_ack_1"}},
		{"refuted", garbled, toProof, []string{"bridge_proof", "counterproof_1", "counterproof_ack_1", "slash"}, []string{"contested_payout", "counterproof_nack_1", "counterproof_ack_0"}},
		{"wrongly refuted", garbled, toProof, []string{"bridge_proof", "counterproof_0", "counterproof_nack_0", "contested_payout"}, []string{"counterproof_ack_0", "slash"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, bound := range []bool{false, true} {
				if !bound && slices.Contains(tt.path, "peg_out") {
					continue // it makes no connector, so that only its id tells it
				}
				s := newScene(t, tt.graph, watch.Options{})
				if bound {
					s.bindTxids(slices.Concat(tt.before, tt.path))
				}
				for _, name := range slices.Concat(tt.before, tt.path) {
					b := s.mine(name)
					if got := s.tx(name); got.State != watch.Confirmed || got.Height != b.Height {
						t.Errorf("%s is %+v in block %d", name, got, b.Height)
					}
					seen[strings.TrimRight(name, "_01")] = true
				}
				for _, name := range tt.over {
					if got := s.tx(name); got.State != watch.Over {
						t.Errorf("%s is %+v", name, got)
					}
				}
				if st := s.status(); len(st.Unknown) > 0 || !st.Complete {
					t.Errorf("%+v", st)
				}
			}
		})
	}
	for _, g := range []*watch.Graph{bitvm2, garbled} {
		for _, tx := range g.Transactions {
			if !seen[strings.TrimRight(tx.Name, "_01")] {
				t.Errorf("%s was not tried", tx.Name)
			}
		}
	}
}

// bindTxids has the watcher know the ids of what follows, and neither scripts nor leaves.
func (s *scene) bindTxids(names []string) {
	s.t.Helper()
	in := s.bridge.Instance(first)
	in.Scripts, in.Leaves, in.Txids = nil, nil, make(map[string]string)
	for _, n := range names {
		in.Txids[n] = s.bridge.Tx(n).TxHash().String()
	}
	s.w = watch.New(watch.Options{})
	if err := s.w.Add(in); err != nil {
		s.t.Fatal(err)
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

// A spend that the graph does not have is loud, with the reason, and the rest goes on.
func TestUnknownSpend(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	s.mine("peg_in_deposit")
	s.mine("peg_in_confirm")
	s.mine("peg_out_confirm")
	s.mine("kick_off_1")
	b := s.connect(s.bridge.Stray("A", "0"))
	st := s.status()
	if len(st.Unknown) != 1 || st.Unknown[0].Height != b.Height || !slices.Equal(st.Unknown[0].Connectors, []string{"A"}) ||
		!strings.Contains(st.Unknown[0].Why, "not take_1: input 0 is not connector 0") ||
		!strings.Contains(st.Unknown[0].Why, "not challenge: input 0 spends A by leaf 0, not 1") {
		t.Errorf("%+v", st.Unknown)
	}
	if !st.Next[0].Urgent || !strings.Contains(st.Next[0].Text, "in a way that the graph does not have") {
		t.Errorf("%+v", st.Next)
	}
	if !slices.ContainsFunc(s.events, func(e watch.Event) bool { return e.Kind == watch.UnknownSpend && e.Urgent && e.Tip == b.Tip }) {
		t.Errorf("%+v", s.events)
	}
	if got := s.tx("take_1").State; got != watch.Over {
		t.Errorf("take_1 is %s", got)
	}
	s.mine("start_time")
	s.undo(2)
	if st := s.status(); len(st.Unknown) != 0 || s.tx("take_1").State != watch.Waiting {
		t.Errorf("behind its block's leaving: %+v", st.Unknown)
	}
}

// A transaction whose id is known is found though what it spends was never seen.
func TestBegunInTheMiddle(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	for _, name := range []string{"peg_out_confirm", "kick_off_1", "kick_off_2"} {
		s.bridge.Tx(name)
	}
	in := s.bridge.Instance(first)
	in.Txids = map[string]string{"kick_off_2": s.bridge.Tx("kick_off_2").TxHash().String()}
	s.w = watch.New(watch.Options{})
	if err := s.w.Add(in); err != nil {
		t.Fatal(err)
	}
	b := s.mine("kick_off_2")
	s.mine("disprove_chain")
	if got := s.tx("kick_off_2"); got.Height != b.Height {
		t.Errorf("%+v", got)
	}
	if got := s.tx("disprove_chain"); got.State != watch.Confirmed || s.tx("assert_initial").State != watch.Over {
		t.Errorf("%+v", got)
	}
}

// One who pays the wrong outputs is not taken for the transaction.
func TestOtherOutputs(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	s.mine("peg_out_confirm")
	tx := s.bridge.Tx("kick_off_1")
	tx.TxOut[1], tx.TxOut[2] = tx.TxOut[2], tx.TxOut[1]
	s.connect(tx)
	if u := s.status().Unknown; len(u) != 1 || !strings.Contains(u[0].Why, "output 1 does not pay to connector 1") {
		t.Errorf("%+v", u)
	}
}

// A block that does not follow is a gap, and only a look at all blocks closes it.
func TestGap(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	if s.status().Complete {
		t.Error("it is complete before anything was seen")
	}
	s.connect()
	if !s.status().Complete {
		t.Error("it is not complete")
	}
	s.chain.mine(s.bridge.Tx("peg_out_confirm"))
	b := s.chain.mine()
	if err := s.w.Connect(t.Context(), b); !errors.Is(err, watch.ErrGap) {
		t.Fatal(err)
	}
	st := s.status()
	if st.Complete || st.Behind == "" || !st.Next[0].Urgent || !strings.HasPrefix(st.Next[0].Text, "Blocks are missing") {
		t.Errorf("%+v", st)
	}
	s.chain.lost = true
	if err := s.w.Sync(t.Context(), s.chain); err == nil || !strings.Contains(err.Error(), "is pruned") {
		t.Error(err)
	}
	if st := s.status(); st.Complete || !strings.Contains(st.Behind, "is pruned") {
		t.Errorf("%+v", st)
	}
	s.chain.lost = false
	if err := s.w.Sync(t.Context(), s.chain); err != nil {
		t.Fatal(err)
	}
	if st := s.status(); !st.Complete || s.tx("peg_out_confirm").State != watch.Confirmed {
		t.Errorf("%+v", st)
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

// A hint says what an unconfirmed transaction would be, and changes nothing.
func TestPeek(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	s.mine("peg_out_confirm")
	before := s.status()
	tx := s.bridge.Tx("kick_off_1")
	if got := s.w.Peek(tx); len(got) != 1 || got[0].Transaction != "kick_off_1" || got[0].Instance != "one" {
		t.Errorf("%+v", got)
	}
	if got := s.w.Peek(wire.NewMsgTx(2)); got != nil {
		t.Errorf("%+v", got)
	}
	if after := s.status(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("a hint changed something")
	}
}

// Two instances share an output, as operators share the bridge's money.
func TestSharedOutput(t *testing.T) {
	s := newScene(t, watchtest.Small(), watch.Options{})
	other := s.bridge.Instance(first)
	other.Name = "two"
	if err := s.w.Add(other); err != nil {
		t.Fatal(err)
	}
	s.mine("peg_in_deposit")
	b := s.mine("peg_in_confirm")
	for _, st := range s.w.Status() {
		if tx := st.Transactions[2]; tx.Name != "peg_in_confirm" || tx.Height != b.Height {
			t.Errorf("%s: %+v", st.Instance, tx)
		}
	}
	again := s.bridge.Instance(first)
	again.Name = "One"
	if err := s.w.Add(again); err == nil {
		t.Error("two instances may have one journal")
	}
}

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

// The end of the process at any byte of the journal: what was written whole is there
// again, the rest is looked at again, and the events have the same numbers.
func TestKilledAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	j := disprovable()
	s := newScene(t, watchtest.Small(), watch.Options{Dir: dir, Judge: j})
	s.claimed()
	s.mine("disprove")
	want := s.w.Events("one", 0)
	path := filepath.Join(dir, "one.journal")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int
	for i, c := range whole {
		if c == '\n' {
			ends = append(ends, i, i+1)
		}
	}
	for range 20 {
		ends = append(ends, rand.IntN(len(whole)))
	}
	in := s.bridge.Instance(first)
	for _, end := range append(ends, 0, 1) {
		cut := t.TempDir()
		torn := whole[:end]
		if end%3 == 0 && end > 0 {
			torn = bytes.Clone(torn)
			torn[end-1] ^= 1 // the disk wrote something else
		}
		if err := os.WriteFile(filepath.Join(cut, "one.journal"), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		w := watch.New(watch.Options{Dir: cut, Judge: j})
		if err := w.Add(in); err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		if err := w.Sync(t.Context(), s.chain); err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		if got := w.Events("one", 0); !sameEvents(got, want) {
			t.Fatalf("cut at %d of %d: %d events, want %d", end, len(whole), len(got), len(want))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A chain that left while nobody looked is followed back, however deep.
func TestReorganisedWhileStopped(t *testing.T) {
	for _, depth := range []int{1, 6, 290, 700} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			dir := t.TempDir()
			s := newScene(t, watchtest.Small(), watch.Options{Dir: dir})
			s.mine("peg_in_deposit")
			s.mine("peg_in_confirm")
			for range 2 {
				s.connect()
			}
			s.mine("peg_out_confirm") // leaves
			for range depth - 1 {
				s.connect()
			}
			if err := s.w.Close(); err != nil {
				t.Fatal(err)
			}
			for range depth {
				s.chain.drop()
			}
			for range depth {
				s.chain.mine()
			}
			late := s.chain.mine(s.bridge.Tx("peg_out_confirm"))
			w := watch.New(watch.Options{Dir: dir})
			if err := w.Add(s.bridge.Instance(first)); err != nil {
				t.Fatal(err)
			}
			if err := w.Sync(t.Context(), s.chain); err != nil {
				t.Fatal(err)
			}
			st := w.Status()[0]
			if !st.Complete || st.Tip != s.chain.tip() || st.Transactions[4].Height != late.Height || st.Transactions[2].Height != first+1 {
				t.Errorf("%+v", st)
			}
			var told []string
			for _, e := range w.Events("one", 0) {
				if e.Transaction == "peg_out_confirm" {
					told = append(told, string(e.Kind))
				}
			}
			if !slices.Equal(told, []string{"seen", "rolled back", "seen"}) {
				t.Errorf("of peg_out_confirm is told %q", told)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Other words in a graph leave its journal what it is.
func TestReworded(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, watchtest.Small(), watch.Options{Dir: dir})
	b := s.mine("peg_out_confirm")
	if err := s.w.Close(); err != nil {
		t.Fatal(err)
	}
	in := s.bridge.Instance(first)
	in.Graph = watchtest.Small()
	in.Graph.About, in.Graph.Connectors[0].About, in.Graph.Connectors[0].Leaves[0].Means, in.Graph.Transactions[0].Means = "a", "b", "c", "d"
	w := watch.New(watch.Options{Dir: dir, Aside: func(_, path string) { t.Errorf("it was put at %s", path) }})
	if err := w.Add(in); err != nil {
		t.Fatal(err)
	}
	if st := w.Status()[0]; st.Tip != b.Tip {
		t.Errorf("%+v", st)
	}
	if got := w.Status()[0].Next; len(got) == 0 {
		t.Error("there is no advice")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// A journal of another instance of that name is put aside, not believed, and one that is
// there stays.
func TestOtherJournal(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, watchtest.Small(), watch.Options{Dir: dir})
	s.mine("peg_out_confirm")
	if err := s.w.Close(); err != nil {
		t.Fatal(err)
	}
	asides := make(map[string]bool)
	for react := range uint32(3) {
		in := s.bridge.Instance(first)
		in.React = 9 + react
		aside := ""
		w := watch.New(watch.Options{Dir: dir, Aside: func(_, path string) { aside = path }})
		if err := w.Add(in); err != nil {
			t.Fatal(err)
		}
		if st := w.Status()[0]; aside == "" || st.Tip.Height != first-1 || st.Event != 0 {
			t.Errorf("put at %q, then %+v", aside, st)
		}
		asides[aside] = true
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path := range asides {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if len(asides) != 3 {
		t.Errorf("put at %v", asides)
	}
}
