package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// undoFiles reads what blocks spend from the files of a bitcoind's blocks
// directory, while bitcoind writes them.
//
// A block's undo record is in the rev file of the number of the blk file that
// has the block (node/blockstorage.cpp, WriteBlockUndo), and does not say whose
// it is: its checksum tells the block's predecessor only. So the blk files are
// searched first, for the block and for others with its predecessor; then the
// rev file, from the record after the one that was found last. What was seen of
// files is kept in small indexes, and only what was written since is read.
//
// Files are opened for each look-up and closed after it: bitcoind may prune or
// write them anew. Blocks that it wrote in another order than that of their
// times, as the one that loads a snapshot of the coins does, may not be found. It
// is safe for concurrent use; one block is looked up at a time.
type undoFiles struct {
	dir     string
	network func(context.Context) (string, error)

	mu    sync.Mutex // guards what follows
	net   wire.BitcoinNet
	key   corefile.Key
	files []*blockFileIndex // the one that was used last first
	buf   []byte
}

const (
	// maxIndexed bounds the records in all indexes but the one in use, which
	// has those of one blk and one rev file: 131 MiB hold half a million of the
	// smallest. A record takes 16 bytes.
	maxIndexed = 1 << 19
	// searchFiles is in how many blk files on either side of where the time of
	// a block puts it that block is searched. During its first download
	// bitcoind stores up to 1,024 blocks out of order, which are about ten
	// files; and the time of a block may be off by two hours.
	searchFiles = 16
)

// spent returns what s spends.
func (u *undoFiles) spent(ctx context.Context, s *spending) ([]Prevout, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.net == 0 {
		if err := u.open(ctx); err != nil {
			return nil, err
		}
	}
	coins, err := u.search(ctx, s)
	if err != nil {
		// A file may have been written anew since it was indexed, and another
		// directory put in its place. The next look-up begins from nothing.
		u.files, u.net = nil, 0
		return nil, u.fileError(err)
	}
	return coins, nil
}

// fileError makes an error of a file that no other attempt cures an
// unusableError.
func (u *undoFiles) fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unusable("the files in %s may not be read: bitcoind makes its files for their owner alone: run this program as the same user, or give its user an access control list for the blocks directory, what is in it and, by default, what will be (setfacl -R -m u:USER:rX and setfacl -R -d -m u:USER:rX)", u.dir)
	case errors.Is(err, corefile.ErrMagic):
		return unusable("the files are of another network, or xor.dat is not their key: %w", err)
	}
	return err
}

// open reads what holds for all files.
func (u *undoFiles) open(ctx context.Context) error {
	network, err := u.network(ctx)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(u.dir, "xor.dat"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		u.key = corefile.Key{} // Bitcoin Core before 28, or blocksxor=0
	case err != nil:
		return u.fileError(err)
	default:
		if u.key, err = corefile.ParseKey(key); err != nil {
			return unusable("xor.dat: %w", err)
		}
	}
	numbers, err := u.numbers()
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(numbers) == 0:
		return unusable("%s has no blk files: give bitcoind's blocks directory, which is in its data directory, on test networks below that network's name, or where blocksdir says", u.dir)
	case err != nil:
		return u.fileError(err)
	}
	magic, err := u.magic(network, numbers[len(numbers)-1])
	if err != nil {
		return u.fileError(err)
	}
	u.net = magic
	return nil
}

// magic returns what the records of a network begin with. A signet's depends on
// its challenge: it is taken from a file.
func (u *undoFiles) magic(network string, number int) (wire.BitcoinNet, error) {
	switch network {
	case "main":
		return wire.MainNet, nil
	case "test":
		return wire.TestNet3, nil
	case "testnet4":
		return wire.TestNet4, nil
	case "regtest":
		return wire.TestNet, nil
	}
	f, err := os.Open(u.path("blk", number))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var magic [4]byte
	if _, err := corefile.NewPlain(f, u.key).ReadAt(magic[:], 0); err != nil {
		return 0, err
	}
	return wire.BitcoinNet(uint32(magic[0]) | uint32(magic[1])<<8 | uint32(magic[2])<<16 | uint32(magic[3])<<24), nil
}

func (u *undoFiles) path(kind string, number int) string {
	return filepath.Join(u.dir, fmt.Sprintf("%s%05d.dat", kind, number))
}

