package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// maxVerboseBlock bounds an answer of getblock with verbosity 3, which tells
// each byte of a block up to six times. Full blocks of mainnet take about 15 MB.
// What is longer is left to other sources.
const maxVerboseBlock = 64 << 20

// errNoUndo says that the node has a block without what it spends.
var errNoUndo = errors.New("the node has no undo data of this block: it has pruned it, or never connected it")

// spentByBlock asks for what a block spends by getblock with verbosity 3, which
// bitcoind has since v23. It is the dearest way to learn of a whole block, and
// the only one that needs no file and no index.
//
// REST's /rest/spenttxouts (v30) is not a source. For a block with 6,000 inputs
// a bitcoind on the same two cores answered it in 10 ms, where getblock took
// 210 ms and the undo file 0.6 ms. But it has neither heights nor coinbase
// flags, and bitcoind has no call for these alone: getblock, and
// getrawtransaction by the transaction index, tell value and script with them,
// so that spenttxouts beside either only adds to its cost.
func (b *Bitcoind) spentByBlock(ctx context.Context, s *spending) ([]Prevout, error) {
	v := verboseBlock{s: s}
	err := b.rpc.call(ctx, b.m.getBlockSpent, &v, s.Hash.String(), 3)
	if errors.Is(err, ErrForbidden) {
		return nil, &unusableError{err}
	}
	if err != nil {
		return nil, bitcoindError(err)
	}
	if slices.ContainsFunc(v.coins, func(p Prevout) bool { return p.Missing }) {
		return nil, errNoUndo
	}
	return v.coins, nil
}

// A verboseBlock decodes an answer of getblock with verbosity 3, for the block
// of s. Of it only the coins are kept: memory is taken for as many as the block
// has inputs.
type verboseBlock struct {
	s     *spending
	coins []Prevout
}

// UnmarshalJSON implements json.Unmarshaler. A coin that is not told is Missing;
// an error means that the answer is not that for the block of s.
func (v *verboseBlock) UnmarshalJSON(data []byte) error {
	v.coins = v.s.nothing()
	d := jsonScan{data: data}
	var hash, txs bool
	err := d.object(func(key []byte) error {
		switch string(key) {
		case "hash":
			hash = true
			return d.hash(v.s.Hash)
		case "tx":
			txs = true
			return v.transactions(&d)
		}
		return d.skip()
	})
	if err == nil && (!hash || !txs) {
		err = errors.New("hash or tx is missing")
	}
	return err
}

func (v *verboseBlock) transactions(d *jsonScan) error {
	all := v.s.body.Msg.Transactions
	count, place := 0, 0
	err := d.array(func() error {
		if count == len(all) {
			return fmt.Errorf("more than the block's %d transactions", len(all))
		}
		i := count
		count++
		if err := v.transaction(d, i, place); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		if i > 0 {
			place += len(all[i].TxIn)
		}
		return nil
	})
	if err == nil && count != len(all) {
		err = fmt.Errorf("%d transactions, the block has %d", count, len(all))
	}
	return err
}

// transaction reads the block's transaction i, whose first input has the given
// place.
func (v *verboseBlock) transaction(d *jsonScan, i, place int) error {
	var txid, vin bool
	err := d.object(func(key []byte) error {
		switch string(key) {
		case "txid":
			txid = true
			return d.hash(v.s.body.Txids[i])
		case "vin":
			vin = true
			inputs, count := len(v.s.body.Msg.Transactions[i].TxIn), 0
			err := d.array(func() error {
				if count == inputs {
					return fmt.Errorf("more than its %d inputs", inputs)
				}
				j := count
				count++
				if i == 0 {
					return d.skip()
				}
				return v.input(d, i, j, &v.coins[place+j])
			})
			if err == nil && count != inputs {
				err = fmt.Errorf("%d inputs, it has %d", count, inputs)
			}
			return err
		}
		return d.skip()
	})
	if err == nil && (!txid || !vin) {
		err = errors.New("txid or vin is missing")
	}
	return err
}

