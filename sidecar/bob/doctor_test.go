package bob

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
)

// diagnose returns the diagnosis of a world, and it for people.
func (w *world) diagnose(files Files, change func(c *Config)) (*Diagnosis, string) {
	w.t.Helper()
	d, err := w.watch(change).Doctor(w.t.Context(), files)
	if err != nil {
		w.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteDiagnosis(&b, d); err != nil {
		w.t.Fatal(err)
	}
	return d, b.String()
}

func TestDoctor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *world)
		config func(c *Config)
		want   []string // findings, each "level: about: what"
		do     string
	}{
		{"nobody answers", func(w *world) { w.down = true }, nil, []string{
			"failure: exec: it does not answer: ", "failure: node: it does not answer: ", "failure: relay: it is not known: ", "note: output roots: not compared",
		}, "see that it runs"},
		{"another chain", func(w *world) { w.answers["eth_chainId"] = "0x1" }, nil, []string{"failure: exec: it is of another chain: "}, "OUTRIDER_BOB_CHAIN_ID"},
		{"op-geth", func(w *world) { w.answers["web3_clientVersion"] = "Geth/v1.101702.3-stable/linux" }, nil, []string{"failure: exec: it is op-geth"}, "move to op-reth"},
		{"no contract", func(w *world) { w.answers["eth_call"], w.answers["eth_getCode"] = "0x", "0x" }, nil, []string{"failure: relay: there is no contract at its address"}, "set OUTRIDER_BOB_RELAY to"},
		{"a light one", func(w *world) { w.kind, w.marked = relay.KindLight, 4*2016 }, func(c *Config) { c.Kind = relay.KindFull }, []string{
			"failure: relay: it is no full relay: it answers as a light one",
		}, "OUTRIDER_BOB_RELAY_KIND=light"},
		{"a full one", func(*world) {}, func(c *Config) { c.Kind = relay.KindLight }, []string{"failure: relay: it is no light relay: it answers as a full one"}, "OUTRIDER_BOB_RELAY_KIND=full"},
		{"retarget due", func(w *world) { w.kind, w.marked = relay.KindLight, 4*2016 }, nil, []string{"failure: relay: blocks from 10080 on cannot be proven"}, "run a submitter"},
		{"behind", func(w *world) { w.marked -= 20 }, nil, []string{"warning: relay: it is 20 blocks behind", "note: relay: the contract takes 256 confirmations for none"}, "20 headers are stored and not marked"},
		{"no Bitcoin", func(w *world) { w.offline = true }, nil, []string{"failure: Bitcoin: the Bitcoin node: block height out of range"}, "in sync"},
		{"states differ", func(w *world) { w.answers["optimism_outputAtBlock"] = w.opNodeOutput("0x" + strings.Repeat("11", 32)) }, nil, []string{"failure: output roots: "}, "resync the wrong one"},
		{"no peers", func(w *world) { w.answers["net_peerCount"] = "0x0" }, nil, []string{"warning: exec: it has no peers"}, "P2P port"},
		{"syncing", func(w *world) { w.answers["eth_syncing"] = map[string]any{"stages": []any{}} }, nil, []string{"warning: exec: it is syncing", "warning: exec, unsafe head: sync-target"}, "wait"},
		{"alone", func(*world) {}, func(c *Config) { c.OpNodes = nil }, []string{"warning: op-node: none is known", "note: unsafe head: lone"}, "OUTRIDER_BOB_OP_NODE"},
		{"without execution", func(*world) {}, func(c *Config) { c.Execution, c.Relay, c.Kind = nil, [20]byte{}, "" }, []string{"warning: execution: no execution client is known"}, "OUTRIDER_BOB_L2"},
	} {
		w := newWorld(t)
		kind := w.kind
		tt.change(w)
		if tt.name == "a light one" {
			kind = relay.KindFull
		} else {
			kind = w.kind
		}
		d, text := w.diagnose(nil, func(c *Config) {
			c.Kind = kind
			if tt.config != nil {
				tt.config(c)
			}
		})
		var found []string
		for _, f := range d.Findings {
			found = append(found, string(f.Level)+": "+f.About+": "+f.What)
			if f.Do == "" || f.Level == "" {
				t.Errorf("%s: %+v does not say what to do", tt.name, f)
			}
		}
		for _, want := range tt.want {
			if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, want) }) {
				t.Errorf("%s: there is no %q in\n%s", tt.name, want, strings.Join(found, "\n"))
			}
		}
		if !strings.Contains(text, tt.do) {
			t.Errorf("%s: there is no %q in\n%s", tt.name, tt.do, text)
		}
		order := map[Level]int{Failure: 0, Warning: 1, Note: 2}
		if !slices.IsSortedFunc(d.Findings, func(a, b Finding) int { return order[a.Level] - order[b.Level] }) {
			t.Errorf("%s: the worst is not first: %q", tt.name, found)
		}
		if failed := strings.HasPrefix(strings.Join(tt.want, ""), string(Failure)); d.Failed() != failed && time.Now().Unix() > 1773325801 {
			t.Errorf("%s: failed is %v, want %v: %q", tt.name, d.Failed(), failed, found)
		}
	}
}

