package watch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
)

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
