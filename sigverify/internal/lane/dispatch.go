package lane

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// An engine is kernels that are known to work, and the multiples of G.
type engine struct {
	kernels *kernelSet
	table   *table
}

// open returns the kernels of this machine, or why there are none.
var open = sync.OnceValues(func() (*engine, error) {
	return openWith(missingFeature(), assembly)
})

// openWith returns the kernels if no feature is missing and they pass their
// self-test.
func openWith(missing string, kernels func() *kernelSet) (*engine, error) {
	if missing != "" {
		return nil, fmt.Errorf("%w: the machine lacks %s", ErrUnsupported, missing)
	}
	e := &engine{kernels(), newTable()}
	if kernel := selfTest(e); kernel != "" {
		return nil, fmt.Errorf("%w: %s", ErrSelfTest, kernel)
	}
	return e, nil
}

// These are the reasons why the lanes are not available.
var (
	// ErrUnsupported says that the processor or the operating system lacks
	// something, or that the build is without assembly.
	ErrUnsupported = errors.New("lane: no kernels for this machine")
	// ErrSelfTest says that a kernel computed something else than its model. It
	// should be reported: the processor or this package is broken.
	ErrSelfTest = errors.New("lane: a kernel failed its self-test")
	// ErrDisabled says that Disable was called.
	ErrDisabled = errors.New("lane: disabled")
)

// disabled is the reason that Disable was given; nil if it was not called.
var disabled atomic.Pointer[string]

// Disable makes Check fail, and so Available false, from now on. It does not
// stop a Scratch that exists. The reason goes into the error.
func Disable(reason string) { disabled.Store(&reason) }

// Check returns nil if the lanes can be used, and else why not: an
// ErrUnsupported, an ErrSelfTest or an ErrDisabled. The first call tests every
// kernel against its model and computes the multiples of G, which takes some
// ten milliseconds. It is safe for concurrent use.
func Check() error {
	if reason := disabled.Load(); reason != nil {
		return fmt.Errorf("%w: %s", ErrDisabled, *reason)
	}
	_, err := open()
	return err
}

// Available reports whether the lanes can be used. Check tells why not.
func Available() bool { return Check() == nil }

// NewScratch returns a Scratch, or the error of Check.
func NewScratch() (*Scratch, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	e, err := open()
	if err != nil {
		return nil, err
	}
	return newScratch(e.kernels, e.table), nil
}