// Every kind of fault has an advice.
func TestAdvice(t *testing.T) {
	for _, k := range opstack.FaultKinds {
		if a := advice[k]; a.do == "" || a.level == "" {
			t.Errorf("%s: %+v", k, a)
		}
	}
	if len(advice) != len(opstack.FaultKinds) {
		t.Errorf("%d advices", len(advice))
	}
}

// proposed returns the settings that are proposed, with their values.
func proposed(d *Diagnosis) []string {
	var all []string
	for _, p := range d.Proposals {
		all = append(all, p.Program+" "+p.Setting+"="+p.Value)
	}
	return all
}

// What an operator's file has, and what a node shows to have, is not proposed; everything
// that is proposed has its measurement.
func TestProposals(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	d, text := w.diagnose(nil, nil)
	all := proposed(d)
	for _, want := range []string{"op-node OP_NODE_SYNCMODE_REQ_RESP=true", "op-node OP_NODE_L2_ENGINE_KIND=reth", "op-reth --chain=/data/genesis.json", "op-reth --full="} {
		if !slices.Contains(all, want) {
			t.Errorf("without files there is no %q in %q", want, all)
		}
	}
	for _, p := range d.Proposals {
		if p.Measured == "" || p.Why == "" || p.Have != "" || p.Program == "op-geth" {
			t.Errorf("%+v", p)
		}
		if p.Setting == "OP_NODE_OVERRIDE_JOVIAN" || p.Setting == "OP_NODE_SAFEDB_PATH" || p.Setting == "--http.api" || p.Setting == "--rollup.disable-tx-pool-gossip" {
			t.Errorf("%s is proposed, and the node shows that it is set", p.Setting)
		}
		if p.Setting == "OP_NODE_SYNCMODE_REQ_RESP" && !strings.Contains(p.Measured, "the safe head is 2 s behind") {
			t.Errorf("what batches take is measured by %q", p.Measured)
		}
		if p.Setting == "OP_NODE_L2_ENGINE_KIND" && !strings.Contains(p.Measured, "exec is reth/v2.3.3") {
			t.Errorf("the engine is measured by %q", p.Measured)
		}
	}
	if !strings.Contains(text, "measured: ") {
		t.Errorf("for people: %s", text)
	}

	good := Files{
		"op-node": write("node.env", "OP_NODE_NETWORK=bob-mainnet\n# OP_NODE_SYNCMODE=none\nOP_NODE_L2_ENGINE_KIND=reth\nOP_NODE_SYNCMODE=execution-layer\nOP_NODE_SYNCMODE_REQ_RESP=true\n"),
		"op-reth": write("reth.sh", `op-reth node --chain=/data/genesis.json --full --storage.v2 --http.api web3,debug,eth,txpool,net \
  --rollup.sequencer-http https://sequencer/secretkey --rollup.disable-tx-pool-gossip --metrics 127.0.0.1:9001`),
	}
	if d, _ := w.diagnose(good, nil); len(d.Proposals) != 0 {
		t.Errorf("nothing is missing, and %q are proposed", proposed(d))
	}
	bad := Files{
		"op-node": write("bad.yml", "  environment:\n    OP_NODE_L2_ENGINE_KIND: geth\n    - OP_NODE_SYNCMODE=consensus-layer\n    OP_NODE_SYNCMODE_REQ_RESP: \"true\"\n"),
		"op-reth": good["op-reth"],
	}
	d, text = w.diagnose(bad, nil)
	if got := proposed(d); !slices.Equal(got, []string{"op-node OP_NODE_L2_ENGINE_KIND=reth"}) {
		t.Errorf("proposed are %q", got)
	}
	if d.Proposals[0].Have != "geth" || !strings.Contains(text, "(not geth)") || strings.Contains(text, "secretkey") {
		t.Errorf("%+v: %s", d.Proposals, text)
	}

	// What the node shows to lack is proposed with what it showed.
	w.change(func() {
		w.answers["optimism_safeHeadAtL1Block"] = refused{-32000, "safe head database not enabled", ""}
		w.answers["txpool_status"] = refused{-32601, "the method txpool_status does not exist", ""}
		w.answers["optimism_rollupConfig"] = map[string]any{"l2_chain_id": 60808, "block_time": 2}
		w.answers["eth_syncing"] = map[string]any{"stages": []any{}}
	})
	d, _ = w.diagnose(bad, nil)
	if i := slices.IndexFunc(d.Proposals, func(p Proposal) bool { return p.Setting == "OP_NODE_SYNCMODE" }); i < 0 ||
		d.Proposals[i].Have != "consensus-layer" || d.Proposals[i].Measured != "exec is syncing (eth_syncing)" {
		t.Errorf("while it syncs: %+v", d.Proposals)
	}
	d, _ = w.diagnose(nil, nil)
	for setting, want := range map[string]string{
		"OP_NODE_SAFEDB_PATH": "safe head database not enabled", "--http.api": "txpool_status does not exist", "OP_NODE_OVERRIDE_JOVIAN": "node plans Jovian: not planned",
	} {
		i := slices.IndexFunc(d.Proposals, func(p Proposal) bool { return p.Setting == setting })
		if i < 0 || !strings.Contains(d.Proposals[i].Measured, want) {
			t.Errorf("%s is not proposed by %q: %+v", setting, want, d.Proposals)
		}
	}
	if i := slices.IndexFunc(d.Proposals, func(p Proposal) bool { return p.Setting == "OP_NODE_OVERRIDE_JOVIAN" }); i < 0 || d.Proposals[i].Value != "1773325801" {
		t.Errorf("Jovian: %+v", d.Proposals)
	}
	w.change(func() { w.answers["txpool_status"] = map[string]string{"pending": "0x60", "queued": "0x4"} })
	d, _ = w.diagnose(nil, nil)
	if i := slices.IndexFunc(d.Proposals, func(p Proposal) bool { return p.Setting == "--rollup.disable-tx-pool-gossip" }); i < 0 ||
		!strings.Contains(d.Proposals[i].Measured, "exec has 96 transactions pending, 4 queued") {
		t.Errorf("a pool that gossips: %+v", d.Proposals)
	}
	// op-geth has its own, and op-reth none then.
	w.change(func() { w.answers["web3_clientVersion"] = "Geth/v1.101702.3-stable/linux" })
	d, _ = w.diagnose(nil, nil)
	programs := make(map[string]int)
	for _, p := range d.Proposals {
		programs[p.Program]++
	}
	if slices.Contains(proposed(d), "op-node OP_NODE_L2_ENGINE_KIND=reth") {
		t.Error("op-node beside op-geth is to take it for reth")
	}
	if programs["op-geth"] != 1 || programs["op-reth"] != 0 {
		t.Errorf("beside an op-geth: %v", programs)
	}
	// Of a chain whose forks are not known, none is proposed.
	if _, err := w.watch(nil).Doctor(t.Context(), Files{"op-node": filepath.Join(dir, "none")}); err == nil {
		t.Error("a file that is not there is none")
	}
}

