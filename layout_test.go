package outrider

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/outrider-project/outrider/"

// mayImport is the architecture. The package on the left may import those on
// the right, and nothing else of this module; "x/..." means x and all below
// it, and the longest row that matches is the package's. Test files may import
// testvectors too. A new edge needs a line in docs/adr in the same change.
var mayImport = map[string][]string{
	"perfcore":                {},
	"perfcore/...":            {"perfcore/..."},
	"sigverify":               {"perfcore", "sigverify/internal/..."},
	"sigverify/internal/secp": {},
	"sigverify/internal/lane": {"sigverify/internal/secp"},
	"sigverify/hashlane":      {},
	"utxocache/...":           {"utxocache/...", "perfcore"},
	"utxocache/corefile":      {},
	"utxocache/muhash":        {"utxocache/corefile"},
	"blockval":                {"blockval/header", "blockval/script", "sigverify", "sigverify/hashlane", "perfcore"},
	"blockval/header":         {},
	"blockval/script":         {"sigverify", "sigverify/hashlane"},
	"p2p/...":                 {"p2p/...", "blockval/header", "perfcore"},
	"bob/...":                 {"bob/...", "blockval/header", "sigverify/hashlane", "perfcore"},
	"bitvm/...":               {"bitvm/...", "sigverify/hashlane", "perfcore"},
	"sidecar/...":             parts,
	"sidecar/bench":           append([]string{"testvectors/..."}, parts...),
	"cmd/...":                 {"sidecar/..."},
	"testvectors/...":         {"testvectors/..."},
}

// parts is all that the sidecar wires together.
var parts = []string{
	"perfcore/...", "sigverify/...", "utxocache/...", "blockval/...",
	"p2p/...", "bob/...", "bitvm/...", "sidecar/...",
}

// homes says where a heavy dependency may be imported, tests included.
var homes = map[string][]string{
	"github.com/prometheus":           {"sidecar/web", "sidecar/bench"},
	"github.com/ethereum/go-ethereum": {"bob/...", "sidecar/bench"},
	"github.com/consensys":            {"bitvm/groth16", "bitvm/assertion", "sidecar/bench"},
	"github.com/cockroachdb/pebble":   {"utxocache/...", "sidecar/gateway/...", "sidecar/bench"},
	"github.com/dgraph-io/ristretto":  {"utxocache/...", "sidecar/bench"},
	"github.com/syndtr/goleveldb":     {"sidecar/bench", "utxocache/coindb"},
}

// testOnly are packages that only test files may import, beside testvectors.
var testOnly = []string{"sidecar/node/nodetest", "bob/relay/relaytest", "bitvm/watch/watchtest"}

// btcdHomes is where the packages of btcd's node itself may be imported outside
// of tests: its engine is an anchor to measure against, never ours. Its modules
// with a major version (wire/v2, txscript/v2, btcec/v2) are for everybody.
var btcdHomes = append([]string{"sidecar/bench", "sidecar/demo", "testvectors/..."}, testOnly...)

var btcdModule = regexp.MustCompile(`^github\.com/btcsuite/btcd/[a-z]+/v\d+(/|$)`)

// folders are the top-level folders that the repository may have, beside those
// whose name begins with a dot.
var folders = []string{
	"bitvm", "blockval", "bob", "cmd", "p2p", "perfcore", "sidecar", "sigverify", "testvectors", "utxocache",
	"deploy", "docs", "tools",
}

// A goFile is a Go file of the tree and the package that it belongs to, as a
// path below the module; "" is the root.
type goFile struct {
	name, pkg string
	test      bool
	ast       *ast.File
}

// goFiles parses the module's Go files, whatever their build constraints.
// Folders that the go command ignores, and other modules, are left out.
func goFiles(fsys fs.FS) ([]goFile, error) {
	var files []goFile
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." {
			base := d.Name()
			_, notOurs := fs.Stat(fsys, name+"/go.mod")
			if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || notOurs == nil {
				return fs.SkipDir
			}
		}
		if d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		if pkg == "." {
			pkg = ""
		}
		files = append(files, goFile{name, pkg, strings.HasSuffix(name, "_test.go"), tree})
		return nil
	})
	return files, err
}

