package coindb

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// memorySteps are how far coindb.memory goes from Options.Memory: it is divided
// and multiplied by these.
const (
	memoryShrinks = 16
	memoryGrows   = 4
)

// mostReaders bounds Options.Readers, however many a caller asks for.
const mostReaders = 64

// Knobs returns what may be tried at other values. No answer changes by them.
func (d *DB) Knobs() []perfcore.Knob {
	var memory []int64
	most := min(memoryGrows*d.opts.Memory, memoryCeiling)
	for n := max(d.opts.Memory/memoryShrinks, 1<<20); n < most; n *= 2 {
		memory = append(memory, n)
	}
	var compactions []int64
	for n := int64(1); n <= int64(min(runtime.GOMAXPROCS(0), maxCompactions)); n *= 2 {
		compactions = append(compactions, n)
	}
	return []perfcore.Knob{
		{
			Name: "coindb.memory", Help: "Memory for coins on disk: cached blocks of tables, and what is not in tables yet.", Unit: "bytes",
			Scope: perfcore.Live, Resource: perfcore.Database, Carry: perfcore.Stateful, Settle: time.Minute, Fills: true,
			Ladder: perfcore.Ladder(memory, d.opts.Memory, d.Memory(), most),
			Apply:  func(_ context.Context, n int64) error { return d.SetMemory(n) },
			Read:   d.Memory,
		},
		{
			Name: "coindb.compactions", Help: "How many compactions of coins on disk may run at a time.", Unit: "compactions",
			Scope: perfcore.Live, Resource: perfcore.Disk, Carry: perfcore.Stateful, Settle: time.Minute,
			Ladder: perfcore.Ladder(compactions, d.compactions.Load()),
			Apply:  func(_ context.Context, n int64) error { return d.setCompactions(n) },
			Read:   d.compactions.Load,
		},
		{
			Name: "coindb.readers", Help: "How many goroutines read coins on disk for one block.", Unit: "goroutines",
			Scope: perfcore.Live, Resource: perfcore.Database, Carry: perfcore.Memoryless, Hastens: true,
			Ladder: perfcore.Ladder([]int64{1, 2, 4, maxReaders}, d.readers.Load()),
			Apply:  func(_ context.Context, n int64) error { return d.setReaders(n) },
			Read:   d.readers.Load,
		},
	}
}

// setReaders sets how many goroutines read for a batch that begins from now on.
func (d *DB) setReaders(n int64) error {
	if n < 1 || n > mostReaders {
		return fmt.Errorf("coindb: %d goroutines cannot read", n)
	}
	if err := d.enter(); err != nil {
		return fmt.Errorf("coindb: %w", err)
	}
	defer d.leave()
	d.readers.Store(n)
	return nil
}

// setCompactions sets how many compactions may run at a time. Those that run
// are not stopped.
func (d *DB) setCompactions(n int64) error {
	if err := checkCompactions(int(n)); err != nil {
		return fmt.Errorf("coindb: %w", err)
	}
	if err := d.enter(); err != nil {
		return fmt.Errorf("coindb: %w", err)
	}
	defer d.leave()
	d.compactions.Store(n)
	return nil
}
