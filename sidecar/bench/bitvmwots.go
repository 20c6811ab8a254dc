package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"

	"github.com/outrider-project/outrider/bitvm/wots"
)

// A wotsBench is signatures of 16 bytes, as all but a few of an assertion's are.
type wotsBench struct {
	items    []wots.Item
	verifier wots.Verifier
	at       int
}

func newWotsBench(count int) (*wotsBench, error) {
	scheme, err := wots.For(16)
	if err != nil {
		return nil, err
	}
	b := new(wotsBench)
	for i := range count {
		secret := fmt.Appendf(nil, "secret %d", i)
		// Hashes are as good as random.
		message := address.Hash160(secret)[:16]
		b.items = append(b.items, wots.Item{Scheme: scheme, Key: scheme.PublicKey(secret), Signature: scheme.Sign(secret, message)})
	}
	return b, nil
}

// alone verifies the next signature.
func (b *wotsBench) alone(context.Context) (int, error) {
	b.at = (b.at + 1) % len(b.items)
	_, errs := b.verifier.Verify(b.items[b.at : b.at+1])
	return 1, errs[0]
}

// together verifies all.
func (b *wotsBench) together(context.Context) (int, error) {
	_, errs := b.verifier.Verify(b.items)
	return len(b.items), errors.Join(errs...)
}

// theirs takes each chain to its end with btcd's HASH160, one after the other.
func (b *wotsBench) theirs(context.Context) (int, error) {
	b.at = (b.at + 1) % len(b.items)
	item := &b.items[b.at]
	if digit, ok := chainsEnd(item.Signature, item.Key); !ok {
		return 0, fmt.Errorf("btcd's HASH160 refuses digit %d of valid signature %d", digit, b.at)
	}
	return 1, nil
}

// chainsEnd reports whether all chains of a signature end at the key, by btcd's HASH160,
// and else of which digit one does not.
func chainsEnd(sig *wots.Signature, key wots.PublicKey) (digit int, ok bool) {
	for i, v := range sig.Values {
		for range 15 - sig.Digits[i] {
			v = [wots.Hash]byte(address.Hash160(v[:]))
		}
		if v != key[i] {
			return i, false
		}
	}
	return 0, true
}

// wotsFigures: alone, and 363 at once, as many as an assertion has of 16 bytes.
func wotsFigures() ([]*bitvmFigure, error) {
	b, err := newWotsBench(363)
	if err != nil {
		return nil, err
	}
	const anchor = "btcd's HASH160"
	return []*bitvmFigure{
		{name: "wots16", ours: b.alone, anchor: anchor, theirs: b.theirs},
		{name: "wots16/batch363", ours: b.together, anchor: anchor, theirs: b.theirs},
	}, nil
}