func matches(pattern, pkg string) bool {
	dir, below := strings.CutSuffix(pattern, "/...")
	return pkg == dir || below && strings.HasPrefix(pkg, dir+"/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// row returns what pkg may import, and whether it has a row at all.
func row(pkg string) (allowed []string, ok bool) {
	if allowed, ok := mayImport[pkg]; ok {
		return allowed, true
	}
	var best string
	for pattern := range mayImport {
		if matches(pattern, pkg) && len(pattern) > len(best) {
			best = pattern
		}
	}
	return mayImport[best], best != ""
}

// checkImports returns what is wrong with the imports of f.
func checkImports(f goFile) []string {
	allowed, ok := row(f.pkg)
	if !ok && f.pkg != "" {
		return []string{fmt.Sprintf("%s: package %s has no row in mayImport", f.name, f.pkg)}
	}
	if f.test {
		allowed = append([]string{f.pkg, "testvectors/..."}, allowed...)
	}
	var wrong []string
	for _, spec := range f.ast.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: import %s: %v", f.name, spec.Path.Value, err))
			continue
		}
		if dep, ours := strings.CutPrefix(imp, module); ours {
			switch {
			case !matchesAny(allowed, dep):
				wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", f.name, f.pkg, dep))
			case matchesAny(testOnly, dep) && !f.test:
				wrong = append(wrong, fmt.Sprintf("%s: %s is for tests only", f.name, dep))
			}
			continue
		}
		if why := checkOutside(f, imp); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s: imports %s: %s", f.name, imp, why))
		}
	}
	return wrong
}

// checkOutside says why f may not import a package that is not this module's;
// "" when it may.
func checkOutside(f goFile, imp string) string {
	host, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(host, ".") {
		return ""
	}
	if f.pkg == "perfcore" {
		return "perfcore imports the standard library only"
	}
	for prefix, home := range homes {
		if strings.HasPrefix(imp, prefix) && !matchesAny(home, f.pkg) {
			return "its home is " + strings.Join(home, ", ")
		}
	}
	if matches("github.com/btcsuite/btcd/...", imp) && !btcdModule.MatchString(imp) &&
		!f.test && !matchesAny(btcdHomes, f.pkg) {
		return "btcd's node is for tests and for " + strings.Join(btcdHomes, ", ")
	}
	return ""
}

// checkDocs returns the packages that do not have exactly one package comment.
func checkDocs(files []goFile) []string {
	documented := make(map[string][]string)
	for _, f := range files {
		if f.test {
			continue
		}
		if _, ok := documented[f.pkg]; !ok {
			documented[f.pkg] = nil
		}
		if f.ast.Doc != nil {
			documented[f.pkg] = append(documented[f.pkg], f.name)
		}
	}
	var wrong []string
	for _, pkg := range slices.Sorted(maps.Keys(documented)) {
		if in := documented[pkg]; len(in) != 1 {
			wrong = append(wrong, fmt.Sprintf("package %q: %d files carry the package comment %v, want one", pkg, len(in), in))
		}
	}
	return wrong
}

// checkLayout returns everything that is wrong with a tree's packages.
func checkLayout(fsys fs.FS) ([]string, error) {
	files, err := goFiles(fsys)
	if err != nil {
		return nil, err
	}
	wrong := checkDocs(files)
	for _, f := range files {
		wrong = append(wrong, checkImports(f)...)
		wrong = append(wrong, checkHouse(f)...)
	}
	return wrong, nil
}

