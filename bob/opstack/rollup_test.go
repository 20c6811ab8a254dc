package opstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// bobConfig is what BOB's op-node answers of its chain, shortened.
const bobConfig = `{"genesis":{"l1":{"hash":"0x0000000000000000000000000000000000000000000000000000000000000001","number":1},
"l2":{"hash":"0x0000000000000000000000000000000000000000000000000000000000000002","number":0},"l2_time":1712861987},
"block_time":2,"max_sequencer_drift":600,"seq_window_size":3600,"channel_timeout":300,"l1_chain_id":1,"l2_chain_id":60808,
"regolith_time":0,"canyon_time":0,"delta_time":0,"ecotone_time":0,"fjord_time":1720627201,"granite_time":1726070401,
"holocene_time":1736445601,"isthmus_time":1746806401,"chain_op_config":{"eip1559Elasticity":6}`

func TestRollupConfig(t *testing.T) {
	c, err := ParseRollupConfig([]byte(bobConfig + `,"jovian_time":1773325801,"interop_time":null,"lagoon_time":1800000000}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.L2ChainID != 60808 || c.L1ChainID != 1 || c.BlockTime != 2 || c.SeqWindowSize != 3600 || c.GenesisTime != 1712861987 || c.Genesis.Hash[31] != 2 {
		t.Errorf("%+v", c)
	}
	if len(c.Unknown) != 1 || c.Unknown["lagoon"] != 1800000000 {
		t.Errorf("unknown forks: %v", c.Unknown)
	}
	for time, want := range map[uint64]Fork{
		0: Ecotone, 1720627200: Ecotone, 1720627201: Fjord, 1746806400: Holocene, 1746806401: Isthmus,
		1773325800: Isthmus, 1773325801: Jovian, 1 << 62: Jovian,
	} {
		if got := c.Forks.At(time); got != want {
			t.Errorf("the fork at %d is %v, want %v", time, got, want)
		}
	}
	var many strings.Builder
	for i := range maxUnknownForks + 1 {
		fmt.Fprintf(&many, `,"f%d_time":1`, i)
	}
	for name, tail := range map[string]string{
		"a fork before the one before it": `,"jovian_time":1746806400}`,
		"a fork without the one before":   `,"karst_time":1800000000}`,
		"a time that is none":             `,"jovian_time":"soon"}`,
		"no chain":                        `,"l2_chain_id":0}`,
		"no block time":                   `,"block_time":0}`,
		"too many unknown forks":          many.String() + "}",
	} {
		if c, err := ParseRollupConfig([]byte(bobConfig + tail)); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if c, err := ParseRollupConfig([]byte("null")); err == nil {
		t.Errorf("null is %+v", c)
	}
}

func TestSyncStatus(t *testing.T) {
	// An older node leaves out what a newer one adds, and the reverse.
	s, err := ParseSyncStatus([]byte(`{"unsafe_l2":{"hash":"0x0000000000000000000000000000000000000000000000000000000000000005","number":5,
		"timestamp":9,"l1origin":{"hash":"0x0000000000000000000000000000000000000000000000000000000000000007","number":7},"sequenceNumber":3},"added_l3":{}}`))
	if err != nil || s.UnsafeL2.Number != 5 || s.UnsafeL2.L1Origin.Number != 7 || s.UnsafeL2.Sequence != 3 || s.UnsafeL2.Time != 9 || !s.SafeL2.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	for _, wrong := range []string{"null", "[]", `"x"`, `{"unsafe_l2":{"number":-1}}`, `{"unsafe_l2":{"hash":"0x1"}}`, ""} {
		if s, err := ParseSyncStatus([]byte(wrong)); err == nil {
			t.Errorf("%s is %+v", wrong, s)
		}
	}
}

// An output root is the hash of four words; the version is zero.
func TestOutputs(t *testing.T) {
	state, withdrawals, block := common.Hash{1}, common.Hash{2}, common.Hash{3}
	want := crypto.Keccak256Hash(append(append(append(make([]byte, 32), state[:]...), withdrawals[:]...), block[:]...))
	if got := OutputRoot(state, withdrawals, block); got != want {
		t.Errorf("output root %v, want %v", got, want)
	}
	answer := func(version common.Hash, root common.Hash, number uint64) []byte {
		data, err := json.Marshal(map[string]any{
			"version": version, "outputRoot": root, "stateRoot": state, "withdrawalStorageRoot": withdrawals,
			"blockRef": map[string]any{"hash": block, "number": number}, "syncStatus": map[string]any{},
		})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	o, err := ParseOutput(answer(common.Hash{}, want, 9))
	if err != nil || o.Root != want || o.Block != (ID{block, 9}) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := ParseOutput(answer(common.Hash{}, common.Hash{9}, 9)); !errors.Is(err, ErrRoot) {
		t.Errorf("a wrong root: %v", err)
	}
	if _, err := ParseOutput(answer(common.Hash{1}, want, 9)); err == nil {
		t.Error("version 1 is taken")
	}
	if _, err := ParseOutput([]byte(`{"version":"0x` + strings.Repeat("0", 64) + `"}`)); err == nil {
		t.Error("an output without parts is taken")
	}

	same := NodeOutput{"a", *o}
	state2, branch, later := same, same, same
	state2.Node, state2.Output.State, state2.Output.Root = "b", common.Hash{7}, OutputRoot(common.Hash{7}, withdrawals, block)
	branch.Node, branch.Output.Block.Hash = "c", common.Hash{8}
	later.Output.Block.Number++
	if err := CompareOutputs([]NodeOutput{same, same}); err != nil {
		t.Error(err)
	}
	if d, ok := errors.AsType[*Disagreement](CompareOutputs([]NodeOutput{same, state2})); !ok || !d.SameBlock || !strings.Contains(d.Error(), "b has") {
		t.Errorf("another state: %v", d)
	}
	if d, ok := errors.AsType[*Disagreement](CompareOutputs([]NodeOutput{same, same, branch})); !ok || d.SameBlock || d.B.Node != "c" {
		t.Errorf("another branch: %v", d)
	}
	for _, wrong := range [][]NodeOutput{{same, later}, {same}} {
		err := CompareOutputs(wrong)
		if _, ok := errors.AsType[*Disagreement](err); err == nil || ok {
			t.Errorf("%d outputs: %v", len(wrong), err)
		}
	}
}

// answers is a Caller with fixed answers.
type answers map[string]any

func (a answers) Call(_ context.Context, method string, _ ...any) (json.RawMessage, error) {
	v, ok := a[method]
	if !ok {
		return nil, fmt.Errorf("%s is not there", method)
	}
	if err, ok := v.(error); ok {
		return nil, err
	}
	return json.Marshal(v)
}

// Before Isthmus the withdrawals' root is in the state, since then in the header.
func TestOutputOf(t *testing.T) {
	root := common.Hash{0xaa}
	empty := types.EmptyWithdrawalsHash
	header := &types.Header{Number: hexutil.MustDecodeBig("0x7"), Difficulty: hexutil.MustDecodeBig("0x0"), Time: 100, Root: common.Hash{1}, WithdrawalsHash: &empty}
	at := uint64(100)
	isthmus := Schedule{Isthmus: &at}
	node := answers{"eth_getBlockByNumber": header, "eth_getProof": map[string]any{"storageHash": root}}
	c := Client{node}
	for _, tt := range []struct {
		schedule    Schedule
		withdrawals common.Hash
	}{{Schedule{}, root}, {isthmus, empty}} {
		o, err := c.OutputOf(t.Context(), &tt.schedule, 7)
		if err != nil || o.Withdrawals != tt.withdrawals || o.Root != OutputRoot(common.Hash{1}, tt.withdrawals, header.Hash()) {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if _, err := c.OutputOf(t.Context(), &isthmus, 8); !errors.Is(err, ErrOther) {
		t.Errorf("another block: %v", err)
	}
	node["eth_getProof"] = map[string]any{}
	if _, err := c.OutputOf(t.Context(), &Schedule{}, 7); err == nil {
		t.Error("a proof without a root is taken")
	}
	header.WithdrawalsHash = nil
	if _, err := c.OutputOf(t.Context(), &isthmus, 7); err == nil {
		t.Error("a header of Isthmus without a root is taken")
	}
	node["eth_getBlockByNumber"] = nil
	if _, err := c.OutputOf(t.Context(), &isthmus, 7); !errors.Is(err, ErrNull) {
		t.Errorf("no block: %v", err)
	}
}

func TestCheckForks(t *testing.T) {
	config := func(tail string) *RollupConfig {
		c, err := ParseRollupConfig([]byte(bobConfig + tail + "}"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const jovian, karst = `,"jovian_time":1773325801`, `,"jovian_time":1773325801,"karst_time":1800000000`
	exec := func(current uint64, ahead ...uint64) *ForkConfig {
		c := &ForkConfig{ChainID: 60808, Current: current}
		if len(ahead) > 0 {
			c.Next, c.Last = &ahead[0], &ahead[len(ahead)-1]
		}
		return c
	}
	const node, reth = "v1.19.1-abcdef", "reth/v2.3.3-abc/x86_64-unknown-linux-gnu"
	for _, tt := range []struct {
		name          string
		s             Setup
		jovian, karst Verdict
		why           string // a part of a reason
	}{
		{"the registry's configuration", Setup{Rollup: config(""), Now: 1760000000, NodeVersion: node, ExecutionVersion: reth}, NotReady, Unplanned, "OP_NODE_OVERRIDE_JOVIAN=1773325801"},
		{"another time", Setup{Rollup: config(`,"jovian_time":1773325802`), Now: 1760000000, NodeVersion: node, ExecutionVersion: reth}, NotReady, Unplanned, "plans it at 1773325802"},
		{"both plan it", Setup{Rollup: config(jovian), Execution: exec(1746806401, 1773325801), Now: 1760000000, NodeVersion: node}, Ready, Unplanned, ""},
		{"the client does not plan it", Setup{Rollup: config(jovian), Execution: exec(1746806401), Now: 1760000000, NodeVersion: node}, NotReady, Unplanned, "plans nothing at 1773325801"},
		{"the client plans others", Setup{Rollup: config(jovian), Execution: exec(1746806401, 1773325800, 1773325900), Now: 1760000000, NodeVersion: node}, Unproven, Unplanned, "does not say whether"},
		{"the client stayed back", Setup{Rollup: config(jovian), Execution: exec(1746806401), Now: 1780000000, NodeVersion: node}, NotReady, Unplanned, "rules are from 1746806401"},
		{"the client has it", Setup{Rollup: config(jovian), Execution: exec(1773325801), Now: 1780000000, NodeVersion: node}, Ready, Unplanned, ""},
		{"the client is on another chain", Setup{Rollup: config(jovian), Execution: &ForkConfig{ChainID: 1, Current: 1773325801}, Now: 1780000000, NodeVersion: node}, NotReady, Unplanned, "chain 1, not 60808"},
		{"the node is on another chain", Setup{Rollup: &RollupConfig{L2ChainID: 10}, Now: 1780000000, NodeVersion: node, ExecutionVersion: reth}, NotReady, NotReady, "chain 10, not 60808"},
		{"Karst is planned, op-geth", Setup{Rollup: config(karst), Now: 1780000000, NodeVersion: node, ExecutionVersion: "Geth/v1.101702.3-stable/linux"}, Unproven, NotReady, "support ended"},
		{"Karst is planned, releases that know it", Setup{Rollup: config(karst), Now: 1780000000, NodeVersion: node, ExecutionVersion: reth}, Ready, Ready, ""},
		{"Karst is planned, an older client", Setup{Rollup: config(karst), Now: 1780000000, NodeVersion: node, ExecutionVersion: "op-reth/v2.1.0-rc.1"}, Ready, Unproven, "op-reth v2.1.0 is older than v2.3.3"},
		{"Karst is planned, an older node", Setup{Rollup: config(karst), Now: 1780000000, NodeVersion: "v1.16.12", ExecutionVersion: reth}, Ready, Unproven, "op-node v1.16.12 is older"},
		{"nothing is known", Setup{Now: 1780000000}, Unproven, Unproven, "not known"},
	} {
		tt.s.ChainID = 60808
		got := CheckForks(tt.s)
		if len(got) != 2 || got[0].Fork != "jovian" || got[1].Fork != "karst" {
			t.Fatalf("%s: %+v", tt.name, got)
		}
		if got[0].Verdict != tt.jovian || got[1].Verdict != tt.karst {
			t.Errorf("%s: %v and %v, want %v and %v: %+v", tt.name, got[0].Verdict, got[1].Verdict, tt.jovian, tt.karst, got)
		}
		if why := strings.Join(append(got[0].Why, got[1].Why...), "; "); !strings.Contains(why, tt.why) {
			t.Errorf("%s: %q does not say %q", tt.name, why, tt.why)
		}
	}
	unknown := CheckForks(Setup{ChainID: 60808, Rollup: config(jovian + `,"lagoon_time":1900000000`)})
	if !slices.ContainsFunc(unknown, func(r Readiness) bool {
		return r.Fork == "lagoon" && r.Verdict == Unproven && r.Time == 1900000000
	}) {
		t.Errorf("a fork that only the node knows: %+v", unknown)
	}
}

func TestForkConfig(t *testing.T) {
	c, err := ParseForkConfig([]byte(`{"current":{"activationTime":5,"chainId":"0xed88","forkId":"0x0929e24e"},"next":null,"last":{"activationTime":9}}`))
	if err != nil || c.ChainID != 60808 || c.Current != 5 || c.Next != nil || *c.Last != 9 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, wrong := range []string{"{}", "null", `{"current":{}}`, `{"current":{"activationTime":"x"}}`} {
		if c, err := ParseForkConfig([]byte(wrong)); err == nil {
			t.Errorf("%s is %+v", wrong, c)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]version{
		"v1.16.12": {1, 16, 12}, "v2.1.0-rc.1": {2, 1, 0}, "op-node/1.19.1": {1, 19, 1}, "v1.2.3+x/linux": {1, 2, 3},
	} {
		if got, ok := parseVersion(text); !ok || got != want {
			t.Errorf("%q is %v, %v", text, got, ok)
		}
	}
	for _, wrong := range []string{"", "v1", "v1.2", "v1.2.x", "v1.2.3.4", "v1.2.99999999999", "nightly"} {
		if v, ok := parseVersion(wrong); ok {
			t.Errorf("%q is %v", wrong, v)
		}
	}
}

func FuzzRollup(f *testing.F) {
	for _, s := range []string{bobConfig + "}", `{"unsafe_l2":{"number":5}}`, `{"current":{"activationTime":5}}`, `{"version":"0x"}`, "null", "reth/v1.2.3"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseRollupConfig(data); err == nil {
			CheckForks(Setup{ChainID: c.L2ChainID, Rollup: c})
		}
		if s, err := ParseSyncStatus(data); err == nil {
			s.Heads()
		}
		_, _ = ParseForkConfig(data)
		if o, err := ParseOutput(data); err == nil && OutputRoot(o.State, o.Withdrawals, o.Block.Hash) != o.Root {
			t.Errorf("%s is an output with a wrong root", data)
		}
		parseVersion(string(data))
	})
}
