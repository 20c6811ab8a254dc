package sidecar

import (
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"

	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sigverify"
)

// write puts content into a file of a new directory and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// nowhere returns an environment in which no node of this machine is found. What
// a test says itself goes before it.
func nowhere(t *testing.T, environ ...string) []string {
	t.Helper()
	return append([]string{"OUTRIDER_BTCD_DIR=" + t.TempDir()}, environ...)
}

func TestLoadConfigPrecedence(t *testing.T) {
	btcd := filepath.Dir(write(t, "btcd.conf", "rpcuser=found\nrpcpass=found\n"))
	file := write(t, "outrider.yaml", "btcd-dir: "+btcd+"\npoll: 1s\nresync: 1m\nhttp: 127.0.0.1:1111\nworkers: 3\nnode-notls: true\nsigverify: scalar\n")
	cfg, err := LoadConfig(Sources{
		File:    file,
		Environ: []string{"OUTRIDER_POLL=2s", "OUTRIDER_RESYNC=2m", "OUTRIDER_NODE_USER=mine", "OUTRIDER_NODE_PASSWORD=secret", "PATH=/bin", "OUTRIDER_VECTORS=/v", "OUTRIDER_RELAYS=/r", "OUTRIDER_SIGVERIFY_RECHECK=64", "OUTRIDER_SIGVERIFY_BULK=1", "OUTRIDER_SEED=1", "OUTRIDER_RELAY_BULK=1", "OUTRIDER_RELAY_SEED=1", "OUTRIDER_CATCHUP_BULK=1"},
		Flags:   map[string]string{"poll": "3s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Poll != 3*time.Second {
		t.Errorf("poll is %v: a flag must win over the environment", cfg.Poll)
	}
	if cfg.Resync != 2*time.Minute {
		t.Errorf("resync is %v: the environment must win over the file", cfg.Resync)
	}
	if cfg.HTTP != "127.0.0.1:1111" || cfg.Workers != 3 {
		t.Errorf("http is %s, workers %d: the file must win over the defaults", cfg.HTTP, cfg.Workers)
	}
	if cfg.SigPath != sigverify.PathScalar || cfg.SigRecheck != 64 {
		t.Errorf("signatures are verified by %q and one in %d twice, want scalar and 64", cfg.SigPath, cfg.SigRecheck)
	}
	if cfg.Node.User != "mine" || cfg.Node.Password != "secret" || cfg.Node.Address != "127.0.0.1:8334" {
		t.Errorf("node is %s at %s: what is found must fill in what is not set", cfg.Node.User, cfg.Node.Address)
	}
	if cfg.Branches != DefaultConfig().Branches {
		t.Errorf("branches is %v, not the default", cfg.Branches)
	}
}

// Every variable of ours that a file of the project names is a setting, or known to be
// the tests', and a sidecar starts where all of those are set.
func TestVariables(t *testing.T) {
	settings := make(map[string]bool)
	for _, st := range Settings() {
		settings[variable(st.Name)] = true
	}
	// Of these the one names the file of settings, and the other stands for any.
	named := map[string]bool{"OUTRIDER_CONFIG": true, "OUTRIDER_NAME": true}
	environ := []string{"OUTRIDER_NODE_KIND=btcd", "OUTRIDER_NODE_ADDRESS=127.0.0.1:1", "OUTRIDER_NODE_NOTLS=true", "OUTRIDER_NODE_USER=u", "OUTRIDER_NODE_PASSWORD=p"}
	unused := make(map[string]bool)
	for _, name := range forTests {
		if v := variable(name); settings[v] || unused[v] {
			t.Errorf("%s is there twice, or a setting", v)
		} else {
			unused[v] = true
			environ = append(environ, v+"=1")
		}
	}
	ours := regexp.MustCompile(`\bOUTRIDER_[A-Z0-9_]*[A-Z0-9]\b`)
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := filepath.Base(path)
		if d.IsDir() && (base == ".git" || base == "node_modules" || base == "bin") {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(base, ".go") && !strings.HasSuffix(base, ".md") && base != "Makefile" && filepath.Dir(path) != ".ci" {
			return nil
		}
		content, err := os.ReadFile(filepath.Join("..", path))
		for _, found := range ours.FindAll(content, -1) {
			name := string(found)
			if base != "config_test.go" { // which names some, and uses none
				delete(unused, name)
			}
			if !settings[name] && !named[name] && !slices.ContainsFunc(forTests[:], func(n string) bool { return variable(n) == name }) {
				t.Errorf("%s names %s, which is neither a setting nor among forTests", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range unused {
		t.Errorf("%s is among forTests, and no file names it", name)
	}
	if _, err := LoadConfig(Sources{File: write(t, "outrider.yaml", ""), Environ: nowhere(t, environ...)}); err != nil {
		t.Errorf("with all the tests' variables set: %v", err)
	}
}

func TestLoadConfigListsEveryMistake(t *testing.T) {
	file := write(t, "outrider.yaml", "poll: 5 parsecs\nno-such-thing: 1\nbranches: [1, 2]\n")
	_, err := LoadConfig(Sources{
		File:    file,
		Environ: nowhere(t, "OUTRIDER_WORKERS=-1", "OUTRIDER_NODE_PASSWORD_FILE="+filepath.Join(t.TempDir(), "none")),
		Flags: map[string]string{
			"network": "mainnett", "http": "0.0.0.0:9330", "node-address": "nonsense", "node-user": "u",
			"node-notls": "yes please", "start": "soon", "log-level": "loud", "log-format": "xml", "nice": "-5",
			"utxo-bytes": "1", "memory-limit": "1000", "db-bytes": "800000000", "utxo-mode": "half", "utxo-compare": "now", "signet-challenge": "OP_TRUE", "sigverify": "fast", "sigverify-recheck": "0", "elastic-floor": "4",
			"perf-budget": "0", "perf-min-effect": "NaN", "perf-guard": "25%",
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"poll", "node-address:", "no-such-thing", "branches", "workers", "node-password-file", "network", "http:", "node-user, node-password",
		"node-notls", "start", "log-level", "log-format", "nice", "utxo-bytes", "memory-limit: 1000 is too little", "db-bytes: 800000000 is more than half", "utxo-mode", "utxo-compare", "signet-challenge: \"OP_TRUE\": must be a script in hexadecimal digits",
		"sigverify: \"fast\"", "sigverify-recheck", "elastic-floor: \"4\"", "perf-budget: \"0\": must be a number from 0.1 to 20, in percent", "perf-min-effect: \"NaN\"", "perf-guard: \"25%\"",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the mistake in %q is not in the message:\n%v", want, err)
		}
	}
}

func TestLoadConfigListsAMissingNodeBesideOtherMistakes(t *testing.T) {
	flags := map[string]string{"http": "0.0.0.0:9330", "btcd-dir": t.TempDir()}
	_, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: flags})
	if err == nil || !strings.Contains(err.Error(), "btcd.conf") || !strings.Contains(err.Error(), "http-allow-remote") {
		t.Errorf("got %v", err)
	}
}

func TestLoadConfigKeepsAPasswordsText(t *testing.T) {
	for _, password := range []string{"0123456", "0x1f", "1e10", "1_000", "true", "null", "~", "2026-11-23"} {
		file := write(t, "o.yaml", "node-kind: btcd\nnode-notls: true\nnode-address: localhost:1\nnode-user: u\nnode-password: "+password+"\n")
		cfg, err := LoadConfig(Sources{File: file, Environ: nowhere(t)})
		if err != nil || cfg.Node.Password != password {
			t.Errorf("password %s became %q (%v)", password, cfg.Node.Password, err)
		}
	}
}

// Credentials are found for an address that was set, too, and only as a pair.
func TestLoadConfigTakesCredentialsAsAPair(t *testing.T) {
	btcd := filepath.Dir(write(t, "btcd.conf", "rpcuser=a\nrpcpass=b\nrpclimituser=l\nrpclimitpass=m\n"))
	flags := map[string]string{"btcd-dir": btcd, "node-address": "localhost:7", "node-notls": "true"}
	cfg, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: flags})
	if err != nil || cfg.Node.Address != "localhost:7" || cfg.Node.User != "l" || cfg.Node.Password != "m" {
		t.Errorf("got %s as %s (%v)", cfg.Node.Address, cfg.Node.User, err)
	}
	flags["node-user"] = "other"
	if _, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: flags}); err == nil || !strings.Contains(err.Error(), "node-password") {
		t.Errorf("a user took another one's password: %v", err)
	}
}

func TestLoadConfigNeverTellsThePassword(t *testing.T) {
	if _, err := LoadConfig(Sources{File: write(t, "outrider.yaml", "hunter2"), Environ: nowhere(t)}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a file that is a bare word: %v", err)
	}
	_, err := LoadConfig(Sources{
		File:    write(t, "outrider.yaml", "node-password: hunter2\nnode-address: nonsense\n"),
		Environ: nowhere(t, "OUTRIDER_NODE_PASSWORD=hunter2"),
	})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	for _, st := range Settings() {
		if strings.Contains(st.Name, "password") && st.Name != "node-password-file" && !st.Secret {
			t.Errorf("%s would be a flag", st.Name)
		}
	}
}

func TestNoTLSIsForLoopbackOnly(t *testing.T) {
	flags := map[string]string{"node-user": "u", "node-notls": "true", "node-address": "192.0.2.1:8334"}
	environ := nowhere(t, "OUTRIDER_NODE_PASSWORD=p")
	if _, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: flags, Environ: environ}); err == nil {
		t.Error("a password would cross the network in the clear")
	}
	flags["node-address"] = "localhost:8334"
	if _, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: flags, Environ: environ}); err != nil {
		t.Error(err)
	}
}

