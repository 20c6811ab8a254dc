package utxo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

func sha(b []byte) [32]byte { return sha256.Sum256(b) }

// encode returns a journal as it is written.
func encode(tip coindb.Tip, records []record) []byte {
	b := append([]byte(journalMagic), tip.Hash[:]...)
	b = binary.BigEndian.AppendUint32(b, tip.Height)
	for i := range records {
		b = records[i].append(b, tip.Hash)
	}
	return b
}

// Whatever bytes a journal has, what is read of it is what they begin with.
func FuzzDecodeJournal(f *testing.F) {
	tip := coindb.Tip{Hash: chainhash.HashH([]byte("base")), Height: 7}
	whole := encode(tip, []record{{coins: 3, serialized: chainhash.HashH(nil)}, {coins: 9}})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(encode(tip, []record{{coins: 9}, {coins: 9}}))
	f.Add([]byte(journalMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		tip, records, size, ok := decodeJournal(b)
		if !ok {
			if len(records) > 0 || size != 0 {
				t.Errorf("%d records of no journal", len(records))
			}
			return
		}
		if size > len(b) || !bytes.Equal(encode(tip, records), b[:size]) {
			t.Errorf("%d bytes are not the %d records", size, len(records))
		}
		for i := 1; i < len(records); i++ {
			if records[i].coins <= records[i-1].coins {
				t.Error("the records do not ascend")
			}
		}
	})
}

func TestJournalStops(t *testing.T) {
	tip := coindb.Tip{Hash: chainhash.HashH([]byte("base")), Height: 7}
	whole := encode(tip, []record{{coins: 3}, {coins: 9}, {coins: 12}})
	for at := journalHead; at < len(whole); at += 50 {
		spoilt := bytes.Clone(whole)
		spoilt[at] ^= 0x80
		if _, records, _, ok := decodeJournal(spoilt); !ok || len(records) != (at-journalHead)/recordSize {
			t.Errorf("byte %d is spoilt: %d records are whole", at, len(records))
		}
	}
}
