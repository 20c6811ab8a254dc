package coindb

import (
	"fmt"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A Coin is an unspent transaction output.
type Coin = corefile.Coin

// checkCoin returns an error if the encoding of c would not decode to c.
func checkCoin(c *Coin) error {
	switch {
	case c.Value < 0 || c.Value > corefile.MaxMoney:
		return fmt.Errorf("a coin of %d satoshis", c.Value)
	case c.Height > corefile.MaxHeight:
		return fmt.Errorf("a coin of height %d", c.Height)
	case len(c.Script) > corefile.MaxScriptSize:
		return fmt.Errorf("a coin with a script of %d bytes, which is unspendable", len(c.Script))
	}
	return nil
}

// appendCoin appends the value of the key of c.
func appendCoin(dst []byte, c *Coin) []byte { return corefile.AppendCoin(dst, c) }

// decodeCoin sets c to the coin in the value of a key. It writes the script
// over c.Script if that is large enough, and keeps no part of value.
func decodeCoin(c *Coin, value []byte) error {
	size, err := c.Decode(value)
	if err == nil && size != len(value) {
		err = fmt.Errorf("%w: %d bytes after the coin", corefile.ErrMalformed, len(value)-size)
	}
	return err
}

// scriptRoom returns a bound of the size of the script of the coin that is
// value: the largest that has a short form is an uncompressed key's.
func scriptRoom(value []byte) int { return max(67, len(value)) }

// scripts is memory for the scripts of coins, in pieces that are not so
// large that one coin that is kept keeps much alive.
type scripts struct {
	free  []byte
	piece int
}

const scriptsPiece = 8 << 10

// scriptsOf returns memory for those of n coins: of one, which is what applications ask for, no
// more than it may take.
func scriptsOf(n int) scripts { return scripts{piece: min(n*scriptRoom(nil), scriptsPiece)} }

// decode sets c to the coin that is value.
func (s *scripts) decode(c *Coin, value []byte) error {
	room := scriptRoom(value)
	if len(s.free) < room {
		s.free = make([]byte, max(room, s.piece))
	}
	c.Script = s.free[:0:room]
	if err := decodeCoin(c, value); err != nil {
		return err
	}
	n := len(c.Script)
	c.Script = c.Script[:n:n]
	s.free = s.free[n:]
	return nil
}
