package bitvm

import (
	"context"

	"github.com/outrider-project/outrider/bitvm/adaptor"
	"github.com/outrider-project/outrider/sigverify"
)

// Signatures is what verifies the signatures of claims by adaptor signatures: all of one in
// a batch of v's.
func Signatures(v *sigverify.Verifier) adaptor.Checker {
	return func(ctx context.Context, checks []adaptor.Check, valid []bool) error {
		items := make([]sigverify.Item, len(checks))
		for i := range checks {
			c := &checks[i]
			items[i] = sigverify.Item{Key: c.Key[:], Sig: c.Sig, Digest: c.Digest, Scheme: sigverify.BIP340}
		}
		return v.Verify(ctx, items, valid)
	}
}
