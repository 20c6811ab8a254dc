package header

import "fmt"

// A Chain is the headers of one chain from the genesis block on, by height. It
// implements Ancestors, and is safe for concurrent use while nobody changes it.
type Chain []Header

// At returns the header at height; an error if the chain ends below it.
func (c Chain) At(height uint32) (Header, error) {
	if uint64(height) >= uint64(len(c)) {
		return Header{}, fmt.Errorf("the chain has %d headers, none at height %d", len(c), height)
	}
	return c[height], nil
}