func TestLayout(t *testing.T) {
	wrong, err := checkLayout(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// Every rule is shown to fail: each tree breaks exactly one.
func TestLayoutRules(t *testing.T) {
	const doc = "// Package p is documented.\n"
	ours := func(pkg string) string { return doc + "package p\nimport _ \"" + module + pkg + "\"\n" }
	outside := func(imp string) string { return doc + "package p\nimport _ \"" + imp + "\"\n" }
	for _, tt := range []struct {
		name, file, src string
		want            string // "" when the tree is right
	}{
		{"edge of the table", "blockval/a.go", ours("sigverify"), ""},
		{"sibling", "utxocache/a.go", ours("sigverify"), "utxocache may not import sigverify"},
		{"validator imports cache", "blockval/a.go", ours("utxocache"), "blockval may not import utxocache"},
		{"file formats are pure", "utxocache/corefile/a.go", ours("perfcore"), "utxocache/corefile may not import perfcore"},
		{"set hash imports the cache", "utxocache/muhash/a.go", ours("utxocache"), "utxocache/muhash may not import utxocache"},
		{"cache imports the set hash", "utxocache/a.go", ours("utxocache/muhash"), ""},
		{"cache imports file formats", "utxocache/a.go", ours("utxocache/corefile"), ""},
		{"node adapter imports file formats", "sidecar/node/a.go", ours("utxocache/corefile"), ""},
		{"validator imports file formats", "blockval/a.go", ours("utxocache/corefile"), "blockval may not import utxocache/corefile"},
		{"validator imports the interpreter", "blockval/a.go", ours("blockval/script"), ""},
		{"the interpreter imports the validator", "blockval/script/a.go", ours("blockval"), "blockval/script may not import blockval"},
		{"header is pure", "blockval/header/a.go", ours("perfcore"), "blockval/header may not import perfcore"},
		{"hashlane is pure", "sigverify/hashlane/a.go", ours("perfcore"), "sigverify/hashlane may not import perfcore"},
		{"leaf imports optimizer", "perfcore/a.go", ours("perfcore/engine"), "perfcore may not import perfcore/engine"},
		{"optimizer imports leaf", "perfcore/engine/a.go", ours("perfcore"), ""},
		{"part imports optimizer", "utxocache/a.go", ours("perfcore/engine"), "utxocache may not import perfcore/engine"},
		{"upwards", "bob/relay/a.go", ours("sidecar/node"), "bob/relay may not import sidecar/node"},
		{"p2p imports rules", "p2p/a.go", ours("blockval"), "p2p may not import blockval"},
		{"bitvm imports header", "bitvm/a.go", ours("blockval/header"), "bitvm may not import blockval/header"},
		{"command reaches past sidecar", "cmd/outrider/a.go", ours("blockval"), "cmd/outrider may not import blockval"},
		{"command imports a part of sidecar", "cmd/outrider/a.go", ours("sidecar/bench"), ""},
		{"package without a row", "sigverify/cache/a.go", doc + "package p\n", "package sigverify/cache has no row"},
		{"code imports vectors", "sidecar/a.go", ours("testvectors"), "sidecar may not import testvectors"},
		{"test imports vectors", "blockval/a_test.go", ours("testvectors"), ""},
		{"external test imports its package", "p2p/a_test.go", ours("p2p"), ""},
		{"test imports a sibling", "p2p/a_test.go", ours("utxocache"), "p2p may not import utxocache"},
		{"test of sidecar imports a part", "sidecar/node/a_test.go", ours("utxocache"), ""},
		{"test of sidecar imports a test's package", "sidecar/a_test.go", ours("sidecar/node/nodetest"), ""},
		{"code imports a test's package", "sidecar/a.go", ours("sidecar/node/nodetest"), "sidecar/node/nodetest is for tests only"},
		{"benchmarks import vectors", "sidecar/bench/a.go", ours("testvectors"), ""},
		{"vectors import a part", "testvectors/a.go", ours("blockval/header"), "testvectors may not import blockval/header"},

		{"leaf imports a module", "perfcore/a.go", outside("golang.org/x/sys/unix"), "standard library only"},
		{"test of the leaf imports a module", "perfcore/a_test.go", outside("golang.org/x/sys/unix"), "standard library only"},
		{"Prometheus away from home", "sidecar/a.go", outside("github.com/prometheus/client_golang/prometheus"), "its home is sidecar/web, sidecar/bench"},
		{"Prometheus at home", "sidecar/web/a.go", outside("github.com/prometheus/client_golang/prometheus"), ""},
		{"geth away from home", "sidecar/gateway/a.go", outside("github.com/ethereum/go-ethereum/core/vm"), "its home is bob/..."},
		{"gnark in assertions", "bitvm/assertion/a.go", outside("github.com/consensys/gnark-crypto/ecc"), ""},
		{"gnark away from home", "bitvm/a.go", outside("github.com/consensys/gnark-crypto/ecc"), "its home is bitvm/groth16"},
		{"Pebble away from home", "sidecar/audit/a.go", outside("github.com/cockroachdb/pebble/v2"), "its home is utxocache"},
		{"Pebble in the gateway", "sidecar/gateway/a.go", outside("github.com/cockroachdb/pebble/v2"), ""},
		{"goleveldb away from home", "utxocache/a.go", outside("github.com/syndtr/goleveldb/leveldb"), "its home is sidecar/bench"},
		{"ristretto as an anchor", "sidecar/bench/a.go", outside("github.com/dgraph-io/ristretto/v2"), ""},
		{"ristretto away from home", "sidecar/gateway/a.go", outside("github.com/dgraph-io/ristretto/v2"), "its home is utxocache"},
		{"btcd's engine", "blockval/a.go", outside("github.com/btcsuite/btcd/blockchain"), "btcd's node is for tests"},
		{"btcd's root", "sidecar/node/a.go", outside("github.com/btcsuite/btcd"), "btcd's node is for tests"},
		{"btcd's engine in a test", "blockval/a_test.go", outside("github.com/btcsuite/btcd/blockchain"), ""},
		{"btcd's engine as an anchor", "sidecar/bench/a.go", outside("github.com/btcsuite/btcd/blockchain"), ""},
		{"btcd's wire module", "blockval/a.go", outside("github.com/btcsuite/btcd/wire/v2"), ""},
		{"package below btcd's module", "sigverify/a.go", outside("github.com/btcsuite/btcd/btcec/v2/schnorr"), ""},
		{"constrained file", "utxocache/a_arm64.go", "//go:build purego\n\n" + ours("sigverify"), "utxocache may not import sigverify"},

		{"no package comment", "p2p/a.go", "package p\n", `package "p2p": 0 files carry the package comment`},
		{"init", "p2p/a.go", doc + "package p\nfunc init() {}\n", "func init"},
		{"method named init", "p2p/a.go", doc + "package p\ntype t int\nfunc (t) init() {}\n", ""},
		{"package util", "p2p/util/a.go", doc + "package util\n", "name the package for its noun"},
		{"package helpers elsewhere", "p2p/a.go", doc + "package helpers\n", "name the package for its noun"},
		{"context in a struct", "p2p/a.go", doc + "package p\nimport \"context\"\ntype t struct{ ctx context.Context }\n", "context.Context in a struct"},
		{"embedded context", "p2p/a.go", doc + "package p\nimport \"context\"\ntype t struct{ context.Context }\n", "context.Context in a struct"},
		{"context in a test's struct", "p2p/a_test.go", "package p\nimport \"context\"\ntype t struct{ context.Context }\n", ""},
		{"context in a field's function", "p2p/a.go", doc + "package p\nimport \"context\"\ntype t struct{ f func(context.Context) }\n", ""},
		{"sleep in a test", "p2p/a_test.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", "time.Sleep in a test"},
		{"sleep in a bubble", "p2p/a_test.go", "package p\nimport (\"testing/synctest\"; \"time\")\nfunc f() { synctest.Test(nil, func() { time.Sleep(1) }) }\n", ""},
		{"sleep beside a bubble", "p2p/a_test.go", "package p\nimport (\"testing/synctest\"; \"time\")\nfunc f() { synctest.Test(nil, nil); time.Sleep(1) }\n", "time.Sleep in a test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrong, err := checkLayout(fstest.MapFS{tt.file: {Data: []byte(tt.src)}})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == "" && len(wrong) != 0:
				t.Errorf("got %q, want nothing wrong", wrong)
			case tt.want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], tt.want)):
				t.Errorf("got %q, want only %q", wrong, tt.want)
			}
		})
	}
}

