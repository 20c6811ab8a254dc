package blockval

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/blockval/script"
)

// TestActivation gives a rule a height and breaks it in the block before, which
// is valid, and in the block at that height.
func TestActivation(t *testing.T) {
	const at = 60
	for _, tc := range []struct {
		name  string
		rule  Rule
		set   func(p *Params)
		build func(c *testChain) []byte
	}{
		{"BIP34, height in the coinbase", BadCoinbaseHeight, func(p *Params) { p.BIP34Height = at }, func(c *testChain) []byte {
			d := c.draft()
			d.coinbase().TxIn[0].SignatureScript = []byte{1, 2, 3}
			return d.seal()
		}},
		{"BIP34, version", header.BadVersion, func(p *Params) { p.BIP34Height, p.BIP66Height, p.BIP65Height = at, at+1, at+1 }, version(1)},
		{"BIP66, version", header.BadVersion, func(p *Params) { p.BIP66Height, p.BIP65Height = at, at+1 }, version(2)},
		{"BIP65, version", header.BadVersion, func(p *Params) { p.BIP65Height = at }, version(3)},
		{"BIP68", NonFinal, func(p *Params) { p.CSVHeight = at }, func(c *testChain) []byte {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			tx.TxIn[0].Sequence = 1000
			return c.draft(tx).seal()
		}},
		{"BIP113", NonFinal, func(p *Params) { p.CSVHeight = at }, func(c *testChain) []byte {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			d := c.draft(tx)
			tx.TxIn[0].Sequence = 0
			tx.LockTime = uint32(d.msg.Header.Timestamp.Unix()) - 1
			return d.seal()
		}},
		{"BIP141, commitment", BadWitnessNonce, func(p *Params) { p.SegwitHeight = at }, func(c *testChain) []byte {
			d := c.draft()
			d.coinbase().TxIn[0].Witness = nil
			return d.seal()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for height := uint32(at - 1); height <= at; height++ {
				c := newTestChain(t, "regtest", height)
				tc.set(c.p)
				want := tc.rule
				if height < at {
					want = ""
				}
				raw := tc.build(c)
				if got := checkRaw(t, c.validator(t, Options{}), raw, c.at()); ruleOf(got) != want {
					t.Errorf("height %d: %v, want %q", height, got.Err, want)
				}
				if tc.rule != header.BadVersion {
					continue
				}
				if got := checkRaw(t, c.validator(t, Options{}), raw, At{Height: height, Coins: c.coins}); ruleOf(got) != want {
					t.Errorf("height %d without headers: %v, want %q", height, got.Err, want)
				}
			}
		})
	}
}

