package opstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// A SyncStatus is op-node's answer to optimism_syncStatus. Fields that the node leaves
// out, as older ones do, are zero; fields that are not known are passed over. The node
// reads them one after another: they need not belong together (optimism#11014).
type SyncStatus struct {
	CurrentL1     L1Ref `json:"current_l1"`
	HeadL1        L1Ref `json:"head_l1"`
	SafeL1        L1Ref `json:"safe_l1"`
	FinalizedL1   L1Ref `json:"finalized_l1"`
	UnsafeL2      Ref   `json:"unsafe_l2"`
	SafeL2        Ref   `json:"safe_l2"`
	FinalizedL2   Ref   `json:"finalized_l2"`
	PendingSafeL2 Ref   `json:"pending_safe_l2"`
	CrossUnsafeL2 Ref   `json:"cross_unsafe_l2"`
	LocalSafeL2   Ref   `json:"local_safe_l2"`
}

// Heads returns the status's three heads.
func (s *SyncStatus) Heads() Heads {
	return Heads{Unsafe: s.UnsafeL2, Safe: s.SafeL2, Finalized: s.FinalizedL2}
}

// ParseSyncStatus decodes an answer to optimism_syncStatus.
func ParseSyncStatus(data []byte) (*SyncStatus, error) {
	s := new(SyncStatus)
	if err := decodeObject(data, s); err != nil {
		return nil, fmt.Errorf("sync status: %w", err)
	}
	return s, nil
}

// decodeObject decodes a JSON object; unlike encoding/json it takes null for none.
func decodeObject(data []byte, v any) error {
	if trimmed := strings.TrimLeft(string(data[:min(len(data), 64)]), " \t\r\n"); !strings.HasPrefix(trimmed, "{") {
		return fmt.Errorf("%.40q is no object", data)
	}
	return json.Unmarshal(data, v)
}

// A RollupConfig is the part of op-node's answer to optimism_rollupConfig that says which
// chain it follows and by which rules.
type RollupConfig struct {
	L1ChainID, L2ChainID uint64
	// Genesis is the first block of the L2, and GenesisTime its time.
	Genesis     ID
	GenesisTime uint64
	// BlockTime is seconds between L2 blocks.
	BlockTime     uint64
	SeqWindowSize uint64
	Forks         Schedule
	// Unknown are forks that the node plans and that are not known here, by name, with
	// their times. What is computed for blocks after them may be wrong.
	Unknown map[string]uint64
}

// maxUnknownForks bounds Unknown.
const maxUnknownForks = 64

// ParseRollupConfig decodes an answer to optimism_rollupConfig, or a rollup.json. It
// refuses a configuration without a chain id or a block time, and one whose forks are
// not in order.
func ParseRollupConfig(data []byte) (*RollupConfig, error) {
	var in struct {
		Genesis struct {
			L2     ID     `json:"l2"`
			L2Time uint64 `json:"l2_time"`
		} `json:"genesis"`
		BlockTime     uint64 `json:"block_time"`
		SeqWindowSize uint64 `json:"seq_window_size"`
		L1ChainID     uint64 `json:"l1_chain_id"`
		L2ChainID     uint64 `json:"l2_chain_id"`
	}
	var all map[string]json.RawMessage
	if err := errors.Join(decodeObject(data, &in), decodeObject(data, &all)); err != nil {
		return nil, fmt.Errorf("rollup config: %w", err)
	}
	if in.L2ChainID == 0 || in.BlockTime == 0 {
		return nil, errors.New("rollup config: there is no l2_chain_id or no block_time")
	}
	c := &RollupConfig{
		L1ChainID: in.L1ChainID, L2ChainID: in.L2ChainID, Genesis: in.Genesis.L2, GenesisTime: in.Genesis.L2Time,
		BlockTime: in.BlockTime, SeqWindowSize: in.SeqWindowSize,
	}
	for key, raw := range all {
		name, isFork := strings.CutSuffix(key, "_time")
		if !isFork || key == "block_time" || string(raw) == "null" {
			continue
		}
		var time uint64
		if err := json.Unmarshal(raw, &time); err != nil {
			return nil, fmt.Errorf("rollup config: %.60s is no time: %w", key, err)
		}
		if f := slices.Index(forkNames[:], name); f > 0 {
			c.Forks[f] = &time
			continue
		}
		if c.Unknown == nil {
			c.Unknown = make(map[string]uint64)
		}
		if len(c.Unknown) == maxUnknownForks {
			return nil, fmt.Errorf("rollup config: there are more than %d unknown forks", maxUnknownForks)
		}
		c.Unknown[name] = time
	}
	if err := c.Forks.check(); err != nil {
		return nil, fmt.Errorf("rollup config: %w", err)
	}
	return c, nil
}

