package watch

import (
	_ "embed"
	"fmt"
	"slices"
)

//go:embed bitvm2.json
var bitvm2 []byte

// BitVM2 returns the graph of BitVM's repository (bridge/src/graphs/peg_in.rs and
// peg_out.rs, with the connectors and transactions beside them): its leaves, the order of
// inputs and outputs, and its locks on mainnet; on other networks every lock is two
// blocks (bridge/src/utils.rs). The weights are those of transactions/base.rs.
func BitVM2() *Graph {
	g, err := DecodeGraph(bitvm2)
	if err != nil {
		panic(err) // it is a part of the program
	}
	return g
}

// GarbledLocks are the relative locks of a bridge on garbled circuits, in blocks. They are
// parameters of each bridge.
type GarbledLocks struct {
	Contest         uint32 // how long a claim may be contested
	Proof           uint32 // from the contest on, until the proof is late
	Nack            uint32 // from a counterproof on, until nobody may refute it
	Ack             uint32 // from the contest on, until the claimant may be paid
	ContestedPayout uint32 // from the contest on, until the stake may be slashed
}

// DefaultGarbledLocks are an example that leaves everybody time, not those of a bridge.
var DefaultGarbledLocks = struct{ Main, Test GarbledLocks }{
	GarbledLocks{Contest: 144, Proof: 144, Nack: 144, Ack: 432, ContestedPayout: 1008},
	GarbledLocks{Contest: 4, Proof: 3, Nack: 3, Ack: 9, ContestedPayout: 13},
}

// MaxWatchtowers bounds the watchtowers of [GarbledCircuit].
const MaxWatchtowers = 200

