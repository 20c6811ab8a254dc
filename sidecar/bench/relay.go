package bench

import (
	"context"
	"fmt"
	"io"
)

// RelayOptions say how Relay measures.
type RelayOptions struct {
	// Rounds is how often each figure is measured; its median is told.
	Rounds int
	// Quick makes all of it short, to show that everything works.
	Quick bool
}

// A RelayReport is what "outrider bench relay" prints.
type RelayReport struct {
	Quick bool `json:"quick"`
	// AllocationsPerHeader is of headers/verify.
	AllocationsPerHeader float64 `json:"allocations_per_header"`
	// Catchups are what relay/catchup2016 and relay/gas-per-header are the worst of.
	Catchups []Catchup `json:"catchups"`
	// Notes say what the rows are of.
	Notes []string `json:"notes"`
	Report
}

// relaySize is how much of everything is measured.
type relaySize struct {
	plans, syncs int   // in a round
	catchups     []int // where in its period each begins
}

func newRelaySize(quick bool) relaySize {
	if quick {
		return relaySize{plans: 20, syncs: 20, catchups: []int{1008}}
	}
	return relaySize{plans: 250, syncs: 250, catchups: []int{1, 504, 1008, 1512, 2015}}
}

// Relay measures how headers are verified, and how a relay is told of them: the time from
// a new block to its submission, and what catching up with a period takes on a chain of
// bob/devchain. The contract is the project's own, executed in go-ethereum's EVM; nodes
// answer JSON-RPC on the loopback, in this process.
func Relay(ctx context.Context, o RelayOptions) (*RelayReport, error) {
	if o.Rounds < 1 {
		return nil, fmt.Errorf("%d rounds are none", o.Rounds)
	}
	size := newRelaySize(o.Quick)
	b, err := newRelayBench(size)
	if err != nil {
		return nil, err
	}
	rep := &RelayReport{Quick: o.Quick, Report: Report{Machine: ThisMachine()}}
	verify := &verifyFigure{relayBench: b}
	plan := &planFigure{relayBench: b, count: size.plans}
	sync := &syncFigure{relayBench: b, count: size.syncs}
	for range o.Rounds {
		for _, measure := range []func(context.Context) error{verify.measure, plan.measure, sync.measure} {
			if err := measure(ctx); err != nil {
				return nil, err
			}
		}
	}
	catchups := &catchupFigure{relayBench: b}
	for _, offset := range size.catchups {
		if err := catchups.measure(ctx, offset); err != nil {
			return nil, err
		}
	}
	rep.AllocationsPerHeader, rep.Catchups = verify.allocations, catchups.all
	for _, rows := range [][]Row{verify.rows(), plan.rows(), catchups.rows(), sync.rows()} {
		rep.Rows = append(rep.Rows, rows...)
	}
	rep.Notes = relayNotes(rep, b, size)
	return rep, nil
}

// relayNotes returns what the rows are of.
func relayNotes(rep *RelayReport, b *relayBench, size relaySize) []string {
	worst := worstCatchup(rep.Catchups)
	notes := []string{
		fmt.Sprintf("headers/verify: all of the main network's rules on %d generated headers with a target that one in 256 hashes meets; one thread, the time that it had a processor; %g allocations for a header. The anchor only hashes them, one by one", len(b.chain), rep.AllocationsPerHeader),
		"relay/plan: a step of the submitter, from a new block's header until a node on the loopback has the transaction that adds and marks it by a multicall: the header verified and put into the tree, the account's nonce and the relay's state read from the node and the calls done on a model of it, tried by eth_call and eth_estimateGas, signed, in the journal on disk, and sent. The anchor is one question to the same node, in turns. What the original design had for this is 100 to 500 ms, and 10 to 50 transactions a second",
		"relay/plans: the state read and a block planned, after one block of the relay's chain, by as many planners at once as there are processors; by the clock, beside the node in the same process. cpu is for a second of processor time, that of the node included: what a processor that nobody else uses makes",
		"relay/cpu and relay/rss: the processor time of all of the process for 1,000 steps of relay/plan, that of the node and the chain in it included, and the most memory that the kernel counted for it meanwhile, with all that the benchmark has",
		fmt.Sprintf("relay/catchup2016: steps of the submitter until it has told of 2,016 headers over a retarget, by the clock of a chain that is simulated: a block of two seconds and 30 million gas after each step, and one more for each two seconds that a step took; all steps took %.3f s. The worst of %d catch-ups that begin %v blocks into a period: %d transactions in %d blocks. BOB's relayer takes 2.1 hours at least, by its limit of 5 headers in 15 s and two receipts",
			worst.PlanSeconds, len(rep.Catchups), size.catchups, worst.Transactions, worst.Blocks),
		"relay/gas-per-header: of its receipts, marks and transactions included; executed, and not estimated",
		"relay/state-sync: a round of those who watch: unsafe, safe and finalized heads of two nodes, and the relay's state in the newest block, beside Bitcoin's headers, which are in memory; with a new block each time, and another header or another best header in two of five. cpu is the processor time of all of the process, that of the nodes included: what it takes on a processor that nobody else uses, at most. What the original design had for this is 1 to 5 s",
		"chain-bound stages cannot be beaten and are in no row but relay/catchup2016: a block of Bitcoin comes about every ten minutes, one of BOB every two seconds",
	}
	if rep.Quick {
		notes = append(notes, "quick: everything is short, and the figures mean little")
	}
	return notes
}

// WriteTable writes the report for people.
func (r *RelayReport) WriteTable(w io.Writer) error {
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	fmt.Fprintln(w)
	return r.Report.WriteTable(w)
}
