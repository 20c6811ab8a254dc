package sidecar

import (
	"sync"

	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/perfcore"
)

// A claims holds the verifier of claims, where somebody asks for one.
type claims struct {
	mu       sync.Mutex // guards what follows
	verifier *claim.Verifier
	closed   bool
}

// Claims returns the sidecar's verifier of BitVM claims, which is closed when the sidecar
// has run or is closed. Its metrics are the sidecar's from the first call on, and its
// knobs are optimized if that was before Run. It is safe for concurrent use.
func (s *Sidecar) Claims() *claim.Verifier {
	c := &s.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verifier == nil {
		c.verifier = claim.New(claim.Options{Parallel: s.cfg.Workers, Recorder: s.registry})
		if c.closed {
			c.verifier.Close()
		}
	}
	return c.verifier
}

// knobs returns those of the verifier; none where there is none.
func (c *claims) knobs() []perfcore.Knob {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verifier == nil {
		return nil
	}
	return c.verifier.Knobs()
}

// close closes the verifier, and the one that may come.
func (c *claims) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.verifier != nil {
		c.verifier.Close()
	}
}
