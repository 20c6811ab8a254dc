package opstack

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common/hexutil"
)

// A ForkConfig is what an execution client says of its forks (eth_config, EIP-7910).
type ForkConfig struct {
	ChainID uint64
	// Current, Next and Last are when its present rules began, when its next ones
	// begin, and when the last that it knows begin; nil when there is none ahead.
	Current    uint64
	Next, Last *uint64
}

// ParseForkConfig decodes an answer to eth_config.
func ParseForkConfig(data []byte) (*ForkConfig, error) {
	type rules struct {
		ActivationTime *uint64        `json:"activationTime"`
		ChainID        hexutil.Uint64 `json:"chainId"`
	}
	var in struct {
		Current *rules `json:"current"`
		Next    *rules `json:"next"`
		Last    *rules `json:"last"`
	}
	if err := decodeObject(data, &in); err != nil {
		return nil, fmt.Errorf("eth_config: %w", err)
	}
	if in.Current == nil || in.Current.ActivationTime == nil {
		return nil, fmt.Errorf("eth_config: there are no current rules")
	}
	c := &ForkConfig{ChainID: uint64(in.Current.ChainID), Current: *in.Current.ActivationTime}
	if in.Next != nil {
		c.Next = in.Next.ActivationTime
	}
	if in.Last != nil {
		c.Last = in.Last.ActivationTime
	}
	return c, nil
}

// A Verdict says whether a node will follow the chain through a fork.
type Verdict uint8

// These are the verdicts, from good to bad.
const (
	// Ready says that what the node says of itself proves it.
	Ready Verdict = iota
	// Unplanned says that nobody plans the fork for this chain.
	Unplanned
	// Unproven says that nothing speaks against it, and that it is not proven.
	Unproven
	// NotReady says that the node leaves the chain at the fork, or has left it.
	NotReady
)

// String returns the verdict in words.
func (v Verdict) String() string {
	return [...]string{"ready", "unplanned", "unproven", "not ready"}[v]
}

// A Readiness is a verdict about one fork, with its reasons.
type Readiness struct {
	Fork string
	// Time is when the fork begins; 0 if that is not planned.
	Time    uint64
	Verdict Verdict
	Why     []string
}

// A Setup is what is known of an op-node and its execution client. Nil and empty fields
// are what could not be learnt.
type Setup struct {
	// ChainID is the chain that they are meant to follow, Now the time.
	ChainID, Now uint64
	Rollup       *RollupConfig
	Execution    *ForkConfig
	// NodeVersion and ExecutionVersion are the answers to optimism_version and
	// web3_clientVersion.
	NodeVersion, ExecutionVersion string
}

// planned are forks of BOB that its configuration in the superchain registry lacks, and
// that op-node therefore learns from its operator only.
var planned = map[uint64]map[Fork]uint64{
	60808:  {Jovian: 1773325801},
	808813: {Jovian: 1772548201},
}

// releases are the oldest releases that are known to follow a fork: op-node's, and
// op-reth's. (op-geth's support ended on 2026-05-31, before Karst.)
var releases = map[Fork]struct{ node, reth version }{
	Jovian: {version{1, 16, 12}, version{2, 1, 0}},
	Karst:  {version{1, 19, 1}, version{2, 3, 3}},
}

// CheckForks says of Jovian, Karst and every fork that only the node knows whether the
// setup follows the chain through it.
func CheckForks(s Setup) []Readiness {
	all := []Readiness{s.check(Jovian), s.check(Karst)}
	if s.Rollup == nil {
		return all
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rollup.Unknown)) {
		all = append(all, Readiness{
			Fork: name, Time: s.Rollup.Unknown[name], Verdict: Unproven,
			Why: []string{"op-node plans a fork that is not known here: fees and formats after it may be others"},
		})
	}
	return all
}

