package nodetest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Breach is a way for a block to break one rule on regtest, in the middle of
// all others being kept.
type Breach struct {
	Name string
	// Rule is Bitcoin Core's reject reason, without what it adds in brackets;
	// block-decode-failed where its RPC does not even decode the block.
	Rule string
	// build returns the block, and the same without the breach if spoil is not
	// set.
	build func(q *Quarry, spoil bool) []byte
}

// Build returns a block on the tip that breaks the rule and nothing else, and
// the same block with the rule kept. They spend the same coins.
func (q *Quarry) Build(b Breach) (bad, good []byte) {
	next := q.next
	bad = b.build(q, true)
	q.next = next
	return bad, b.build(q, false)
}

// maxMoney is 21 million bitcoins in satoshis.
const maxMoney = 21e6 * 1e8

// edited returns a build function for an empty block that edit changes before it
// is sealed.
func edited(edit func(d *draft)) func(*Quarry, bool) []byte {
	return func(q *Quarry, spoil bool) []byte {
		d := q.draft()
		if spoil {
			edit(d)
		}
		return d.seal()
	}
}

// committed returns a build function for a block with a transaction of one
// input, which edit changes when it has its commitment and before it is mined.
func committed(edit func(d *draft)) func(*Quarry, bool) []byte {
	return func(q *Quarry, spoil bool) []byte {
		d := q.draft(pay([]*wire.TxIn{q.input()}, 1)).commit()
		if spoil {
			edit(d)
		}
		return d.root().solve()
	}
}

// oneTx returns a build function for a block with a transaction of two inputs
// and one output of a coin's value, which edit changes.
func oneTx(edit func(q *Quarry, tx *wire.MsgTx)) func(*Quarry, bool) []byte {
	return func(q *Quarry, spoil bool) []byte {
		tx := pay([]*wire.TxIn{q.input(), q.input()}, coinValue)
		if spoil {
			edit(q, tx)
		}
		return q.draft(tx).seal()
	}
}

// twoTxs returns a build function for a block with a transaction that makes
// outputs of these scripts, and one that spends them all, as spend says.
func twoTxs(scripts func(spoil bool) [][]byte, spend func(in *wire.TxIn, script int, spoil bool)) func(*Quarry, bool) []byte {
	return func(q *Quarry, spoil bool) []byte {
		first, second := pay([]*wire.TxIn{q.input()}), pay(nil, 1)
		for _, script := range scripts(spoil) {
			first.AddTxOut(wire.NewTxOut(1, script))
		}
		for i := range first.TxOut {
			in := wire.NewTxIn(&wire.OutPoint{Hash: first.TxHash(), Index: uint32(i)}, nil, nil)
			spend(in, i, spoil)
			second.AddTxIn(in)
		}
		return q.draft(first, second).seal()
	}
}

// Breaches returns every breach that can be built on regtest with the coins that
// a chain there has. Some rules cannot be broken there: see the test that lists
// them.
func Breaches() []Breach {
	return slices.Concat(headerBreaches(), blockBreaches(), txBreaches(), contextBreaches(), coinBreaches())
}

func headerBreaches() []Breach {
	return []Breach{
		{"hash above the target", "high-hash", func(q *Quarry, spoil bool) []byte {
			return q.draft().commit().root().mine(!spoil)
		}},
		{"another target", "bad-diffbits", edited(func(d *draft) { d.msg.Header.Bits-- })},
		{"at the median time past", "time-too-old", edited(func(d *draft) { d.msg.Header.Timestamp = d.medianTime() })},
		{"more than two hours ahead", "time-too-new", edited(func(d *draft) {
			d.msg.Header.Timestamp = time.Now().Add(2*time.Hour + 5*time.Minute).Truncate(time.Second)
		})},
		{"version 3", "bad-version", edited(func(d *draft) { d.msg.Header.Version = 3 })},
	}
}

