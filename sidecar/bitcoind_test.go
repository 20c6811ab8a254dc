package sidecar

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBitcoinDir(t *testing.T) {
	old := t.TempDir()
	if err := os.Mkdir(filepath.Join(old, "Bitcoin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		goos, appData string
		want          string
	}{
		{"linux", "", filepath.Join("home", ".bitcoin")},
		{"freebsd", "", filepath.Join("home", ".bitcoin")},
		{"darwin", "", filepath.Join("home", "Library", "Application Support", "Bitcoin")},
		{"windows", "", filepath.Join("local", "Bitcoin")},
		{"windows", "nowhere", filepath.Join("local", "Bitcoin")},
		{"windows", old, filepath.Join(old, "Bitcoin")}, // an old installation stays
	} {
		env := map[string]string{"LOCALAPPDATA": "local", "APPDATA": tt.appData}
		if got := bitcoinDir(tt.goos, "home", func(name string) string { return env[name] }); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.goos, got, tt.want)
		}
	}
}

// loadBeside loads a configuration as if dir were the home directory, so that
// bitcoin-dir is by default the .bitcoin below it.
func loadBeside(t *testing.T, home string, flags map[string]string) (Config, error) {
	t.Helper()
	t.Setenv("HOME", home)
	file := write(t, "outrider.yaml", "")
	cfg := DefaultConfig()
	all := map[string]string{"node-kind": "bitcoind"}      // whatever else is on this machine
	if cfg.BitcoinDir != filepath.Join(home, ".bitcoin") { // another system
		all["bitcoin-dir"] = filepath.Join(home, ".bitcoin")
	}
	maps.Copy(all, flags)
	return LoadConfig(Sources{File: file, Flags: all})
}

