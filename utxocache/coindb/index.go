package coindb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
)

// ErrNoIndex says that there is no whole index of scripts. It comes wrapped.
var ErrNoIndex = errors.New("there is no index of scripts")

// The value of indexKey is one of these; that of a building index is followed
// by the coin's key from which it goes on. From its first instant on, every
// change of coins is made in the index too, so that what was built stays true.
const (
	indexBuilding = 1
	indexWhole    = 2
)

// decodeIndexState returns the key from which a building index goes on; nil for
// a whole one.
func decodeIndexState(value []byte) (next []byte, err error) {
	switch {
	case len(value) == 1 && value[0] == indexWhole:
		return nil, nil
	case len(value) == 1+coinKeySize && value[0] == indexBuilding:
		return append([]byte(nil), value[1:]...), nil
	default:
		return nil, fmt.Errorf("%w: the state of the index is %x", ErrCorrupt, value)
	}
}

// indexed reports whether changes must be made in the index.
func (d *DB) indexed() (bool, error) {
	err := d.get(d.pebble, indexKey, func([]byte) error { return nil })
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func putScript(b *pebble.Batch, op wire.OutPoint, c *Coin) error {
	var key [scriptKeySize]byte
	k := appendScriptKey(key[:0], sha256.Sum256(c.Script), op)
	return b.Set(k, binary.BigEndian.AppendUint32(nil, c.Height), nil)
}

func removeScript(b *pebble.Batch, op wire.OutPoint, c *Coin) error {
	var key [scriptKeySize]byte
	return b.Delete(appendScriptKey(key[:0], sha256.Sum256(c.Script), op), nil)
}

// BuildIndex makes the index of scripts, unless it is there, and returns when
// it is whole. Blocks can be applied meanwhile. If it ends early, because of
// ctx, an error or the process's death, the next call goes on where it was.
// progress, if it is not nil, is called now and then with the share of the
// coins that are in the index.
func (d *DB) BuildIndex(ctx context.Context, progress func(share float64)) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("build the index of scripts: %w", err)
		}
		next, err := d.indexStep()
		if err != nil {
			return fmt.Errorf("build the index of scripts: %w", err)
		}
		if progress != nil {
			progress(share(next))
		}
		if next == nil {
			return nil
		}
	}
}

// share returns which part of the txids is below that of a coin's key; nil is
// above all.
func share(key []byte) float64 {
	if len(key) < 1+8 {
		return 1
	}
	return float64(binary.BigEndian.Uint64(key[1:])) / (1 << 64)
}

// indexStep puts the next coins into the index, and returns the key from which
// to go on; nil when it is whole.
func (d *DB) indexStep() (next []byte, err error) {
	end, err := d.change()
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := d.readState(d.pebble); err != nil {
		return nil, err
	}
	lower, upper := span(kindCoin)
	err = d.get(d.pebble, indexKey, func(value []byte) (err error) {
		lower, err = decodeIndexState(value)
		return err
	})
	switch {
	case err != nil && !errors.Is(err, pebble.ErrNotFound):
		return nil, err
	case lower == nil:
		return nil, nil
	}
	b := d.pebble.NewBatch()
	next, err = d.indexFrom(b, lower, upper)
	if err != nil {
		return nil, errors.Join(d.explain(err), b.Close())
	}
	value, opts := append([]byte{indexBuilding}, next...), pebble.NoSync
	if next == nil {
		value, opts = []byte{indexWhole}, pebble.Sync
	}
	if err := b.Set(indexKey, value, nil); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return next, d.commit(b, opts)
}

// indexFrom puts the first coins from lower on into b, and returns the key of
// the next; nil if there is none.
func (d *DB) indexFrom(b *pebble.Batch, lower, upper []byte) (next []byte, err error) {
	it, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	var c Coin
	n := 0
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if n++; n > d.opts.indexStep {
			next = append(next, it.Key()...)
			break
		}
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		op := outPoint(it.Key())
		if err = decodeCoin(&c, value); err != nil {
			err = fmt.Errorf("%w: coin %s: %w", ErrCorrupt, op, err)
			break
		}
		err = putScript(b, op, &c)
	}
	return next, errors.Join(err, it.Error(), it.Close())
}

// DropIndex removes the index of scripts, if there is one.
func (d *DB) DropIndex() error {
	end, err := d.change()
	if err != nil {
		return fmt.Errorf("drop the index of scripts: %w", err)
	}
	defer end()
	b := d.pebble.NewBatch()
	lower, upper := span(kindScript)
	if err := errors.Join(b.DeleteRange(lower, upper, nil), b.Delete(indexKey, nil)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := d.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("drop the index of scripts: %w", err)
	}
	return nil
}

// A ScriptCoin is where a coin with some script is.
type ScriptCoin struct {
	OutPoint wire.OutPoint
	// Height is the height of the block that created it.
	Height uint32
}

// ByScript yields the coins whose script has the given SHA-256, sorted by txid
// and number. It yields an error last, if there is one; one that wraps
// ErrNoIndex when the index was not whole as of the view's tip.
func (v *View) ByScript(script [32]byte) iter.Seq2[ScriptCoin, error] {
	return func(yield func(ScriptCoin, error) bool) {
		err := v.db.get(v.snap, indexKey, func(value []byte) error {
			if len(value) != 1 || value[0] != indexWhole {
				return ErrNoIndex
			}
			return nil
		})
		if errors.Is(err, pebble.ErrNotFound) {
			err = ErrNoIndex
		}
		if err == nil {
			err = v.byScript(script, yield)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(ScriptCoin{}, fmt.Errorf("coins of script %x: %w", script, v.db.explain(err)))
		}
	}
}

func (v *View) byScript(script [32]byte, yield func(ScriptCoin, error) bool) error {
	lower := append([]byte{kindScript}, script[:]...)
	upper := append([]byte(nil), lower...)
	for i := len(upper) - 1; i >= 0; i-- {
		if upper[i]++; upper[i] != 0 {
			break
		}
	}
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		key, value := it.Key(), it.Value()
		if len(key) != scriptKeySize || len(value) != 4 {
			err = fmt.Errorf("%w: index entry %x: %x", ErrCorrupt, key, value)
			break
		}
		if !yield(ScriptCoin{outPoint(key), binary.BigEndian.Uint32(value)}, nil) {
			err = errStop
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}
