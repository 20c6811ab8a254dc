package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// maxBlocks bounds the blocks and the cases that a status shows.
const maxBlocks = 20

// A document is a Status as served: completed by what follows from it.
type document struct {
	Status
	Ready  bool    `json:"ready"`
	Reason string  `json:"reason"`
	Uptime float64 `json:"uptime_seconds"`
	// Outcome is Agreement's.
	Outcome Outcome `json:"outcome"`
}

// newDocument completes s as of now. Its lists are never nil, so that they are
// lists in JSON too, and hold at most maxBlocks.
func newDocument(s Status, now time.Time) document {
	d := document{Status: s, Outcome: s.Agreement.Outcome()}
	d.Ready, d.Reason = s.Ready()
	if !s.Started.IsZero() {
		d.Uptime = now.Sub(s.Started).Seconds()
	}
	d.Blocks = append([]Block{}, s.Blocks[:min(len(s.Blocks), maxBlocks)]...)
	for i := range d.Blocks {
		b := &d.Blocks[i]
		b.Unchecked = append([]string{}, b.Unchecked...)
		b.CannotDetect = cannotDetect(b.Prevouts)
	}
	d.Advice = append([]Advice{}, s.Advice...)
	d.Agreement.Cases = append([]Case{}, s.Agreement.Cases[:min(len(s.Agreement.Cases), maxBlocks)]...)
	for i := range d.Agreement.Cases {
		c := &d.Agreement.Cases[i]
		c.CannotDetect = cannotDetect(c.Prevouts)
	}
	return d
}

// newHandler returns the handler of everything that is served.
func newHandler(cfg Config, log *slog.Logger) (http.Handler, error) {
	metrics, err := newMetricsHandler(cfg.Registry, log)
	if err != nil {
		return nil, err
	}
	page, err := parsePage()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ready, why := cfg.Source.Status().Ready(); !ready {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(newDocument(cfg.Source.Status(), time.Now()))
		if err != nil {
			log.Error("web: encode status", "error", err)
			http.Error(w, "the status cannot be encoded", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(body, '\n'))
	})
	if cfg.Coins != nil {
		mux.HandleFunc("GET /api/v1/coins/{outpoint}", coinHandler(cfg.Coins, log))
	}
	if cfg.Perf != nil {
		mux.Handle("/api/v1/perf/", cfg.Perf)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := page.Execute(&body, newDocument(cfg.Source.Status(), time.Now())); err != nil {
			log.Error("web: draw page", "error", err)
			http.Error(w, "the page cannot be drawn", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(body.Bytes())
	})
	for name, contentType := range assetTypes {
		handler, err := newAssetHandler(name, contentType)
		if err != nil {
			return nil, err
		}
		mux.Handle("GET /"+name, handler)
	}
	served := Served(cfg.Registry)
	return guard(cfg.Hosts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		mux.ServeHTTP(w, r)
	})), nil
}

// Served returns the counter of the requests that a Server with the recorder as its
// Registry has served; those that it refused for their Host are not among them.
func Served(r perfcore.Recorder) *perfcore.Counter {
	return r.Counter(perfcore.Metric{Name: "outrider_web_requests_total", Help: "Requests that the sidecar has served, for its page and its metrics too."})
}

// guard refuses requests that do not name the server by a name of its own: a
// page of another site that has its name resolve to this address (DNS
// rebinding) still sends that site's name. And it sets the headers that keep a
// browser from doing anything with an answer but show it.
func guard(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
			"img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !ownHost(r, hosts) {
			http.Error(w, fmt.Sprintf("this server does not go by the name %q", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost reports whether the request's Host is a loopback name or address, one
// of hosts, or the very address that the connection arrived at.
func ownHost(r *http.Request, hosts []string) bool {
	host := r.Host
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return false
	}
	if isLoopback(strings.ToLower(host)) {
		return true
	}
	if slices.ContainsFunc(hosts, func(own string) bool { return strings.EqualFold(own, host) }) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && ip.Unmap() == local.AddrPort().Addr().Unmap()
}
