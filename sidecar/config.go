package sidecar

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"go.yaml.in/yaml/v4"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/perfcore/snapshot"
	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sidecar/bob"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
	"github.com/outrider-project/outrider/sidecar/perf"
	"github.com/outrider-project/outrider/sigverify"
)

// A Config says how a sidecar runs. Start from DefaultConfig or LoadConfig.
type Config struct {
	// Datadir is where state is kept, in a folder for each network.
	Datadir string
	// Network is the chain that the node must be on, as Bitcoin Core names
	// it; empty means whichever the node is on.
	Network string
	// Node says where the node is and how to log in to it.
	Node NodeConfig
	// BitcoinDir is the data directory of the bitcoind to find, the one that
	// bitcoind has before it reads its configuration; BitcoinConf is its
	// bitcoin.conf, where that lies elsewhere. BtcdDir is the directory of the
	// btcd to find.
	BitcoinDir, BitcoinConf, BtcdDir string
	// Found says for the log where the node was found; empty when everything
	// about it was set.
	Found string
	// Start is the height of the first block to validate when the data
	// directory has no tip; nil means 288 blocks below the node's.
	Start *uint32
	// HTTP is the address of the dashboard, the API and the metrics.
	HTTP string
	// HTTPAllowRemote permits an HTTP address that is not on loopback.
	HTTPAllowRemote bool
	// HTTPHosts are the names, beside loopback ones, under which browsers may
	// ask for the dashboard.
	HTTPHosts []string
	// UTXOMode says how much of the coins is held.
	UTXOMode UTXOMode
	// Compare says when the coins of full mode are compared with the node's, and
	// CompareEvery how often.
	Compare      CompareMode
	CompareEvery time.Duration
	// UTXOBytes bounds the memory for coins: what recent blocks changed, older coins
	// and, in full mode, DBBytes for the coin database.
	UTXOBytes, DBBytes int64
	// MemoryLimit is what the whole process may take; 0 is UTXOBytes and 768 MiB for
	// all else.
	MemoryLimit int64
	// EvidenceBundles and EvidenceBytes bound the evidence that is kept of
	// differences, in number and in bytes together; 0 bundles write none.
	EvidenceBundles int
	EvidenceBytes   int64
	// FlightBlocks is how many blocks of a catch-up are judged at once, and
	// FlightBytes how large they are together at most, as they are serialised: one
	// is always let in. 1 block means one after the other.
	FlightBlocks int
	FlightBytes  int64
	// MempoolShare is how much of one core may be spent on average, in percent, on
	// the scripts of the mempool's transactions, before their block comes.
	MempoolShare int
	// ElasticFloor is how much of the processor time that it would take work that can wait
	// is left at least while goroutines wait for a processor, in percent: the mempool's
	// scripts, evidence that is judged again, and coins that are hashed afresh.
	ElasticFloor int
	// Workers bounds the goroutines that validate; 0 means one for each CPU.
	Workers int
	// SigPath is the code that verifies signatures; empty means the fastest that
	// the machine has. One verdict in SigRecheck, drawn by chance, is checked by
	// an independent verifier as well.
	SigPath    sigverify.Path
	SigRecheck int
	// Nice is the scheduling priority, 0 to 19; the higher it is, the more
	// readily the sidecar yields the CPUs to the node beside it.
	Nice int
	// Poll, Resync and Branches are how often to look, without a
	// notification, at the node's tip, mempool and rejected branches.
	Poll, Resync, Branches time.Duration
	// Perf says what is done about performance, PerfTolerance what is asked of a change and
	// may be spent on experiments, PerfSnapshots after how many accepted changes a snapshot is
	// taken (0 is never), and PerfWebhook where alerts are sent; empty is nowhere.
	Perf          perf.Mode
	PerfTolerance perf.Tolerance
	PerfSnapshots uint32
	PerfWebhook   string
	// BOB says which nodes of BOB are asked, which relay is watched, and who tells it of
	// Bitcoin's headers. A sidecar watches, if there is a node, and tells nothing.
	BOB bob.Config
	// BitVM says which bridges are watched; none, unless instances are named.
	BitVM bitvm.Config
	// LogLevel is the least severe level that is logged; LogFormat is text or
	// json.
	LogLevel  slog.Level
	LogFormat string
}

