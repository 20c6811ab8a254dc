package zmq

import "testing"

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		want endpoint // zero: refused
	}{
		{"tcp://127.0.0.1:28332", endpoint{"tcp", "127.0.0.1:28332"}},
		{"tcp://node.example:1", endpoint{"tcp", "node.example:1"}},
		{"tcp://[::1]:65535", endpoint{"tcp", "[::1]:65535"}},
		{"tcp://[fe80::1%eth0]:28332", endpoint{"tcp", "[fe80::1%eth0]:28332"}},
		{"unix:/run/bitcoind/zmq", endpoint{"unix", "/run/bitcoind/zmq"}},
		{"unix:///run/zmq", endpoint{"unix", "///run/zmq"}},
		{"ipc:///run/bitcoind/zmq", endpoint{"unix", "/run/bitcoind/zmq"}},
		{"ipc://@name", endpoint{"unix", "@name"}},
		{"", endpoint{}},
		{"127.0.0.1:28332", endpoint{}},
		{"http://127.0.0.1:28332", endpoint{}},
		{"tcp://127.0.0.1", endpoint{}},
		{"tcp://127.0.0.1:", endpoint{}},
		{"tcp://127.0.0.1:0", endpoint{}},
		{"tcp://127.0.0.1:65536", endpoint{}},
		{"tcp://127.0.0.1:zmq", endpoint{}},
		{"tcp://::1:28332", endpoint{}},
		{"tcp://:28332", endpoint{}},
		{"tcp://*:28332", endpoint{}},
		{"unix:", endpoint{}},
		{"unix:zmq", endpoint{}},
		{"ipc://zmq", endpoint{}},
		{"ipc://@", endpoint{}},
	} {
		got, err := parseAddress(c.in)
		if got != c.want || (err == nil) != (c.want != endpoint{}) {
			t.Errorf("parseAddress(%q) = %v, %v, want %v", c.in, got, err, c.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for _, c := range []struct{ bound, host, want string }{
		{"tcp://0.0.0.0:28332", "node.example", "tcp://node.example:28332"},
		{"tcp://*:28332", "10.0.0.1", "tcp://10.0.0.1:28332"},
		{"tcp://[::]:28332", "::1", "tcp://[::1]:28332"},
		{"tcp://127.0.0.1:28332", "node.example", "tcp://127.0.0.1:28332"},
		{"ipc:///run/zmq", "node.example", "ipc:///run/zmq"},
		{"tcp://0.0.0.0:28332", "", ""},
		{"tcp://0.0.0.0", "node.example", ""},
		{"pgm://eth0;239.0.0.1:1", "node.example", ""},
	} {
		got, err := Reachable(c.bound, c.host)
		if c.want == "" {
			if err == nil {
				t.Errorf("Reachable(%q, %q) = %q, want an error", c.bound, c.host, got)
			}
		} else if got != c.want || err != nil {
			t.Errorf("Reachable(%q, %q) = %q, %v, want %q", c.bound, c.host, got, err, c.want)
		}
	}
}