func (s Setup) check(f Fork) Readiness {
	r := Readiness{Fork: f.String()}
	find := func(v Verdict, why string, args ...any) {
		r.Verdict = max(r.Verdict, v)
		r.Why = append(r.Why, fmt.Sprintf(why, args...))
	}
	known, must := planned[s.ChainID][f]
	r.Time = known
	switch {
	case s.Rollup == nil:
		find(Unproven, "op-node's configuration is not known")
	case s.Rollup.L2ChainID != s.ChainID:
		find(NotReady, "op-node follows chain %d, not %d", s.Rollup.L2ChainID, s.ChainID)
	case s.Rollup.Forks[f] == nil && must:
		find(NotReady, "op-node does not plan it, and it is at %d: set OP_NODE_OVERRIDE_%s=%d", known, strings.ToUpper(r.Fork), known)
	case s.Rollup.Forks[f] == nil:
		find(Unplanned, "op-node does not plan it")
	case must && *s.Rollup.Forks[f] != known:
		find(NotReady, "op-node plans it at %d, and it is at %d", *s.Rollup.Forks[f], known)
	default:
		r.Time = *s.Rollup.Forks[f]
	}
	if r.Time == 0 {
		if r.Verdict < Unproven {
			return r
		}
		find(Unproven, "when it begins is not known")
	}
	if v, ok := parseVersion(s.NodeVersion); !ok {
		find(Unproven, "op-node's version %q is not known", s.NodeVersion)
	} else if least := releases[f].node; v.before(least) {
		find(Unproven, "op-node %v is older than %v, the oldest that is known to follow it", v, least)
	}
	s.checkExecution(f, r.Time, find)
	return r
}

// checkExecution judges the execution client, by its forks if it tells them, else by its
// version.
func (s Setup) checkExecution(f Fork, at uint64, find func(v Verdict, why string, args ...any)) {
	c := s.Execution
	switch {
	case c == nil || at == 0:
		s.checkExecutionVersion(f, find)
	case c.ChainID != s.ChainID:
		find(NotReady, "the execution client follows chain %d, not %d", c.ChainID, s.ChainID)
	case at <= s.Now && c.Current < at:
		find(NotReady, "the execution client's rules are from %d, and it began at %d", c.Current, at)
	case at <= s.Now:
	case c.Next != nil && *c.Next == at || c.Last != nil && *c.Last == at:
	case c.Next == nil || c.Last == nil || *c.Next > at || *c.Last < at:
		find(NotReady, "the execution client plans nothing at %d", at)
	default:
		find(Unproven, "the execution client plans forks from %d to %d, and does not say whether one is at %d", *c.Next, *c.Last, at)
	}
}

func (s Setup) checkExecutionVersion(f Fork, find func(v Verdict, why string, args ...any)) {
	name, rest, _ := strings.Cut(s.ExecutionVersion, "/")
	v, ok := parseVersion(rest)
	name = strings.ToLower(name)
	switch least := releases[f].reth; {
	case name == "geth" && f >= Karst:
		find(NotReady, "op-geth's support ended before %v", f)
	case (name == "reth" || name == "op-reth") && ok && !v.before(least):
	case (name == "reth" || name == "op-reth") && ok:
		find(Unproven, "op-reth %v is older than %v, the oldest that is known to follow it", v, least)
	default:
		find(Unproven, "whether %q follows it is not known", s.ExecutionVersion)
	}
}

// A version is a release's number. What comes after it, as in v2.1.0-rc.1, is left out.
type version [3]uint64

// String returns the number as releases have it.
func (v version) String() string { return fmt.Sprintf("v%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(other version) bool { return slices.Compare(v[:], other[:]) < 0 }

// parseVersion finds the version that text begins with: v1.16.12-rc.1, op-node/1.16.12.
func parseVersion(text string) (v version, ok bool) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "op-node/"), "v")
	if i := strings.IndexAny(text, "-+/ "); i >= 0 {
		text = text[:i]
	}
	parts := strings.Split(text, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return version{}, false
		}
		v[i] = n
	}
	return v, true
}
