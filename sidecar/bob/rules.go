package bob

import (
	"fmt"
	"strings"
)

// A rule is a setting that a program should have.
type rule struct {
	program string
	// flag and variable are its names, either of which may be given.
	flag, variable string
	// value is what to set, by chain where that matters.
	value func(chain uint64) string
	// right reports whether a value that is set is good; nil is any.
	right func(value, want string) bool
	// seen reports whether the probes show that the program has what the setting is for,
	// and what they measured; "" for what cannot be seen from outside.
	seen func(p *probes) (good bool, measured string)
	// recorded is the measurement where there is none of the operator's node; "" proposes
	// nothing then.
	recorded string
	why      string
}

func is(text string) func(uint64) string { return func(uint64) string { return text } }

func equal(value, want string) bool { return value == want }

// jovianTimes are when Jovian began, by chain. op-node's own configuration of BOB lacks it.
var jovianTimes = map[uint64]string{60808: "1773325801", 808813: "1772548201"}

func jovian(chain uint64) string { return jovianTimes[chain] }

// rules are what is proposed. Each has what measures it: a probe of the operator's node, a
// figure that was recorded, or both; without either, nothing is proposed. Recorded figures are
// those of BOB's guide for operators as of 2026-08 where they name no other origin.
var rules = []rule{
	{
		program: "op-node", flag: "override.jovian", variable: "OP_NODE_OVERRIDE_JOVIAN", value: jovian, right: equal,
		seen: func(p *probes) (bool, string) {
			return p.jovian != "" && p.jovian != "not planned", measured(p.jovian, p.opNode+" plans Jovian: %s (optimism_rollupConfig)")
		},
		recorded: "the superchain registry's bob.toml ends at Isthmus, 1746806401; Jovian began at 1773325801",
		why:      "op-node's built-in configuration of BOB has no Jovian: without it the node leaves the chain there, and the operator's fee is computed by Isthmus's formula",
	},
	{
		program: "op-node", flag: "safedb.path", variable: "OP_NODE_SAFEDB_PATH", value: is("/data/safedb"),
		seen: func(p *probes) (bool, string) {
			return p.safeDB == "yes", measured(p.safeDB, "optimism_safeHeadAtL1Block answers: %s")
		},
		why: "without it nobody can tell in which Ethereum block an L2 block became safe",
	},
	{
		program: "op-node", flag: "syncmode", variable: "OP_NODE_SYNCMODE", value: is("execution-layer"), right: equal,
		seen: func(p *probes) (bool, string) {
			if p.syncing != "yes" {
				return false, ""
			}
			return false, p.execution + " is syncing (eth_syncing)"
		},
		why: "the execution client syncs by P2P, in hours; there is no snapshot of BOB for op-reth",
	},
	{
		program: "op-node", flag: "syncmode.req-resp", variable: "OP_NODE_SYNCMODE_REQ_RESP", value: is("true"), right: func(v, _ string) bool { return v == "true" || v == "" },
		seen: func(p *probes) (bool, string) {
			if p.safeLag == 0 {
				return false, ""
			}
			return false, fmt.Sprintf("the safe head is %d s behind the unsafe one: so old would the unsafe head be without P2P", p.safeLag)
		},
		recorded: "a block is safe after 1 to 60 minutes, by BOB's documentation",
		why:      "blocks that gossip missed are asked for; without it the unsafe head waits for the next batch, about an hour",
	},
	{
		program: "op-node", flag: "l2.enginekind", variable: "OP_NODE_L2_ENGINE_KIND", value: is("reth"), right: equal,
		seen: func(p *probes) (bool, string) {
			// What op-node believes of its engine cannot be seen; that it is reth can.
			if p.client == "" {
				return false, ""
			}
			return p.isGeth(), fmt.Sprintf("%s is %s (web3_clientVersion)", p.execution, p.client)
		},
		why: "the default is geth, and with that, heads of a reth that syncs are taken for where it is (optimism#20990, optimism#18124)",
	},
	{
		program: "op-reth", flag: "chain", value: is("/data/genesis.json"), right: func(v, _ string) bool { return strings.HasSuffix(v, ".json") },
		recorded: "genesis.json of api.conduit.xyz has a jovianTime of 1773325801, op-reth v2.1.0's built-in \"bob\" none",
		why:      "a node with the built-in chain leaves BOB at Jovian",
	},
	{
		program: "op-reth", flag: "full", value: is(""),
		recorded: "8 GB of memory and 100 GB of NVMe are enough for a full node",
		why:      "an archive grows without bound, and neither relay, heads nor fees need old states",
	},
	{
		program: "op-reth", flag: "rollup.disable-tx-pool-gossip", value: is(""),
		seen: func(p *probes) (bool, string) {
			return p.pooled < manyPooled, measured(p.pool, p.execution+" has %s (txpool_status); a replica without gossip has next to none")
		},
		why: "replicas have no use for others' transactions, and gossip takes bandwidth",
	},
	{
		program: "op-reth", flag: "http.api", value: is("web3,debug,eth,txpool,net"),
		right: func(v, want string) bool {
			for api := range strings.SplitSeq(want, ",") {
				if !strings.Contains(","+v+",", ","+api+",") {
					return false
				}
			}
			return true
		},
		seen: func(p *probes) (bool, string) {
			return p.txpool == "yes", measured(p.txpool, "txpool_status answers: %s")
		},
		why: "receipts, pools and traces are asked for by them",
	},
	{
		program: "op-geth", flag: "override.jovian", value: jovian, right: equal,
		seen: func(p *probes) (bool, string) {
			if !p.isGeth() {
				return false, ""
			}
			return false, fmt.Sprintf("%s is %s (web3_clientVersion), and v1.101702.3 has a built-in BOB that ends at Isthmus", p.execution, p.client)
		},
		recorded: "op-geth v1.101702.3 knows Jovian, and its built-in BOB ends at Isthmus",
		why:      "as long as it still runs: its built-in chain has no Jovian; plan the move to op-reth first",
	},
}

