// Package outrider is the root of the module and holds no code: its test draws
// the architecture (layout_test.go). The program is cmd/outrider; the parts,
// and what each may import, are in docs/architecture.md.
package outrider