func TestFindBtcd(t *testing.T) {
	tests := []struct {
		name, conf           string
		address, user, notls string
	}{
		{"main", "rpcuser=a\nrpcpass=b", "127.0.0.1:8334", "a", "false"},
		{"sections and comments", "[Application Options]\n; rpcuser=x\n# y\n rpcuser = a \nrpcpass=\"b\"", "127.0.0.1:8334", "a", "false"},
		{"limited user", "rpcuser=a\nrpcpass=b\nrpclimituser=l\nrpclimitpass=m", "127.0.0.1:8334", "l", "false"},
		{"regtest", "regtest=1\nrpcuser=a\nrpcpass=b", "127.0.0.1:18334", "a", "false"},
		{"testnet off", "testnet=0\nrpcuser=a\nrpcpass=b", "127.0.0.1:8334", "a", "false"},
		{"simnet without a value", "simnet\nrpcuser=a\nrpcpass=b", "127.0.0.1:18556", "a", "false"},
		{"all interfaces", "rpclisten=0.0.0.0\nrpcuser=a\nrpcpass=b", "127.0.0.1:8334", "a", "false"},
		{"port only", "rpclisten=:8337\nrpcuser=a\nrpcpass=b", "127.0.0.1:8337", "a", "false"},
		{"first of two", "rpclisten=10.1.1.1:1\nrpclisten=10.1.1.2:2\nrpcuser=a\nrpcpass=b", "10.1.1.1:1", "a", "false"},
		{"IPv6", "rpclisten=[::1]:9\nrpcuser=a\nrpcpass=b\nnotls=1", "[::1]:9", "a", "true"},
		{"port missing", "rpclisten=127.0.0.1:\nrpcuser=a\nrpcpass=b", "127.0.0.1:8334", "a", "false"},
		{"last of two", "rpcuser=x\nrpcuser=a\nrpcpass=b\nnotls=1\nnotls=0\nregtest=1\nregtest=0", "127.0.0.1:8334", "a", "false"},
		{"RPC switched on again", "norpc=1\nnorpc=0\nrpcuser=a\nrpcpass=b", "127.0.0.1:8334", "a", "false"},
		{"IPv6 any", "rpclisten=[::]\nrpcuser=a\nrpcpass=b", "[::1]:8334", "a", "false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := DefaultConfig()
			c.BtcdDir = filepath.Dir(write(t, "btcd.conf", tt.conf))
			if err := c.findBtcd(false); err != nil {
				t.Fatal(err)
			}
			if c.Node.Address != tt.address || c.Node.User != tt.user || c.Node.NoTLS != (tt.notls == "true") {
				t.Errorf("got %s as %s, notls %v", c.Node.Address, c.Node.User, c.Node.NoTLS)
			}
		})
	}
}