func blockBreaches() []Breach {
	checksigs := func(n int) []byte { return bytes.Repeat([]byte{txscript.OP_CHECKSIG}, n) }
	return []Breach{
		{"number of transactions in three bytes", "block-decode-failed", func(q *Quarry, spoil bool) []byte {
			raw := q.draft().seal()
			if spoil {
				const count = wire.MaxBlockHeaderPayload // where it is
				raw = slices.Concat(raw[:count], []byte{0xfd, raw[count], 0}, raw[count+1:])
			}
			return raw
		}},
		{"another merkle root", "bad-txnmrklroot", func(q *Quarry, spoil bool) []byte {
			d := q.draft().commit().root()
			if spoil {
				d.msg.Header.MerkleRoot[0] ^= 1
			}
			return d.solve()
		}},
		{"last transaction twice", "bad-txns-duplicate", func(q *Quarry, spoil bool) []byte {
			a, b := pay([]*wire.TxIn{q.input()}, 1), pay([]*wire.TxIn{q.input()}, 2)
			d := q.draft(a, b).commit().root()
			if spoil {
				d.msg.AddTransaction(b)
			}
			return d.solve()
		}},
		{"no transaction", "bad-blk-length", func(q *Quarry, spoil bool) []byte {
			d := q.draft().commit()
			if spoil {
				d.msg.Transactions = nil
			}
			return d.root().solve()
		}},
		{"above a million bytes without witnesses", "bad-blk-length", func(q *Quarry, spoil bool) []byte {
			d := q.draft()
			// With the commitment the valid block weighs 4,000,000.
			filler := wire.NewTxOut(0, append([]byte{txscript.OP_RETURN}, make([]byte, 900_000)...))
			d.coinbase().AddTxOut(filler)
			d.commit()
			size := 1_000_000 - 9
			if spoil {
				size = 1_000_001
			}
			filler.PkScript = append(filler.PkScript, make([]byte, size-d.msg.SerializeSizeStripped())...)
			return d.root().solve()
		}},
		{"no coinbase", "bad-cb-missing", committed(func(d *draft) { d.msg.Transactions = d.msg.Transactions[1:] })},
		{"two coinbases", "bad-cb-multiple", edited(func(d *draft) {
			second := d.coinbase().Copy()
			second.LockTime = 1
			d.msg.AddTransaction(second)
		})},
		{"20,001 signature operations", "bad-blk-sigops", func(q *Quarry, spoil bool) []byte {
			d := q.draft()
			n := 20_000
			if spoil {
				n++
			}
			d.coinbase().AddTxOut(wire.NewTxOut(0, checksigs(n)))
			return d.seal()
		}},
	}
}

func txBreaches() []Breach {
	return []Breach{
		{"no inputs", "bad-txns-vin-empty", edited(func(d *draft) { d.msg.AddTransaction(wire.NewMsgTx(2)) })},
		{"no outputs", "bad-txns-vout-empty", oneTx(func(_ *Quarry, tx *wire.MsgTx) { tx.TxOut = nil })},
		{"output of -1", "bad-txns-vout-negative", oneTx(func(_ *Quarry, tx *wire.MsgTx) { tx.TxOut[0].Value = -1 })},
		{"output above all money", "bad-txns-vout-toolarge", oneTx(func(_ *Quarry, tx *wire.MsgTx) { tx.TxOut[0].Value = maxMoney + 1 })},
		{"outputs together above all money", "bad-txns-txouttotal-toolarge", oneTx(func(_ *Quarry, tx *wire.MsgTx) {
			tx.TxOut[0].Value = maxMoney
			tx.AddTxOut(wire.NewTxOut(1, anyone()))
		})},
		{"coin spent twice in a transaction", "bad-txns-inputs-duplicate", oneTx(func(_ *Quarry, tx *wire.MsgTx) { tx.TxIn[1] = tx.TxIn[0] })},
		{"coinbase script of 101 bytes", "bad-cb-length", func(q *Quarry, spoil bool) []byte {
			d := q.draft()
			in := d.coinbase().TxIn[0]
			in.SignatureScript = append(in.SignatureScript, make([]byte, 100-len(in.SignatureScript))...)
			if spoil {
				in.SignatureScript = append(in.SignatureScript, 0)
			}
			return d.seal()
		}},
		{"null outpoint", "bad-txns-prevout-null", oneTx(func(_ *Quarry, tx *wire.MsgTx) {
			tx.TxIn[1].PreviousOutPoint = wire.OutPoint{Index: wire.MaxPrevOutIndex}
		})},
	}
}

