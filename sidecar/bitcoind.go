package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A coreNetwork is what differs between Bitcoin Core's chains
// (chainparamsbase.cpp).
type coreNetwork struct {
	dir  string // below the data directory
	port string // of RPC
}

// coreNetworks returns Bitcoin Core's chains by name.
func coreNetworks() map[string]coreNetwork {
	return map[string]coreNetwork{
		"main":     {"", "8332"},
		"test":     {"testnet3", "18332"},
		"testnet4": {"testnet4", "48332"},
		"signet":   {"signet", "38332"},
		"regtest":  {"regtest", "18443"},
	}
}

// networkNames are the names of coreNetworks in Core's order.
func networkNames() []string { return []string{"main", "test", "testnet4", "signet", "regtest"} }

// bitcoinDir returns Bitcoin Core's default data directory on the operating
// system goos (common/args.cpp, GetDefaultDataDir). home is the user's home
// directory, getenv the environment.
func bitcoinDir(goos, home string, getenv func(string) string) string {
	switch goos {
	case "darwin", "ios":
		return filepath.Join(home, "Library", "Application Support", "Bitcoin")
	case "windows":
		// Where Bitcoin Core was installed long ago it stays in the old place.
		if legacy := filepath.Join(getenv("APPDATA"), "Bitcoin"); getenv("APPDATA") != "" && exists(legacy) {
			return legacy
		}
		return filepath.Join(getenv("LOCALAPPDATA"), "Bitcoin")
	}
	return filepath.Join(home, ".bitcoin")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing reports that nothing is at path; what cannot be looked at may be
// there.
func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// bitcoinConfPath returns where bitcoin.conf should be.
func (c *Config) bitcoinConfPath() string {
	if c.BitcoinConf != "" {
		return c.BitcoinConf
	}
	return filepath.Join(c.BitcoinDir, "bitcoin.conf")
}

// hasBitcoind reports whether BitcoinDir is the data directory of a bitcoind.
func (c *Config) hasBitcoind() bool {
	if exists(c.bitcoinConfPath()) {
		return true
	}
	for _, n := range coreNetworks() {
		for _, name := range []string{".cookie", "settings.json", "blocks"} {
			if exists(filepath.Join(c.BitcoinDir, n.dir, name)) {
				return true
			}
		}
	}
	return false
}

// A localBitcoind is what is found of a bitcoind on this machine, for one chain.
type localBitcoind struct {
	network string
	address string
	// cookie is the path of the cookie, or empty when user and password are
	// set, or when there are neither.
	cookie         string
	user, password string
	blocks         string // directory
	threads        int    // rpcthreads; 0 when it is not set
}

// running reports whether the cookie is there, which bitcoind makes when it
// starts and removes when it ends.
func (b *localBitcoind) running() bool { return b.cookie != "" && exists(b.cookie) }

// findBitcoind fills in what is not set of the node's address and credentials,
// the directory of its blocks and its number of threads, from the bitcoin.conf
// in BitcoinDir. given says which settings were set. Of a node elsewhere,
// nothing is filled in.
func (c *Config) findBitcoind(given map[string]bool) error {
	n := &c.Node
	n.Kind = KindBitcoind
	login := n.Cookie != "" || n.User != "" || n.Password != ""
	if host, _, err := net.SplitHostPort(n.Address); given["node-address"] && (err != nil || !loopback(host)) {
		return nil // check asks for what is missing
	}
	complete := given["node-address"] && login
	if missing(c.BitcoinDir) && (given["bitcoin-dir"] || c.BitcoinConf == "" && !complete) {
		return fmt.Errorf("find a bitcoind: bitcoin-dir: there is no %s", c.BitcoinDir)
	}
	found, err := c.lookUpBitcoind(given["bitcoin-conf"] && given["bitcoin-dir"], n.Address)
	if err != nil {
		if complete {
			return nil // nothing that is needed is missing
		}
		return fmt.Errorf("find a bitcoind: %w", err)
	}
	switch {
	case exists(c.bitcoinConfPath()):
		c.Found = fmt.Sprintf("%s, network %s", c.bitcoinConfPath(), found.network)
	case c.hasBitcoind():
		c.Found = fmt.Sprintf("%s, network %s, without a bitcoin.conf", c.BitcoinDir, found.network)
	}
	if n.Address == "" {
		n.Address = found.address
	}
	if !login {
		n.Cookie, n.User, n.Password = found.cookie, found.user, found.password
		if n.Cookie == "" && n.User == "" {
			return fmt.Errorf("find a bitcoind: %s switches the cookie off and has no rpcuser with an rpcpassword; set node-user and node-password as one of its rpcauth lines has them", c.bitcoinConfPath())
		}
	}
	if !given["blocks-dir"] && n.BlocksDir == "" {
		n.BlocksDir = found.blocks
	}
	n.Threads = found.threads
	return nil
}

// lookUpBitcoind returns the bitcoind of BitcoinDir. Of several chains it is
// the one that network names; else the one whose RPC has the port of address;
// else the one that bitcoin.conf selects; else the only one that runs; else
// main.
func (c *Config) lookUpBitcoind(dirWins bool, address string) (*localBitcoind, error) {
	conf, err := readBitcoinConf(c.bitcoinConfPath(), c.BitcoinDir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && c.BitcoinConf == "":
		conf = new(bitcoinConf)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; run as bitcoind's user, or set node-address, and node-cookie or node-user and node-password", err)
	case err != nil:
		return nil, err
	}
	if c.Network != "" {
		if _, ok := coreNetworks()[c.Network]; !ok {
			return nil, fmt.Errorf("network is %s, which bitcoind does not know", c.Network)
		}
		return c.resolve(conf, c.Network, dirWins)
	}
	chosen, isChosen, err := conf.chain()
	if err != nil {
		return nil, err
	}
	var running, addressed []*localBitcoind
	for _, network := range networkNames() {
		b, err := c.resolve(conf, network, dirWins)
		if err != nil && network == chosen {
			return nil, err
		}
		if err != nil {
			continue // a chain that nobody asked for
		}
		if b.running() {
			running = append(running, b)
		}
		_, want, _ := net.SplitHostPort(address)
		if _, port, _ := net.SplitHostPort(b.address); port == want {
			addressed = append(addressed, b)
		}
	}
	switch {
	case len(addressed) == 1:
		return addressed[0], nil
	case isChosen || len(running) == 0:
		return c.resolve(conf, chosen, dirWins)
	case len(running) == 1:
		return running[0], nil
	}
	names := make([]string, len(running))
	for i, b := range running {
		names[i] = b.network
	}
	return nil, fmt.Errorf("there are cookies of several networks in %s: %s; set network to one of them", c.BitcoinDir, strings.Join(names, ", "))
}

// resolve returns what conf says of the bitcoind of one chain.
func (c *Config) resolve(conf *bitcoinConf, network string, dirWins bool) (*localBitcoind, error) {
	// What settings.json says is of this chain alone.
	conf = &bitcoinConf{sections: conf.sections}
	dir := c.BitcoinDir
	if moved, state := conf.path(network, "datadir"); state == set && !dirWins {
		if !filepath.IsAbs(moved) {
			return nil, fmt.Errorf("%s: datadir is relative to the directory that bitcoind was started in; write the whole path, or set bitcoin-dir to it and bitcoin-conf to the file", c.bitcoinConfPath())
		}
		dir = moved
	}
	of := coreNetworks()[network]
	netDir := filepath.Join(dir, of.dir)
	if err := conf.readDynamic(filepath.Join(netDir, "settings.json")); err != nil {
		return nil, err
	}
	b := &localBitcoind{network: network}
	var err error
	if b.address, err = conf.rpcAddress(network, of.port); err != nil {
		return nil, fmt.Errorf("%s: %w", c.bitcoinConfPath(), err)
	}
	b.password, _ = conf.get(network, "rpcpassword")
	if b.password != "" {
		b.user, _ = conf.get(network, "rpcuser")
		if b.user == "" {
			return nil, fmt.Errorf("%s: there is an rpcpassword and no rpcuser; add one, or remove the password: the cookie does without", c.bitcoinConfPath())
		}
	} else if cookie, state := conf.path(network, "rpccookiefile"); state != negated {
		if state == unset {
			cookie = ".cookie"
		}
		if !filepath.IsAbs(cookie) {
			cookie = filepath.Join(netDir, cookie)
		}
		b.cookie = cookie
	}
	b.blocks = filepath.Join(netDir, "blocks")
	if moved, state := conf.path(network, "blocksdir"); state == set {
		b.blocks = ""
		if filepath.IsAbs(moved) { // else it is relative to who knows what
			b.blocks = filepath.Join(moved, of.dir, "blocks")
		}
	}
	if threads, state := conf.get(network, "rpcthreads"); state == set {
		b.threads, _ = strconv.Atoi(threads) // bitcoind takes what is no number for 0, and that for 1
		b.threads = max(b.threads, 1)
	}
	return b, nil
}

// rpcAddress returns where to reach the RPC server of a chain: what rpcconnect
// says, as bitcoin-cli has it; else what the server binds to, on loopback if it
// does so at all. The port that an address does not name is rpcport, or
// standard.
func (c *bitcoinConf) rpcAddress(network, standard string) (string, error) {
	port := standard
	if v, state := c.get(network, "rpcport"); state == set {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("rpcport is not a number from 1 to 65535")
		}
		port = v
	}
	var candidates []string
	if connect, state := c.get(network, "rpcconnect"); state == set && connect != "" {
		candidates = []string{connect}
	} else if len(c.list(network, "rpcallowip")) > 0 {
		// Without rpcallowip the server binds to loopback whatever rpcbind says
		// (httpserver.cpp, GetBindAddresses).
		candidates = c.list(network, "rpcbind")
	}
	addresses := []string{net.JoinHostPort("127.0.0.1", port)}
	for i, listen := range candidates {
		if i == 0 {
			addresses = nil
		}
		addresses = append(addresses, dialable(listen, port))
	}
	local := slices.IndexFunc(addresses, func(address string) bool {
		host, _, err := net.SplitHostPort(address)
		return err == nil && loopback(host)
	})
	return addresses[max(local, 0)], nil
}