// input reads an input into p, if its coin is told.
func (v *verboseBlock) input(d *jsonScan, i, j int, p *Prevout) error {
	op := &v.s.body.Msg.Transactions[i].TxIn[j].PreviousOutPoint
	var txid, vout, told bool
	err := d.object(func(key []byte) (err error) {
		switch string(key) {
		case "txid":
			txid = true
			return d.hash(op.Hash)
		case "vout":
			vout = true
			n, err := d.number(math.MaxUint32)
			if err == nil && n != uint64(op.Index) {
				err = fmt.Errorf("output %d, the block spends %d", n, op.Index)
			}
			return err
		case "prevout":
			told = true
			p.Coin, err = d.prevout()
			return err
		}
		return d.skip()
	})
	switch {
	case err != nil:
		return fmt.Errorf("input %d: %w", j, err)
	case !txid || !vout:
		return fmt.Errorf("input %d: txid or vout is missing", j)
	case !told:
		p.Missing = true
	}
	return nil
}

// prevout reads a coin, none of whose fields may be missing.
func (d *jsonScan) prevout() (c blockval.Coin, err error) {
	var generated, height, value, script bool
	err = d.object(func(key []byte) (err error) {
		switch string(key) {
		case "generated":
			generated = true
			c.Coinbase, err = d.boolean()
		case "height":
			height = true
			var n uint64
			n, err = d.number(corefile.MaxHeight)
			c.Height = uint32(n)
		case "value":
			value = true
			c.Value, err = d.bitcoins()
		case "scriptPubKey":
			err = d.object(func(key []byte) (err error) {
				if string(key) != "hex" {
					return d.skip()
				}
				script = true
				c.Script, err = d.hex()
				return err
			})
		default:
			err = d.skip()
		}
		return err
	})
	if err == nil && !(generated && height && value && script) {
		err = errors.New("generated, height, value or scriptPubKey.hex of prevout is missing")
	}
	return c, err
}

// hash reads a hash, which must be want.
func (d *jsonScan) hash(want chainhash.Hash) error {
	var h displayHash
	raw, err := d.scalar()
	if err == nil {
		err = h.UnmarshalJSON(raw)
	}
	if err == nil && chainhash.Hash(h) != want {
		err = fmt.Errorf("%s instead of %s", chainhash.Hash(h), want)
	}
	return err
}

// number reads a whole number from 0 to limit.
func (d *jsonScan) number(limit uint64) (uint64, error) {
	raw, err := d.scalar()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%.40q is not a number from 0 to %d", raw, limit)
	}
	return n, nil
}

func (d *jsonScan) boolean() (bool, error) {
	raw, err := d.scalar()
	if err != nil {
		return false, err
	}
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%.40q is not true or false", raw)
}

// hex reads a string of two hexadecimal digits a byte.
func (d *jsonScan) hex() ([]byte, error) {
	raw, err := d.scalar()
	if err != nil {
		return nil, err
	}
	if raw[0] != '"' {
		return nil, errors.New("not a string of hexadecimal digits")
	}
	digits := raw[1 : len(raw)-1]
	b := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(b, digits); err != nil {
		return nil, errors.New("not a string of hexadecimal digits")
	}
	return b, nil
}

// bitcoins reads an amount and returns it in satoshis.
func (d *jsonScan) bitcoins() (int64, error) {
	raw, err := d.scalar()
	if err != nil {
		return 0, err
	}
	return parseBitcoins(raw)
}

// parseBitcoins returns the satoshis of an amount in bitcoins: decimal digits
// with at most eight of them after a point, as ValueFromAmount of Bitcoin Core's
// core_io.cpp writes it. Above MAX_MONEY there is none.
func parseBitcoins(b []byte) (int64, error) {
	whole, decimals, point := bytes.Cut(b, []byte("."))
	const places = 8
	if len(whole) == 0 || len(whole) > 8 || point && len(decimals) == 0 || len(decimals) > places {
		return 0, fmt.Errorf("%.40q is not an amount in bitcoins", b)
	}
	var digits [16]byte
	for i := range digits {
		digits[i] = '0'
	}
	copy(digits[8-len(whole):], whole)
	copy(digits[8:], decimals)
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%.40q is not an amount in bitcoins", b)
		}
		n = 10*n + int64(c-'0')
	}
	if n > corefile.MaxMoney {
		return 0, fmt.Errorf("%.40q is more than there are bitcoins", b)
	}
	return n, nil
}