// TestScriptActivation gives a rule of scripts a height, and breaks it in the block
// before, which is valid, and in the block at that height; and in a block that is an
// exception there. btcd's engine agrees under the flags of that block.
func TestScriptActivation(t *testing.T) {
	const at = 60
	push := func(n int64) []byte {
		b, err := txscript.NewScriptBuilder().AddInt64(n).Script()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := testKey(0)
	for _, tc := range []struct {
		name string
		set  func(p *Params)
		lock []byte
		sign func(s *spendTx)
	}{
		{"BIP66", func(p *Params) { p.BIP66Height = at }, append(appendPush(nil, serialise(key, true)), txscript.OP_CHECKSIG), func(s *spendTx) {
			sig, err := txscript.RawTxInSignature(s.tx, 0, s.prevouts[0].PkScript, txscript.SigHashAll, key)
			if err != nil {
				t.Fatal(err)
			}
			padded := slices.Concat([]byte{0x30, sig[1] + 1, 0x02, sig[3] + 1, 0}, sig[4:])
			s.tx.TxIn[0].SignatureScript = appendPush(nil, padded)
		}},
		{"BIP65", func(p *Params) { p.BIP65Height = at },
			slices.Concat(push(at), []byte{txscript.OP_CHECKLOCKTIMEVERIFY}), func(*spendTx) {}},
		{"BIP112", func(p *Params) { p.CSVHeight = at },
			slices.Concat(push(at), []byte{txscript.OP_CHECKSEQUENCEVERIFY}), func(*spendTx) {}},
		{"BIP147", func(p *Params) { p.SegwitHeight = at },
			[]byte{txscript.OP_0, txscript.OP_0, txscript.OP_CHECKMULTISIG}, func(s *spendTx) {
				s.tx.TxIn[0].SignatureScript = []byte{txscript.OP_1}
			}},
		// These have no height, but blocks that are exceptions.
		{"BIP16", nil, p2sh([]byte{txscript.OP_FALSE}), func(s *spendTx) {
			s.tx.TxIn[0].SignatureScript = []byte{1, txscript.OP_FALSE}
		}},
		{"BIP141", nil, p2wsh(anyone), func(*spendTx) {}},
		{"BIP341", nil, append([]byte{txscript.OP_1, 32}, bytes.Repeat([]byte{1}, 32)...), func(*spendTx) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for height := uint32(at - 1); height <= at; height++ {
				for _, exception := range []bool{false, true} {
					c := newTestChain(t, "regtest", height)
					if tc.set != nil {
						tc.set(c.p)
					}
					s := &spendTx{tx: pay([]*wire.TxIn{c.addCoin(1, tc.lock)}, 1), prevouts: []wire.TxOut{{Value: 1, PkScript: tc.lock}}}
					tc.sign(s)
					d := c.draft(s.tx)
					if height < c.p.SegwitHeight {
						d.coinbase().TxIn[0].Witness = nil
					}
					raw := d.seal()
					h := header.Header(raw[:header.Size])
					if exception {
						c.p.ScriptFlagExceptions = map[chainhash.Hash]script.Flags{h.Hash(): 0}
					}
					want := Rule(BadScript)
					if tc.set != nil && height < at || tc.set == nil && exception {
						want = ""
					}
					if got := checkRaw(t, c.validator(t, Options{}), raw, c.at()); ruleOf(got) != want {
						t.Errorf("height %d, an exception %v: %v, want %q", height, exception, got.Err, want)
					}
					if err := s.execute(0, c.p.ScriptFlags(h.Hash(), height)); (err == nil) != (want == "") {
						t.Errorf("height %d, an exception %v: btcd says %v, want %q", height, exception, err, want)
					}
				}
			}
		})
	}
}

// version returns a build function for a block of a version.
func version(n int32) func(*testChain) []byte {
	return func(c *testChain) []byte {
		d := c.draft()
		d.msg.Header.Version = n
		return d.seal()
	}
}

// TestBlockTimeBeforeBIP113 checks a lock time of the block's own time, which
// has not passed there either.
func TestBlockTimeBeforeBIP113(t *testing.T) {
	c := newTestChain(t, "regtest", 60)
	c.p.CSVHeight = 61
	for _, ahead := range []time.Duration{0, time.Second} {
		tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
		tx.TxIn[0].Sequence = 0
		tx.LockTime = c.tip().Time() + 600
		d := c.draft(tx)
		d.msg.Header.Timestamp = d.msg.Header.Timestamp.Add(ahead)
		want := Rule(NonFinal)
		if ahead > 0 {
			want = ""
		}
		if got := checkRaw(t, c.validator(t, Options{}), d.seal(), c.at()); ruleOf(got) != want {
			t.Errorf("%v after the lock time: %v, want %q", ahead, got.Err, want)
		}
	}
}

// TestHeightOrTime has the two numbers between which lock times change from heights to
// times: one lies in a future as far as ten thousand years, the other in 1985.
func TestHeightOrTime(t *testing.T) {
	for lockTime, want := range map[uint32]Rule{499_999_999: NonFinal, 500_000_000: ""} {
		c := newTestChain(t, "regtest", 120)
		tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
		tx.LockTime, tx.TxIn[0].Sequence = lockTime, 0
		if got := checkRaw(t, c.validator(t, Options{}), c.draft(tx).seal(), c.at()); ruleOf(got) != want {
			t.Errorf("lock time %d: %v, want %q", lockTime, got.Err, want)
		}
	}
}
