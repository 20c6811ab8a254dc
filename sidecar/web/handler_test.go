package web

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

func TestHealth(t *testing.T) {
	src := newSource(Status{})
	base := start(t, Config{Source: src})
	if resp, body := get(t, base+"/healthz"); resp.StatusCode != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz without a node: %s %q, want 200", resp.Status, body)
	}
}

func TestReadiness(t *testing.T) {
	src := newSource(following())
	base := start(t, Config{Source: src})
	for _, tt := range []struct {
		name   string
		change func(*Status)
		code   int
		want   string
	}{
		{"following", func(*Status) {}, 200, "ready"},
		{"catching up", func(s *Status) { s.AtTip = false }, 503, "catching up"},
		{"never attached", func(s *Status) { *s = Status{} }, 503, "not attached to the node"},
		{"node lost", func(s *Status) { s.Node.Attached, s.Node.Problem = false, "connection refused" }, 503, "connection refused"},
		{"verdict differs", func(s *Status) { s.Agreement.Differ = 1 }, 200, "ready"},
	} {
		s := following()
		tt.change(&s)
		src.status.Store(&s)
		if resp, body := get(t, base+"/readyz"); resp.StatusCode != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %s %q, want %d and %q", tt.name, resp.Status, body, tt.code, tt.want)
		}
	}
}

