package sidecar

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeAll writes files, by their path below a new directory, and returns it.
func writeAll(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readConf reads the bitcoin.conf of a new directory that holds files.
func readConf(t testing.TB, files map[string]string) (*bitcoinConf, error) {
	t.Helper()
	dir := writeAll(t, files)
	return readBitcoinConf(filepath.Join(dir, "bitcoin.conf"), dir)
}

func TestBitcoinConfGet(t *testing.T) {
	const off = "(off)"
	for _, tt := range []struct {
		name, conf, chain, key, want string // want is "" when the setting is not there
	}{
		{"plain", "rpcuser=a", "main", "rpcuser", "a"},
		{"missing", "rpcuser=a", "main", "rpcpassword", ""},
		{"blanks and a carriage return", " \t rpcuser \t = \t a b \t\r\n", "main", "rpcuser", "a b"},
		{"no other blanks", "rpcuser=\va", "main", "rpcuser", "\va"},
		{"a comment", "# rpcuser=x\nrpcuser=a # b", "main", "rpcuser", "a"},
		{"a second equals sign", "rpcauth=u:salt$hash=", "main", "rpcauth", "u:salt$hash="},
		{"names are case sensitive", "RPCUser=a", "main", "rpcuser", ""},
		{"empty", "rpcuser=", "main", "rpcuser", "(empty)"},
		{"the first counts", "rpcuser=a\nrpcuser=b", "main", "rpcuser", "a"},
		{"after a negation too", "rpcuser=a\nnorpcuser=1\nrpcuser=b\nrpcuser=c", "main", "rpcuser", "b"},
		{"negated", "norpccookiefile=1", "main", "rpccookiefile", off},
		{"negated by an empty value", "norpccookiefile=", "main", "rpccookiefile", off},
		{"negated last", "rpccookiefile=a\nnorpccookiefile=1", "main", "rpccookiefile", off},
		{"doubly negated", "norpccookiefile=0", "main", "rpccookiefile", "1"},
		{"doubly negated by a word", "norpccookiefile=yes", "main", "rpccookiefile", "1"},
		{"main's section", "[main]\nrpcport=1", "main", "rpcport", "1"},
		{"another's section", "[test]\nrpcport=1", "main", "rpcport", ""},
		{"its own section", "[signet]\nrpcport=1", "signet", "rpcport", "1"},
		{"a section by prefix", "regtest.rpcport=1", "regtest", "rpcport", "1"},
		{"a prefix in a section is of the section", "[test]\nregtest.rpcport=1", "regtest", "rpcport", ""},
		{"an unnamed section is the default one", "[test]\n[]\nrpcuser=a", "main", "rpcuser", "a"},
		{"a section wins", "rpcuser=a\n[testnet4]\nrpcuser=b", "testnet4", "rpcuser", "b"},
		{"a section loses elsewhere", "rpcuser=a\n[testnet4]\nrpcuser=b", "regtest", "rpcuser", "a"},
		{"negated in a section", "rpcuser=a\n[test]\nnorpcuser=1", "test", "rpcuser", off},
		{"main takes rpcport from anywhere", "rpcport=1", "main", "rpcport", "1"},
		{"others do not", "rpcport=1", "regtest", "rpcport", ""},
		{"but a negated one they do", "norpcport=1", "regtest", "rpcport", off},
		{"other settings they take", "rpccookiefile=/c", "regtest", "rpccookiefile", "/c"},
		{"a heading with blanks", " [ test ] \n", "main", "rpcuser", ""},
		{"no newline at the end", "x=1\nrpcuser=a", "main", "rpcuser", "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := readConf(t, map[string]string{"bitcoin.conf": tt.conf})
			if err != nil {
				t.Fatal(err)
			}
			got, state := c.get(tt.chain, tt.key)
			switch {
			case state == negated:
				got = off
			case state == set && got == "":
				got = "(empty)"
			}
			if got != tt.want || state == unset && got != "" {
				t.Errorf("%s on %s is %q, want %q", tt.key, tt.chain, got, tt.want)
			}
		})
	}
}