// numbers returns the numbers of the blk files in ascending order.
func (u *undoFiles) numbers() ([]int, error) {
	dir, err := os.Open(u.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		digits, blk := strings.CutPrefix(name, "blk")
		digits, dat := strings.CutSuffix(digits, ".dat")
		if n, err := strconv.ParseUint(digits, 10, 31); blk && dat && err == nil {
			numbers = append(numbers, int(n))
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// search looks for s in the files that are indexed, in those that are new since,
// and in those that its time points to.
func (u *undoFiles) search(ctx context.Context, s *spending) ([]Prevout, error) {
	var missed error
	for _, f := range slices.Clone(u.files) {
		coins, err := u.look(f, s)
		if !errors.Is(err, errElsewhere) && !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				return coins, nil
			}
			missed = err
		}
	}
	numbers, err := u.numbers()
	if err != nil {
		return nil, err
	}
	around, err := u.around(numbers, s)
	if err != nil {
		return nil, err
	}
	for _, n := range around {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(u.files, func(f *blockFileIndex) bool { return f.number == n }) {
			continue
		}
		coins, err := u.look(&blockFileIndex{number: n}, s)
		switch {
		case err == nil:
			return coins, nil
		case errors.Is(err, fs.ErrPermission):
			return nil, err
		case !errors.Is(err, errElsewhere) && !errors.Is(err, fs.ErrNotExist): // pruned meanwhile
			missed = err
		}
	}
	if missed == nil {
		missed = fmt.Errorf("no blk file from %d to %d has the block where its time puts it: it is pruned, or not written yet", numbers[0], numbers[len(numbers)-1])
	}
	return nil, missed
}

// around returns the numbers of the files in which a block of that time is
// likely to be, the likeliest first.
func (u *undoFiles) around(numbers []int, s *spending) ([]int, error) {
	if len(numbers) == 0 {
		return nil, errors.New("the blk files are gone")
	}
	lo, hi := 0, len(numbers) // the first file that begins after the block
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		begins, err := u.begins(numbers[mid])
		switch {
		case errors.Is(err, fs.ErrNotExist), err == io.EOF: // pruned, or empty yet
			numbers = slices.Delete(numbers, mid, mid+1)
			hi--
			if len(numbers) == 0 {
				return nil, errors.New("the blk files are gone")
			}
		case err != nil:
			return nil, err
		case begins > s.body.Header.Time():
			hi = mid
		default:
			lo = mid + 1
		}
	}
	var near []int
	for d := range searchFiles {
		for _, i := range []int{lo - 1 - d, lo + d} {
			if i >= 0 && i < len(numbers) {
				near = append(near, numbers[i])
			}
		}
	}
	return near, nil
}

// begins returns the time of the first block of a blk file.
func (u *undoFiles) begins(number int) (uint32, error) {
	f, size, err := openRecords(u.path("blk", number))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	rec, err := scanBlocks(f, size, u.key, u.net).next(blockPeek)
	if err != nil {
		return 0, err
	}
	h := rec.header()
	return h.Time(), nil
}