// No rule proposes anything that nothing measured: it has a probe or a recorded figure, and
// where its probes learnt nothing, the figure is what is told.
func TestRulesAreMeasured(t *testing.T) {
	given := map[string]settings{"op-node": {}, "op-reth": {}, "op-geth": {}}
	figure := regexp.MustCompile(`[0-9]`)
	for _, r := range rules {
		if r.seen == nil && r.recorded == "" || r.recorded != "" && !figure.MatchString(r.recorded) {
			t.Errorf("%s --%s has no measurement: %q", r.program, r.flag, r.recorded)
		}
		var d Diagnosis
		r.apply(&d, given, new(probes), Mainnet)
		if r.recorded == "" && len(d.Proposals) != 0 || r.recorded != "" && (len(d.Proposals) != 1 || d.Proposals[0].Measured != r.recorded) {
			t.Errorf("%s --%s, where nothing was learnt: %+v", r.program, r.flag, d.Proposals)
		}
	}
}

// Answers of txpool_status count only if they are whole.
func TestPooled(t *testing.T) {
	for text, want := range map[string]uint64{
		`{"pending":"0x10","queued":"0x2"}`: 18, `{"pending":"0x0","queued":"0x0"}`: 0, `{"pending":"0x10"}`: 0, `"0x10"`: 0, `null`: 0, ``: 0,
		`{"pending":"0xffffffffffffffff","queued":"0x2"}`: 0, `{"pending":"0x10000000000000000","queued":"0x0"}`: 0, `{"pending":16,"queued":2}`: 0,
	} {
		p := new(probes)
		if p.count([]byte(text)); p.pooled != want || (p.pool != "") != (want > 0 || strings.Contains(text, `"0x0","queued":"0x0"`)) {
			t.Errorf("%s: %d, %q", text, p.pooled, p.pool)
		}
	}
}

