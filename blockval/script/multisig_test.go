package script

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// greedy is Bitcoin Core's loop over the keys of a multisig operation.
func greedy(signatures, keys int, valid func(i, j int) bool) bool {
	i, j := signatures-1, keys-1
	for i >= 0 {
		if i > j {
			return false
		}
		if valid(i, j) {
			i--
		}
		j--
	}
	return true
}

// decide asks for pairs as a Batch does, though without end, until the outcome is
// not open. It returns the outcome and how many pairs it asked for.
func decide(t *testing.T, signatures, keys int, valid func(i, j int) bool) (o outcome, asked int) {
	t.Helper()
	m := matching{signatures: signatures, keys: keys}
	for o = m.outcome(); o == open; o = m.outcome() {
		before := asked
		m.guess(func(i, j int) {
			if (m.yes[i]|m.no[i])>>j&1 != 0 {
				t.Fatalf("asked for pair %d, %d again", i, j)
			}
			asked++
			m.set(i, j, valid(i, j))
		})
		if asked == before {
			t.Fatal("the outcome is open, and nothing asked for")
		}
	}
	return o, asked
}

// TestMatchingExhaustive decides every matching of up to 3 signatures and 4 keys.
// Every one must come out as in Bitcoin Core's loop.
func TestMatchingExhaustive(t *testing.T) {
	for keys := range 5 {
		for signatures := range min(keys, 3) + 1 {
			for table := range 1 << (signatures * keys) {
				valid := func(i, j int) bool { return table>>(i*keys+j)&1 != 0 }
				want := misfit
				if greedy(signatures, keys, valid) {
					want = fits
				}
				if got, _ := decide(t, signatures, keys, valid); got != want {
					t.Errorf("%d of %d, table %b: %v, want %v", signatures, keys, table, got, want)
				}
			}
		}
	}
}

// TestMatchingSigners takes every set of signers whose keys are all different.
func TestMatchingSigners(t *testing.T) {
	for keys := 1; keys <= 7; keys++ {
		for signatures := 1; signatures <= keys; signatures++ {
			sum, sets, most := 0, 0, 0
			for set := range uint32(1) << keys {
				var signer []int
				for j := range keys {
					if set>>j&1 != 0 {
						signer = append(signer, j)
					}
				}
				if len(signer) != signatures {
					continue
				}
				got, asked := decide(t, signatures, keys, func(i, j int) bool { return signer[i] == j })
				if got != fits {
					t.Errorf("%d of %d, signers %v: %v", signatures, keys, signer, got)
				}
				sum, sets, most = sum+asked, sets+1, max(most, asked)
			}
			if most > 2*keys {
				t.Errorf("%d of %d: %d pairs asked for", signatures, keys, most)
			}
			t.Logf("%d of %d: %.2f pairs on average, %d at most", signatures, keys, float64(sum)/float64(sets), most)
		}
	}
}

// TestMatchingRandom takes large matchings, mostly of signatures that fit several
// keys.
func TestMatchingRandom(t *testing.T) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, 0))
	outcomes := make(map[outcome]int)
	for n := range 50_000 {
		keys := rng.IntN(maxMultisigKeys + 1)
		signatures := rng.IntN(keys + 1)
		owner := make([]int, keys)
		for j := range owner {
			owner[j] = rng.IntN(1 + rng.IntN(keys+1))
		}
		signer := make([]int, signatures)
		for i := range signer {
			signer[i] = owner[min(keys-1, i*keys/signatures+rng.IntN(3))]
		}
		valid := func(i, j int) bool { return signer[i] == owner[j] }
		want := misfit
		if greedy(signatures, keys, valid) {
			want = fits
		}
		got, _ := decide(t, signatures, keys, valid)
		outcomes[got]++
		if got != want {
			t.Fatalf("seed %d, case %d: %v of %v: %v, want %v", seed, n, signer, owner, got, want)
		}
	}
	t.Logf("seed %d: %v", seed, outcomes)
	if outcomes[fits] < 5000 || outcomes[misfit] < 5000 {
		t.Error("the matchings are of no use")
	}
}

// TestMultisigOrders runs real multisig operations of up to 3 keys with every
// choice of keys, and for each signature every choice of a signer, nobody, or
// nothing: all of it both ways, and in btcd's engine.
func TestMultisigOrders(t *testing.T) {
	j := newJudge(t)
	f := newForge(0)
	f.v = witnessV0
	var invalid [33]byte
	invalid[0] = 5
	keys := [][]byte{
		f.keys[0].PubKey().SerializeCompressed(), f.keys[1].PubKey().SerializeCompressed(),
		f.keys[2].PubKey().SerializeCompressed(), invalid[:],
	}
	cases := 0
	for n := 1; n <= 3; n++ {
		for chosen := range power(len(keys), n) {
			for m := range n + 1 {
				if testing.Short() && (n+m)%2 == 0 {
					continue
				}
				script := countOp(m)
				for k := range n {
					script = appendPush(script, keys[digit(chosen, len(keys), k)])
				}
				script = append(append(script, countOp(n)...), opCheckMultisig)
				for signers := range power(5, m) {
					cases++
					tx := multisigSpend(f.keys, script, signers, m)
					flags := Flags(consensus)
					got := j.run(t, tx, 0, flags)
					want := greedy(m, n, func(i, k int) bool {
						signer := digit(signers, 5, i)
						return signer < 3 && bytes.Equal(keys[digit(chosen, len(keys), k)], keys[signer])
					})
					if (got == OK) != want {
						t.Errorf("keys %d of %d, signers %d of %d: %v, want %v", chosen, n, signers, m, got, want)
					}
					if err := engine(tx, 0, flags); (err == nil) != want {
						t.Errorf("keys %d of %d, signers %d of %d: btcd says %v, want %v", chosen, n, signers, m, err, want)
					}
				}
			}
		}
	}
	t.Logf("%d cases, %d valid, of which proved %d", cases, j.valid, j.proved)
	if cases < 1000 && !testing.Short() || j.valid < 50 {
		t.Error("too few cases")
	}
}

func power(base, n int) int {
	p := 1
	for range n {
		p *= base
	}
	return p
}

// digit returns digit k of n.
func digit(n, base, k int) int { return n / power(base, k) % base }

// multisigSpend spends a multisig script in P2WSH. Digit i of signers says whose
// signature i is: one of the first three keys', a stranger's, or nothing.
func multisigSpend(keys []*secp256k1.PrivateKey, script []byte, signers, m int) *Tx {
	hash := sha256.Sum256(script)
	tx := creditedSpend(nil, append([]byte{op0, 32}, hash[:]...), nil, 5)
	h := sigHasher{w: newHashWriter()}
	digest := h.witnessV0(tx, 0, script, sigHashAll)
	witness := wire.TxWitness{nil}
	for i := range m {
		signer := digit(signers, 5, i)
		if signer == 4 {
			witness = append(witness, nil)
			continue
		}
		sig := ecdsa.Sign(keys[signer], digest[:]).Serialize()
		witness = append(witness, append(sig, sigHashAll))
	}
	tx.Msg.TxIn[0].Witness = append(witness, script)
	return tx
}
