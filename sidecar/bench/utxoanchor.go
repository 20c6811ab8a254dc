package bench

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// levelCoins are coins in goleveldb, with the keys and values that the coin
// database has.
type levelCoins struct {
	db      *leveldb.DB
	readers int
}

// openLevelCoins opens the database in dir, or makes an empty one.
func openLevelCoins(dir string, memTable int) (*levelCoins, error) {
	db, err := leveldb.OpenFile(dir, &opt.Options{
		BlockCacheCapacity: utxoCache, WriteBuffer: memTable, Filter: filter.NewBloomFilter(10),
		Compression: opt.NoCompression, OpenFilesCacheCapacity: 2000,
	})
	if err != nil {
		return nil, err
	}
	return &levelCoins{db: db, readers: min(runtime.GOMAXPROCS(0), 8)}, nil // as coindb's default
}

// writeLevelCoins makes the database of a set. It is compacted, as tables that were
// loaded are.
func writeLevelCoins(dir string, set coinSet) (err error) {
	l, err := openLevelCoins(dir, smallMemTable)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	batch := new(leveldb.Batch)
	for i := range int(set) {
		c := set.coin(i)
		batch.Put(levelKey(set.outPoint(i)), corefile.AppendCoin(nil, &c))
		if batch.Len() == 10_000 || i == int(set)-1 {
			if err := l.db.Write(batch, nil); err != nil {
				return err
			}
			batch.Reset()
		}
	}
	return l.db.CompactRange(util.Range{})
}

func (l *levelCoins) close() error { return l.db.Close() }

func levelKey(op wire.OutPoint) []byte {
	key := append([]byte{'c'}, op.Hash[:]...)
	return binary.BigEndian.AppendUint32(key, op.Index)
}

// get returns the coins of ops and their values, sorted by key. It reads on as
// many goroutines as the coin database does, in the order of the keys too.
func (l *levelCoins) get(ops []wire.OutPoint) ([]corefile.Coin, [][]byte, error) {
	sorted := slices.Clone(ops)
	slices.SortFunc(sorted, func(a, b wire.OutPoint) int {
		return cmp.Or(bytes.Compare(a.Hash[:], b.Hash[:]), cmp.Compare(a.Index, b.Index))
	})
	coins, values, errs := make([]corefile.Coin, len(ops)), make([][]byte, len(ops)), make([]error, l.readers)
	var wg sync.WaitGroup
	for g := range l.readers {
		wg.Go(func() {
			for i := len(ops) * g / l.readers; i < len(ops)*(g+1)/l.readers; i++ {
				if coins[i], values[i], errs[g] = l.one(sorted[i]); errs[g] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return coins, values, errors.Join(errs...)
}

// one returns the coin of op and its value.
func (l *levelCoins) one(op wire.OutPoint) (c corefile.Coin, value []byte, err error) {
	if value, err = l.db.Get(levelKey(op), nil); err == nil {
		_, err = c.Decode(value)
	}
	if err != nil {
		return c, nil, fmt.Errorf("goleveldb: %s: %w", op, err)
	}
	return c, value, nil
}

// apply does what coindb.DB.Apply does for a block: it reads what is spent unless
// that is known, and writes all at once and for good, with what undoes it.
func (l *levelCoins) apply(b *coindb.Block) (err error) {
	values := make([][]byte, len(b.Known))
	for i := range b.Known {
		values[i] = corefile.AppendCoin(nil, &b.Known[i])
	}
	if b.Known == nil {
		if _, values, err = l.get(b.Spent); err != nil {
			return err
		}
	}
	batch := new(leveldb.Batch)
	var undo []byte
	for i, op := range b.Spent {
		batch.Delete(levelKey(op))
		undo = append(append(undo, op.Hash[:]...), values[i]...)
	}
	for i := range b.Created {
		c := &b.Created[i]
		batch.Put(levelKey(c.OutPoint), corefile.AppendCoin(nil, &c.Coin))
		undo = append(undo, c.OutPoint.Hash[:]...)
	}
	batch.Put(binary.BigEndian.AppendUint32([]byte{'u'}, b.Height), undo)
	batch.Put([]byte("m"), b.Hash[:])
	return l.db.Write(batch, &opt.WriteOptions{Sync: true})
}
