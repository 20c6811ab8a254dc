package dryrun

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// MaxTx bounds a transaction, in bytes. One in a block has no more, since a byte
	// weighs one unit at least and a block 4,000,000.
	MaxTx = 4_000_000
	// MaxInput bounds what [Parse] reads, in bytes: a transaction in hexadecimal, and
	// as much again for what it spends.
	MaxInput = 4 * MaxTx
	// maxItems bounds the items of all witnesses: an input that consensus looks at has
	// about 1,000 at most, but one of a future version any number, at 24 bytes each.
	maxItems = 100_000
	// maxMoney is MAX_MONEY in Bitcoin Core, in satoshis.
	maxMoney = 21_000_000 * 100_000_000
)

// ErrInput says that what is to be run is not of the form that it has to have; the
// sentence around it says what to change.
var ErrInput = errors.New("not a spend that can be run")

// A Spend is a transaction and the outputs that it spends.
type Spend struct {
	Tx *wire.MsgTx
	// Prevouts are the outputs that the inputs spend, in their order: a value in
	// satoshis and a script. One is nil where it is not known; only an input that is
	// not run may lack it, and only if no input that is run is of taproot, since
	// those sign all of them.
	Prevouts []*wire.TxOut
	// Input is the only input to run, from 0; all are if it is negative.
	Input int
}

// The form of a file.
type spendFile struct {
	Tx       string          `json:"tx"`
	Prevouts []*spendPrevout `json:"prevouts"`
	Input    *int            `json:"input"`
}

type spendPrevout struct {
	Value  *int64  `json:"value"`
	Script string  `json:"scriptPubKey"`
	TxID   *string `json:"txid"`
	Vout   *uint32 `json:"vout"`
}