func TestFindBitcoind(t *testing.T) {
	const cookie = "__cookie__:c00c1e"
	for _, tt := range []struct {
		name  string
		files map[string]string // below the home directory
		flags map[string]string
		// What is found; DIR stands for the .bitcoin.
		address, cookie, user, blocks string
		threads                       int
	}{
		{
			name: "no configuration, not running", files: map[string]string{".bitcoin/settings.json": "{}"},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "a cookie", files: map[string]string{".bitcoin/.cookie": cookie},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "the only cookie", files: map[string]string{".bitcoin/bitcoin.conf": "[regtest]\nrpcport=7", ".bitcoin/regtest/.cookie": cookie},
			address: "127.0.0.1:7", cookie: "DIR/regtest/.cookie", blocks: "DIR/regtest/blocks",
		},
		{
			name: "testnet3's directory", files: map[string]string{".bitcoin/testnet3/.cookie": cookie},
			address: "127.0.0.1:18332", cookie: "DIR/testnet3/.cookie", blocks: "DIR/testnet3/blocks",
		},
		{
			name: "bitcoin.conf before cookies", files: map[string]string{".bitcoin/bitcoin.conf": "signet=1", ".bitcoin/regtest/.cookie": cookie},
			address: "127.0.0.1:38332", cookie: "DIR/signet/.cookie", blocks: "DIR/signet/blocks",
		},
		{
			name: "network before bitcoin.conf", files: map[string]string{".bitcoin/bitcoin.conf": "signet=1"}, flags: map[string]string{"network": "testnet4"},
			address: "127.0.0.1:48332", cookie: "DIR/testnet4/.cookie", blocks: "DIR/testnet4/blocks",
		},
		{
			name:  "network among cookies",
			files: map[string]string{".bitcoin/.cookie": cookie, ".bitcoin/regtest/.cookie": cookie}, flags: map[string]string{"network": "regtest"},
			address: "127.0.0.1:18443", cookie: "DIR/regtest/.cookie", blocks: "DIR/regtest/blocks",
		},
		{
			name:  "an address among cookies",
			files: map[string]string{".bitcoin/.cookie": cookie, ".bitcoin/regtest/.cookie": cookie}, flags: map[string]string{"node-address": "localhost:18443"},
			address: "localhost:18443", cookie: "DIR/regtest/.cookie", blocks: "DIR/regtest/blocks",
		},
		{
			name: "the port of another section", files: map[string]string{".bitcoin/bitcoin.conf": "rpcport=7\n[test]\nrpcport=8", ".bitcoin/regtest/.cookie": cookie},
			address: "127.0.0.1:18443", cookie: "DIR/regtest/.cookie", blocks: "DIR/regtest/blocks",
		},
		{
			name: "password", files: map[string]string{".bitcoin/bitcoin.conf": "rpcuser=u\nrpcpassword=p\nrpcport=7\nrpcthreads=3"},
			address: "127.0.0.1:7", user: "u", blocks: "DIR/blocks", threads: 3,
		},
		{
			name: "an empty password is none", files: map[string]string{".bitcoin/bitcoin.conf": "rpcuser=u\nrpcpassword="},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "a cookie elsewhere", files: map[string]string{".bitcoin/bitcoin.conf": "regtest=1\nrpccookiefile=sub/c"},
			address: "127.0.0.1:18443", cookie: "DIR/regtest/sub/c", blocks: "DIR/regtest/blocks",
		},
		{
			name: "an empty rpccookiefile", files: map[string]string{".bitcoin/bitcoin.conf": "rpccookiefile="},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "no cookie, but a user by rpcauth", files: map[string]string{".bitcoin/bitcoin.conf": "norpccookiefile=1\nrpcauth=u:s$h"},
			flags:   map[string]string{"node-user": "u", "node-password-file": "PASSWORD"},
			address: "127.0.0.1:8332", user: "u", blocks: "DIR/blocks",
		},
		{
			name: "rpcbind needs rpcallowip", files: map[string]string{".bitcoin/bitcoin.conf": "rpcbind=10.0.0.1:9"},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "loopback of several", files: map[string]string{".bitcoin/bitcoin.conf": "rpcallowip=10.0.0.0/8\nrpcbind=10.0.0.1\nrpcbind=[::1]:9\nrpcport=7"},
			address: "[::1]:9", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "all interfaces", files: map[string]string{".bitcoin/bitcoin.conf": "rpcallowip=0.0.0.0/0\nrpcbind=0.0.0.0\nrpcport=7"},
			address: "127.0.0.1:7", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "rpcconnect, as bitcoin-cli has it", files: map[string]string{".bitcoin/bitcoin.conf": "rpcconnect=::1"},
			address: "[::1]:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "settings.json", files: map[string]string{".bitcoin/bitcoin.conf": "regtest=1", ".bitcoin/regtest/settings.json": `{"rpcport":"9"}`, ".bitcoin/settings.json": `{"rpcport":"8"}`},
			address: "127.0.0.1:9", cookie: "DIR/regtest/.cookie", blocks: "DIR/regtest/blocks",
		},
		{
			name: "another chain's settings.json", files: map[string]string{".bitcoin/bitcoin.conf": "regtest=1", ".bitcoin/settings.json": `{"rpcport":"8"}`},
			address: "127.0.0.1:18443", cookie: "DIR/regtest/.cookie", blocks: "DIR/regtest/blocks",
		},
		{
			name: "a cookie that is set", files: map[string]string{".bitcoin/bitcoin.conf": "rpcuser=u\nrpcpassword=p"}, flags: map[string]string{"node-cookie": "/c"},
			address: "127.0.0.1:8332", cookie: "/c", blocks: "DIR/blocks",
		},
		{
			name: "an empty password file", files: map[string]string{".bitcoin/.cookie": cookie}, flags: map[string]string{"node-password-file": "NO PASSWORD"},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie", blocks: "DIR/blocks",
		},
		{
			name: "no blocks", files: map[string]string{".bitcoin/.cookie": cookie}, flags: map[string]string{"blocks-dir": "off"},
			address: "127.0.0.1:8332", cookie: "DIR/.cookie",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := writeAll(t, tt.files)
			flags := maps.Clone(tt.flags)
			for name, value := range flags {
				switch value {
				case "PASSWORD":
					flags[name] = write(t, "password", "p\n")
				case "NO PASSWORD":
					flags[name] = write(t, "password", "\n")
				}
			}
			cfg, err := loadBeside(t, home, flags)
			if err != nil {
				t.Fatal(err)
			}
			place := func(path string) string {
				return filepath.FromSlash(strings.Replace(path, "DIR", filepath.ToSlash(filepath.Join(home, ".bitcoin")), 1))
			}
			n := &cfg.Node
			if n.Kind != KindBitcoind || n.Address != tt.address || n.Cookie != place(tt.cookie) || n.User != tt.user ||
				n.BlocksDir != place(tt.blocks) || n.Threads != tt.threads {
				t.Errorf("found %+v", *n)
			}
			if (n.User != "") != (n.Password == "p") {
				t.Errorf("user %q has the password %q", n.User, n.Password)
			}
			if cfg.Found == "" {
				t.Error("nothing says where it was found")
			}
		})
	}
}

