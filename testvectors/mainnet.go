package testvectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxBlock bounds a serialised block. It is Bitcoin Core's MAX_SIZE, eight times
// what a valid block can have, so that one that is too large is still read and
// can be judged.
const maxBlock = 32 << 20

// A SpentOutput is a coin that an input of a block spends.
type SpentOutput struct {
	// Value is in satoshis.
	Value int64
	// Script is the output's locking script.
	Script []byte
	// Coinbase says that a coinbase transaction created the coin.
	Coinbase bool
	// Height and Time are those of the block that created it, Time in Unix
	// seconds. Of the blocks in this project's vectors, 170, 150013 and 757739
	// have the block's median time past as Time, the others its own time.
	Height, Time uint32
}

// MainnetHeights returns the heights of the mainnet blocks among the vectors.
func MainnetHeights() []uint32 { return []uint32{170, 150013, 367891, 757739, 866342} }

// Mainnet returns the paths of the mainnet block at height and of the outputs
// that it spends, for ReadBlock and ReadSpent. If either is not there, the error
// is an ErrMissing.
func Mainnet(height uint32) (block, spent string, err error) {
	if block, err = Path(fmt.Sprintf("mainnet/%d.block.zst", height)); err != nil {
		return "", "", err
	}
	if spent, err = Path(fmt.Sprintf("mainnet/%d.spent.json.zst", height)); err != nil {
		return "", "", err
	}
	return block, spent, nil
}

// LoadMainnet returns the mainnet block at height and the outputs that it
// spends, which the caller owns. A missing file is treated as by Load.
func LoadMainnet(tb TB, height uint32, unchecked string) (block []byte, spent []SpentOutput) {
	tb.Helper()
	blockPath, spentPath, err := Mainnet(height)
	if err == nil {
		block, err = ReadBlock(blockPath)
	}
	if err == nil {
		spent, err = ReadSpent(spentPath)
	}
	if err != nil {
		giveUp(tb, err, unchecked)
		return nil, nil
	}
	return block, spent
}

// ReadBlock returns the serialised block in the file at path, which is
// decompressed if its name ends in .zst. The block itself is not looked at. The
// error names the file, and is an ErrMissing, ErrTooLarge or ErrMalformed if it
// is one of these.
func ReadBlock(path string) ([]byte, error) { return readFile(path, maxBlock) }

// ReadSpent returns the outputs that a block spends, in the order of its inputs
// with the coinbase left out, from the file at path, which is decompressed if
// its name ends in .zst. It holds a JSON array of
//
//	{"txout": {"value": 5000000000, "script_pubkey": "76a9…"},
//	 "is_coinbase": false, "creation_height": 141118, "creation_time": 1313445739}
//
// with value a whole number of satoshis and script_pubkey in hexadecimal. All
// fields must be there; others are ignored. The error names the file, and is an
// ErrMissing, ErrTooLarge or ErrMalformed if it is one of these.
func ReadSpent(path string) ([]SpentOutput, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return nil, err
	}
	outputs, err := decodeSpent(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", path, ErrMalformed, err)
	}
	return outputs, nil
}

// decodeSpent decodes the JSON form of a block's spent outputs.
func decodeSpent(data []byte) ([]SpentOutput, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	switch t, err := dec.Token(); {
	case err != nil:
		return nil, unexpectedEOF(err)
	case t != json.Delim('['):
		return nil, fmt.Errorf("starts with %v, want an array", t)
	}
	outputs := []SpentOutput{}
	for dec.More() {
		var o spentJSON
		err := dec.Decode(&o)
		if err == nil {
			err = o.complete()
		}
		if err != nil {
			return nil, fmt.Errorf("spent output %d: %w", len(outputs), unexpectedEOF(err))
		}
		outputs = append(outputs, SpentOutput{*o.TxOut.Value, *o.TxOut.Script, *o.Coinbase, *o.Height, *o.Time})
	}
	if _, err := dec.Token(); err != nil {
		return nil, unexpectedEOF(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the array")
	}
	return outputs, nil
}

// unexpectedEOF returns err, with the end of a file that ends too early called
// by that name.
func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// spentJSON is the JSON form of a SpentOutput; nil fields were not there.
type spentJSON struct {
	TxOut *struct {
		Value  *int64    `json:"value"`
		Script *hexBytes `json:"script_pubkey"`
	} `json:"txout"`
	Coinbase *bool   `json:"is_coinbase"`
	Height   *uint32 `json:"creation_height"`
	Time     *uint32 `json:"creation_time"`
}

// complete reports which field is missing, if one is.
func (o *spentJSON) complete() error {
	switch {
	case o.TxOut == nil:
		return errors.New("no txout")
	case o.TxOut.Value == nil:
		return errors.New("no value")
	case o.TxOut.Script == nil:
		return errors.New("no script_pubkey")
	case o.Coinbase == nil:
		return errors.New("no is_coinbase")
	case o.Height == nil:
		return errors.New("no creation_height")
	case o.Time == nil:
		return errors.New("no creation_time")
	}
	return nil
}

// hexBytes is bytes in hexadecimal.
type hexBytes []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *hexBytes) UnmarshalText(text []byte) error {
	*b = make([]byte, hex.DecodedLen(len(text)))
	_, err := hex.Decode(*b, text)
	return err
}
