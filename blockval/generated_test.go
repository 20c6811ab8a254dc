package blockval

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/testvectors"
)

// A generatedBlock is a block of mainnet's shape, decoded by btcd, and its place.
type generatedBlock struct {
	raw []byte
	msg wire.MsgBlock
	at  At
}

// generate makes a block. The view of the coins is a complete one.
func generate(tb testing.TB, g testvectors.Generation) *generatedBlock {
	tb.Helper()
	made, err := testvectors.Generate(g)
	if err != nil {
		tb.Fatal(err)
	}
	b := &generatedBlock{raw: made.Block}
	if err := b.msg.Deserialize(bytes.NewReader(made.Block)); err != nil {
		tb.Fatal(err)
	}
	var headers header.Chain
	for _, h := range made.Headers {
		headers = append(headers, header.Header(h))
	}
	coins := testCoins{}
	spent := made.Spent
	for _, tx := range b.msg.Transactions[1:] {
		for _, in := range tx.TxIn {
			if s := spent[0]; s.Height < made.Height {
				coins[in.PreviousOutPoint] = Coin{Value: s.Value, Script: s.Script, Height: s.Height, Coinbase: s.Coinbase}
			}
			spent = spent[1:]
		}
	}
	if len(spent) > 0 {
		tb.Fatalf("%d spent outputs are of no input", len(spent))
	}
	b.at = At{Height: made.Height, Ancestors: headers, Coins: coins}
	return b
}

// TestGeneratedBlocks validates generated blocks, by batches and in the engine
// alone. Nothing may stay unchecked.
func TestGeneratedBlocks(t *testing.T) {
	var all []testvectors.Generation
	if !testing.Short() {
		all = append(all, testvectors.Generation{Seed: 1})
	}
	for seed, n := range []int{1, 2, 3, 17, 32, 100, 500, 1 + rand.IntN(200)} {
		all = append(all, testvectors.Generation{Seed: uint64(seed), Transactions: n})
	}
	for _, g := range all {
		t.Run(fmt.Sprintf("seed %d, %d transactions", g.Seed, g.Transactions), func(t *testing.T) {
			m := generate(t, g)
			b, err := Parse(m.raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, workers := range []int{1, 4} {
				v := newValidator(t, "regtest", Options{Workers: workers})
				got, err := v.Check(t.Context(), b, m.at)
				if err != nil {
					t.Fatal(err)
				}
				if !got.Valid() || len(got.Unchecked) > 0 {
					t.Errorf("on %d workers: %v, unchecked %q", workers, got.Err, got.Unchecked)
				}
			}
			if rule := exactVerdict(t, newValidator(t, "regtest", Options{}), b, m.at); rule != nil {
				t.Errorf("by the engine alone: %v", rule)
			}
		})
	}
}

// TestGeneratedSignatures spoils one signature of a generated block after the
// other, in a block that is right but for that. Each must be found.
func TestGeneratedSignatures(t *testing.T) {
	g := testvectors.Generation{Seed: rand.Uint64N(1 << 32), Transactions: 100}
	if testing.Short() {
		g.Transactions = 32
	}
	t.Logf("seed %d", g.Seed)
	m := generate(t, g)
	v := newValidator(t, "regtest", Options{Workers: 2})
	d := &draft{c: &testChain{p: v.params}, msg: m.msg}
	want := checkRaw(t, v, d.seal(), m.at)
	if !want.Valid() {
		t.Fatalf("sealed again: %v", want.Err)
	}
	rng := rand.New(rand.NewPCG(g.Seed, 1))
	var ids []chainhash.Hash
	parents := make(map[chainhash.Hash]bool)
	for _, tx := range d.msg.Transactions {
		ids = append(ids, tx.TxHash())
		for _, in := range tx.TxIn {
			parents[in.PreviousOutPoint.Hash] = true
		}
	}
	signatures := 0
	for i, tx := range d.msg.Transactions {
		for j, in := range tx.TxIn {
			for _, sig := range signaturesOf(in) {
				signatures++
				// Within r or s, behind what an encoding says of their size.
				at, bit := len(sig)-2-rng.IntN(24), byte(1)<<rng.IntN(8)
				sig[at] ^= bit
				got := checkRaw(t, v, d.seal(), m.at)
				rule := Rule(BadScript)
				if parents[ids[i]] && tx.TxHash() != ids[i] {
					rule = MissingInputs // somebody spends what it was
				}
				if ruleOf(got) != rule || rule == BadScript && (got.Err.Tx != i || got.Err.Input != j) {
					t.Errorf("transaction %d input %d, byte %d of a signature: %v, want %s there", i, j, at, got.Err, rule)
				}
				sig[at] ^= bit
			}
		}
	}
	if signatures != want.Signatures {
		t.Errorf("%d signatures spoilt, the block has %d", signatures, want.Signatures)
	}
}

// signaturesOf returns the signatures in an input of a generated block: parts of it,
// so that they can be changed.
func signaturesOf(in *wire.TxIn) (sigs [][]byte) {
	for s := txscript.MakeScriptTokenizer(0, in.SignatureScript); s.Next(); {
		if looksDER(s.Data()) {
			sigs = append(sigs, s.Data())
		}
	}
	for _, e := range in.Witness {
		if looksDER(e) || len(e) == 64 || len(e) == 65 {
			sigs = append(sigs, e)
		}
	}
	return sigs
}
