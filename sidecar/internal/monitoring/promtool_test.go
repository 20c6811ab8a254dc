package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"
)

// deployed is where the files for Prometheus are.
const deployed = "../../../deploy/prometheus"

// promtool runs Prometheus's own checker, and fails the test with what it says.
// Where there is none the test fails on CI, and is skipped elsewhere with what was
// not checked.
func promtool(t *testing.T, unchecked string, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("promtool, of Debian's package prometheus, is not installed: %v", err)
		}
		t.Skipf("%s was not checked, for promtool, of Debian's package prometheus, is not installed", unchecked)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}

func TestRulesByPromtool(t *testing.T) {
	promtool(t, "that the alert rules are valid", "check", "rules", "--lint-fatal", filepath.Join(deployed, ruleFileName))
	promtool(t, "that the example of a configuration is valid", "check", "config", filepath.Join(deployed, "prometheus.yml"))
	promtool(t, "that alerts fire when they are to, and else do not", "test", "rules", filepath.Join(deployed, "outrider.rules.test.yml"))
}

// Every query of the dashboard is one that Prometheus understands: promtool reads
// them as recording rules.
func TestQueriesByPromtool(t *testing.T) {
	type recording struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	type group struct {
		Name  string      `yaml:"name"`
		Rules []recording `yaml:"rules"`
	}
	g := group{Name: "queries"}
	for i, q := range queriesOf(t, parsed(t, made(t))) {
		g.Rules = append(g.Rules, recording{fmt.Sprintf("query%d", i), substituted(q)})
	}
	text, err := yaml.Dump(map[string][]group{"groups": {g}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "that Prometheus understands the queries of the dashboard", "check", "rules", name)
}

// A rule that is broken is found: promtool is asked in the right way.
func TestPromtoolFindsWhatIsWrong(t *testing.T) {
	program, err := exec.LookPath("promtool")
	if err != nil {
		promtool(t, "that promtool finds what is wrong")
	}
	dir := t.TempDir()
	rules, err := os.ReadFile(filepath.Join(deployed, ruleFileName))
	if err != nil {
		t.Fatal(err)
	}
	tests := onlyTest(t, "memory is short")
	broken := bytes.Replace(rules, []byte("outrider_memory_pressure_ratio > 0.94 "), []byte("outrider_memory_pressure_ratio > 0.96 "), 1)
	if bytes.Equal(broken, rules) {
		t.Fatal("there is no hysteresis to break")
	}
	for name, text := range map[string][]byte{ruleFileName: broken, "outrider.rules.test.yml": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "test", "rules", filepath.Join(dir, "outrider.rules.test.yml")).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("OutriderMemoryPressure")) {
		t.Errorf("without its hysteresis the rule passes: %v\n%s", err, out)
	}
}

// onlyTest returns the tests of the rules with one of them left.
func onlyTest(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployed, "outrider.rules.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	const begin = "\n- name: "
	head, _, _ := bytes.Cut(text, []byte(begin))
	_, rest, there := bytes.Cut(text, []byte(begin+name+"\n"))
	if !there {
		t.Fatalf("there is no test that %s", name)
	}
	one, _, _ := bytes.Cut(rest, []byte(begin))
	return slices.Concat(head, []byte(begin+name+"\n"), one)
}