// Parse reads a spend from JSON of at most [MaxInput] bytes:
//
//	{
//	  "tx": "0200000000…",
//	  "prevouts": [{"value": 100000, "scriptPubKey": "5120…", "txid": "…", "vout": 0}],
//	  "input": 0
//	}
//
// tx is the raw transaction with its witnesses in hexadecimal. prevouts are the outputs
// that its inputs spend, in their order, values in satoshis; txid (as explorers print it)
// and vout may be left out, and if they are there they have to be the input's. input may
// be left out, and then all are run; if it is there, other prevouts may be null as far as
// [Spend] lets them. The error wraps [ErrInput].
func Parse(data []byte) (*Spend, error) {
	if len(data) > MaxInput {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrInput, MaxInput)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var f spendFile
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: want JSON with tx, prevouts and perhaps input: %w", ErrInput, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the JSON", ErrInput)
	}
	tx, err := decodeTx(f.Tx)
	if err != nil {
		return nil, err
	}
	s := &Spend{Tx: tx, Prevouts: make([]*wire.TxOut, len(f.Prevouts)), Input: -1}
	if f.Input != nil {
		if s.Input = *f.Input; s.Input < 0 {
			return nil, fmt.Errorf("%w: input %d: leave it out to run all", ErrInput, s.Input)
		}
	}
	if len(f.Prevouts) == len(tx.TxIn) {
		for i, p := range f.Prevouts {
			if p == nil {
				continue
			}
			if s.Prevouts[i], err = p.output(&tx.TxIn[i].PreviousOutPoint); err != nil {
				return nil, fmt.Errorf("%w: prevout %d: %w", ErrInput, i, err)
			}
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// output returns the output that a prevout describes, which spent spends.
func (p *spendPrevout) output(spent *wire.OutPoint) (*wire.TxOut, error) {
	if p.Value == nil {
		return nil, errors.New("value is missing: it is in satoshis")
	}
	script, err := hex.DecodeString(p.Script)
	if err != nil {
		return nil, fmt.Errorf("scriptPubKey is not hexadecimal: %w", err)
	}
	if p.TxID != nil {
		txid, err := chainhash.NewHashFromStr(*p.TxID)
		if err != nil || len(*p.TxID) != 2*chainhash.HashSize {
			return nil, errors.New("txid is not 64 hexadecimal digits")
		}
		if *txid != spent.Hash {
			return nil, fmt.Errorf("txid is %v, but the input spends %v: put the prevouts into the inputs' order", txid, spent.Hash)
		}
	}
	if p.Vout != nil && *p.Vout != spent.Index {
		return nil, fmt.Errorf("vout is %d, but the input spends %d: put the prevouts into the inputs' order", *p.Vout, spent.Index)
	}
	return &wire.TxOut{Value: *p.Value, PkScript: script}, nil
}

// check says what is wrong with a spend's form.
func (s *Spend) check() error {
	if s.Tx == nil || len(s.Tx.TxIn) == 0 {
		return fmt.Errorf("%w: the transaction has no inputs", ErrInput)
	}
	if len(s.Prevouts) != len(s.Tx.TxIn) {
		return fmt.Errorf("%w: %d prevouts for %d inputs: give one for each, in order", ErrInput, len(s.Prevouts), len(s.Tx.TxIn))
	}
	if s.Input >= len(s.Tx.TxIn) {
		return fmt.Errorf("%w: there is no input %d: the transaction has %d, counted from 0", ErrInput, s.Input, len(s.Tx.TxIn))
	}
	missing, taproot := -1, false
	for i, p := range s.Prevouts {
		switch {
		case p == nil && s.runs(i):
			return fmt.Errorf("%w: prevout %d is null, but input %d is to be run", ErrInput, i, i)
		case p == nil:
			missing = i
		case p.Value < 0 || p.Value > maxMoney:
			return fmt.Errorf("%w: prevout %d has a value of %d satoshis", ErrInput, i, p.Value)
		case len(p.PkScript) > MaxTx:
			return fmt.Errorf("%w: prevout %d has a script of %d bytes", ErrInput, i, len(p.PkScript))
		case s.runs(i):
			taproot = taproot || isTaproot(p.PkScript)
		}
	}
	if missing >= 0 && taproot {
		return fmt.Errorf("%w: prevout %d is null, but an input of taproot is to be run, which signs all of them", ErrInput, missing)
	}
	return nil
}

// runs reports whether an input is to be run.
func (s *Spend) runs(input int) bool { return s.Input < 0 || s.Input == input }

// complete reports whether all outputs that are spent are known.
func (s *Spend) complete() bool {
	for _, p := range s.Prevouts {
		if p == nil {
			return false
		}
	}
	return true
}

// decodeTx decodes a transaction in hexadecimal.
func decodeTx(text string) (*wire.MsgTx, error) {
	if len(text) > 2*MaxTx {
		return nil, fmt.Errorf("%w: tx has more than %d bytes, and no block has room for it", ErrInput, MaxTx)
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: tx is not hexadecimal: %w", ErrInput, err)
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("%w: tx is missing: it is the raw transaction in hexadecimal", ErrInput)
	}
	if err := checkCounts(raw); err != nil {
		return nil, fmt.Errorf("%w: tx: %w", ErrInput, err)
	}
	tx, r := new(wire.MsgTx), bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil {
		return nil, fmt.Errorf("%w: tx: %w", ErrInput, err)
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%w: tx: %d bytes follow the transaction", ErrInput, r.Len())
	}
	return tx, nil
}

// checkCounts walks over a transaction and checks that all it counts is there, so that
// nobody makes room for what is not. What is wrong otherwise, decoding finds.
func checkCounts(raw []byte) error {
	w := walker{rest: raw}
	w.skip(4)
	inputs := w.count(41)
	witness := inputs == 0 && len(w.rest) > 0 && w.rest[0] == 1
	if witness {
		w.skip(1)
		inputs = w.count(41)
	}
	for range inputs {
		w.skip(36)
		w.skip(w.count(1))
		w.skip(4)
	}
	for range w.count(9) {
		w.skip(8)
		w.skip(w.count(1))
	}
	total := 0
	for i := 0; witness && i < inputs && !w.short; i++ {
		items := w.count(1)
		if total += items; total > maxItems {
			return fmt.Errorf("the witnesses have more than %d items", maxItems)
		}
		for range items {
			w.skip(w.count(1))
		}
	}
	if w.skip(4); w.short {
		return errors.New("it ends too early, or counts more than it has")
	}
	return nil
}

// A walker walks over bytes; once they are too short it stays so, and counts nothing.
type walker struct {
	rest  []byte
	short bool
}

func (w *walker) skip(n int) {
	if w.short || n > len(w.rest) {
		w.rest, w.short = nil, true
		return
	}
	w.rest = w.rest[n:]
}

// count reads how many things follow that have size bytes at least, Bitcoin Core's
// CompactSize.
func (w *walker) count(size int) int {
	if w.short || len(w.rest) == 0 {
		w.short = true
		return 0
	}
	first := w.rest[0]
	w.skip(1)
	n, more := uint64(first), 0
	switch first {
	case 0xfd:
		more = 2
	case 0xfe:
		more = 4
	case 0xff:
		more = 8
	}
	if more > 0 {
		n = 0
		for i, b := range w.rest[:min(more, len(w.rest))] {
			n |= uint64(b) << (8 * i)
		}
		w.skip(more)
	}
	if w.short || n > uint64(len(w.rest)/size) {
		w.short = true
		return 0
	}
	return int(n)
}
