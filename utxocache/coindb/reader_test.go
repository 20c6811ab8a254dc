package coindb

import (
	"crypto/sha256"
	"errors"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Readers see whole tips only, and never wait for a change, while blocks come
// and go, the index is built, and everything is compacted.
func TestReaders(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{MemTable: 64 << 10, Memory: 1 << 20, indexStep: 3, Readers: 2})
	var mu sync.Mutex
	moments := map[Tip]moment{c.top().tip: *c.top()}
	must(t, d.Reset(c.top().tip, true))
	for range 20 {
		must(t, d.Apply(c.mine()))
		moments[c.top().tip] = *c.top()
	}
	var ops []wire.OutPoint
	for op := range c.top().coins {
		ops = append(ops, op)
	}

	done := make(chan struct{})
	var readers, writer sync.WaitGroup
	look := func() error {
		v, err := d.View()
		if err != nil {
			return err
		}
		mu.Lock()
		m, known := moments[v.Tip()]
		mu.Unlock()
		if !known {
			return errors.Join(errors.New("a tip that never was"), v.Close())
		}
		answers := make([]Answer, len(ops))
		if err := v.GetBatch(ops, answers); err != nil {
			return errors.Join(err, v.Close())
		}
		for i, op := range ops {
			want, exists := m.coins[op]
			if answers[i].Found != exists || !equalCoin(answers[i].Coin, want) {
				t.Errorf("at %s: %s is %+v", m.tip, op, answers[i])
			}
		}
		script := sha256.Sum256([]byte{0x51})
		var want, got int
		for _, coin := range m.coins {
			if string(coin.Script) == "\x51" {
				want++
			}
		}
		for _, err := range v.ByScript(script) {
			if errors.Is(err, ErrNoIndex) {
				got = want
				break
			}
			if err != nil {
				return errors.Join(err, v.Close())
			}
			got++
		}
		if got != want {
			t.Errorf("at %s: the index has %d coins of a script, must have %d", m.tip, got, want)
		}
		return v.Close()
	}
	for range 3 {
		readers.Go(func() {
			for {
				if err := look(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writer.Go(func() {
		for range 3 {
			if err := errors.Join(d.BuildIndex(t.Context(), nil), d.Compact(t.Context())); err != nil {
				t.Error(err)
			}
			if _, err := d.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if err := d.DropIndex(); err != nil {
				t.Error(err)
			}
		}
		if err := d.BuildIndex(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
	for range 150 {
		if c.chance(4) && len(c.moments) > 2 {
			must(t, d.Undo(c.undo().tip))
			continue
		}
		b := c.mine()
		mu.Lock()
		moments[b.Tip] = *c.top()
		mu.Unlock()
		must(t, d.Apply(b))
	}
	writer.Wait()
	close(done)
	readers.Wait()
	compareDB(t, d, c.top())
	report, err := d.Check(t.Context())
	if err != nil || len(report.Problems) > 0 || report.IndexEntries != report.Coins {
		t.Errorf("%+v, %v", report, err)
	}
}