func TestFindBtcdSaysWhatToDo(t *testing.T) {
	c := DefaultConfig()
	c.BtcdDir = t.TempDir()
	if err := c.findBtcd(false); err == nil || !strings.Contains(err.Error(), "node-address") {
		t.Errorf("without btcd.conf: %v", err)
	}
	c.BtcdDir = filepath.Dir(write(t, "btcd.conf", "rpcuser=a\n"))
	if err := c.findBtcd(false); err == nil || !strings.Contains(err.Error(), "rpcpass") {
		t.Errorf("without credentials: %v", err)
	}
	for _, off := range []string{"norpc=1", "norpc"} {
		c = DefaultConfig()
		c.BtcdDir = filepath.Dir(write(t, "btcd.conf", "rpcuser=a\nrpcpass=b\n"+off+"\n"))
		if err := c.findBtcd(false); err == nil || !strings.Contains(err.Error(), "norpc") {
			t.Errorf("with %s: %v", off, err)
		}
		if err := c.findBtcd(true); err != nil || c.Node.User != "a" {
			t.Errorf("with %s, and an address of its own: %v", off, err)
		}
	}
}

// A path of btcd.conf may have a ~ or variables in it.
func TestFindBtcdsCertificate(t *testing.T) {
	t.Setenv("WHERE", "some/where")
	home := filepath.Dir(btcutil.AppDataDir("btcd", false))
	for conf, want := range map[string]string{
		"":                        "",
		"rpccert=":                "",
		"rpccert=~/rpc.cert":      filepath.Join(home, "rpc.cert"),
		"rpccert=/x/../y/c.pem":   filepath.FromSlash("/y/c.pem"),
		"rpccert=/$WHERE/c.pem":   filepath.FromSlash("/some/where/c.pem"),
		"rpccert=/${WHERE}/c.pem": filepath.FromSlash("/some/where/c.pem"),
		"rpccert=/x\nrpccert=/~":  filepath.FromSlash("/~"),
	} {
		c := DefaultConfig()
		c.BtcdDir = filepath.Dir(write(t, "btcd.conf", "rpcuser=a\nrpcpass=b\n"+conf))
		if err := c.findBtcd(false); err != nil || c.Node.Certificate != want {
			t.Errorf("%q: %q, want %q (%v)", conf, c.Node.Certificate, want, err)
		}
	}
}

