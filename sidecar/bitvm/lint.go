package bitvm

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/outrider-project/outrider/bitvm/watch"
)

// A LintReport says what is wrong with a graph and its locks.
type LintReport struct {
	Graph   string `json:"graph"`
	Network string `json:"network"`
	// Sound says that there is no error among the findings, which come worst first.
	Sound    bool                `json:"sound"`
	Findings []watch.LintFinding `json:"findings"`
}

// Good reports whether there is no error.
func (r *LintReport) Good() bool { return r.Sound }

// WriteTable writes the findings, one a line.
func (r *LintReport) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Severity, f.Rule, f.Where, f.Text)
	}
	verdict := "sound"
	if !r.Sound {
		verdict = "not sound: do not sign it"
	}
	fmt.Fprintf(t, "%s on network %s is %s\n", r.Graph, r.Network, verdict)
	return t.Flush()
}

// ReadGraph returns the graph that the file at path describes, or the one that is built in
// under a name, for a number of watchtowers, if path is empty.
func ReadGraph(path, builtin string, watchtowers int) (*watch.Graph, error) {
	if path == "" {
		return watch.Builtin(builtin, watchtowers)
	}
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	g, err := watch.DecodeGraph(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// Lint looks for what is wrong with a graph on a network, with so many blocks to react; 0
// is the network's default.
func Lint(g *watch.Graph, network string, react uint32) *LintReport {
	findings := g.Lint(network, react)
	if findings == nil {
		findings = []watch.LintFinding{}
	}
	return &LintReport{g.Name, network, watch.Sound(findings), findings}
}

// IsNetwork reports whether a graph has locks on a network, by Bitcoin Core's name of the
// chain.
func IsNetwork(name string) bool { return watch.IsNetwork(name) }