// No part may import another, but the validator the signatures.
func TestSiblings(t *testing.T) {
	siblings := []string{"utxocache", "sigverify", "blockval", "p2p", "bob", "bitvm"}
	for _, pkg := range siblings {
		allowed, ok := row(pkg)
		if !ok {
			t.Errorf("%s has no row in mayImport", pkg)
		}
		for _, other := range siblings {
			if other == pkg {
				continue
			}
			want := pkg == "blockval" && other == "sigverify"
			if got := matchesAny(allowed, other); got != want {
				t.Errorf("%s may import %s: %v, want %v", pkg, other, got, want)
			}
		}
		for _, above := range []string{"sidecar", "sidecar/node", "cmd/outrider", "testvectors", "perfcore/engine"} {
			if matchesAny(allowed, above) {
				t.Errorf("%s may import %s", pkg, above)
			}
		}
	}
}

func TestPackageCommentsAreSingle(t *testing.T) {
	wrong, err := checkLayout(fstest.MapFS{
		"p2p/a.go": {Data: []byte("// Package p is one.\npackage p\n")},
		"p2p/b.go": {Data: []byte("// Package p is two.\npackage p\n")},
	})
	if err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], "2 files carry the package comment") {
		t.Errorf("got %q, %v; want two package comments refused", wrong, err)
	}
}
