package zmq

import (
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
)

// An endpoint is an address as package net wants it. The host of a TCP endpoint
// is still a name.
type endpoint struct {
	network, address string
}

// parseAddress parses the address of a publisher: tcp://host:port, where the
// host is a name, an IPv4 address or an IPv6 address in brackets, or a Unix
// socket as unix:/path, Core's form, or ipc:///path, ZeroMQ's. A path that
// begins with @ is a name in Linux's abstract namespace.
func parseAddress(s string) (endpoint, error) {
	if hostPort, ok := strings.CutPrefix(s, "tcp://"); ok {
		host, port, err := net.SplitHostPort(hostPort)
		if err != nil {
			return endpoint{}, fmt.Errorf("parse %q: %w", s, err)
		}
		if host == "" || host == "*" {
			return endpoint{}, fmt.Errorf("parse %q: it names no host to connect to", s)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return endpoint{}, fmt.Errorf("parse %q: the port is not a number from 1 to 65535", s)
		}
		return endpoint{"tcp", hostPort}, nil
	}
	name, ok := strings.CutPrefix(s, "unix:")
	if !ok {
		name, ok = strings.CutPrefix(s, "ipc://")
	}
	switch {
	case !ok:
		return endpoint{}, fmt.Errorf("parse %q: it begins with none of tcp://, unix: and ipc://", s)
	case !path.IsAbs(name) && (len(name) < 2 || name[0] != '@'):
		return endpoint{}, fmt.Errorf("parse %q: it has no absolute path", s)
	}
	return endpoint{"unix", name}, nil
}

// Reachable returns the address to connect to for a publisher that a node on
// host bound to the address bound, as getzmqnotifications tells it: a wildcard
// (*, 0.0.0.0 or [::]) is replaced by host, which is a name or an IP address
// without brackets. Any other address is returned as it is. The error says that
// nothing can be connected to there.
func Reachable(bound, host string) (string, error) {
	if hostPort, ok := strings.CutPrefix(bound, "tcp://"); ok {
		h, port, err := net.SplitHostPort(hostPort)
		if err != nil {
			return "", fmt.Errorf("parse %q: %w", bound, err)
		}
		if ip := net.ParseIP(h); h == "*" || ip != nil && ip.IsUnspecified() {
			if host == "" {
				return "", errors.New("the node's host is not known")
			}
			bound = "tcp://" + net.JoinHostPort(host, port)
		}
	}
	_, err := parseAddress(bound)
	return bound, err
}