// A UTXOMode says how much of the coins a sidecar holds.
type UTXOMode string

// These are the modes.
const (
	// UTXOCache holds what the blocks that it has seen made and spent, and what it
	// was asked for, in memory.
	UTXOCache UTXOMode = "cache"
	// UTXOFull holds all coins, in a database on disk.
	UTXOFull UTXOMode = "full"
	// UTXOAuto is full where the data directory has a coin database at a tip, and
	// else cache.
	UTXOAuto UTXOMode = "auto"
)

// A NodeKind is a program that is a Bitcoin node.
type NodeKind string

// These are the kinds of node.
const (
	KindBitcoind NodeKind = "bitcoind"
	KindBtcd     NodeKind = "btcd"
)

// A NodeConfig says where a node is and how to log in to it.
type NodeConfig struct {
	// Kind is the node's kind; empty means btcd.
	Kind NodeKind
	// Address is the host and port of the node's RPC.
	Address string
	// User and Password log in to it. The password comes from the
	// environment, a file or the node's own configuration; there is no flag
	// for it.
	User, Password string

	// Cookie is the path of the file with the user and password that a
	// bitcoind makes up at each start; it stands instead of User and Password.
	Cookie string
	// AllowRemote permits a bitcoind on another machine, to which the password
	// travels in the clear.
	AllowRemote bool
	// ZMQ is where a bitcoind's notifications are heard; empty means where the
	// node says that it publishes them. NoZMQ hears none, and polls.
	ZMQ   []node.Notifier
	NoZMQ bool
	// BlocksDir is the directory of a bitcoind's blk and rev files; empty
	// means that they are not read.
	BlocksDir string
	// Threads is how many threads a bitcoind's RPC server has; 0 means that
	// nobody says.
	Threads int

	// SignetChallenge is the script that the blocks of the node's signet must
	// satisfy (BIP325); nil means the one that the node tells or, if it tells none,
	// the default signet's.
	SignetChallenge []byte

	// Certificate is the path of a btcd's TLS certificate (PEM).
	Certificate string
	// NoTLS speaks plain HTTP to a btcd, which is allowed to loopback
	// addresses only.
	NoTLS bool
}

// kind returns the node's kind.
func (n *NodeConfig) kind() NodeKind { return cmp.Or(n.Kind, KindBtcd) }

// DefaultConfig returns the configuration that runs when nothing is set.
func DefaultConfig() Config {
	home, _ := os.UserHomeDir() // without one, the path is relative
	return Config{
		Datadir:         filepath.Join(home, ".outrider"),
		BitcoinDir:      bitcoinDir(runtime.GOOS, home, os.Getenv),
		BtcdDir:         btcutil.AppDataDir("btcd", false),
		HTTP:            "127.0.0.1:9330",
		UTXOMode:        UTXOAuto,
		Compare:         CompareIndex,
		CompareEvery:    time.Hour,
		UTXOBytes:       1 << 30,
		DBBytes:         256 << 20,
		FlightBlocks:    16,
		FlightBytes:     64 << 20,
		MempoolShare:    25,
		ElasticFloor:    25,
		EvidenceBundles: 32,
		EvidenceBytes:   256 << 20,
		SigRecheck:      1024,
		Nice:            10,
		Poll:            5 * time.Second,
		Resync:          30 * time.Second,
		Branches:        10 * time.Second,
		Perf:            perf.Observe,
		PerfTolerance:   perf.DefaultTolerance(),
		PerfSnapshots:   snapshot.DefaultEvery,
		BOB:             bob.DefaultConfig(),
		LogFormat:       "text",
	}
}

