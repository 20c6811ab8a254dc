package sidecar

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/btcutil/v2"
)

// btcdPorts holds btcd's default RPC port for each of its network switches;
// the empty name is the main network.
var btcdPorts = map[string]string{
	"": "8334", "testnet": "18334", "testnet4": "48334", "regtest": "18334", "simnet": "18556", "signet": "38332",
}

func (c *Config) btcdConfPath() string { return filepath.Join(c.BtcdDir, "btcd.conf") }

// findBtcd fills in what is not set of the node's address and credentials from
// the btcd.conf in BtcdDir. User and password are taken together or not at all.
// A btcd.conf is needed only if no address was set.
func (c *Config) findBtcd(addressed bool) error {
	c.Node.Kind = KindBtcd
	path := c.btcdConfPath()
	conf, err := readBtcdConf(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && addressed:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("find a btcd: there is no %s; set node-address, or btcd-dir if btcd lives elsewhere", path)
	case err != nil:
		return fmt.Errorf("find a btcd: %w", err)
	}
	c.Found = path
	if c.Node.User == "" && c.Node.Password == "" {
		c.Node.User, c.Node.Password = conf.last("rpclimituser"), conf.last("rpclimitpass")
		if c.Node.User == "" || c.Node.Password == "" {
			// The limited user may do all that the sidecar does, so it is
			// taken where there is one.
			c.Node.User, c.Node.Password = conf.last("rpcuser"), conf.last("rpcpass")
		}
		if c.Node.User == "" || c.Node.Password == "" {
			c.Node.User, c.Node.Password = "", ""
		}
	}
	if c.Node.Certificate == "" && conf.last("rpccert") != "" {
		c.Node.Certificate = expandPath(conf.last("rpccert"))
	}
	if addressed {
		return nil
	}
	if conf.on("norpc") {
		return fmt.Errorf("find a btcd: %s has norpc, with which btcd's RPC is off; remove that line and restart btcd", path)
	}
	network := ""
	for name := range btcdPorts {
		if conf.on(name) {
			network = name
		}
	}
	listen := "" // of several addresses the first
	if all := conf["rpclisten"]; len(all) > 0 {
		listen = all[0]
	}
	c.Node.Address = dialable(listen, btcdPorts[network])
	if conf.on("notls") {
		c.Node.NoTLS = true
	}
	if c.Node.User == "" && c.Node.Password == "" {
		return fmt.Errorf("find a btcd: %s has no rpcuser and rpcpass, without which btcd's RPC is off; add both and restart btcd", path)
	}
	return nil
}

// dialable returns the address to dial for one that a node listens on, which
// may lack its host, its port or both.
func dialable(listen, port string) string {
	host := strings.Trim(listen, "[]")
	if h, p, err := net.SplitHostPort(listen); err == nil {
		host, port = h, cmp.Or(p, port)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1" // the server may take IPv6 alone
	}
	return net.JoinHostPort(host, port)
}

// A btcdConf is what a btcd.conf says: the values of each name, in order.
type btcdConf map[string][]string

// last returns the value that counts of a name that has one only: the last. It
// is "" when there is none.
func (c btcdConf) last(name string) string {
	values := c[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// on reports whether a switch is on.
func (c btcdConf) on(name string) bool {
	on, _ := strconv.ParseBool(c.last(name))
	return on
}

// expandPath returns a path with its leading ~ and variables like $HOME replaced,
// as btcd has it of its directories and btcctl of rpccert (cleanAndExpandPath).
func expandPath(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok {
		path = filepath.Dir(btcutil.AppDataDir("btcd", false)) + rest
	}
	return filepath.Clean(os.ExpandEnv(path))
}

// readBtcdConf reads the lines "name=value" of a btcd.conf. A name without a
// value is true.
func readBtcdConf(path string) (btcdConf, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conf := make(btcdConf)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.ContainsAny(line[:1], ";#[") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			value = "1"
		}
		name = strings.ToLower(strings.TrimSpace(name))
		conf[name] = append(conf[name], strings.Trim(strings.TrimSpace(value), `"`))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return conf, nil
}