func TestBitcoinConfList(t *testing.T) {
	for _, tt := range []struct {
		name, conf, chain string
		want              []string // of rpcallowip, then of rpcbind
	}{
		{"all of both sections, the chain's first", "rpcallowip=a\nrpcallowip=b\n[test]\nrpcallowip=c", "test", []string{"c", "a", "b"}},
		{"network-only ones of the section alone", "rpcbind=a\n[test]\nrpcbind=b\nrpcbind=c", "test", []string{"b", "c"}},
		{"on main of both", "rpcbind=a\n[main]\nrpcbind=b", "main", []string{"b", "a"}},
		{"a negation undoes what was before", "rpcallowip=a\nnorpcallowip=1\nrpcallowip=b", "main", []string{"b"}},
		{"and what is below", "rpcallowip=a\n[test]\nnorpcallowip=1", "test", nil},
		{"unless something follows", "rpcallowip=a\n[test]\nnorpcallowip=1\nrpcallowip=b", "test", []string{"b", "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := readConf(t, map[string]string{"bitcoin.conf": tt.conf})
			if err != nil {
				t.Fatal(err)
			}
			got := append(c.list(tt.chain, "rpcallowip"), c.list(tt.chain, "rpcbind")...)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBitcoinConfChain(t *testing.T) {
	for _, tt := range []struct {
		conf, want string
		chosen     bool
	}{
		{"", "main", false},
		{"testnet=1", "test", true},
		{"testnet4=1", "testnet4", true},
		{"signet=1", "signet", true},
		{"regtest=1", "regtest", true},
		{"regtest=", "regtest", true},
		{"regtest=0", "main", false},
		{"regtest=true", "main", false}, // Core reads numbers alone
		{"regtest= +7x", "regtest", true},
		{"noregtest=1", "main", false},
		{"noregtest=0", "regtest", true},
		{"regtest=1\nregtest=0", "main", false}, // the last counts
		{"regtest=0\nregtest=1", "regtest", true},
		{"chain=main", "main", true},
		{"chain=test", "test", true},
		{"chain=signet\nchain=regtest", "signet", true}, // the first counts
		{"[regtest]\nregtest=1", "main", false},
		{"signet=0\nchain=regtest", "regtest", true},
	} {
		c, err := readConf(t, map[string]string{"bitcoin.conf": tt.conf})
		if err != nil {
			t.Errorf("%q: %v", tt.conf, err)
			continue
		}
		if got, chosen, err := c.chain(); got != tt.want || chosen != tt.chosen || err != nil {
			t.Errorf("%q selects %s (%v, %v), want %s (%v)", tt.conf, got, chosen, err, tt.want, tt.chosen)
		}
	}
}

func TestBitcoinConfIncludes(t *testing.T) {
	absolute := write(t, "elsewhere.conf", "rpcthreads=9")
	c, err := readConf(t, map[string]string{
		"bitcoin.conf": "rpcuser=main file\nincludeconf=sub/a.conf\nincludeconf=" + absolute + "\n[regtest]\nincludeconf=never.conf\n[main]\nincludeconf=m.conf",
		"sub/a.conf":   "rpcuser=late\nrpcpassword=of a\nincludeconf=never.conf\n[signet]\nrpcport=5",
		"m.conf":       "rpcpassword=of m",
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"rpcuser":     "main file", // what the file itself says comes first
		"rpcpassword": "of m",      // the section's includes come first
		"rpcthreads":  "9",
	} {
		if got, _ := c.get("main", key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got, _ := c.get("signet", "rpcport"); got != "5" {
		t.Errorf("a section of an included file: rpcport is %q", got)
	}

	// An included file selects the chain; what it selects is not included anew.
	c, err = readConf(t, map[string]string{"bitcoin.conf": "includeconf=a\n[regtest]\nincludeconf=never.conf", "a": "regtest=1"})
	if err != nil {
		t.Fatal(err)
	}
	if chain, _, _ := c.chain(); chain != "regtest" {
		t.Errorf("the chain is %s", chain)
	}

	if _, err := readConf(t, map[string]string{"bitcoin.conf": "includeconf=never.conf\nnoincludeconf=1"}); err != nil {
		t.Errorf("a file was included that should not be: %v", err)
	}
}

func TestBitcoinConfMistakes(t *testing.T) {
	many := strings.Repeat("includeconf=a\n", maxIncludes+1)
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a bare word", map[string]string{"bitcoin.conf": "rpcuser=a\n\nhunter2\n"}, "bitcoin.conf:3: "},
		{"a dash", map[string]string{"bitcoin.conf": "-rpcpassword=hunter2"}, "bitcoin.conf:1: "},
		{"half a heading", map[string]string{"bitcoin.conf": "[hunter2"}, "bitcoin.conf:1: "},
		{"a password with #", map[string]string{"bitcoin.conf": "x=1\nrpcpassword=hunter2#x"}, "bitcoin.conf:2: a # in rpcpassword"},
		{"the same in a section", map[string]string{"bitcoin.conf": "[test]\nrpcpassword=hunter2 # note"}, "bitcoin.conf:2: a # in rpcpassword"},
		{"conf", map[string]string{"bitcoin.conf": "conf=hunter2"}, "includeconf"},
		{"two chains", map[string]string{"bitcoin.conf": "signet=1\nregtest=1"}, "more than one of chain"},
		{"two chains in other words", map[string]string{"bitcoin.conf": "chain=main\nregtest=1"}, "more than one of chain"},
		{"two chains in two files", map[string]string{"bitcoin.conf": "signet=1\nincludeconf=a", "a": "regtest=1"}, "more than one of chain"},
		{"no such chain", map[string]string{"bitcoin.conf": "chain=hunter2"}, "chain names no chain"},
		{"no chain", map[string]string{"bitcoin.conf": "nochain=1"}, "chain names no chain"},
		{"no such include", map[string]string{"bitcoin.conf": "includeconf=a.conf"}, "includeconf"},
		{"a mistake in an include", map[string]string{"bitcoin.conf": "includeconf=a.conf", "a.conf": "x=1\nhunter2"}, "a.conf:2: "},
		{"too many includes", map[string]string{"bitcoin.conf": many, "a": ""}, "more than 64"},
		{"too long", map[string]string{"bitcoin.conf": strings.Repeat("#", maxBitcoinConf+1)}, "longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readConf(t, tt.files)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the file is quoted: %v", err)
			}
		})
	}
}

func TestBitcoinConfDynamicSettings(t *testing.T) {
	conf := map[string]string{"bitcoin.conf": "rpcuser=file\nrpcport=1\nrpcallowip=x\nrpcthreads=2\nrpccookiefile=c"}
	for _, tt := range []struct{ json, key, want string }{
		{`{"rpcuser":"dynamic","_warning_":"do not edit"}`, "rpcuser", "dynamic"},
		{`{"rpcport":2}`, "rpcport", "2"},
		{`{"rpcthreads":true}`, "rpcthreads", "1"},
		{`{"rpccookiefile":false}`, "rpccookiefile", ""},
		{`{"rpcuser":null}`, "rpcuser", "file"},
		{`{"rpcuser":[null]}`, "rpcuser", "file"},
		{`{"rpcuser":{"a":1}}`, "rpcuser", "file"},
		{`{"main.rpcuser":"prefixes are none here","norpcuser":true}`, "rpcuser", "file"},
		{`{"rpcallowip":["y","z"]}`, "rpcallowip", "y"},
		{`{}`, "rpcuser", "file"},
	} {
		c, err := readConf(t, conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.readDynamic(write(t, "settings.json", tt.json)); err != nil {
			t.Fatal(err)
		}
		if got, _ := c.get("main", tt.key); got != tt.want {
			t.Errorf("%s: %s is %q, want %q", tt.json, tt.key, got, tt.want)
		}
		if tt.key == "rpcallowip" {
			if got := c.list("main", tt.key); !slices.Equal(got, []string{"y", "z", "x"}) {
				t.Errorf("%s: the list is %q", tt.json, got)
			}
		}
	}
	var c bitcoinConf
	if err := c.readDynamic(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("without the file: %v", err)
	}
	for _, broken := range []string{"", "[]", `"hunter2"`, `{"rpcpassword":"hunter2"`, "null x"} {
		if err := c.readDynamic(write(t, "settings.json", broken)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

func TestCoreBool(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, "1": true, "0": false, "00": false, "01": true, "-1": true, "+1": true, "+-1": false, "-0": false,
		"true": false, "yes": false, "0x1": false, "1x": true, " \v\f2": true, "99999999999999999999": true, "-": false, "--1": false,
	} {
		if got := coreBool(value); got != want {
			t.Errorf("coreBool(%q) = %v", value, got)
		}
	}
}

func FuzzBitcoinConf(f *testing.F) {
	f.Add("rpcuser=a\n# c\n[test]\nrpcport=1\nnolisten=1\nregtest.rpcbind=x\n", `{"rpcport":3}`)
	f.Add("includeconf=bitcoin.conf\nchain=regtest\n[]\n[=]\n=\n", `[]`)
	f.Add("norpcport=1\nrpcport=\n[x", `{"rpcport":[1,false,"x",null]}`)
	f.Fuzz(func(t *testing.T, conf, dynamic string) {
		c := &bitcoinConf{sections: make(map[string]map[string]coreValues)}
		if c.readText("bitcoin.conf", []byte(conf)) != nil {
			return
		}
		if chain, _, err := c.chain(); err == nil {
			if _, ok := coreNetworks()[chain]; !ok {
				t.Errorf("the chain is %q", chain)
			}
		}
		_ = c.readJSON([]byte(dynamic))
		for in, section := range c.sections {
			if strings.Contains(in, ".") {
				t.Errorf("a section is called %q", in)
			}
			for name, values := range section {
				value, state := c.get(in, name)
				list := c.list(in, name)
				if strings.ContainsAny(name+value, "\n#") {
					t.Errorf("%q=%q spans lines", name, value)
				}
				if state == set && len(c.dynamic[name]) == 0 && !networkOnly(name) && (len(list) == 0 || list[0] != value) {
					t.Errorf("%s of %q is %q, and all its values are %q", name, in, value, list)
				}
				if len(list) > len(c.dynamic[name])+len(values)+len(c.sections[""][name]) {
					t.Errorf("%s of %q has %d values", name, in, len(list))
				}
			}
		}
		for _, network := range networkNames() {
			if address, err := c.rpcAddress(network, "1"); err == nil && address == "" {
				t.Error("the address is empty")
			}
		}
	})
}
