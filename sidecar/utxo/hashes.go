package utxo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// hashes are what a set of coins comes to.
type hashes struct {
	coins          uint64
	serialized, mu chainhash.Hash
	set            muhash.Set // of which mu is the hash
	// highest is the greatest height of a coin.
	highest uint32
}

// A chunk is coins on their way, whole transactions.
type chunk struct {
	ops     []wire.OutPoint
	coins   []corefile.Coin
	scripts []byte // of coins
	batch   muhash.Batch
	// record is what all coins up to the last of these come to, and known
	// whether a journal has it already.
	record record
	known  bool
}

func (c *chunk) reset() {
	c.ops, c.coins, c.scripts = c.ops[:0], c.coins[:0], c.scripts[:0]
	c.batch.Reset()
	c.known = false
}

// add adds the coins of a transaction; the chunk keeps copies.
func (c *chunk) add(tx *corefile.TxCoins) {
	for i := range tx.Coins {
		from := &tx.Coins[i]
		coin := from.Coin
		at := len(c.scripts)
		c.scripts = append(c.scripts, coin.Script...)
		coin.Script = c.scripts[at:len(c.scripts):len(c.scripts)]
		c.ops = append(c.ops, wire.OutPoint{Hash: tx.Txid, Index: from.Vout})
		c.coins = append(c.coins, coin)
	}
}

const (
	// A chunk is full when it has chunkCoins or scripts of chunkScripts bytes:
	// then it takes about 15 MB.
	chunkCoins   = 1 << 16
	chunkScripts = 4 << 20
	// chunks are on their way at a time: one that is read, one that is hashed,
	// one that is used, and one that waits.
	chunks = 4
)

// A hashing hashes coins as they come, and hands them on. What it does overlaps:
// the coins are read, and hashed by SHA-256, on one goroutine; on another, and as
// many as there are processors beside it, they are multiplied into the MuHash; and
// they are used on the caller's.
type hashing struct {
	// next returns the coins of one transaction after the other, and then io.EOF.
	next func() (*corefile.TxCoins, error)
	// interrupt, if it is not nil, makes a next that waits return.
	interrupt func()
	// known are the records of the coins that come first, as they must be.
	known []record
	// use is given each chunk, in their order.
	use func(*chunk) error
	// size is the number of coins in a chunk, about.
	size int
}

// errOther says that the coins are not those of which there are records.
var errOther = errors.New("the snapshot is not the one of which a part was loaded before, or one of the two is damaged: " +
	"go on with that one, or use --fresh to begin anew")

// run returns when all coins were used, or with the first error. What it started
// has ended then.
func (h *hashing) run(ctx context.Context) (hashes, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if h.interrupt != nil {
		stop := context.AfterFunc(ctx, h.interrupt)
		defer stop()
	}
	if h.size == 0 {
		h.size = chunkCoins
	}
	free, read, hashed := make(chan *chunk, chunks), make(chan *chunk, 1), make(chan *chunk, 1)
	for range chunks {
		free <- new(chunk)
	}
	var sum hashes
	var set muhash.Set
	var wg sync.WaitGroup
	var readErr error // what was read before it is used all the same
	wg.Go(func() {
		defer close(read)
		readErr = h.read(ctx, &sum, free, read)
	})
	wg.Go(func() {
		defer close(hashed)
		if err := multiply(ctx, &set, read, hashed); err != nil {
			cancel(err)
		}
	})
	for c := range hashed {
		if err := h.use(c); err != nil {
			cancel(err)
			break
		}
		free <- c // has room for all there are
	}
	wg.Wait()
	if err := cmp.Or(context.Cause(ctx), readErr); err != nil {
		return hashes{}, err
	}
	sum.mu, sum.set = set.Finalize(), set
	return sum, nil
}

// read fills chunks, and sum but for its MuHash.
func (h *hashing) read(ctx context.Context, sum *hashes, free <-chan *chunk, read chan<- *chunk) error {
	serialized, known := corefile.NewSetHasher(), h.known
	for ended := false; !ended; {
		var c *chunk
		select {
		case c = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.reset()
		full := func() bool { return len(c.coins) >= h.size || len(c.scripts) >= chunkScripts }
		if len(known) > 0 {
			full = func() bool { return sum.coins >= known[0].coins }
		}
		for !full() {
			tx, err := h.next()
			if err == io.EOF {
				ended = true
				break
			}
			if err == nil {
				err = serialized.Add(tx) // which sorts them
			}
			if err != nil {
				return err
			}
			c.add(tx)
			sum.coins += uint64(len(tx.Coins))
			for i := range tx.Coins {
				sum.highest = max(sum.highest, tx.Coins[i].Height)
			}
		}
		if ended && len(c.coins) == 0 && len(known) == 0 {
			break
		}
		c.record.coins, c.record.serialized = sum.coins, serialized.Sum()
		if len(known) > 0 {
			if c.record.coins != known[0].coins || c.record.serialized != known[0].serialized {
				return errOther
			}
			c.record, c.known, known = known[0], true, known[1:]
		} else {
			c.elements()
		}
		select {
		case read <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	sum.serialized = serialized.Sum()
	return nil
}

// elements fills the batch.
func (c *chunk) elements() {
	var element []byte
	for i := range c.coins {
		element = corefile.AppendTxOutSer(element[:0], c.ops[i], &c.coins[i])
		c.batch.Insert(element)
	}
}

// multiply puts the coins of chunks into set, and what it is then into their
// records. Where that is known it is taken from there.
func multiply(ctx context.Context, set *muhash.Set, read <-chan *chunk, hashed chan<- *chunk) error {
	for c := range read {
		if c.known {
			if err := set.Decode(c.record.mu[:]); err != nil {
				return fmt.Errorf("the journal of the load: %w", err)
			}
		} else {
			set.Apply(&c.batch, runtime.GOMAXPROCS(0))
			set.Append(c.record.mu[:0])
		}
		select {
		case hashed <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
