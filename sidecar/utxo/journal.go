package utxo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// A journal says of a load what must be known to go on with it, in a file beside
// the database. A record is on the disk before the coins that it is about are
// given to the database, so that for every coin that is there a record says the
// hash of all coins up to it or further. A snapshot that has the same hash there
// has the same coins: what was loaded before need not be read from the database,
// nor its MuHash be computed again.
//
// The file has a head (a magic, the base's hash and its height, big-endian), and
// then records, each with the CRC-32C of its bytes and of the hash of the base.
// What is left of a record that was being written is cut off.
type journal struct {
	file    *os.File
	tip     coindb.Tip
	records []record // as they were when the journal was opened
}

// A record is what the first coins of a snapshot hash to.
type record struct {
	coins uint64
	// serialized is hash_serialized_3 of these coins, mu the encoded MuHash state.
	serialized chainhash.Hash
	mu         [muhash.StateSize]byte
}

const (
	journalMagic = "outrider load 1\n"
	journalHead  = len(journalMagic) + chainhash.HashSize + 4
	recordSize   = 8 + chainhash.HashSize + muhash.StateSize + crc32.Size
	// maxRecords bounds the memory for a journal. Twice all coins of mainnet fit.
	maxRecords = 1 << 13
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) append(dst []byte, base chainhash.Hash) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, r.coins)
	dst = append(dst, r.serialized[:]...)
	dst = append(dst, r.mu[:]...)
	return binary.BigEndian.AppendUint32(dst, checksum(dst[from:], base))
}

func checksum(b []byte, base chainhash.Hash) uint32 {
	return crc32.Update(crc32.Checksum(base[:], castagnoli), castagnoli, b)
}

// decodeJournal returns what the bytes of a journal say, and how many of them are
// whole; ok is false if not even the head is.
func decodeJournal(b []byte) (tip coindb.Tip, records []record, size int, ok bool) {
	if len(b) < journalHead || !bytes.HasPrefix(b, []byte(journalMagic)) {
		return coindb.Tip{}, nil, 0, false
	}
	tip.Hash = chainhash.Hash(b[len(journalMagic):])
	tip.Height = binary.BigEndian.Uint32(b[journalHead-4:])
	size = journalHead
	for len(b)-size >= recordSize && len(records) < maxRecords {
		e := b[size : size+recordSize]
		body := e[:recordSize-crc32.Size]
		r := record{coins: binary.BigEndian.Uint64(body), serialized: chainhash.Hash(body[8:]), mu: [muhash.StateSize]byte(body[8+chainhash.HashSize:])}
		if binary.BigEndian.Uint32(e[len(body):]) != checksum(body, tip.Hash) ||
			len(records) > 0 && records[len(records)-1].coins >= r.coins {
			break
		}
		records = append(records, r)
		size += recordSize
	}
	return tip, records, size, true
}

// readJournal returns what the journal at path says; ok is false if there is
// none, or none that says anything.
func readJournal(path string) (tip coindb.Tip, records []record, size int, ok bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return coindb.Tip{}, nil, 0, false, nil
	}
	if err != nil {
		return coindb.Tip{}, nil, 0, false, err
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(journalHead+maxRecords*recordSize)))
	tip, records, size, ok = decodeJournal(b)
	return tip, records, size, ok, errors.Join(err, f.Close())
}

// newJournal makes a journal of a load that begins.
func newJournal(path string, tip coindb.Tip) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	head := append([]byte(journalMagic), tip.Hash[:]...)
	head = binary.BigEndian.AppendUint32(head, tip.Height)
	_, err = f.Write(head)
	if err = errors.Join(err, f.Sync(), syncDir(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &journal{file: f, tip: tip}, nil
}

// openJournal opens the journal of a load that goes on after so many coins.
func openJournal(path string, tip coindb.Tip, coins uint64) (*journal, error) {
	of, records, size, ok, err := readJournal(path)
	if err != nil {
		return nil, err
	}
	if !ok || of != tip || len(records) == 0 || records[len(records)-1].coins < coins {
		return nil, fmt.Errorf("%s does not say what the first %d coins were, which were loaded before: use --fresh to begin anew", path, coins)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	_, seekErr := f.Seek(int64(size), io.SeekStart)
	if err := errors.Join(f.Truncate(int64(size)), seekErr); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &journal{file: f, tip: tip, records: records}, nil
}

// add puts r on the disk.
func (j *journal) add(r *record) error {
	if _, err := j.file.Write(r.append(nil, j.tip.Hash)); err != nil {
		return err
	}
	return j.file.Sync()
}

// close closes the file and leaves it there.
func (j *journal) close() error { return j.file.Close() }

// syncDir puts the names in a directory on the disk, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrInvalid) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
