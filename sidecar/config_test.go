package sidecar

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
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
	file := write(t, "outrider.yaml", "btcd-dir: "+btcd+"\npoll: 1s\nresync: 1m\nhttp: 127.0.0.1:1111\nworkers: 3\nnode-notls: true\n")
	cfg, err := LoadConfig(Sources{
		File:    file,
		Environ: []string{"OUTRIDER_POLL=2s", "OUTRIDER_RESYNC=2m", "OUTRIDER_NODE_USER=mine", "OUTRIDER_NODE_PASSWORD=secret", "PATH=/bin", "OUTRIDER_VECTORS=/v"},
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
	if cfg.Node.User != "mine" || cfg.Node.Password != "secret" || cfg.Node.Address != "127.0.0.1:8334" {
		t.Errorf("node is %s at %s: what is found must fill in what is not set", cfg.Node.User, cfg.Node.Address)
	}
	if cfg.Branches != DefaultConfig().Branches {
		t.Errorf("branches is %v, not the default", cfg.Branches)
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
			"cache-bytes": "1",
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"poll", "node-address:", "no-such-thing", "branches", "workers", "node-password-file", "network", "http:", "node-user, node-password",
		"node-notls", "start", "log-level", "log-format", "nice", "cache-bytes",
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
		file := write(t, "o.yaml", "node-kind: btcd\nnode-address: localhost:1\nnode-user: u\nnode-password: "+password+"\n")
		cfg, err := LoadConfig(Sources{File: file, Environ: nowhere(t)})
		if err != nil || cfg.Node.Password != password {
			t.Errorf("password %s became %q (%v)", password, cfg.Node.Password, err)
		}
	}
}

// Credentials are found for an address that was set, too, and only as a pair.
func TestLoadConfigTakesCredentialsAsAPair(t *testing.T) {
	btcd := filepath.Dir(write(t, "btcd.conf", "rpcuser=a\nrpcpass=b\nrpclimituser=l\nrpclimitpass=m\n"))
	flags := map[string]string{"btcd-dir": btcd, "node-address": "localhost:7"}
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
		for name, value := range got {
			if strings.ContainsAny(name+value, "\n") {
				t.Errorf("%q=%q spans lines", name, value)
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