// A bitcoin.conf may send bitcoind to other directories, and lie in another one
// itself.
func TestFindBitcoindElsewhere(t *testing.T) {
	data := writeAll(t, map[string]string{"data/signet/.cookie": "u:p", "data/bitcoin.conf": "rpcport=ignored", "blocks/x": ""})
	dir := filepath.Join(data, "data")
	home := writeAll(t, map[string]string{
		".bitcoin/bitcoin.conf": "datadir=" + dir + "\nblocksdir=" + data + "\nincludeconf=more.conf\n",
		".bitcoin/more.conf":    "[signet]\nrpcport=7\n",
		"elsewhere/b.conf":      "datadir=/nowhere\nincludeconf=more.conf\n",
	})
	cfg, err := loadBeside(t, home, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := cfg.Node; n.Address != "127.0.0.1:7" || n.Cookie != filepath.Join(dir, "signet", ".cookie") || n.BlocksDir != filepath.Join(data, "signet", "blocks") {
		t.Errorf("found %+v", n)
	}
	// As with bitcoind's -conf and -datadir, what the file says of the directory
	// does not count then.
	cfg, err = loadBeside(t, home, map[string]string{
		"bitcoin-conf": filepath.Join(home, "elsewhere", "b.conf"), "bitcoin-dir": filepath.Join(home, ".bitcoin"), "network": "signet",
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := cfg.Node; n.Address != "127.0.0.1:7" || n.Cookie != filepath.Join(home, ".bitcoin", "signet", ".cookie") {
		t.Errorf("found %+v", n)
	}
}

func TestFindBitcoindMistakes(t *testing.T) {
	const cookie = "__cookie__:hunter2"
	for _, tt := range []struct {
		name  string
		files map[string]string
		flags map[string]string
		want  string
	}{
		{"two cookies", map[string]string{".bitcoin/.cookie": cookie, ".bitcoin/signet/.cookie": cookie}, nil, "main, signet; set network"},
		{"a bad line", map[string]string{".bitcoin/bitcoin.conf": "a=1\nhunter2"}, nil, "bitcoin.conf:2: "},
		{"a bad port", map[string]string{".bitcoin/bitcoin.conf": "rpcport=hunter2"}, nil, "rpcport"},
		{"port 0", map[string]string{".bitcoin/bitcoin.conf": "rpcport=0"}, nil, "rpcport"},
		{"a relative datadir", map[string]string{".bitcoin/bitcoin.conf": "datadir=data"}, nil, "datadir is relative"},
		{"no credentials", map[string]string{".bitcoin/bitcoin.conf": "norpccookiefile=1"}, nil, "node-user and node-password"},
		{"a password without a user", map[string]string{".bitcoin/bitcoin.conf": "rpcpassword=hunter2"}, nil, "an rpcpassword and no rpcuser"},
		{"a broken settings.json", map[string]string{".bitcoin/settings.json": `{"rpcpassword":"hunter2`}, nil, "settings.json"},
		{"no directory", nil, map[string]string{"node-kind": "bitcoind"}, "bitcoin-dir: there is no"},
		{"no such directory", nil, map[string]string{"bitcoin-dir": filepath.Join("no", "such")}, "bitcoin-dir: there is no"},
		{"no such directory, and a login", nil, map[string]string{"bitcoin-dir": filepath.Join("no", "such"), "node-address": "127.0.0.1:1", "node-cookie": "/c"}, "bitcoin-dir: there is no"},
		{"no such file", nil, map[string]string{"bitcoin-conf": filepath.Join("no", "such.conf")}, "such.conf"},
		{"a network of btcd's", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"node-kind": "bitcoind", "network": "simnet"}, "bitcoind does not know"},
		{"cookie and user", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"node-cookie": "/c", "node-user": "u"}, "either the cookie or"},
		{"a user alone", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"node-user": "u"}, "node-password"},
		{"another machine", nil, map[string]string{"node-kind": "bitcoind", "node-address": "10.0.0.1:8332", "node-cookie": "/c"}, "node-allow-remote"},
		{"another machine by bitcoin.conf", map[string]string{".bitcoin/bitcoin.conf": "rpcconnect=10.0.0.1"}, nil, "node-allow-remote"},
		{"no login for another machine", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"node-address": "10.0.0.1:8332", "node-allow-remote": "1"}, "node-cookie"},
		{"topics", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"zmq": "sequence=tcp://127.0.0.1:1,rawtxs=tcp://127.0.0.1:2"}, "rawtxs"},
		{"addresses", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"zmq": "127.0.0.1:28332"}, "must be off, or"},
		{"wildcard addresses", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"zmq": "tcp://*:28332"}, "must be off, or"},
		{"blocks", map[string]string{".bitcoin/.cookie": cookie}, map[string]string{"blocks-dir": filepath.Join("no", "such")}, "must be off or a directory"},
		{"kinds", nil, map[string]string{"node-kind": "lnd"}, "one of auto, bitcoind, btcd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadBeside(t, writeAll(t, tt.files), tt.flags)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}

// What is set about the login makes a bitcoin.conf that cannot be read a matter
// of indifference.
func TestFindBitcoindWithoutItsConf(t *testing.T) {
	home := writeAll(t, map[string]string{".bitcoin/bitcoin.conf": "nonsense"})
	cfg, err := loadBeside(t, home, map[string]string{"node-address": "127.0.0.1:8332", "node-cookie": "/c"})
	if err != nil || cfg.Node.Kind != KindBitcoind || cfg.Node.Cookie != "/c" {
		t.Errorf("%+v, %v", cfg.Node, err)
	}
}

// Nor does a machine need a data directory to ask a bitcoind that was named.
func TestBitcoindWithoutADirectory(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	cfg, err := LoadConfig(Sources{File: write(t, "o.yaml", ""), Flags: map[string]string{
		"node-kind": "bitcoind", "node-address": "127.0.0.1:8332", "node-cookie": "/c",
	}})
	if err != nil || cfg.Node.Address != "127.0.0.1:8332" || cfg.Node.Cookie != "/c" || cfg.Found != "" {
		t.Errorf("%+v, found %q, %v", cfg.Node, cfg.Found, err)
	}
}

// Which kind of node it is follows from what is set, else from what is found,
// and is never guessed.
func TestDecideKind(t *testing.T) {
	bitcoind := map[string]string{".bitcoin/.cookie": "u:p"}
	btcd := map[string]string{".btcd/btcd.conf": "rpcuser=u\nrpcpass=p"}
	both := maps.Clone(bitcoind)
	maps.Copy(both, btcd)
	for _, tt := range []struct {
		name  string
		files map[string]string
		flags map[string]string
		want  NodeKind
		err   string
	}{
		{"a bitcoind is found", bitcoind, nil, KindBitcoind, ""},
		{"a btcd is found", btcd, nil, KindBtcd, ""},
		{"both are found", both, nil, "", "set node-kind"},
		{"both, and an address", both, map[string]string{"node-address": "127.0.0.1:8332"}, "", "set node-kind"},
		{"both, and the kind", both, map[string]string{"node-kind": "btcd"}, KindBtcd, ""},
		{"both, and auto", both, map[string]string{"node-kind": "auto"}, "", "set node-kind"},
		{"both, and a setting of bitcoind's", both, map[string]string{"zmq": "off"}, KindBitcoind, ""},
		{"both, and a setting of btcd's", both, map[string]string{"node-notls": "true"}, KindBtcd, ""},
		{"both, and settings of both", both, map[string]string{"zmq": "off", "node-notls": "true"}, "", "zmq is for bitcoind and node-notls for btcd"},
		{"both, and simnet", both, map[string]string{"network": "simnet"}, KindBtcd, ""},
		{"neither", nil, nil, "", "no node found"},
		{"an address alone", nil, map[string]string{"node-address": "127.0.0.1:1"}, "", "does not say which node"},
		{"an address and a bitcoind", bitcoind, map[string]string{"node-address": "127.0.0.1:1"}, KindBitcoind, ""},
		{"an empty .bitcoin is no bitcoind", map[string]string{".bitcoin/wallets/x": "", ".btcd/btcd.conf": "rpcuser=u\nrpcpass=p"}, nil, KindBtcd, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := writeAll(t, tt.files)
			c := Config{BitcoinDir: filepath.Join(home, ".bitcoin"), BtcdDir: filepath.Join(home, ".btcd")}
			given := make(map[string]bool)
			for _, st := range Settings() {
				value, ok := tt.flags[st.Name]
				if given[st.Name] = ok; !ok {
					continue
				}
				if err := st.set(&c, value); err != nil {
					t.Fatal(err)
				}
			}
			kind, err := c.decideKind(given)
			if kind != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("it is a %q, %v; want %q, %q", kind, err, tt.want, tt.err)
			}
		})
	}
}

