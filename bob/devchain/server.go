package devchain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// What a client may send and be sent, in bytes, and how long it may take.
const (
	maxBody       = 2 << 20
	maxBatch      = 100
	maxAnswer     = 16 << 20
	maxHTTPHeader = 16 << 10
	headerTime    = 5 * time.Second
	requestTime   = 30 * time.Second
	idleTime      = time.Minute
	stopTime      = 2 * time.Second
)

// Serve answers a node's JSON-RPC at l until ctx ends, and then returns nil. It closes l,
// which has to be on the loopback, and leaves no connection open.
func (c *Chain) Serve(ctx context.Context, l net.Listener) error {
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok || !at.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("serve a chain at %v: it is for the loopback only", l.Addr()), l.Close())
	}
	handler, err := c.handler()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s := &http.Server{
		Handler: handler, MaxHeaderBytes: maxHTTPHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // it ends what is being executed
		ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime,
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err = s.Shutdown(patient)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close()
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// handler returns the JSON-RPC server.
func (c *Chain) handler() (http.Handler, error) {
	s := rpc.NewServer()
	s.SetBatchLimits(maxBatch, maxAnswer)
	s.SetHTTPBodyLimit(maxBody)
	for name, api := range map[string]any{"eth": &ethAPI{c}, "net": &netAPI{c}, "web3": &web3API{}} {
		if err := s.RegisterName(name, api); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isLoopback(r.Host):
			// A page from elsewhere whose name was made to resolve to this machine.
			http.Error(w, "the Host is not of the loopback", http.StatusForbidden)
		case r.Method != http.MethodPost:
			http.Error(w, "JSON-RPC is posted", http.StatusMethodNotAllowed)
		default:
			s.ServeHTTP(w, r)
		}
	}), nil
}

// isLoopback reports whether an HTTP Host is this machine by its own name or address.
func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
