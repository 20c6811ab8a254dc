package zmq

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// shown is a hash as it is shown, and as bodies have it.
const shown = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func TestDecodeSequence(t *testing.T) {
	hash, err := chainhash.NewHashFromStr(shown)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rest string // in hex, behind the hash
		want Sequence
		ok   bool
	}{
		{"43", Sequence{Label: BlockConnected, Hash: *hash}, true},
		{"44", Sequence{Label: BlockDisconnected, Hash: *hash}, true},
		{"410100000000000000", Sequence{Label: TxAdded, Hash: *hash, MempoolSequence: 1}, true},
		{"52ffffffffffffff7f", Sequence{Label: TxRemoved, Hash: *hash, MempoolSequence: 1<<63 - 1}, true},
		{"", Sequence{}, false},
		{"41", Sequence{}, false},
		{"4101000000000000", Sequence{}, false},
		{"41010000000000000000", Sequence{}, false},
		{"430100000000000000", Sequence{}, false},
		{"440000", Sequence{}, false},
		{"42", Sequence{}, false},
		{"630100000000000000", Sequence{}, false},
	} {
		body, err := hex.DecodeString(shown + c.rest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSequence(body)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("…%s: %+v, %v", c.rest, got, err)
		}
		if c.ok && got.Hash.String() != shown {
			t.Errorf("…%s: hash %s", c.rest, got.Hash)
		}
		n := Notification{Topic: TopicSequence, Body: body}
		if err := n.check(); (err == nil) != c.ok {
			t.Errorf("…%s: check: %v", c.rest, err)
		}
	}
	for n := range chainhash.HashSize + 1 {
		if _, err := DecodeSequence(make([]byte, n)); err == nil {
			t.Errorf("a body of %d bytes is accepted", n)
		}
	}
}

func TestDecodeHash(t *testing.T) {
	body, err := hex.DecodeString(shown)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(body)
	if h, err := DecodeHash(body); err != nil || h.String() != shown {
		t.Errorf("hash %s, %v", h, err)
	}
	if !bytes.Equal(body, kept) {
		t.Error("the body was changed")
	}
	for _, wrong := range [][]byte{nil, body[1:], append(body, 0)} {
		_, err := DecodeHash(wrong)
		if _, ok := errors.AsType[*protocolError](err); !ok {
			t.Errorf("%d bytes: %v", len(wrong), err)
		}
		for _, topic := range []string{TopicHashBlock, TopicHashTx} {
			n := Notification{Topic: topic, Body: wrong}
			if err := n.check(); err == nil || !strings.Contains(err.Error(), topic) {
				t.Errorf("%s of %d bytes: %v", topic, len(wrong), err)
			}
		}
		n := Notification{Topic: TopicRawTx, Body: wrong}
		if err := n.check(); err != nil {
			t.Errorf("rawtx of %d bytes: %v", len(wrong), err)
		}
	}
}

func FuzzDecodeSequence(f *testing.F) {
	for _, rest := range []string{"43", "44", "410100000000000000", "52ffffffffffffffff", "", "41", "42"} {
		body, err := hex.DecodeString(shown + rest)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := DecodeSequence(body)
		if err != nil {
			return
		}
		again := append(slices.Clone(s.Hash[:]), byte(s.Label))
		slices.Reverse(again[:chainhash.HashSize])
		if s.Label == TxAdded || s.Label == TxRemoved {
			again = binary.LittleEndian.AppendUint64(again, s.MempoolSequence)
		}
		if !bytes.Equal(again, body) {
			t.Errorf("% x is decoded as %+v", body, s)
		}
	})
}