func TestZMQSetting(t *testing.T) {
	for value, want := range map[string]string{
		"sequence=tcp://127.0.0.1:28332":               "sequence@tcp://127.0.0.1:28332",
		"zmqpubsequence=unix:/run/a=b, rawtx=ipc:///x": "sequence@unix:/run/a=b rawtx@ipc:///x",
		"tcp://[::1]:1": "hashblock@tcp://[::1]:1 rawblock@tcp://[::1]:1 hashtx@tcp://[::1]:1 rawtx@tcp://[::1]:1 sequence@tcp://[::1]:1",
		"unix:/a=b":     "hashblock@unix:/a=b rawblock@unix:/a=b hashtx@unix:/a=b rawtx@unix:/a=b sequence@unix:/a=b",
		"off":           "",
	} {
		var c Config
		if err := setZMQ(&c, value); err != nil {
			t.Errorf("%s: %v", value, err)
		}
		var got []string
		for _, n := range c.Node.ZMQ {
			got = append(got, n.Topic+"@"+n.Address)
		}
		if strings.Join(got, " ") != want || c.Node.NoZMQ != (value == "off") {
			t.Errorf("%s is %q, %v", value, got, c.Node.NoZMQ)
		}
	}
}

func TestMaxCalls(t *testing.T) {
	for threads, want := range map[int]int{0: 0, 1: 1, 2: 1, 3: 2, 4: 3, 5: 0, 16: 0} {
		if got := maxCalls(threads); got != want {
			t.Errorf("of %d threads %d calls are taken, want %d", threads, got, want)
		}
	}
}