// The names in the JSON are a contract, so they are written out here.
func TestStatusJSON(t *testing.T) {
	s := following()
	s.Agreement.Undecided = 1
	s.Agreement.Cases = []Case{{BlockID: *s.Tip, At: s.Blocks[0].At, Outcome: Undecided, Node: "invalid", Prevouts: "node", Detail: "a coin may be missing", Evidence: "/data/evidence/812345"}}
	s.Disconnected = 3
	s.Evidence = Evidence{Directory: "/data/evidence", Bundles: 1, Bytes: 2048, Failures: 4}
	s.DemoRelay = &DemoRelay{ChainID: 1337, RPC: "http://127.0.0.1:8545", Address: "0x01", BlockID: *s.Tip, BitcoinHeight: 812347, Behind: 2}
	base := start(t, Config{Source: newSource(s)})
	resp, body := get(t, base+"/api/v1/status")
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "application/json" {
		t.Fatalf("%s, %s", resp.Status, ct)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if up, _ := got["uptime_seconds"].(float64); up < 3600 || up > 3700 {
		t.Errorf("uptime_seconds is %v, want a little over an hour", got["uptime_seconds"])
	}
	delete(got, "uptime_seconds")
	delete(got, "started")
	tip := map[string]any{"height": 812345.0, "hash": s.Tip.Hash}
	want := map[string]any{
		"version": "v0.1.0", "network": "main", "ready": true, "reason": "", "outcome": "undecided",
		"node":   map[string]any{"kind": "btcd", "agent": "/btcd:0.26.0/", "address": "127.0.0.1:8334", "attached": true, "problem": "", "tip": tip},
		"tip":    tip,
		"at_tip": true,
		"demo_relay": map[string]any{
			"chain_id": 1337.0, "rpc": "http://127.0.0.1:8545", "address": "0x01", "height": 812345.0, "hash": s.Tip.Hash,
			"bitcoin_height": 812347.0, "blocks_behind": 2.0,
		},
		"mempool": map[string]any{"transactions": 45678.0, "resyncs": 2.0, "warming": map[string]any{
			"waiting": 3.0, "verified": 41000.0, "refused": 1.0, "last_block_share": 0.75,
		}},
		"agreement": map[string]any{"agree": 1234.0, "differ": 0.0, "undecided": 1.0, "cases": []any{map[string]any{
			"height": 812345.0, "hash": s.Tip.Hash, "at": "2026-11-23T15:04:05Z", "outcome": "undecided",
			"node": "invalid", "rule": "", "detail": "a coin may be missing", "prevouts": "node", "evidence": "/data/evidence/812345",
			"cannot_detect": "The node supplied spent outputs. That such an output does not exist, is spent already, or has another value, " +
				"script or height than the node says, could not be detected.",
		}}},
		"blocks": []any{map[string]any{
			"height": 812345.0, "hash": s.Tip.Hash, "at": "2026-11-23T15:04:05Z", "outcome": "agree", "rule": "",
			"prevouts": "own", "cannot_detect": "", "unchecked": []any{}, "transactions": 2001.0, "inputs": 6000.0, "signatures": 6123.0,
			"verdict_seconds": 0.1512, "parse_seconds": 0.002, "lookup_seconds": 0.004, "rules_seconds": 0.006, "scripts_seconds": 0.088,
		}},
		"disconnected_blocks": 3.0,
		"advice":              []any{map[string]any{"setting": "rest=1", "reason": "blocks come as they are"}},
		"evidence":            map[string]any{"directory": "/data/evidence", "bundles": 1.0, "bytes": 2048.0, "failures": 4.0},
		"signatures":          map[string]any{"path": "lane", "reason": "it is the fastest"},
		"utxo":                map[string]any{"mode": "", "problem": "", "coins": 0.0, "compared": nil},
		"bob":                 nil,
		"bitvm":               nil,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("status is\n%v\nwant\n%v", got, want)
	}
}

func TestStatusOfNothing(t *testing.T) {
	base := start(t, Config{Source: newSource(Status{})})
	_, body := get(t, base+"/api/v1/status")
	for _, want := range []string{`"tip":null`, `"blocks":[]`, `"cases":[]`, `"advice":[]`, `"outcome":""`, `"ready":false`, `"uptime_seconds":0`} {
		if !strings.Contains(body, want) {
			t.Errorf("status lacks %s: %s", want, body)
		}
	}
	if strings.Contains(body, "demo_relay") {
		t.Errorf("a sidecar without a demo tells of its relay: %s", body)
	}
}

func TestStatusIsBounded(t *testing.T) {
	s := following()
	s.Blocks = slices.Repeat(s.Blocks, 100)
	s.Agreement.Cases = make([]Case, 100)
	d := newDocument(s, time.Now())
	if len(d.Blocks) != maxBlocks || len(d.Agreement.Cases) != maxBlocks {
		t.Errorf("%d blocks and %d cases, want %d", len(d.Blocks), len(d.Agreement.Cases), maxBlocks)
	}
	d.Blocks[0].Height = 1
	if s.Blocks[0].Height == 1 {
		t.Error("the document shares its blocks with the source")
	}
}

var paths = []string{"/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/style.css", "/page.js", "/icon.svg"}

func TestMethods(t *testing.T) {
	base := start(t, Config{Source: newSource(following())})
	for _, path := range paths {
		for method, want := range map[string]int{
			http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodPut: 405,
			http.MethodDelete: 405, http.MethodOptions: 405,
		} {
			if resp, _ := do(t, method, base+path, ""); resp.StatusCode != want {
				t.Errorf("%s %s: %s, want %d", method, path, resp.Status, want)
			}
		}
	}
	for _, path := range []string{"/nothing", "/static/", "/page.html", "/api/v1/status/"} {
		if resp, _ := get(t, base+path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s, want 404", path, resp.Status)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	base := start(t, Config{Source: newSource(following())})
	for _, path := range append([]string{"/nothing"}, paths...) {
		resp, _ := get(t, base+path)
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: Content-Security-Policy is %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Access-Control-Allow-Origin": "",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestHost(t *testing.T) {
	base := start(t, Config{Source: newSource(following()), Hosts: []string{"node.example.org"}})
	for host, want := range map[string]int{
		"":                        200, // the URL's
		"localhost":               200,
		"LocalHost:9330":          200,
		"127.0.0.1":               200,
		"127.0.0.2:80":            200,
		"[::1]":                   200,
		"[::1]:9330":              200,
		"node.example.org":        200,
		"Node.Example.Org:9330":   200,
		"evil.example":            403,
		"evil.example:9330":       403,
		"127.0.0.1.evil.example":  403,
		"localhost.evil.example":  403,
		"example.org":             403,
		"xnode.example.org":       403,
		"192.168.1.2":             403,
		"0.0.0.0:9330":            403,
		"[::]:9330":               403,
		"[2001:db8::1]":           403,
		"127.0.0.1:9330:evil":     403,
		"::1":                     403,
		"[::1":                    403,
		"evil.example@127.0.0.1x": 403,
	} {
		for _, path := range paths {
			if resp, body := do(t, http.MethodGet, base+path, host); resp.StatusCode != want {
				t.Errorf("Host %q, %s: %s, want %d", host, path, resp.Status, want)
			} else if want == 403 && strings.Contains(body, "812") {
				t.Errorf("Host %q, %s: the refusal tells the status: %s", host, path, body)
			}
		}
	}
}

// What is served is counted, and what is refused for its Host is not.
func TestRequestsAreCounted(t *testing.T) {
	var registry perfcore.Registry
	base := start(t, Config{Source: newSource(following()), Registry: &registry})
	for _, host := range []string{"", "localhost", "evil.example", ""} {
		do(t, http.MethodGet, base+"/healthz", host)
	}
	do(t, http.MethodGet, base+"/nothing", "")
	for _, s := range registry.Series() {
		if s.Metric.Name == "outrider_web_requests_total" {
			if n := s.Counter.Value(); n != 4 {
				t.Errorf("%d requests are counted, want 4", n)
			}
			return
		}
	}
	t.Error("nothing is counted")
}

// Without a Host, as HTTP/1.0 allows, nobody knows who asks.
func TestNoHost(t *testing.T) {
	base := start(t, Config{Source: newSource(following())})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /api/v1/status HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.0 403" {
		t.Errorf("a request without Host got %q, %v", answer, err)
	}
}

// The address that a connection arrived at is a name of the server.
func TestHostIsLocalAddress(t *testing.T) {
	for local, want := range map[string]bool{"192.168.1.2:9330": true, "192.168.1.3:9330": false, "[2001:db8::1]:1": false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = "192.168.1.2:9330"
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local))
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
		if got := ownHost(r, nil); got != want {
			t.Errorf("Host %s on %s: %v, want %v", r.Host, local, got, want)
		}
	}
}

// A name is the server's own only if it is one of few, by another reading of
// the Host header than ownHost's.
func FuzzOwnHost(f *testing.F) {
	for _, host := range []string{"localhost:1", "127.0.0.1", "[::1]:9330", "own.example", "evil.example", "[::1", "::1", "[[::1]]:2", ":9", ""} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if !ownHost(r, []string{"own.example"}) {
			return
		}
		name := strings.ToLower(strings.Trim((&url.URL{Host: host}).Hostname(), "[]"))
		ip := net.ParseIP(strings.Split(name, "%")[0])
		if name != "localhost" && name != "own.example" && (ip == nil || !ip.IsLoopback()) {
			t.Errorf("Host %q is taken for the server's own", host)
		}
	})
}

func TestRequestsAreBounded(t *testing.T) {
	base := start(t, Config{Source: newSource(following())})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of header: %s, want 431", resp.Status)
	}
}