// A Setting is one thing that can be configured: by a flag --name, an
// environment variable OUTRIDER_NAME or a line "name: value" of outrider.yaml.
type Setting struct {
	Name string
	// Help is a sentence for the operator; a `word` in it names the value.
	Help string
	// Secret settings have no flag: command lines are readable by others.
	Secret bool
	// Bool settings are flags that need no value.
	Bool bool

	set func(*Config, string) error
}

// Settings returns every setting, in the order of the manual.
func Settings() []Setting {
	return append([]Setting{
		{Name: "datadir", Help: "`directory` for state (default: ~/.outrider)", set: text(func(c *Config) *string { return &c.Datadir })},
		{Name: "network", Help: "refuse a node that is on another `chain`: main, test, testnet4, signet, regtest, simnet (default: any)", set: setNetwork},
		{Name: "signet-challenge", Help: "the `script`, in hexadecimal digits, that the blocks of the node's signet must satisfy, for a signet of its own beside a node that does not tell (a Bitcoin Core before 29, a btcd) (default: as the node says, else the default signet's)", set: func(c *Config, v string) (err error) {
			c.Node.SignetChallenge, err = blockval.ParseSignetChallenge(v)
			return err
		}},
		{Name: "node-kind", Help: "the `program` that the node is: auto, bitcoind, btcd (default: auto)", set: func(c *Config, v string) error {
			switch v {
			case "auto":
				c.Node.Kind = ""
			case string(KindBitcoind), string(KindBtcd):
				c.Node.Kind = NodeKind(v)
			default:
				return errors.New("must be one of auto, bitcoind, btcd")
			}
			return nil
		}},
		{Name: "node-address", Help: "`host:port` of the node's RPC (default: from bitcoin.conf or btcd.conf)", set: hostPort(func(c *Config) *string { return &c.Node.Address })},
		{Name: "node-user", Help: "RPC user `name`", set: text(func(c *Config) *string { return &c.Node.User })},
		{Name: "node-password", Secret: true, Help: "RPC password", set: text(func(c *Config) *string { return &c.Node.Password })},
		{Name: "node-password-file", Help: "`file` that holds the RPC password; an empty one holds none", set: passwordFile},
		{Name: "node-cookie", Help: "cookie `file` of a bitcoind, instead of user and password (default: found by bitcoin.conf)", set: text(func(c *Config) *string { return &c.Node.Cookie })},
		{Name: "node-allow-remote", Bool: true, Help: "permit a bitcoind on another machine, to which the password travels in the clear", set: boolean(func(c *Config) *bool { return &c.Node.AllowRemote })},
		{Name: "bitcoin-dir", Help: "data `directory` of the bitcoind to find (default: ~/.bitcoin)", set: text(func(c *Config) *string { return &c.BitcoinDir })},
		{Name: "bitcoin-conf", Help: "configuration `file` of the bitcoind to find (default: bitcoin.conf of bitcoin-dir)", set: text(func(c *Config) *string { return &c.BitcoinConf })},
		{Name: "zmq", Help: "`addresses` of a bitcoind's notifications, separated by commas, each for one topic (sequence=tcp://host:port) or for all (tcp://host:port); off polls instead (default: as the node says)", set: setZMQ},
		{Name: "blocks-dir", Help: "`directory` of a bitcoind's blk and rev files; off leaves them alone (default: found by bitcoin.conf)", set: setBlocksDir},
		{Name: "node-certificate", Help: "`file` with a btcd's TLS certificate (default: rpc.cert of btcd-dir)", set: text(func(c *Config) *string { return &c.Node.Certificate })},
		{Name: "node-notls", Bool: true, Help: "speak plain HTTP to a btcd on loopback", set: boolean(func(c *Config) *bool { return &c.Node.NoTLS })},
		{Name: "btcd-dir", Help: "`directory` of the btcd to find (default: ~/.btcd)", set: text(func(c *Config) *string { return &c.BtcdDir })},
		{Name: "start", Help: "`height` of the first block to validate, without a stored tip (default: 288 below the node's tip)", set: setStart},
		{Name: "http", Help: "`host:port` of the dashboard, API and metrics (default: 127.0.0.1:9330)", set: hostPort(func(c *Config) *string { return &c.HTTP })},
		{Name: "http-allow-remote", Bool: true, Help: "permit an HTTP address that other machines can reach", set: boolean(func(c *Config) *bool { return &c.HTTPAllowRemote })},
		{Name: "http-hosts", Help: "further `names`, separated by commas, under which browsers may ask for the dashboard", set: func(c *Config, v string) error {
			c.HTTPHosts = strings.Split(v, ",")
			return nil
		}},
		{Name: "utxo-mode", Help: "how much of the coins to hold, a `mode`: cache (what was seen and asked for, in memory), full (all of them, in a database that `outrider utxo load` made, or one that begins at the genesis block with --start 0), auto (full where there is such a database) (default: auto)", set: func(c *Config, v string) error {
			if c.UTXOMode = UTXOMode(v); c.UTXOMode != UTXOCache && c.UTXOMode != UTXOFull && c.UTXOMode != UTXOAuto {
				return errors.New("must be one of auto, cache, full")
			}
			return nil
		}},
		{Name: "utxo-compare", Help: "when to compare the MuHash of all coins, in full mode, with a bitcoind's, a `mode`: index (where it has a synced coinstatsindex), scan (without that index too, once after the start: it then scans all its coins for minutes), off (default: index)", set: func(c *Config, v string) error {
			if c.Compare = CompareMode(v); c.Compare != CompareOff && c.Compare != CompareIndex && c.Compare != CompareScan {
				return errors.New("must be one of index, scan, off")
			}
			return nil
		}},
		{Name: "utxo-compare-every", Help: "how often, a `duration` (default: 1h)", set: interval(func(c *Config) *time.Duration { return &c.CompareEvery })},
		{Name: "utxo-bytes", Help: "memory for coins, in `bytes`: what the last blocks changed, older coins, and in full mode the database's (default: 1073741824)", set: number(func(c *Config, n int64) { c.UTXOBytes = n }, 64<<20, 1<<40)},
		{Name: "db-bytes", Help: "how much of it is the coin database's, in full mode, in `bytes`: cached blocks of its tables, and what is not in tables yet (default: 268435456)", set: number(func(c *Config, n int64) { c.DBBytes = n }, 1<<20, 64<<30)},
		{Name: "memory-limit", Help: "memory for the whole program, in `bytes`, to which the garbage collector keeps, or what the machine or a control group has if that is less; 0 is utxo-bytes and 805306368 for all else (default: 0)", set: number(func(c *Config, n int64) { c.MemoryLimit = n }, 0, math.MaxInt64)},
		{Name: "evidence-bundles", Help: "keep at most this `number` of bundles of evidence, one for each verdict that differs from the node's; 0 writes none (default: 32)", set: number(func(c *Config, n int64) { c.EvidenceBundles = int(n) }, 0, 10_000)},
		{Name: "evidence-bytes", Help: "keep at most so many `bytes` of evidence; the oldest bundles make room (default: 268435456)", set: number(func(c *Config, n int64) { c.EvidenceBytes = n }, minEvidence, math.MaxInt64)},
		{Name: "flight-blocks", Help: "judge at most this `number` of blocks at once while catching up; 1 judges one after the other (default: 16)", set: number(func(c *Config, n int64) { c.FlightBlocks = int(n) }, 1, maxFlight)},
		{Name: "flight-bytes", Help: "let blocks that are judged at once have at most so many `bytes` together; one is always let in (default: 67108864)", set: number(func(c *Config, n int64) { c.FlightBytes = n }, 0, math.MaxInt64)},
		{Name: "mempool-share", Help: "spend at most this `percentage` of one core, on average, on the scripts of the mempool's transactions, so that their block has them verified already; 0 leaves them to it (default: 25)", set: number(func(c *Config, n int64) { c.MempoolShare = int(n) }, 0, 100)},
		{Name: "elastic-floor", Help: "leave work that can wait (the mempool's scripts, evidence that is judged again, coins that are hashed afresh) at least this `percentage` of the processor time that it would take, while others wait for a processor; 100 leaves it all (default: 25)", set: number(func(c *Config, n int64) { c.ElasticFloor = int(n) }, 5, 100)},
		{Name: "workers", Help: "`number` of goroutines that validate (default: one for each CPU)", set: number(func(c *Config, n int64) { c.Workers = int(n) }, 0, 4096)},
		{Name: "sigverify", Help: "the `code` that verifies signatures: auto (the fastest that the machine has), lane (eight at a time, AVX-512 IFMA), scalar (default: auto)", set: func(c *Config, v string) (err error) {
			c.SigPath, err = sigverify.ParsePath(v)
			return err
		}},
		{Name: "sigverify-recheck", Help: "check one verdict in this `number`, drawn by chance, by independent code too; 1 checks all (default: 1024)", set: number(func(c *Config, n int64) { c.SigRecheck = int(n) }, 1, 1<<20)},
		{Name: "nice", Help: "scheduling priority, `0 to 19`; higher yields more readily to the node (default: 10)", set: number(func(c *Config, n int64) { c.Nice = int(n) }, 0, 19)},
		{Name: "poll", Help: "how often to ask for the tip unprompted, a `duration` (default: 5s)", set: interval(func(c *Config) *time.Duration { return &c.Poll })},
		{Name: "resync", Help: "how often to compare the mempool, a `duration` (default: 30s)", set: interval(func(c *Config) *time.Duration { return &c.Resync })},
		{Name: "branches", Help: "how often to look for rejected branches, a `duration` (default: 10s)", set: interval(func(c *Config) *time.Duration { return &c.Branches })},
		{Name: "perf", Help: "what to do about performance, a `mode`: off, observe (measure and report; no knob moves but at an operator's word), optimize (try other values of knobs, keep what proves better, undo the rest) (default: observe)", set: func(c *Config, v string) (err error) {
			c.Perf, err = perf.ParseMode(v)
			return err
		}},
		{Name: "perf-snapshots", Help: "keep the state of the knobs after every so many accepted changes, a `number`; 0 is never (default: 20)", set: number(func(c *Config, n int64) { c.PerfSnapshots = uint32(n) }, 0, 1<<20)},
		{Name: "perf-budget", Help: "what experiments of the optimizer may add to the cost in the long run, in `percent`, from 0.1 to 20 (default: 2)", set: percent(func(c *Config) *float64 { return &c.PerfTolerance.Budget }, 0.1, 20)},
		{Name: "perf-min-effect", Help: "the least saving that the optimizer keeps a change for, in `percent`, from 0.1 to 10 (default: 1.5)", set: percent(func(c *Config) *float64 { return &c.PerfTolerance.MinEffect }, 0.1, 10)},
		{Name: "perf-guard", Help: "by how much more than what is in force a change may cost before its trial ends, in `percent`, from 11 to 90 (default: 25)", set: percent(func(c *Config) *float64 { return &c.PerfTolerance.Guard }, 11, 90)},
		{Name: "perf-webhook", Secret: true, Help: "URL that receives alerts as JSON, by https, or by http on this machine; off sends none (default: off)", set: func(c *Config, v string) error {
			if c.PerfWebhook = v; v == "off" {
				c.PerfWebhook = ""
				return nil
			}
			return perf.CheckWebhook(v)
		}},
		{Name: "log-level", Help: "least `severity` that is logged: debug, info, warn, error (default: info)", set: func(c *Config, v string) error { return c.LogLevel.UnmarshalText([]byte(v)) }},
		{Name: "log-format", Help: "`form` of the log: text, json (default: text)", set: oneOf(func(c *Config) *string { return &c.LogFormat }, "text", "json")},
	}, slices.Concat(bobSettings(), bitvmSettings())...)
}

