// The command lane generates the kernels of package lane: eight signatures in
// the eight 64-bit lanes of AVX-512 IFMA. It knows what each number can grow to
// and panics when one could outgrow its place.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	flags := flag.NewFlagSet("lane", flag.ExitOnError)
	out := flags.String("out", "", "the folder of package lane")
	if err := flags.Parse(os.Args[1:]); err != nil {
		panic(err) // ExitOnError
	}
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "lane:", err)
		os.Exit(1)
	}
}

func generate(out string) error {
	c := build.NewContext()
	c.ConstraintExpr("!purego")
	g := &generator{c: c, data: newConstants(), limit: 40}
	g.processor()
	g.lift()
	g.scalars()
	g.recode()
	for k := 1; k <= 2; k++ {
		g.table(k)
		g.multiply(k)
	}
	g.checks()
	g.data.declare(c)
	f, err := c.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(f); err != nil {
		return err
	}
	layout, err := layoutSource()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "layout.go"), layout, 0o644); err != nil {
		return err
	}
	cfg := printer.Config{Name: "the generator in ../asm/lane", Pkg: "lane"}
	for name, p := range map[string]printer.Printer{
		"kernels_amd64.s": printer.NewGoAsm(cfg), "stubs_amd64.go": printer.NewStubs(cfg),
	} {
		content, err := p.Print(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