// What would fail at the start is a mistake of the configuration.
func TestLoadConfigLooksAtFiles(t *testing.T) {
	file := write(t, "file", "")
	btcd := []string{"OUTRIDER_NODE_PASSWORD=p"}
	flags := map[string]string{"node-kind": "btcd", "node-address": "localhost:1", "node-user": "u"}
	load := func(more map[string]string) error {
		all := maps.Clone(flags)
		maps.Copy(all, more)
		_, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: all, Environ: nowhere(t, btcd...)})
		return err
	}
	certificate := nodetest.NewBtcd(t, nodetest.BtcdOptions{}).Certificate()
	good := write(t, "rpc.cert", string(certificate))
	for _, tt := range []struct {
		name  string
		flags map[string]string
		want  []string // nil for no error
	}{
		{"good", map[string]string{"node-certificate": good, "datadir": t.TempDir()}, nil},
		{"a directory to make", map[string]string{"node-certificate": good, "datadir": filepath.Join(t.TempDir(), "a", "b")}, nil},
		{"neither", map[string]string{"node-certificate": filepath.Join(t.TempDir(), "none"), "datadir": file}, []string{"node-certificate: no certificate", "datadir: ", "not a directory"}},
		{"no certificate beside btcd", nil, []string{"node-certificate: no certificate", "rpc.cert"}},
		{"no need of a certificate", map[string]string{"node-notls": "true"}, nil},
		{"below a file", map[string]string{"node-certificate": good, "datadir": filepath.Join(file, "x")}, []string{"datadir: "}},
	} {
		err := load(tt.flags)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, part := range tt.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", tt.name, err, part)
			}
		}
	}
	locked := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.WriteFile(filepath.Join(locked, "x"), nil, 0o600) == nil {
		t.Log("not checked: a directory that may not be written to, for this user may write to all")
		return
	}
	if err := load(map[string]string{"node-certificate": good, "datadir": filepath.Join(locked, "x", "y")}); err == nil || !strings.Contains(err.Error(), "may not write to "+locked) {
		t.Errorf("a directory that may not be written to: %v", err)
	}
}

func TestNetworkNames(t *testing.T) {
	for name, want := range map[string]string{
		"main": "main", "mainnet": "main", "test": "test", "testnet": "test", "testnet3": "test", "testnet4": "testnet4",
		"signet": "signet", "regtest": "regtest", "simnet": "simnet", "Main": "", "": "",
	} {
		var c Config
		if err := setNetwork(&c, name); c.Network != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q (%v)", name, c.Network, err)
		}
	}
}

func TestSignetChallengeSetting(t *testing.T) {
	for value, want := range map[string]string{"51": "", "AC51": "", "": "must not be empty", "5": "hexadecimal digits", "0x51": "hexadecimal digits"} {
		cfg, err := LoadConfig(Sources{
			File:    write(t, "o.yaml", "node-kind: btcd\nnode-notls: true\nnode-address: localhost:1\nnode-user: u\nnode-password: p\n"),
			Environ: nowhere(t, "OUTRIDER_SIGNET_CHALLENGE="+value),
		})
		switch {
		case want == "" && (err != nil || hex.EncodeToString(cfg.Node.SignetChallenge) != strings.ToLower(value)):
			t.Errorf("%q is %x (%v)", value, cfg.Node.SignetChallenge, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), "signet-challenge: ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v", value, err)
		}
	}
}