// variable returns the environment variable of a setting's name.
func variable(name string) string {
	return "OUTRIDER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// forTests are the variables, in the form of settings' names, that only tests and the
// Makefile look at. A sidecar starts all the same where they are set.
var forTests = [...]string{
	"anvil", "bench-before", "bitvm-bulk", "bulk", "catchup-bulk", "coins-bulk", "core-script", "demo-helper", "fixtures",
	"groth16-bulk", "libzmq", "perfcore-hands", "perfcore-plants", "perfcore-real", "perfcore-seed", "perfcore-trials",
	"relay-bulk", "relay-seed", "relays", "script-bulk", "script-seed", "secp-cases", "seed", "sigverify-bulk",
	"sigverify-seed", "vectors",
}

// Sources is where LoadConfig looks, in descending precedence.
type Sources struct {
	// Flags holds the flags that were given, by setting name.
	Flags map[string]string
	// Environ holds the environment, as os.Environ returns it.
	Environ []string
	// File is the path of outrider.yaml; empty means outrider.yaml in the
	// working directory, then in the default data directory, if one exists.
	File string
}

// LoadConfig returns the configuration from flags, environment, outrider.yaml
// and what is found on the machine, in this order of precedence. The error
// lists every mistake, one a line.
func LoadConfig(s Sources) (Config, error) {
	cfg, given, err := s.load()
	return cfg, errors.Join(err, cfg.findNode(given), cfg.check(given["node-address"]))
}

// LoadWithoutNode is LoadConfig for who can do without the Bitcoin node: what is wrong with
// that, and with what is for it alone, is apart.
func LoadWithoutNode(s Sources) (cfg Config, nodeErr, err error) {
	cfg, given, err := s.load()
	return cfg, errors.Join(cfg.findNode(given), cfg.check(given["node-address"])), err
}

// load returns what is set, and by which names.
func (s *Sources) load() (Config, map[string]bool, error) {
	cfg := DefaultConfig()
	file, errs := s.readFile(cfg.Datadir)
	env := make(map[string]string)
	for _, kv := range s.Environ {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OUTRIDER_") {
			env[strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "OUTRIDER_")), "_", "-")] = value
		}
	}
	for _, name := range forTests {
		delete(env, name)
	}
	delete(env, "config") // is s.File

	settings := Settings()
	given := make(map[string]bool) // what somebody has set, rightly or wrongly
	apply := func(origin string, values map[string]string) {
		for _, st := range settings {
			value, ok := values[st.Name]
			if !ok {
				continue
			}
			given[st.Name] = true
			if err := st.set(&cfg, value); err != nil {
				if !st.Secret {
					err = fmt.Errorf("%q: %w", value, err)
				}
				errs = append(errs, fmt.Errorf("%s: %s: %w", origin, st.Name, err))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !slices.ContainsFunc(settings, func(st Setting) bool { return st.Name == name }) {
				errs = append(errs, fmt.Errorf("%s: %s: there is no such setting", origin, name))
			}
		}
	}
	apply("outrider.yaml", file)
	apply("environment", env)
	apply("flag", s.Flags)
	return cfg, given, errors.Join(append(errs, cfg.BOB.Check(), cfg.BitVM.Check())...)
}