func TestParseSettings(t *testing.T) {
	for text, want := range map[string]settings{
		"":                               {},
		"# --full\n--full":               {"full": ""},
		"a --chain=bob --full --x y":     {"chain": "bob", "full": "", "x": "y"},
		"Environment=\"OP_NODE_X=1\"":    {"OP_NODE_X": "1"},
		`command: ["--a=b", "--c", "d"]`: {"a": "b", "c": "d"},
		"- --http.api=web3,debug,eth":    {"http.api": "web3,debug,eth"},
		"  OP_NODE_Y: 'z'":               {"OP_NODE_Y": "z"},
		"- OP_NODE_Y=z":                  {"OP_NODE_Y": "z"},
		"export OP_NODE_Y=z":             {"OP_NODE_Y": "z"},
		"--a 1\n--a=2":                   {"a": "2"},
		"--a \\\n  --b 3":                {"a": "", "b": "3"},
		"image: reth":                    {},
	} {
		got, err := parseSettings(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if v, ok := got[name]; !ok || v != value {
				t.Errorf("%q: %s is %q, %v, want %q", text, name, v, ok, value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if _, err := parseSettings(strings.NewReader(strings.Repeat("a\n", maxSettingsFile))); err == nil {
		t.Error("a file may have any length")
	}
	if _, err := parseSettings(strings.NewReader(strings.Repeat("a", maxSettingsFile+1))); err == nil {
		t.Error("a line may have any length")
	}
}

// Whatever a file has, its settings are found within bounds.
func FuzzParseSettings(f *testing.F) {
	f.Add("--a=b --c d\nOP_NODE_X: y")
	f.Add(`["--a", "b"]`)
	f.Add("--=b d\nOP_NODE_X: y")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings(strings.NewReader(text))
		size := 0
		for name, value := range s {
			if name == "" {
				t.Errorf("a setting without a name, %q", value)
			}
			size += len(name) + len(value)
		}
		if err == nil && size > len(text) {
			t.Errorf("%d bytes have settings of %d", len(text), size)
		}
	})
}
