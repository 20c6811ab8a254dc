package web

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// draw returns the page of s, served by a Server.
func draw(t *testing.T, s Status) string {
	t.Helper()
	resp, body := get(t, start(t, Config{Source: newSource(s)})+"/")
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "text/html; charset=utf-8" {
		t.Fatalf("%s, %s", resp.Status, ct)
	}
	return body
}

func TestPageTellsTheStatus(t *testing.T) {
	s := following()
	s.Blocks[0].Unchecked = []string{"bad-txns-BIP30"}
	body := draw(t, s)
	for _, want := range []string{
		`<body class="agree">`, "Agrees with the node", "812,345", s.Tip.Hash + "</dd>", "…" + s.Tip.Hash[48:], "btcd", "127.0.0.1:8334",
		"45,678", "2 resyncs", "41,000 verified ahead", "2,001", "6,000", "6,123", "151.20", "88.00", "15:04:05", "v0.1.0", "1 h 0 min", ">own<",
		"not checked: bad-txns-BIP30", "1,234", "/btcd:0.26.0/",
		"<dt>rest=1</dt>", "blocks come as they are", `<title>Agrees with the node at 812,345`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, "Verdicts that do not agree") {
		t.Error("the page has a table of cases although there are none")
	}
}

func TestPageShowsTheDemosRelay(t *testing.T) {
	s := following()
	if body := draw(t, s); strings.Contains(body, "Relay") {
		t.Error("the page shows a relay although there is none")
	}
	s.DemoRelay = &DemoRelay{ChainID: 1337, Address: "0x8387cb", BlockID: BlockID{Height: 811111}, BitcoinHeight: 812222, Behind: 1111}
	body := draw(t, s)
	for _, want := range []string{"<dt>Relay</dt>", "<dd>811,111</dd>", "<b>1,111</b> behind Bitcoin’s 812,222 · chain 1337", "0x8387cb"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	s.DemoRelay.Behind = 0
	if body := draw(t, s); !strings.Contains(body, "in step with Bitcoin ·") || strings.Contains(body, "behind") {
		t.Error("the page does not say that the relay is in step")
	}
}

func TestPageMoods(t *testing.T) {
	for _, tt := range []struct {
		mood   mood
		change func(*Status)
		want   string
	}{
		{"agree", func(*Status) {}, "Agrees with the node"},
		{"agree", func(s *Status) { s.AtTip = false }, "Not ready: catching up with the node"},
		{"undecided", func(s *Status) { s.Agreement.Undecided = 1 }, "A verdict is undecided"},
		{"differ", func(s *Status) { s.Agreement.Undecided, s.Agreement.Differ = 1, 1 }, "Verdict differs from the node’s"},
		{"differ", func(s *Status) { s.Agreement.Differ, s.Node.Attached = 1, false }, "Verdict differs from the node’s"},
		{"lost", func(s *Status) { s.Node.Attached, s.Node.Problem = false, "connection refused" }, "connection refused."},
		{"lost", func(s *Status) { *s = Status{} }, "Not attached to the node"},
		{"waiting", func(s *Status) { s.Agreement, s.Blocks = Agreement{}, nil }, "No block has been judged yet."},
	} {
		s := following()
		tt.change(&s)
		body := draw(t, s)
		if !strings.Contains(body, `<body class="`+string(tt.mood)+`">`) || !strings.Contains(body, tt.want) {
			t.Errorf("the page of %s lacks its class or %q:\n%s", tt.mood, tt.want, body)
		}
	}
}

func TestPageShowsCases(t *testing.T) {
	s := following()
	s.Agreement.Differ = 1
	s.Agreement.Cases = []Case{{
		BlockID: *s.Tip, At: s.Blocks[0].At, Outcome: Differ, Node: "valid",
		Rule: "bad-cb-amount", Detail: "coinbase pays 1 satoshi too much", Prevouts: "node", Evidence: "/data/evidence/812345-00",
	}}
	s.Evidence = Evidence{Directory: "/data/evidence", Bundles: 1, Bytes: 20480}
	s.Blocks[0].Prevouts = "node"
	body := draw(t, s)
	for _, want := range []string{
		"Verdicts that do not agree", "bad-cb-amount", "coinbase pays 1 satoshi too much", "2026-11-23 15:04:05 UTC",
		`<code class="path">/data/evidence/812345-00</code>`, "Bundles of evidence: 1, 20,480 bytes", `<code class="path">/data/evidence</code>`,
		`<td class="coins node" title="The node supplied`, `<span class="small">The node supplied spent outputs. That such`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, "could not be written") {
		t.Error("the page tells of a failure that was none")
	}
	s.Evidence.Failures = 3
	if body := draw(t, s); !strings.Contains(body, "<b>3</b> could not be written") {
		t.Error("the page does not tell of bundles that could not be written")
	}
}

func TestPageEscapesHostileStrings(t *testing.T) {
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`
	tip := BlockID{Height: 1, Hash: hostile}
	s := Status{
		Version: hostile, Network: hostile,
		Node: Node{Kind: hostile, Agent: hostile, Address: hostile, Problem: hostile, Tip: &tip},
		Tip:  &tip,
		Agreement: Agreement{Differ: 1, Cases: []Case{{
			BlockID: tip, Outcome: hostile, Node: hostile, Rule: hostile, Detail: hostile, Prevouts: hostile, Evidence: hostile,
		}}},
		Blocks:   []Block{{BlockID: tip, Outcome: hostile, Rule: hostile, Prevouts: hostile, Unchecked: []string{hostile}, Scripts: 1}},
		Advice:   []Advice{{Setting: hostile, Reason: hostile}},
		Evidence: Evidence{Directory: hostile},
	}
	for _, s := range []Status{s, {Node: Node{Problem: hostile}}} {
		body := draw(t, s)
		if n := strings.Count(body, "<script"); n != 1 {
			t.Errorf("%d script elements, want the page's own", n)
		}
		for _, bad := range []string{"<img", "<script>alert", hostile} {
			if strings.Contains(body, bad) {
				t.Errorf("the page holds %q as it came", bad)
			}
		}
		if !strings.Contains(body, "&lt;script&gt;alert(1)") {
			t.Error("the page lacks the hostile string, escaped")
		}
	}
}

// Every element that the page opens is closed, and nothing in it is inline that
// the Content-Security-Policy would stop.
func TestPageIsWellFormed(t *testing.T) {
	s := following()
	s.Agreement = Agreement{Differ: 1, Cases: make([]Case, 2)}
	body := draw(t, s)
	if bad := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|https?://`).FindString(body); bad != "" {
		t.Errorf("the page holds %q", bad)
	}
	dec := xml.NewDecoder(strings.NewReader(body))
	dec.Strict = false // a doctype, and elements that are never closed
	dec.AutoClose = []string{"meta", "link"}
	dec.Entity = xml.HTMLEntity
	var open []string
	for {
		token, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if name := token.Name.Local; name != "meta" && name != "link" {
				open = append(open, name)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("</%s> closes %v", token.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) != 0 {
		t.Errorf("left open: %v", open)
	}
}

// What the page refers to is there, with the type that a browser wants.
func TestAssets(t *testing.T) {
	base := start(t, Config{Source: newSource(following())})
	_, body := get(t, base+"/")
	var found []string
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		found = append(found, m[1])
		if resp, _ := get(t, base+m[1]); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", m[1], resp.Status)
		}
	}
	for name, contentType := range assetTypes {
		if !slices.Contains(found, "/"+name) {
			t.Errorf("the page does not use %s", name)
		}
		resp, content := get(t, base+"/"+name)
		if got := resp.Header.Get("Content-Type"); got != contentType || content == "" {
			t.Errorf("%s is %q, %d bytes", name, got, len(content))
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
		again, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		again.Body.Close()
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s asked for again: %s, want 304", name, again.Status)
		}
	}
}