// GarbledCircuit returns the graph of a bridge whose proofs are checked by garbled
// circuits, in the shape of Strata's (strata-bridge, crates/tx-graph): a claim may be
// contested by any watchtower, then must be proved, and each watchtower may answer the
// proof by evaluating its circuit, which gives it a counterproof if the proof is false.
// A graph is for a number of watchtowers, from 1 to [MaxWatchtowers]. Cooperative payouts
// and the leaving of a stake are not in it: they need everybody's signature.
func GarbledCircuit(watchtowers int, main, test GarbledLocks) (*Graph, error) {
	if watchtowers < 1 || watchtowers > MaxWatchtowers {
		return nil, fmt.Errorf("watch: %d watchtowers, must be from 1 to %d", watchtowers, MaxWatchtowers)
	}
	const operator, tower, all = "operator", "watchtower", "verifiers"
	leaf := func(name, by, means string) Leaf { return Leaf{Name: name, By: by, Means: means} }
	locked := func(name, means string, lock func(*GarbledLocks) uint32) Leaf {
		return Leaf{Name: name, By: all, Means: means, Lock: Blocks{lock(&main), lock(&test)}}
	}
	g := &Graph{
		Version: GraphVersion, Name: "garbled", Claimant: operator,
		About: "A bridge whose proofs are checked by garbled circuits, in the shape of Strata's.",
		Connectors: []Connector{
			{Name: "deposit", About: "the bridge's money", Leaves: []Leaf{{Name: "key", By: all, Key: true}}},
			{Name: "stake", About: "the operator's stake", Leaves: []Leaf{{Name: "key", By: all, Key: true}}},
			{Name: "claim_contest", Leaves: []Leaf{
				{Name: "contested", By: tower, Count: watchtowers, Means: "a watchtower contests the claim"},
				locked("uncontested", "the time to contest is over", func(l *GarbledLocks) uint32 { return l.Contest }),
			}},
			{Name: "claim_payout", Leaves: []Leaf{
				{Name: "key", By: all, Key: true, Means: "a payout"},
				leaf("admin", "admin", "the bridge's administrators stop the payout"),
				leaf("unstaking", "anybody", "the operator has begun to leave; the payout is over"),
			}},
			{Name: "contest_proof", Leaves: []Leaf{
				{Name: "key", By: operator, Key: true, Means: "the operator proves the claim"},
				locked("timeout", "the operator proved nothing in time", func(l *GarbledLocks) uint32 { return l.Proof }),
			}},
			{Name: "contest_payout", Leaves: []Leaf{
				{Name: "key", By: all, Key: true, Means: "the payout is over"},
				locked("timeout", "the time for counterproofs is over", func(l *GarbledLocks) uint32 { return l.Ack }),
			}},
			{Name: "contest_slash", Leaves: []Leaf{
				{Name: "key", By: all, Key: true, Means: "the operator is paid, and not slashed"},
				locked("timeout", "the operator was not paid in time", func(l *GarbledLocks) uint32 { return l.ContestedPayout }),
			}},
		},
		Transactions: []Transaction{
			{Name: "deposit", By: "depositor", Means: "the money is the bridge's", Outputs: []Output{{Connector: "deposit"}}, Open: true},
			{Name: "stake", By: operator, Means: "the operator puts the stake up", Outputs: []Output{{Connector: "stake"}}, Open: true},
			{
				Name: "claim", By: operator, Means: "the operator claims to have paid",
				Outputs: []Output{{Connector: "claim_contest"}, {Connector: "claim_payout"}}, Open: true,
			},
			{
				Name: "uncontested_payout", By: operator, Means: "the operator takes the money, uncontested",
				Inputs:  []Input{{"deposit", "key"}, {"claim_contest", "uncontested"}, {"claim_payout", "key"}},
				Outputs: []Output{{To: operator}}, Outcome: Paid,
			},
			{
				Name: "admin_burn", By: "admin", Means: "the administrators stop the payout", Open: true,
				Inputs: []Input{{"claim_payout", "admin"}}, Outcome: Punished,
			},
			{
				Name: "unstaking_burn", By: tower, Means: "the operator leaves, and is not paid", Open: true,
				Inputs: []Input{{"claim_payout", "unstaking"}}, Outcome: Punished,
			},
			{
				Name: "contest", By: tower, Means: "a watchtower contests the claim; it must be proved",
				Inputs:  []Input{{"claim_contest", "contested"}},
				Outputs: []Output{{Connector: "contest_proof"}, {Connector: "contest_payout"}, {Connector: "contest_slash"}},
			},
			{
				Name: "bridge_proof", By: operator, Means: "the operator proves the claim", Open: true,
				Inputs: []Input{{"contest_proof", "key"}},
			},
			{
				Name: "bridge_proof_timeout", By: tower, Means: "the operator proved nothing; the payout is over",
				Inputs:  []Input{{"contest_proof", "timeout"}, {"contest_payout", "key"}},
				Outputs: []Output{{To: tower}}, Outcome: Punished,
			},
			{
				Name: "contested_payout", By: operator, Means: "the operator takes the money, not refuted",
				Inputs:  []Input{{"deposit", "key"}, {"claim_payout", "key"}, {"contest_payout", "timeout"}, {"contest_slash", "key"}},
				Outputs: []Output{{To: operator}}, Outcome: Paid,
			},
			{
				Name: "slash", By: tower, Means: "the watchtowers take the stake",
				Inputs:  []Input{{"contest_slash", "timeout"}, {"stake", "key"}},
				Outputs: []Output{{To: "header"}, {To: tower}}, Open: true, Outcome: Punished,
			},
		},
		Claims: []Claim{{Name: "proof", Commits: []string{"bridge_proof"}}},
	}
	var answers []Output
	for i := range watchtowers {
		answer, outcome := fmt.Sprintf("contest_counterproof_%d", i), fmt.Sprintf("counterproof_%d", i)
		g.Connectors = append(g.Connectors,
			Connector{Name: answer, Leaves: []Leaf{leaf("script", tower, "a watchtower's counterproof")}},
			Connector{Name: outcome, Leaves: []Leaf{
				{Name: "key", By: operator, Key: true, Means: "the counterproof gave the operator the watchtower's secret: it was false"},
				locked("timeout", "nobody refuted the counterproof in time", func(l *GarbledLocks) uint32 { return l.Nack }),
			}})
		answers = append(answers, Output{Connector: answer})
		g.Transactions = append(g.Transactions,
			Transaction{
				Name: outcome, By: tower, Means: "a watchtower shows that the proof is false",
				Inputs: []Input{{answer, "script"}}, Outputs: []Output{{Connector: outcome}}, Open: true,
			},
			Transaction{
				Name: fmt.Sprintf("counterproof_nack_%d", i), By: operator, Means: "the operator shows that the counterproof is false", Open: true,
				Inputs: []Input{{outcome, "key"}},
			},
			Transaction{
				Name: fmt.Sprintf("counterproof_ack_%d", i), By: tower, Means: "the counterproof stands; the payout is over",
				Inputs:  []Input{{outcome, "timeout"}, {"contest_payout", "key"}},
				Outputs: []Output{{To: tower}}, Outcome: Punished,
			})
		g.Claims[0].Answers = append(g.Claims[0].Answers, outcome)
	}
	at := slices.IndexFunc(g.Transactions, func(t Transaction) bool { return t.Name == "contest" })
	g.Transactions[at].Outputs = append(g.Transactions[at].Outputs, answers...)
	return g, g.check()
}

// Builtin returns the graph that is built in under a name, or an error that names them.
func Builtin(name string, watchtowers int) (*Graph, error) {
	switch name {
	case "bitvm2":
		return BitVM2(), nil
	case "garbled":
		return GarbledCircuit(watchtowers, DefaultGarbledLocks.Main, DefaultGarbledLocks.Test)
	}
	return nil, fmt.Errorf("watch: there is no graph %q; bitvm2 and garbled are built in", name)
}