// readFile returns the file's lines as settings.
func (s *Sources) readFile(datadir string) (map[string]string, []error) {
	candidates := []string{"outrider.yaml", filepath.Join(datadir, "outrider.yaml")}
	if s.File != "" {
		candidates = []string{s.File}
	}
	for _, path := range candidates {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && s.File == "" {
			continue
		}
		if err != nil {
			return nil, []error{fmt.Errorf("outrider.yaml: %w", err)}
		}
		// Nodes keep a value's text as it stands: a password may look like a
		// number.
		var values map[string]yaml.Node
		if err := yaml.Unmarshal(raw, &values); err != nil {
			// The library quotes what it cannot read, which may be a secret.
			return nil, []error{fmt.Errorf("%s: is not a list of lines \"name: value\"", path)}
		}
		flat := make(map[string]string, len(values))
		var errs []error
		for _, name := range slices.Sorted(maps.Keys(values)) {
			v := values[name]
			if v.Kind != yaml.ScalarNode {
				errs = append(errs, fmt.Errorf("%s: %s: must be a single value", path, name))
				continue
			}
			flat[name] = v.Value
		}
		return flat, errs
	}
	return nil, nil
}

// check reports every mistake that only the whole shows. addressed says that
// an address was set.
func (c *Config) check(addressed bool) error {
	errs := []error{c.checkLogin(addressed), c.checkDatadir()}
	if c.DBBytes > c.UTXOBytes/2 {
		errs = append(errs, fmt.Errorf("db-bytes: %d is more than half of utxo-bytes, which is %d: recent blocks and older coins need the other half", c.DBBytes, c.UTXOBytes))
	}
	if c.MemoryLimit != 0 && c.MemoryLimit < c.UTXOBytes+leastOther {
		errs = append(errs, fmt.Errorf("memory-limit: %d is too little for utxo-bytes, which is %d, and %d for all else", c.MemoryLimit, c.UTXOBytes, int64(leastOther)))
	}
	if c.Node.Kind == KindBtcd && !c.Node.NoTLS {
		if c.Node.Certificate == "" {
			c.Node.Certificate = filepath.Join(c.BtcdDir, "rpc.cert")
		}
		if _, err := node.LoadCertificate(c.Node.Certificate); err != nil {
			errs = append(errs, fmt.Errorf("node-certificate: %w", err))
		}
	}
	if host, _, err := net.SplitHostPort(c.Node.Address); err == nil && !loopback(host) {
		if c.Node.NoTLS {
			errs = append(errs, fmt.Errorf("node-notls: %s is not on this machine; without TLS the password would cross the network", host))
		}
		if c.Node.Kind == KindBitcoind && !c.Node.AllowRemote {
			errs = append(errs, fmt.Errorf("node-address: %s is not on this machine, and bitcoind has no TLS: the password would cross the network in the clear; "+
				"bring the port here by a tunnel, or set node-allow-remote if the network is private", host))
		}
	}
	if host, _, err := net.SplitHostPort(c.HTTP); err == nil && !loopback(host) && !c.HTTPAllowRemote {
		errs = append(errs, fmt.Errorf("http: %q can be reached by other machines; set http-allow-remote if that is meant", c.HTTP))
	}
	return errors.Join(errs...)
}