func contextBreaches() []Breach {
	return []Breach{
		{"lock time of the own height", "bad-txns-nonfinal", func(q *Quarry, spoil bool) []byte {
			tx := pay([]*wire.TxIn{q.input()}, 1)
			tx.TxIn[0].Sequence = 0
			tx.TxIn[0].Sequence |= wire.SequenceLockTimeDisabled
			tx.LockTime = q.Height()
			if spoil {
				tx.LockTime++
			}
			return q.draft(tx).seal()
		}},
		{"lock time at the median time past", "bad-txns-nonfinal", func(q *Quarry, spoil bool) []byte {
			tx := pay([]*wire.TxIn{q.input()}, 1)
			d := q.draft(tx)
			tx.TxIn[0].Sequence = wire.SequenceLockTimeDisabled
			tx.LockTime = uint32(d.medianTime().Unix()) - 1
			if spoil {
				tx.LockTime++
			}
			return d.seal()
		}},
		{"height of the next block in the coinbase", "bad-cb-height", edited(func(d *draft) { d.coinbase().TxIn[0].SignatureScript[1]++ })},
		{"coinbase witness of 33 bytes", "bad-witness-nonce-size", committed(func(d *draft) {
			d.coinbase().TxIn[0].Witness[0] = make([]byte, 33)
		})},
		{"commitment to other witnesses", "bad-witness-merkle-match", committed(func(d *draft) {
			d.coinbase().TxIn[0].Witness[0][5] ^= 1
		})},
		{"witness without commitment", "unexpected-witness", func(q *Quarry, spoil bool) []byte {
			first := pay([]*wire.TxIn{q.input()})
			first.AddTxOut(wire.NewTxOut(1, coinScript()))
			in := wire.NewTxIn(&wire.OutPoint{Hash: first.TxHash()}, nil, wire.TxWitness{anyoneCanSpend[:]})
			d := q.draft(first, pay([]*wire.TxIn{in}, 1))
			if spoil {
				return d.root().solve()
			}
			return d.seal()
		}},
		{"weight of 4,000,001", "bad-blk-weight", func(q *Quarry, spoil bool) []byte {
			first := pay([]*wire.TxIn{q.input()})
			// A witness program of a version without a meaning takes anything.
			first.AddTxOut(wire.NewTxOut(1, []byte{txscript.OP_16, 2, 0, 1}))
			in := wire.NewTxIn(&wire.OutPoint{Hash: first.TxHash()}, nil, wire.TxWitness{make([]byte, 70_000)})
			d := q.draft(first, pay([]*wire.TxIn{in}, 1)).commit()
			weight := 3*d.msg.SerializeSizeStripped() + d.msg.SerializeSize()
			size := 70_000 + 4_000_000 - weight
			if spoil {
				size++
			}
			in.Witness[0] = make([]byte, size)
			d.coinbase().TxOut = d.coinbase().TxOut[:1]
			return d.seal()
		}},
	}
}