func FuzzReadBtcdConf(f *testing.F) {
	f.Add("rpcuser=a\n;x\n[s]\nnotls\n = \n=")
	f.Fuzz(func(t *testing.T, conf string) {
		path := filepath.Join(t.TempDir(), "btcd.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readBtcdConf(path)
		if err != nil {
			return
		}
		for name, values := range got {
			if len(values) == 0 || got.last(name) != values[len(values)-1] {
				t.Errorf("of %q %q counts, of %q", name, got.last(name), values)
			}
			for _, value := range values {
				if strings.ContainsAny(name+value, "\n") {
					t.Errorf("%q=%q spans lines", name, value)
				}
			}
		}
	})
}

// The defaults that the help tells are the true ones.
func TestSettingsTellTheirDefaults(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	want, got := DefaultConfig(), Config{Nice: -1}
	for _, st := range Settings() {
		_, value, ok := strings.Cut(st.Help, "(default: ")
		value = strings.Replace(strings.TrimSuffix(value, ")"), "~", home, 1)
		if !ok || strings.Contains(value, " ") || value == "any" || st.Name == "node-certificate" {
			continue
		}
		if err := st.set(&got, value); err != nil {
			t.Errorf("%s: its default %q: %v", st.Name, value, err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the help tells of\n%+v\nthe defaults are\n%+v", got, want)
	}
}

// What is to be watched of BOB comes from the environment, mistakes say what to do, and no
// address is told: it may contain a key.
func TestBOBSettings(t *testing.T) {
	node := []string{"OUTRIDER_NODE_KIND=bitcoind", "OUTRIDER_NODE_ADDRESS=127.0.0.1:1", "OUTRIDER_NODE_USER=u", "OUTRIDER_NODE_PASSWORD=p"}
	load := func(more ...string) (Config, error) {
		dir := t.TempDir()
		return LoadConfig(Sources{Environ: append(append([]string{"OUTRIDER_DATADIR=" + dir}, node...), more...)})
	}
	const relay = "OUTRIDER_BOB_RELAY=0x9fe7ef727da3d79e0308ff43f31ea1d077ee9f41"
	cfg, err := load("OUTRIDER_BOB_L2=mine=http://127.0.0.1:8545, https://rpc.example/0123456789secret", "OUTRIDER_BOB_OP_NODE=http://127.0.0.1:9545",
		"OUTRIDER_BOB_L1=eth=https://ethereum.example/v3/0123456789secret", "OUTRIDER_BOB_L1_CHAIN_ID=11155111",
		relay, "OUTRIDER_BOB_RELAY_KIND=light", "OUTRIDER_BOB_CHAIN_ID=808813", "OUTRIDER_BOB_CONFIRMATIONS=9", "OUTRIDER_BOB_SUBMIT_POLL=250ms")
	if err != nil {
		t.Fatal(err)
	}
	b := cfg.BOB
	if len(b.Execution) != 2 || b.Execution[0].Name != "mine" || b.Execution[0].URL != "http://127.0.0.1:8545" || b.Execution[1].Name != "l2-2" ||
		len(b.OpNodes) != 1 || b.OpNodes[0].Name != "op-node-1" || b.Relay[0] != 0x9f || b.Relay[19] != 0x41 || b.Kind != "light" || b.ChainID != 808813 || b.Confirmations != 9 || b.Poll != 250*time.Millisecond {
		t.Errorf("it is %+v", b)
	}
	if len(b.L1) != 1 || b.L1[0].Name != "eth" || b.L1[0].URL != "https://ethereum.example/v3/0123456789secret" || b.L1ChainID != 11155111 {
		t.Errorf("Ethereum is %+v of %d", b.L1, b.L1ChainID)
	}
	if cfg, err := load(); err != nil || cfg.BOB.Enabled() || len(cfg.BOB.L1) != 0 || cfg.BOB.ChainID != 0 {
		t.Errorf("by default it is %+v, %v", cfg.BOB, err)
	}
	for _, tt := range []struct {
		want string
		set  []string
	}{
		{"bob-l2: endpoint l2-1: its address", []string{"OUTRIDER_BOB_L2=ftp://secret-host/key"}},
		{"bob-op-node: endpoint op-node-1: its address", []string{"OUTRIDER_BOB_OP_NODE=secret-host"}},
		{"bob-l1: endpoint l1-1: its address", []string{"OUTRIDER_BOB_L1=ws://secret-host"}},
		{"bob-l1: Ethereum is watched beside BOB", []string{"OUTRIDER_BOB_L1=http://secret-host"}},
		{"two nodes are called", []string{"OUTRIDER_BOB_L2=x=http://secret-host", "OUTRIDER_BOB_L1=x=http://secret-host"}},
		{"two nodes are called", []string{"OUTRIDER_BOB_L2=x=http://secret-host", "OUTRIDER_BOB_OP_NODE=x=http://secret-host"}},
		{"set OUTRIDER_BOB_L2", []string{relay, "OUTRIDER_BOB_RELAY_KIND=full", "OUTRIDER_BOB_OP_NODE=http://secret-host"}},
		{"say what the relay is", []string{relay, "OUTRIDER_BOB_L2=http://secret-host"}},
		{"there is a kind of relay and no address", []string{"OUTRIDER_BOB_L2=http://secret-host", "OUTRIDER_BOB_RELAY_KIND=full"}},
		{"40 hexadecimal digits", []string{"OUTRIDER_BOB_RELAY=0x12"}},
		{"must not be the zero address", []string{"OUTRIDER_BOB_RELAY=0x0000000000000000000000000000000000000000"}},
		{"must be full, full-verify or light", []string{"OUTRIDER_BOB_RELAY_KIND=heavy"}},
		{"must be a whole number from 1 to 255", []string{"OUTRIDER_BOB_CONFIRMATIONS=0"}},
		{"must be a duration from 10ms to 1h", []string{"OUTRIDER_BOB_SUBMIT_POLL=5"}},
	} {
		_, err := load(tt.set...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.set, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("an address is told: %v", err)
		}
	}
	// Who can do without the Bitcoin node hears of it apart.
	cfg, nodeErr, err := LoadWithoutNode(Sources{Environ: []string{"OUTRIDER_DATADIR=" + t.TempDir(), "OUTRIDER_BOB_L2=http://127.0.0.1:1", "OUTRIDER_NODE_KIND=bitcoind", "OUTRIDER_NODE_ADDRESS=127.0.0.1:1"}})
	if err != nil || nodeErr == nil || !strings.Contains(nodeErr.Error(), "node-") || !cfg.BOB.Enabled() {
		t.Errorf("without a node: %+v, %v, %v", cfg.BOB, nodeErr, err)
	}
	if _, _, err := LoadWithoutNode(Sources{Environ: []string{"OUTRIDER_BOB_L2=x"}}); err == nil {
		t.Error("another mistake is none")
	}
	for _, st := range Settings() {
		if st.Secret != (st.Name == "bob-l2" || st.Name == "bob-op-node" || st.Name == "bob-l1" || st.Name == "bob-signer") && strings.HasPrefix(st.Name, "bob-") {
			t.Errorf("%s is secret: %v", st.Name, st.Secret)
		}
	}
}

// A sidecar that watches BOB has its knobs and tells what it knows, goes on though nobody of
// BOB answers, and ends.
func TestWatchesBOB(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.BOB = nobodysBOB()
	r.btcd.Mine(3)
	r.run(t)
	r.awaitTip(t)
	for _, k := range r.s.Knobs() {
		if !engine.Registrable(k.Name) {
			t.Errorf("%s cannot be handed to an optimizer", k.Name)
		}
	}
	r.checkKnobs(t, "bob.l2_poll_interval", "bob.l2_batch_size", "bob.l2_hedge_delay", "bob.l2_concurrency", "bob.l1_poll_interval", "bob.l1_hedge_delay", "bob.l1_concurrency")
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		st := r.s.Status().BOB
		if st == nil || len(st.Nodes) != 3 {
			t.Fatalf("the status is %+v", st)
		}
		if st.L1 != nil && len(st.L1.Faults) == 3 && st.Relay != nil && !st.Relay.Relay.Known && st.Relay.Relay.Reason != "" && len(st.Heads) == 3 && st.Heads[0].Sources == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the status stays %+v", st)
		}
	}
	if err := r.stop(); err != nil {
		t.Errorf("the sidecar ended with %v", err)
	}
	none := newRider(t, nodetest.BtcdOptions{})
	none.run(t)
	if st := none.s.Status().BOB; st != nil {
		t.Errorf("nothing was to be watched, and the status is %+v", st)
	}
}
