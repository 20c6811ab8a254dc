package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A perfShape says how large a recording is and how it is replayed.
type perfShape struct {
	// Transactions is of each block. SyncBlocks, more than replayLag, are replayed again and again, TipBlocks
	// once each, for a transaction comes to the mempool once.
	Transactions, SyncBlocks, TipBlocks int
	// Rounds is how often those of the synchronisation are connected before the database
	// is as it is recorded: tables in several levels, as one in use has.
	Rounds int
	// Coins are those that nobody spends, and that are asked for.
	Coins int
	// TipLookups are asked for while a block is waited for at the tip, and SyncLookups
	// for each block of a synchronisation.
	TipLookups, SyncLookups int
	// Askers are who ask for coins at the tip, at once and each for its share, a whole number of
	// them; 0 is one.
	Askers int
	// NoPageCache leaves the coins out of the system's cache, as where there are more than the
	// machine has memory for.
	NoPageCache bool
	// SyncGap is the time from block to block of a synchronisation, as which a node may hand
	// them over: that the same is done in the same time makes what it costs comparable.
	SyncGap time.Duration
}

// A recording is the generated blocks of a replay. It is written by the process
// that measures, and read by those that it starts.
type recording struct {
	Shape perfShape
	// Headers are those below each of the blocks.
	Headers   [][80]byte
	Height    uint32
	Sync, Tip []recordedBlock // Tip only where they are generated: see tipBlocks
}

// A recordedBlock is a block and what its inputs spend, in their order.
type recordedBlock struct {
	Raw   []byte
	Spent []testvectors.SpentOutput
}

// The files of a recording in its directory.
const (
	recordingFile = "blocks.gob"
	recordedTip   = "tip.gob"
	recordedCoins = "coins"
)

// record generates the blocks of the shape from a seed, and the database of the
// coins that they spend among others, and writes both to dir.
func record(ctx context.Context, dir string, shape perfShape) error {
	rec, err := generateRecording(ctx, shape)
	if err != nil {
		return err
	}
	if err := rec.writeCoins(filepath.Join(dir, recordedCoins)); err != nil {
		return fmt.Errorf("write the coins of the recording: %w", err)
	}
	if err := rec.write(dir); err != nil {
		return err
	}
	return age(ctx, dir, shape.Rounds)
}

// age connects the blocks of the recording in dir so often, and leaves the database as it
// is then.
func age(ctx context.Context, dir string, rounds int) (err error) {
	work := filepath.Join(dir, "aging")
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	r, err := newReplay(dir, work, 0)
	if err != nil {
		return err
	}
	for range rounds * len(r.blocks) {
		if err = r.connectNext(ctx); err != nil {
			break
		}
	}
	if err := errors.Join(err, r.close()); err != nil {
		return fmt.Errorf("age the coins of the recording: %w", err)
	}
	coins := filepath.Join(dir, recordedCoins)
	return errors.Join(os.RemoveAll(coins), os.Rename(filepath.Join(work, recordedCoins), coins))
}

// write writes the blocks to dir.
func (rec *recording) write(dir string) error {
	var rest, tip bytes.Buffer
	without := *rec
	without.Tip = nil
	err := gob.NewEncoder(&rest).Encode(without)
	stream := gob.NewEncoder(&tip)
	for i := range rec.Tip {
		err = cmp.Or(err, stream.Encode(rec.Tip[i]))
	}
	if err != nil {
		return fmt.Errorf("write the recording: %w", err)
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, recordingFile), rest.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, recordedTip), tip.Bytes(), 0o600))
}

// tipBlocks are the blocks of the tip on disk, which are read one after the other: all of
// them would be most of what is on the heap, and so of the memory that is measured.
type tipBlocks struct {
	file   *os.File
	stream *gob.Decoder
	left   int
}

// openTip opens those of rec, which record wrote to dir. The caller closes them.
func (rec *recording) openTip(dir string) (*tipBlocks, error) {
	f, err := os.Open(filepath.Join(dir, recordedTip))
	if err != nil {
		return nil, err
	}
	return &tipBlocks{f, gob.NewDecoder(bufio.NewReader(f)), rec.Shape.TipBlocks}, nil
}