func coinBreaches() []Breach {
	return []Breach{
		{"coin that does not exist", "bad-txns-inputs-missingorspent", oneTx(func(_ *Quarry, tx *wire.MsgTx) {
			tx.TxIn[1].PreviousOutPoint.Hash[7] ^= 1
		})},
		{"coin spent by a block below", "bad-txns-inputs-missingorspent", oneTx(func(q *Quarry, tx *wire.MsgTx) {
			tx.TxIn[1].PreviousOutPoint = wire.OutPoint{Hash: q.tip.ancestor(int(q.tip.height) - 1).txid(0)}
			tx.TxIn[1].Witness = wire.TxWitness{anyoneCanSpend[:]}
		})},
		{"coin of a later transaction", "bad-txns-inputs-missingorspent", func(q *Quarry, spoil bool) []byte {
			parent := pay([]*wire.TxIn{q.input()}, 1)
			child := pay([]*wire.TxIn{wire.NewTxIn(&wire.OutPoint{Hash: parent.TxHash()}, nil, nil)}, 1)
			if spoil {
				return q.draft(child, parent).seal()
			}
			return q.draft(parent, child).seal()
		}},
		{"coin spent by two transactions", "bad-txns-inputs-missingorspent", func(q *Quarry, spoil bool) []byte {
			a, b := q.input(), q.input()
			if spoil {
				b.PreviousOutPoint = a.PreviousOutPoint
			}
			return q.draft(pay([]*wire.TxIn{a}, 1), pay([]*wire.TxIn{b}, 2)).seal()
		}},
		{"output that nobody can spend", "bad-txns-inputs-missingorspent", twoTxs(func(spoil bool) [][]byte {
			if spoil {
				return [][]byte{{txscript.OP_RETURN}}
			}
			return [][]byte{anyone()}
		}, func(*wire.TxIn, int, bool) {})},
		{"coinbase of 99 blocks ago", "bad-txns-premature-spend-of-coinbase", func(q *Quarry, spoil bool) []byte {
			from := q.tip.ancestor(coinbaseMaturity - 1)
			if spoil {
				from = q.tip.ancestor(coinbaseMaturity - 2)
			}
			in := wire.NewTxIn(&wire.OutPoint{Hash: from.txid(0)}, nil, wire.TxWitness{anyoneCanSpend[:]})
			return q.draft(pay([]*wire.TxIn{in}, 1)).seal()
		}},
		{"creates more than it spends", "bad-txns-in-belowout", oneTx(func(_ *Quarry, tx *wire.MsgTx) { tx.TxOut[0].Value = 2*coinValue + 1 })},
		{"relative lock of blocks", "bad-txns-nonfinal", func(q *Quarry, spoil bool) []byte {
			tx := pay([]*wire.TxIn{q.input()}, 1)
			// The coin is of the block after the first hundred.
			tx.TxIn[0].Sequence = q.Height() - coinbaseMaturity
			if spoil {
				tx.TxIn[0].Sequence++
			}
			return q.draft(tx).seal()
		}},
		{"relative lock of time", "bad-txns-nonfinal", func(q *Quarry, spoil bool) []byte {
			tx := pay([]*wire.TxIn{q.input()}, 1)
			d := q.draft(tx)
			made := &draft{parent: q.tip.ancestor(int(q.tip.height) - coinbaseMaturity)}
			// Locked are 512 seconds for each unit.
			units := (d.medianTime().Unix() - made.medianTime().Unix()) / 512
			tx.TxIn[0].Sequence = wire.SequenceLockTimeIsSeconds | uint32(units)
			if spoil {
				tx.TxIn[0].Sequence++
			}
			return d.seal()
		}},
		{"signature operations of witness scripts", "bad-blk-sigops", sigOps(80_000)},
		{"subsidy and fees and a satoshi", "bad-cb-amount", func(q *Quarry, spoil bool) []byte {
			d := q.draft(pay([]*wire.TxIn{q.input()}, 300))
			d.coinbase().TxOut[0].Value += coinValue - 300
			if spoil {
				d.coinbase().TxOut[0].Value++
			}
			return d.seal()
		}},
		{"script that is false", "block-script-verify-flag-failed", twoTxs(func(spoil bool) [][]byte {
			scripts := [][]byte{anyone(), anyone(), anyone()}
			if spoil {
				scripts[1] = []byte{txscript.OP_FALSE}
			}
			return scripts
		}, func(*wire.TxIn, int, bool) {})},
		{"witness program with another script", "block-script-verify-flag-failed", twoTxs(func(bool) [][]byte {
			return [][]byte{coinScript()}
		}, func(in *wire.TxIn, _ int, spoil bool) {
			in.Witness = wire.TxWitness{anyoneCanSpend[:]}
			if spoil {
				in.Witness = wire.TxWitness{{txscript.OP_TRUE, txscript.OP_NOP}}
			}
		})},
	}
}

// sigOps returns a build function for a block whose witness scripts have so many
// signature operations, or one more, in scripts that do not run them.
func sigOps(total int) func(*Quarry, bool) []byte {
	const each = 400 // at 20 for a multisig of keys that are not counted
	script := func(i int, spoil bool) []byte {
		s := []byte{txscript.OP_0, txscript.OP_IF}
		s = append(s, bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, each/20)...)
		if i == 0 && spoil {
			s = append(s, txscript.OP_CHECKSIG)
		}
		return append(s, txscript.OP_ENDIF, txscript.OP_TRUE)
	}
	return twoTxs(func(spoil bool) [][]byte {
		scripts := make([][]byte, total/each)
		for i := range scripts {
			program := sha256.Sum256(script(i, spoil))
			scripts[i] = append([]byte{txscript.OP_0, txscript.OP_DATA_32}, program[:]...)
		}
		return scripts
	}, func(in *wire.TxIn, i int, spoil bool) { in.Witness = wire.TxWitness{script(i, spoil)} })
}
