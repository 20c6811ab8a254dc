package testvectors

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// TestGenerateSameBytes pins generated blocks by their hashes, and by one over all
// that is beside them. A change of the generator changes them, and figures that
// were measured before it are of other blocks.
func TestGenerateSameBytes(t *testing.T) {
	for _, c := range []struct {
		Generation
		block, all string
	}{
		{Generation{Seed: 1, Transactions: 1},
			"55b001d347d2d69c369f1ba72d545ac05e034877147b6bb0958da216f47dc89e",
			"4d7a988f5b1ec6c38e047ce719e818f4f62b8111798cc5b4f87f0c798e614790"},
		{Generation{Seed: 1, Transactions: 300},
			"174079126ad3c42bf24a6263eefe4bfdf5099fb8eac205fec799fa7b9ee1e011",
			"b1365772b61d30663b69820be09282db9bf0d7949c121de9dbe84bc2cfd24efa"},
		{Generation{Seed: 2, Transactions: 300},
			"09f02068c808eb2db24751a617a25a463ab4cc6f72805a5d4b11988f6d698fc7",
			"08c21f21faf64d54222090d0e2cfad227294a48e8dca78b3b39c27f09448a3b9"},
		{Generation{Seed: 1},
			"7874a3b9d0cbf42093735c3895e41755dbd7a64c5764313f6529e1e73c9283f5",
			"3a5e4831c3f33e9dbdf4a28074c7aafd0964cc277b1eef50ba645986417aadc6"},
	} {
		t.Run(fmt.Sprint(c.Generation), func(t *testing.T) {
			if testing.Short() && c.Transactions == 0 {
				t.Skip("not checked: a full block")
			}
			got, err := Generate(c.Generation)
			if err != nil {
				t.Fatal(err)
			}
			hash := chainhash.DoubleHashH(got.Block[:80])
			all, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(all)
			if hash.String() != c.block || hex.EncodeToString(sum[:]) != c.all {
				t.Errorf("block %s, with what is beside it %x; want %s, %s", hash, sum, c.block, c.all)
			}
		})
	}
}

// TestGenerateTwice has two calls with the same Generation not share anything.
func TestGenerateTwice(t *testing.T) {
	g := Generation{Seed: 5, Transactions: 40}
	first, err := Generate(g)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Generate(g)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Fatalf("the second block is another one: %v", err)
	}
	kept := bytes.Clone(second.Block)
	clear(first.Block)
	clear(first.Spent[0].Script)
	if third, err := Generate(g); err != nil || !bytes.Equal(second.Block, kept) || !reflect.DeepEqual(second, third) {
		t.Errorf("the blocks share memory: %v", err)
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, n := range []int{-1, MostTransactions + 1} {
		if g, err := Generate(Generation{Transactions: n}); g != nil || err == nil {
			t.Errorf("%d transactions: %v, %v", n, g, err)
		}
	}
}