// checkLogin reports what is wrong with the credentials. addressed says that an
// address was set.
func (c *Config) checkLogin(addressed bool) error {
	const never = "set OUTRIDER_NODE_PASSWORD or node-password-file, never a flag"
	user, password := c.Node.User != "", c.Node.Password != ""
	switch {
	case c.Node.Cookie != "" && (user || password):
		return errors.New("node-cookie, node-user, node-password: either the cookie or user and password log in to the node; remove one of them")
	case user != password:
		return errors.New("node-user, node-password: both are needed to log in to the node, and they go together; " + never)
	case addressed && !user && c.Node.Kind == KindBtcd:
		return errors.New("node-user, node-password: both are needed to log in to a btcd; " + never)
	case addressed && !user && c.Node.Cookie == "" && c.Node.Kind == KindBitcoind:
		return errors.New("node-cookie: the cookie file is needed to log in to a bitcoind, or node-user and node-password; " + never)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// setNetwork takes Bitcoin Core's name of a chain, or another that is in use.
func setNetwork(c *Config, v string) error {
	switch v {
	case "mainnet":
		v = "main"
	case "testnet", "testnet3":
		v = "test"
	}
	return oneOf(func(c *Config) *string { return &c.Network }, "main", "test", "testnet4", "signet", "regtest", "simnet")(c, v)
}

// nodesOfBOB takes a list of nodes. Its error has no address.
func nodesOfBOB(kind string, field func(*Config) *[]endpoint.Endpoint) func(*Config, string) error {
	return func(c *Config, v string) (err error) {
		if *field(c) = nil; v == "off" {
			return nil
		}
		*field(c), err = bob.ParseEndpoints(v, kind)
		return err
	}
}

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v == "" {
			return errors.New("must not be empty")
		}
		*field(c) = v
		return nil
	}
}