// OutputRoot returns the output root of version 0 of a block: what withdrawals are proven
// against (specs, proposals.md). withdrawals is the storage root of the
// L2ToL1MessagePasser, which the header has for withdrawalsRoot since Isthmus.
func OutputRoot(state, withdrawals, block common.Hash) common.Hash {
	var version common.Hash
	return crypto.Keccak256Hash(version[:], state[:], withdrawals[:], block[:])
}

// An Output is a node's commitment to the state after a block.
type Output struct {
	Root        common.Hash
	Block       ID
	State       common.Hash
	Withdrawals common.Hash
}

// ParseOutput decodes an answer to optimism_outputAtBlock. It refuses a version other
// than 0, and fails with ErrRoot if the root is not that of its parts.
func ParseOutput(data []byte) (*Output, error) {
	var in struct {
		Version     common.Hash  `json:"version"`
		OutputRoot  *common.Hash `json:"outputRoot"`
		BlockRef    *ID          `json:"blockRef"`
		Withdrawals *common.Hash `json:"withdrawalStorageRoot"`
		State       *common.Hash `json:"stateRoot"`
	}
	if err := decodeObject(data, &in); err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	switch {
	case in.Version != common.Hash{}:
		return nil, fmt.Errorf("output: version %v is not known", in.Version)
	case in.OutputRoot == nil || in.BlockRef == nil || in.Withdrawals == nil || in.State == nil:
		return nil, errors.New("output: a root, the block or a part is missing")
	}
	o := &Output{Root: *in.OutputRoot, Block: *in.BlockRef, State: *in.State, Withdrawals: *in.Withdrawals}
	if root := OutputRoot(o.State, o.Withdrawals, o.Block.Hash); root != o.Root {
		return nil, fmt.Errorf("output at %v: %w: it says %v, and its parts have %v", o.Block, ErrRoot, o.Root, root)
	}
	return o, nil
}

// A NodeOutput is the output that one node commits to.
type NodeOutput struct {
	Node   string
	Output Output
}

// A Disagreement is two nodes that commit to different states at one height.
type Disagreement struct {
	A, B NodeOutput
	// SameBlock says that the block is the same, so one of them has a wrong state;
	// otherwise they are on different branches, or one was before a reorganisation.
	SameBlock bool
}

// Error names both nodes and what each has, and says whether one has a wrong state.
func (d *Disagreement) Error() string {
	if d.SameBlock {
		return fmt.Sprintf("output roots at %v: %s has %v, %s has %v: one of them has a wrong state",
			d.A.Output.Block, d.A.Node, d.A.Output.Root, d.B.Node, d.B.Output.Root)
	}
	return fmt.Sprintf("blocks at height %d: %s has %v, %s has %v",
		d.A.Output.Block.Number, d.A.Node, d.A.Output.Block.Hash, d.B.Node, d.B.Output.Block.Hash)
}

// CompareOutputs compares what nodes commit to at one height, each with the first. It
// returns an error that joins a *Disagreement for each that differs, nil if all agree;
// and an error of another kind if they are not of one height or fewer than two.
func CompareOutputs(outputs []NodeOutput) error {
	if len(outputs) < 2 {
		return fmt.Errorf("%d outputs cannot be compared", len(outputs))
	}
	first := outputs[0]
	var differ []error
	for _, o := range outputs[1:] {
		switch {
		case o.Output.Block.Number != first.Output.Block.Number:
			return fmt.Errorf("outputs at heights %d and %d cannot be compared", first.Output.Block.Number, o.Output.Block.Number)
		case o.Output.Block.Hash != first.Output.Block.Hash:
			differ = append(differ, &Disagreement{A: first, B: o})
		case o.Output.Root != first.Output.Root:
			differ = append(differ, &Disagreement{A: first, B: o, SameBlock: true})
		}
	}
	return errors.Join(differ...)
}
