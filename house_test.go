package outrider

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// vague are package names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "types"}

// checkHouse returns where f breaks a rule of the house that the compiler and
// the linters do not know.
func checkHouse(f goFile) []string {
	var wrong []string
	complain := func(what string) { wrong = append(wrong, f.name+": "+what) }

	if slices.Contains(vague, strings.TrimSuffix(f.ast.Name.Name, "_test")) {
		complain("name the package for its noun, not " + f.ast.Name.Name)
	}
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			complain("func init: build it where it is needed, and hand it over")
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			for _, field := range n.Fields.List {
				// A test may make a context of its own kind.
				if !f.test && isSelector(field.Type, "context", "Context") {
					complain("context.Context in a struct: pass it to the call")
				}
			}
		case *ast.CallExpr:
			if isSelector(n.Fun, "synctest", "Test") {
				return false // the clock inside is virtual
			}
			if f.test && isSelector(n.Fun, "time", "Sleep") {
				complain("time.Sleep in a test: wait for the event, or use testing/synctest")
			}
		}
		return true
	})
	return wrong
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

// machinePath finds a path that is true on one machine only.
var machinePath = regexp.MustCompile(`(^|[^A-Za-z0-9_.])/(work|root)/`)

// checkFile returns what is wrong with a file of the repository, whatever its
// language.
func checkFile(name string, content []byte) []string {
	var wrong []string
	if folder, _, below := strings.Cut(name, "/"); below &&
		!strings.HasPrefix(folder, ".") && !slices.Contains(folders, folder) {
		wrong = append(wrong, fmt.Sprintf("%s: %s is not a folder of the architecture", name, folder))
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return wrong
	}
	n := 0
	for line := range bytes.Lines(content) {
		if n++; machinePath.Match(line) {
			wrong = append(wrong, fmt.Sprintf("%s:%d: names a path of one machine", name, n))
		}
	}
	return wrong
}

func TestRepositoryFiles(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("git ls-files: %v", err)
		}
		t.Skipf("folders and paths of the repository were not checked: git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.Trim(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range checkFile(name, content) {
			t.Error(w)
		}
	}
}

func TestRepositoryRules(t *testing.T) {
	for _, tt := range []struct {
		name, content string
		want          string // "" when the file is right
	}{
		{"README.md", "text", ""},
		{".ci/run", "#!/bin/sh", ""},
		{"docs/adr/0001.md", "text", ""},
		{"internal/a.go", "package a", "internal is not a folder"},
		{"Makefile", "a:\n\tcat /" + "root/file", "Makefile:2: names a path"},
		{"README.md", "/" + "work/shared", "README.md:1: names a path"},
		{"README.md", "see https://example.org/work/shared, net/" + "work/a", ""},
		{"testvectors/a.bin", "\x00 /" + "root/file", ""},
	} {
		wrong := checkFile(tt.name, []byte(tt.content))
		switch {
		case tt.want == "" && len(wrong) != 0:
			t.Errorf("checkFile(%q, %q) = %q, want nothing wrong", tt.name, tt.content, wrong)
		case tt.want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], tt.want)):
			t.Errorf("checkFile(%q, %q) = %q, want only %q", tt.name, tt.content, wrong, tt.want)
		}
	}
}