// manyPooled are more transactions than a replica's pool has without gossip.
const manyPooled = 100

// measured says what a probe found; "" if it found nothing.
func measured(found, format string) string {
	if found == "" {
		return ""
	}
	return fmt.Sprintf(format, found)
}

// runs reports whether the operator runs a program: there is a file of its settings, or the
// probes have seen it.
func (r *rule) runs(given map[string]settings, p *probes) bool {
	if _, ok := given[r.program]; ok {
		return true
	}
	switch r.program {
	case "op-node":
		return p.opNode != ""
	case "op-geth":
		return p.isGeth()
	}
	return p.execution != "" && p.client != "" && !p.isGeth()
}

// apply adds the rule's proposal, if the program runs, something was measured, and it is not
// seen or said to have it.
func (r *rule) apply(d *Diagnosis, given map[string]settings, p *probes, chain uint64) {
	want := r.value(chain)
	if want == "" && r.right != nil || !r.runs(given, p) {
		return // it is about another chain, or a program that is not there
	}
	proposal := Proposal{Program: r.program, Setting: "--" + r.flag, Value: want, Why: r.why, Measured: r.recorded}
	if r.variable != "" {
		proposal.Setting = r.variable
	}
	if r.seen != nil {
		good, seen := r.seen(p)
		if good && seen != "" {
			return
		}
		if seen != "" {
			proposal.Measured = seen
		}
	}
	if proposal.Measured == "" {
		return
	}
	if file, ok := given[r.program]; ok {
		value, set := file[r.flag]
		if !set && r.variable != "" {
			value, set = file[r.variable]
		}
		switch {
		case set && (r.right == nil || r.right(value, want)):
			return
		case set:
			proposal.Have = value
		}
	}
	d.Proposals = append(d.Proposals, proposal)
}
