package submit

import (
	"context"
	"crypto/ecdsa"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// A testSigner signs with a key that only the test has.
type testSigner struct{ key *ecdsa.PrivateKey }

func newTestSigner(t testing.TB) *testSigner {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return &testSigner{key}
}

func (s *testSigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

func (s *testSigner) Sign(_ context.Context, tx *types.DynamicFeeTx) (*types.Transaction, error) {
	return types.SignNewTx(s.key, types.LatestSignerForChainID(tx.ChainID), tx)
}