func TestBar(t *testing.T) {
	d := newDocument(Status{Blocks: []Block{
		{Parse: 1, Lookup: 2, Rules: 3, Scripts: 4},
		{Parse: 0, Lookup: 0, Rules: 0, Scripts: 5},
		{},
	}}, time.Now())
	for i, want := range []float64{100, 50, 0} {
		var end float64
		for _, segment := range d.Bar(d.Blocks[i]) {
			if math.Abs(segment.X-end) > 0.02 {
				t.Errorf("block %d: %s begins at %v, want %v", i, segment.Class, segment.X, end)
			}
			end = segment.X + segment.Width
		}
		if math.Abs(end-want) > 0.02 {
			t.Errorf("block %d: the bar ends at %v, want %v", i, end, want)
		}
	}
	if bar := (document{}).Bar(Block{}); bar != nil {
		t.Errorf("a bar without times is %v", bar)
	}
}

func TestFormats(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for up, want := range map[time.Duration]string{
		59 * time.Second: "under a minute", 61 * time.Second: "1 min",
		25*time.Hour + time.Minute: "1 d 1 h", 3*time.Hour + 4*time.Minute: "3 h 4 min",
	} {
		if got := (document{Uptime: up.Seconds()}).Running(); got != want {
			t.Errorf("Running after %v = %q, want %q", up, got, want)
		}
	}
	if got := shortHash("abc"); got != "abc" {
		t.Errorf("shortHash(abc) = %q", got)
	}
}
