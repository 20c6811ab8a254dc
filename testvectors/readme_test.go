package testvectors

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A readmeRow is a row of README.md's table.
type readmeRow struct {
	name   string   // a file, or a folder if it ends in a slash
	usedBy []string // sorted
}

func (r readmeRow) covers(file string) bool {
	return r.name == file || strings.HasSuffix(r.name, "/") && strings.HasPrefix(file, r.name)
}

// readme returns the rows of README.md.
func readme(t *testing.T) []readmeRow {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	var rows []readmeRow
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 5 || slices.Contains(cells, "") {
			t.Fatalf("README.md: not five full cells: %s", line)
		}
		row := readmeRow{name: strings.Trim(cells[0], "`")}
		for _, m := range code.FindAllStringSubmatch(cells[4], -1) {
			row.usedBy = append(row.usedBy, m[1])
		}
		if (cells[4] == "—") != (row.usedBy == nil) {
			t.Fatalf("README.md: the last cell is neither packages nor —: %s", line)
		}
		slices.Sort(row.usedBy)
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		t.Fatal("README.md has no rows")
	}
	return rows
}

// heldOut reports whether a file is one that no test may read.
func heldOut(file string) bool { return strings.HasPrefix(file, "held-out") }

// sums returns SHA256SUMS by file.
func sums(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		sum, file, ok := strings.Cut(scanner.Text(), "  ")
		if !ok || len(sum) != 2*sha256.Size || file == "" || all[file] != "" {
			t.Fatalf("SHA256SUMS: %q", scanner.Text())
		}
		all[file] = sum
	}
	return all
}

// TestReadmeRows has every file in SHA256SUMS belong to one row, and every row
// have a file.
func TestReadmeRows(t *testing.T) {
	used := map[string]bool{}
	for file := range sums(t) {
		var names []string
		for _, row := range readme(t) {
			if row.covers(file) {
				names = append(names, row.name)
				used[row.name] = true
			}
		}
		if len(names) != 1 {
			t.Errorf("%s has the rows %q in README.md, want one", file, names)
		}
		if heldOut(file) {
			t.Errorf("SHA256SUMS has %s", file)
		}
	}
	for _, row := range readme(t) {
		if !used[row.name] && !heldOut(row.name) {
			t.Errorf("README.md has %s, SHA256SUMS has no such file", row.name)
		}
	}
}

// TestChecksums compares the vectors' directory with SHA256SUMS: no file more,
// none less, each with its sum.
func TestChecksums(t *testing.T) {
	dir, err := Dir()
	if err != nil {
		giveUp(t, err, "the checksums of the test vectors")
	}
	want := sums(t)
	err = fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if heldOut(file) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || path.Base(file) == "README.md" {
			return nil
		}
		data, err := fs.ReadFile(os.DirFS(dir), file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		switch got := hex.EncodeToString(sum[:]); want[file] {
		case got:
		case "":
			t.Errorf("%s is not in SHA256SUMS, and needs a row in README.md: %s", file, got)
		default:
			t.Errorf("%s has the checksum %s, SHA256SUMS says %s", file, got, want[file])
		}
		delete(want, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Sorted(maps.Keys(want)) {
		t.Errorf("%s is in SHA256SUMS and not in %s", file, dir)
	}
}

// TestReadmeUsers compares the last column with the packages whose Go files
// import this one and have a row's name in a string, or for mainnet/ call
// Mainnet or LoadMainnet.
func TestReadmeUsers(t *testing.T) {
	users := map[string][]string{}
	rows := readme(t)
	for pkg, source := range importers(t) {
		for _, row := range rows {
			if bytes.Contains(source, []byte(`"`+row.name)) ||
				row.name == "mainnet/" && regexp.MustCompile(`testvectors\.(Load)?Mainnet\(`).Match(source) {
				users[row.name] = append(users[row.name], pkg)
			}
		}
	}
	for _, row := range rows {
		got := users[row.name]
		slices.Sort(got)
		if !slices.Equal(got, row.usedBy) {
			t.Errorf("%s is used by %q, README.md says %q", row.name, got, row.usedBy)
		}
		if heldOut(row.name) && got != nil {
			t.Errorf("%q read %s, which is kept for acceptance", got, row.name)
		}
	}
}

// importers returns the Go source of each package that imports this one, its
// files one after another.
func importers(t *testing.T) map[string][]byte {
	t.Helper()
	root := os.DirFS("..")
	sources, imports := map[string][]byte{}, map[string]bool{}
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch base := path.Base(file); {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed since its folder was read
		case err != nil:
			return err
		case d.IsDir() && file != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		source, err := fs.ReadFile(root, file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		pkg := path.Dir(file)
		sources[pkg] = append(sources[pkg], source...)
		if bytes.Contains(source, []byte(`"github.com/outrider-project/outrider/testvectors"`)) {
			imports[pkg] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(sources, func(pkg string, _ []byte) bool { return !imports[pkg] })
	delete(sources, "testvectors") // whose tests name the rows
	return sources
}
