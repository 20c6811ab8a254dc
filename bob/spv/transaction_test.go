package spv

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

func TestParseTransaction(t *testing.T) {
	good := payment(false, 10, 3)
	segwit := slices.Concat(good[:4], []byte{0, 1}, good[4:len(good)-4], []byte{1, 2, 0xaa, 0xbb}, good[len(good)-4:])
	for _, tt := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"without witnesses", good, true},
		{"with witnesses", segwit, true},
		{"with an element that is not there", slices.Concat(segwit[:len(segwit)-7], []byte{7}, segwit[len(segwit)-6:]), false},
		{"with empty stacks only", slices.Concat(good[:4], []byte{0, 1}, good[4:len(good)-4], []byte{0}, good[len(good)-4:]), false},
		{"no inputs", []byte{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false},
		{"no outputs", slices.Concat(good[:56], []byte{0, 0, 0, 0, 0}), false},
		{"a long number of inputs", slices.Concat(good[:4], []byte{0xfd, 1, 0}, good[5:]), false},
		{"more inputs than there can be", slices.Concat(good[:4], bytes.Repeat([]byte{0xff}, 9), good[5:]), false},
		{"another flag", slices.Concat(good[:4], []byte{0, 2}, good[4:]), false},
		{"nothing", nil, false},
	} {
		tx, err := ParseTransaction(tt.data)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrTransaction) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.ok && !bytes.Equal(tx.Stripped(), good) {
			t.Errorf("%s: stripped to %x", tt.name, tx.Stripped())
		}
	}
	for i := range good {
		if _, err := ParseTransaction(good[:i]); err == nil {
			t.Errorf("%d bytes of %d are a transaction", i, len(good))
		}
	}
}

// FuzzParseTransaction compares the parser with btcd's on any bytes, and its hash.
func FuzzParseTransaction(f *testing.F) {
	good := payment(false, 10, 3)
	f.Add(good)
	f.Add(payment(true, 4, 0))
	f.Add(slices.Concat(good[:4], []byte{0, 1}, good[4:len(good)-4], []byte{1, 2, 0xaa, 0xbb}, good[len(good)-4:]))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		tx, err := ParseTransaction(data)
		if err != nil {
			return // that good ones are taken the tests on real blocks show
		}
		var w wire.MsgTx
		r := bytes.NewReader(data)
		if err := w.Deserialize(r); err != nil || r.Len() != 0 {
			t.Fatalf("%x: btcd: %v, %d bytes left", data, err, r.Len())
		}
		if tx.txid() != w.TxHash() {
			t.Fatalf("%x: txid %s, btcd: %s", data, tx.txid(), w.TxHash())
		}
		tx.isCoinbase()
		tx.commitment()
	})
}

// FuzzParseBlock parses any bytes as a block: no panic, and every transaction of a block
// can be proven, or has 64 bytes or no coinbase.
func FuzzParseBlock(f *testing.F) {
	f.Add(assemble(payment(true, 10, 1)))
	f.Add(assemble(payment(true, 10, 1), payment(false, 4, 2), payment(false, 30, 3)))
	f.Add(make([]byte, 81))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		// A root that fits, so that more than the first check is reached.
		b, err := ParseBlock(data)
		if err != nil {
			return
		}
		for i := range b.Len() {
			if _, err := b.Proof(i); err != nil && !errors.Is(err, ErrSize) && !errors.Is(err, ErrCoinbase) && !errors.Is(err, ErrDepth) {
				t.Errorf("transaction %d: %v", i, err)
			}
		}
	})
}

// FuzzVerify verifies any proofs: no panic, and none is of anything but the two blocks'
// transactions.
func FuzzVerify(f *testing.F) {
	txs := [][]byte{payment(true, 10, 1), payment(false, 20, 2), payment(false, 20, 3)}
	b, err := ParseBlock(assemble(txs...))
	if err != nil {
		f.Fatal(err)
	}
	for i := range txs {
		p, err := b.Proof(i)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Tx, p.Index, Joined(p.Path), p.Coinbase, Joined(p.CoinbasePath), b.header[36:68])
	}
	f.Fuzz(func(t *testing.T, tx []byte, index uint32, path, coinbase, coinbasePath, root []byte) {
		p := Proof{Tx: tx, Index: index, Coinbase: coinbase}
		var errPath, errCoinbase error
		p.Path, errPath = SplitPath(path)
		p.CoinbasePath, errCoinbase = SplitPath(coinbasePath)
		if errPath != nil || errCoinbase != nil {
			return
		}
		p.Header = b.header
		if id, err := p.Verify(); err == nil && (int(index) >= len(txs) || id != b.ids[0][index]) {
			t.Errorf("proved %s at %d", id, index)
		}
		copy(p.Header[36:68], root)
		p.Verify()
		w := WitnessProof{Header: p.Header, Coinbase: coinbase, CoinbasePath: p.CoinbasePath, Tx: tx, Index: index, Path: p.Path}
		if id, err := w.Verify(); err == nil {
			t.Errorf("proved the witnesses of %s", id)
		}
	})
}