func oneOf(field func(*Config) *string, allowed ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
		}
		*field(c) = v
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("must be true or false")
		}
		*field(c) = b
		return nil
	}
}

func hostPort(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		host, port, err := net.SplitHostPort(v)
		if err != nil || host == "" {
			return errors.New("must be host:port")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("the port must be a number up to 65535")
		}
		*field(c) = v
		return nil
	}
}

func number(put func(*Config, int64), lo, hi int64) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("must be a whole number from %d to %d", lo, hi)
		}
		put(c, n)
		return nil
	}
}

// percent sets a share.
func percent(field func(*Config) *float64, lo, hi float64) func(*Config, string) error {
	return func(c *Config, v string) error {
		p, err := strconv.ParseFloat(v, 64)
		if err != nil || !(p >= lo && p <= hi) {
			return fmt.Errorf("must be a number from %v to %v, in percent", lo, hi)
		}
		*field(c) = p / 100
		return nil
	}
}

func interval(field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 10*time.Millisecond || d > time.Hour {
			return errors.New("must be a duration from 10ms to 1h, such as 5s")
		}
		*field(c) = d
		return nil
	}
}

func setStart(c *Config, v string) error {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return errors.New("must be a block height")
	}
	height := uint32(n)
	c.Start = &height
	return nil
}