// look looks for s in the blk and rev files of one number, and puts f first
// among the indexes if the block is in them; else the error is errElsewhere.
func (u *undoFiles) look(f *blockFileIndex, s *spending) ([]Prevout, error) {
	blk, size, err := openRecords(u.path("blk", f.number))
	if err != nil {
		return nil, err
	}
	defer blk.Close()
	if err := f.extendBlocks(scanBlocks(blk, size, u.key, u.net)); err != nil {
		return nil, err
	}
	siblings, found := f.siblings(s)
	u.keep(f)
	if !found {
		return nil, errElsewhere
	}
	rev, size, err := openRecords(u.path("rev", f.number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errLags
	} else if err != nil {
		return nil, err
	}
	defer rev.Close()
	if err := f.extendUndo(scanUndo(rev, size, u.key, u.net)); err != nil {
		return nil, err
	}
	undo, err := u.record(f, corefile.NewUndoFile(rev, u.key, u.net), s)
	if err != nil {
		return nil, err
	}
	blocks := corefile.NewBlockFile(blk, u.key, u.net)
	for _, offset := range siblings {
		raw, _, err := blocks.Read(offset, nil)
		if err != nil {
			return nil, err
		}
		if other, err := blockval.Parse(raw); err != nil || fits(other, undo) {
			return nil, errAmbiguous
		}
	}
	return s.undone(undo), nil
}

var (
	errElsewhere = errors.New("the block is not in this file")
	// errLags says that a block's record is not in the rev file of its number.
	errLags = errors.New("the rev file has no undo record of this block: it lags behind, or the block was never connected")
	// errAmbiguous says that a record may be that of either of two blocks.
	errAmbiguous = errors.New("the undo record may be that of another block with the same predecessor")
)

// keep puts f first among the indexes, and drops old ones that make them too
// large.
func (u *undoFiles) keep(f *blockFileIndex) {
	kept, records := []*blockFileIndex{f}, 0
	for _, other := range u.files {
		if other == f {
			continue
		}
		if records += len(other.blocks) + len(other.undos); records > maxIndexed || len(kept) > 2*searchFiles {
			break
		}
		kept = append(kept, other)
	}
	u.files = kept
}

// record returns the undo record of s. Candidates are those with its number of
// transactions, whose checksum is tried.
func (u *undoFiles) record(f *blockFileIndex, file *corefile.UndoFile, s *spending) (corefile.BlockUndo, error) {
	var damaged error
	for i := range f.undos {
		at := (f.cursor + i) % len(f.undos)
		if f.undos[at].txs != uint32(len(s.txs())) {
			continue
		}
		rec, _, err := file.Read(int64(f.undos[at].offset), u.buf)
		if err != nil {
			damaged = err
			continue
		}
		u.buf = rec.Data[:0]
		if rec.Verify(s.body.Header.Prev()) != nil {
			continue
		}
		undo, err := corefile.DecodeBlockUndo(rec.Data)
		if err != nil {
			return nil, err
		}
		if fits(s.body, undo) {
			f.cursor = at + 1
			return undo, nil
		}
	}
	if damaged != nil {
		return nil, damaged
	}
	return nil, errLags
}

// fits reports whether undo has a coin for each input of b.
func fits(b *blockval.Block, undo corefile.BlockUndo) bool {
	txs := b.Msg.Transactions
	return len(txs) == len(undo)+1 && slices.EqualFunc(txs[1:], undo, func(tx *wire.MsgTx, coins []corefile.Coin) bool {
		return len(tx.TxIn) == len(coins)
	})
}

// undone returns the coins of undo, which fits s.
func (s *spending) undone(undo corefile.BlockUndo) []Prevout {
	coins := make([]Prevout, 0, s.inputs)
	for _, tx := range undo {
		for i := range tx {
			c := &tx[i]
			coins = append(coins, Prevout{Coin: blockval.Coin{
				Value: c.Value, Script: c.Script, Height: c.Height, Coinbase: c.Coinbase,
			}})
		}
	}
	return coins
}

// A blockFileIndex says what is where in the blk and rev files of one number.
type blockFileIndex struct {
	number int
	blocks []indexedBlock
	undos  []indexedUndo
	// cursor is the place in undos after the record that was found last: the
	// next block's is likely to be there.
	cursor int
}

// An indexedBlock is a block of a blk file. Of hashes eight bytes are enough:
// what they find is verified by a checksum.
type indexedBlock struct {
	hash, prev [8]byte
	offset     uint32
}

// An indexedUndo is a record of a rev file.
type indexedUndo struct{ offset, txs uint32 }

func short(h chainhash.Hash) [8]byte { return [8]byte(h[:8]) }

// siblings reports whether the blk file has the block of s, and where it has
// others with the same predecessor.
func (f *blockFileIndex) siblings(s *spending) (offsets []int64, found bool) {
	hash, prev := short(s.Hash), short(s.body.Header.Prev())
	for _, b := range f.blocks {
		switch {
		case b.prev != prev:
		case b.hash == hash:
			found = true
		default:
			offsets = append(offsets, int64(b.offset))
		}
	}
	return offsets, found
}

// extendBlocks indexes what was written to the blk file since, and the last
// record again, which may have been half-written.
func (f *blockFileIndex) extendBlocks(r *recordScan) error {
	if n := len(f.blocks); n > 0 {
		r.offset = int64(f.blocks[n-1].offset)
		f.blocks = f.blocks[:n-1]
	}
	for {
		rec, err := r.next(blockPeek)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		h := rec.header()
		f.blocks = append(f.blocks, indexedBlock{hash: short(h.Hash()), prev: short(h.Prev()), offset: uint32(rec.offset)})
	}
}

// extendUndo is extendBlocks for the rev file.
func (f *blockFileIndex) extendUndo(r *recordScan) error {
	if n := len(f.undos); n > 0 {
		r.offset = int64(f.undos[n-1].offset)
		f.undos = f.undos[:n-1]
	}
	for {
		rec, err := r.next(undoPeek)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		// A record without a number is as good as one with any: it is not
		// a whole one.
		txs, _, _ := corefile.DecodeCompactSize(rec.begins)
		f.undos = append(f.undos, indexedUndo{offset: uint32(rec.offset), txs: uint32(txs)})
	}
}