// next returns the next one, of which there are left.
func (t *tipBlocks) next() (*recordedBlock, error) {
	b := new(recordedBlock)
	if err := t.stream.Decode(b); err != nil {
		return nil, fmt.Errorf("read a block of the tip: %w", err)
	}
	t.left--
	return b, nil
}

// readRecording reads what record wrote to dir, but for the blocks of the tip.
func readRecording(dir string) (*recording, error) {
	f, err := os.Open(filepath.Join(dir, recordingFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rec := new(recording)
	if err := gob.NewDecoder(f).Decode(rec); err != nil {
		return nil, fmt.Errorf("read the recording: %w", err)
	}
	return rec, nil
}

// firstSeed is the seed of the first block; the others follow.
const firstSeed = 28_000

func generateRecording(ctx context.Context, shape perfShape) (*recording, error) {
	rec := &recording{Shape: shape, Sync: make([]recordedBlock, shape.SyncBlocks), Tip: make([]recordedBlock, shape.TipBlocks)}
	n := shape.SyncBlocks + shape.TipBlocks
	var next atomic.Int64
	var generators sync.WaitGroup
	errs := make([]error, n)
	var once sync.Once
	for range runtime.GOMAXPROCS(0) {
		generators.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				g, err := testvectors.Generate(testvectors.Generation{Seed: firstSeed + uint64(i), Transactions: shape.Transactions})
				if err != nil {
					errs[i] = err
					continue
				}
				once.Do(func() { rec.Headers, rec.Height = g.Headers, g.Height })
				b := recordedBlock{Raw: g.Block, Spent: g.Spent}
				if i < shape.SyncBlocks {
					rec.Sync[i] = b
				} else {
					rec.Tip[i-shape.SyncBlocks] = b
				}
			}
		})
	}
	generators.Wait()
	return rec, errors.Join(append(errs, ctx.Err())...)
}

// base is the block as of which the coins of the database are unspent.
func (rec *recording) base() coindb.Tip { return coinSet(rec.Shape.Coins).base() }

// writeCoins makes the database: what the blocks spend, and coins that they do not.
func (rec *recording) writeCoins(dir string) (err error) {
	var all []coindb.CoinAt
	for _, b := range slices.Concat(rec.Sync, rec.Tip) {
		spent, err := b.spends()
		if err != nil {
			return err
		}
		all = append(all, spent...)
	}
	set := coinSet(rec.Shape.Coins)
	for i := range int(set) {
		all = append(all, coindb.CoinAt{OutPoint: set.outPoint(i), Coin: set.coin(i)})
	}
	slices.SortFunc(all, func(a, b coindb.CoinAt) int {
		return cmp.Or(bytes.Compare(a.OutPoint.Hash[:], b.OutPoint.Hash[:]), cmp.Compare(a.OutPoint.Index, b.OutPoint.Index))
	})
	db, err := coindb.Open(dir, coindb.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l, err := db.NewLoader(rec.base(), coindb.LoadOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for i := range all {
		if err := l.Add(all[i].OutPoint, &all[i].Coin); err != nil {
			return err
		}
	}
	return l.Finish()
}

// spends returns the coins that the block spends and does not create itself.
func (b *recordedBlock) spends() ([]coindb.CoinAt, error) {
	parsed, err := blockval.Parse(b.Raw)
	if err != nil {
		return nil, err
	}
	own := make(map[wire.OutPoint]bool)
	for i, tx := range parsed.Msg.Transactions {
		for j := range tx.TxOut {
			own[wire.OutPoint{Hash: parsed.Txids[i], Index: uint32(j)}] = true
		}
	}
	var coins []coindb.CoinAt
	place := 0
	for _, tx := range parsed.Msg.Transactions[1:] {
		for _, in := range tx.TxIn {
			o := b.Spent[place]
			place++
			if !own[in.PreviousOutPoint] {
				coins = append(coins, coindb.CoinAt{OutPoint: in.PreviousOutPoint, Coin: coindb.Coin{
					Value: o.Value, Script: o.Script, Height: o.Height, Coinbase: o.Coinbase,
				}})
			}
		}
	}
	return coins, nil
}