func passwordFile(c *Config, path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(raw) > 4096 {
		return errors.New("is too long to be a password")
	}
	c.Node.Password = strings.TrimRight(string(raw), "\r\n")
	return nil
}

func setZMQ(c *Config, v string) error {
	c.Node.ZMQ, c.Node.NoZMQ = nil, v == "off"
	if c.Node.NoZMQ {
		return nil
	}
	for part := range strings.SplitSeq(v, ",") {
		address, topics := strings.TrimSpace(part), zmq.Topics()
		// A path may hold a =, but no topic a colon.
		if topic, rest, ok := strings.Cut(address, "="); ok && !strings.Contains(topic, ":") {
			if topic = strings.TrimPrefix(topic, "zmqpub"); !slices.Contains(topics, topic) {
				return fmt.Errorf("there is no topic %q; they are %s", topic, strings.Join(topics, ", "))
			}
			address, topics = rest, []string{topic}
		}
		if _, err := zmq.Reachable(address, ""); err != nil {
			return errors.New("must be off, or addresses like sequence=tcp://127.0.0.1:28332 or unix:/path, separated by commas")
		}
		for _, topic := range topics {
			c.Node.ZMQ = append(c.Node.ZMQ, node.Notifier{Topic: topic, Address: address})
		}
	}
	return nil
}

func setBlocksDir(c *Config, v string) error {
	c.Node.BlocksDir = ""
	if v == "off" {
		return nil
	}
	if info, err := os.Stat(v); err != nil || !info.IsDir() {
		return errors.New("must be off or a directory that can be read")
	}
	c.Node.BlocksDir = v
	return nil
}
