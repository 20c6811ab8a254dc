// Monitoring writes what is said of the program's metrics outside of the code:
// docs/metrics.md, the dashboard of deploy/grafana, and the alert rules and the
// example of deploy/prometheus. All of it comes from the descriptors with which the
// parts of the program register their metrics. "go generate" runs it.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

//go:generate go run . ../../..

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
}

// run writes all files below the directory that args name.
func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: monitoring DIRECTORY")
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the metrics of the process are others on %s: run it on Linux", runtime.GOOS)
	}
	c, err := newCatalogue(ctx)
	if err != nil {
		return err
	}
	files, err := c.files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(args[0], filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files returns the content of each file, by its name in the repository.
func (c *catalogue) files() (map[string][]byte, error) {
	dashboard, err := c.dashboard()
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	rules, err := c.ruleFile()
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return map[string][]byte{
		"docs/metrics.md":                   c.document(),
		"deploy/grafana/outrider.json":      dashboard,
		"deploy/prometheus/" + ruleFileName: rules,
		"deploy/prometheus/prometheus.yml":  scrapeConfig(),
	}, nil
}
