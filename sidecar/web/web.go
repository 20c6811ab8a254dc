// Package web serves what the sidecar knows over HTTP: /metrics for
// Prometheus, /healthz and /readyz for a supervisor, /api/v1/status for
// programs and a first page for people. It only reads, but for what it hands on to
// Config.Perf.
//
// /healthz answers as long as the process does; /readyz answers 503 until the
// sidecar is attached to its node and has caught up. A lost node makes it not
// ready, never dead: a restart would not bring the node back.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Config configures a Server.
type Config struct {
	// Address is the host and port to listen on; port 0 takes a free one. The
	// host must be a loopback address or localhost unless AllowRemote is set.
	Address string
	// AllowRemote permits an address that other machines can reach. Nothing
	// that is served is secret, but nothing asks who is reading either.
	AllowRemote bool
	// Hosts are the names, beside loopback ones, under which browsers may ask
	// for the server.
	Hosts []string
	// Registry is what /metrics exports.
	Registry *perfcore.Registry
	// Source tells the status.
	Source Source
	// Coins tells of single coins; nil if nobody does.
	Coins Coins
	// Perf serves what is below /api/v1/perf/; nil if nobody does. It asks those who
	// change something for a token.
	Perf http.Handler
	// Log receives the server's complaints; nil discards them.
	Log *slog.Logger
}

// A Server is the HTTP server. It is made by New.
type Server struct {
	listener net.Listener
	http     *http.Server
	conns    sync.WaitGroup // the goroutines that net/http serves connections in
	grace    time.Duration  // for the requests under way when Run is to end
	log      *slog.Logger
}

// These bound what a client may take. The answers are small, and come from
// memory.
const (
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	responseTimeout = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownGrace   = 2 * time.Second
	maxHeaderBytes  = 16 << 10
)

// New returns a Server that listens on cfg.Address already, so that a taken
// port is known before anything else is started. Run serves and closes the
// listener; a Server that is never run must be closed with Close.
func New(cfg Config) (*Server, error) {
	if cfg.Registry == nil || cfg.Source == nil {
		return nil, errors.New("web: Config.Registry and Config.Source must be set")
	}
	if !cfg.AllowRemote {
		if err := checkLoopback(cfg.Address); err != nil {
			return nil, err
		}
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	handler, err := newHandler(cfg, log)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &Server{listener: listener, grace: shutdownGrace, log: log}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      responseTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState:         s.count,
	}
	return s, nil
}

// count keeps conns. net/http tells of a new connection before it starts the
// connection's goroutine, and of a closed one as the last thing in it.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed:
		s.conns.Done()
	}
}

// checkLoopback returns an error when other machines can reach address.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("web: address %q: %w", address, err)
	}
	if !isLoopback(host) {
		return fmt.Errorf("web: address %q can be reached from other machines; bind to 127.0.0.1, or allow it explicitly", address)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Addr returns the host and port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close frees the address of a Server that is not to be run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, lets the requests under way finish for a few
// seconds, and returns nil; it returns an error when it could not go on
// serving. No goroutine of the server is left when it returns. Run can be
// called once.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		s.http.Close()
		s.conns.Wait()
		return fmt.Errorf("web: %w", err)
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	if err := s.http.Shutdown(stopCtx); err != nil {
		s.log.Warn("web: requests cut off at shutdown", "error", err)
		s.http.Close()
	}
	<-served
	s.conns.Wait()
	return nil
}
