package blockval

import (
	"bytes"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A ruleCase is a block that breaks one rule, in the middle of all others being
// kept: the same block without what sets it apart is valid.
type ruleCase struct {
	name string
	rule Rule
	// tx and input are where the rule is to be reported.
	tx, input int
	// network and height default to regtest and 120.
	network string
	height  uint32
	// build returns the block. With spoil unset it returns the valid one.
	build func(c *testChain, spoil bool) []byte
}

// sealed returns a build function for a block with the transactions that txs
// makes.
func sealed(txs func(c *testChain, spoil bool) []*wire.MsgTx) func(*testChain, bool) []byte {
	return func(c *testChain, spoil bool) []byte { return c.draft(txs(c, spoil)...).seal() }
}

// drafted returns a build function for an empty block that edit changes before
// it is sealed if it is to be spoilt.
func drafted(edit func(d *draft)) func(*testChain, bool) []byte {
	return func(c *testChain, spoil bool) []byte {
		d := c.draft()
		if spoil {
			edit(d)
		}
		return d.seal()
	}
}

const maxMoneyTest = 21e6 * 1e8

var ruleCases = slices.Concat(headerCases, structureCases, contextCases, inputCases, scriptCases)

var headerCases = []ruleCase{
	{name: "hash above the target", rule: header.HighHash, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft().commit().root()
			for spoil {
				if raw := rawHeader(&d.msg.Header); c.p.CheckProofOfWork(&raw) != nil {
					return d.bytes()
				}
				d.msg.Header.Nonce++
			}
			return d.solve()
		}},
	{name: "another predecessor", rule: header.BadPrevBlock, tx: -1, input: -1,
		build: drafted(func(d *draft) { d.msg.Header.PrevBlock[31] ^= 1 })},
	{name: "another target", rule: header.BadDiffBits, tx: -1, input: -1,
		build: drafted(func(d *draft) { d.msg.Header.Bits-- })},
	{name: "at the median time past", rule: header.TimeTooOld, tx: -1, input: -1,
		build: drafted(func(d *draft) {
			median, err := header.MedianTimePast(d.c.headers, d.c.height()-1)
			if err != nil {
				panic(err)
			}
			d.msg.Header.Timestamp = time.Unix(int64(median), 0)
		})},
	{name: "two hours and a second ahead", rule: header.TimeTooNew, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			d.msg.Header.Timestamp = c.now.Add(2 * time.Hour)
			if spoil {
				d.msg.Header.Timestamp = c.now.Add(2*time.Hour + time.Second)
			}
			return d.seal()
		}},
	{name: "a period that begins too early", rule: header.TimeWarp, tx: -1, input: -1, network: "testnet4", height: 2015,
		build: func(c *testChain, spoil bool) []byte {
			c.extend(c.tip().Time() + 3600)
			c.now = time.Unix(int64(c.tip().Time()), 0)
			d := c.draft()
			d.msg.Header.Timestamp = time.Unix(int64(c.tip().Time())-600, 0)
			if spoil {
				d.msg.Header.Timestamp = time.Unix(int64(c.tip().Time())-601, 0)
			}
			return d.seal()
		}},
	{name: "version 3 after BIP65", rule: header.BadVersion, tx: -1, input: -1,
		build: drafted(func(d *draft) { d.msg.Header.Version = 3 })},
}

var structureCases = []ruleCase{
	{name: "a byte after the block", rule: BlockDecode, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			raw := c.draft().seal()
			if spoil {
				raw = append(raw, 0)
			}
			return raw
		}},
	{name: "challenge not satisfied", rule: BadSignetSolution, tx: -1, input: -1, network: "signet",
		build: func(c *testChain, spoil bool) []byte {
			c.p.SignetChallenge = []byte{txscript.OP_TRUE}
			if spoil {
				c.p.SignetChallenge = []byte{txscript.OP_FALSE}
			}
			return c.draft().seal()
		}},
	{name: "another merkle root", rule: BadMerkleRoot, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft().commit().root()
			if spoil {
				d.msg.Header.MerkleRoot[0] ^= 1
			}
			return d.solve()
		}},
	{name: "last transaction twice", rule: DuplicateTxs, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			a, b := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1), pay([]*wire.TxIn{c.addCoin(2, anyone)}, 2)
			d := c.draft(a, b).commit().root()
			if spoil {
				d.msg.AddTransaction(b)
			}
			return d.solve()
		}},
	{name: "no transaction", rule: BadBlockLength, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			if !spoil {
				return d.seal()
			}
			d.msg.Transactions, d.msg.Header.MerkleRoot = nil, chainhash.Hash{}
			return d.solve()
		}},
	{name: "above a million bytes without witnesses", rule: BadBlockLength, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			out := d.coinbase().TxOut[0]
			out.PkScript = append([]byte{txscript.OP_RETURN}, make([]byte, 100_000)...)
			// The coinbase's witness weighs 36, as much as 9 bytes outside it.
			size := 1_000_000 - 9
			if spoil {
				size = 1_000_001
			}
			out.PkScript = append(out.PkScript, make([]byte, size-d.msg.SerializeSizeStripped())...)
			return d.seal()
		}},
	{name: "first transaction is no coinbase", rule: MissingCoinbase, tx: 0, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft(pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1))
			d.commit()
			if spoil {
				d.msg.Transactions = d.msg.Transactions[1:]
			}
			return d.root().solve()
		}},
	{name: "two coinbases", rule: MultipleCoinbases, tx: 1, input: -1,
		build: drafted(func(d *draft) { d.msg.AddTransaction(d.coinbase().Copy()); d.msg.Transactions[1].LockTime = 1 })},
	{name: "no inputs", rule: NoInputs, tx: 1, input: -1,
		build: drafted(func(d *draft) { d.msg.AddTransaction(wire.NewMsgTx(2)) })},
	{name: "no outputs", rule: NoOutputs, tx: 1, input: -1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 0)
			if spoil {
				tx.TxOut = nil
			}
			return []*wire.MsgTx{tx}
		})},
	{name: "output of -1", rule: NegativeOutput, tx: 1, input: -1, build: oneTx(func(tx *wire.MsgTx) { tx.TxOut[0].Value = -1 })},
	{name: "output above all money", rule: OutputTooLarge, tx: 1, input: -1,
		build: oneTx(func(tx *wire.MsgTx) { tx.TxOut[0].Value = maxMoneyTest + 1 })},
	{name: "outputs together above all money", rule: OutputTotalTooLarge, tx: 1, input: -1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			tx := pay([]*wire.TxIn{c.addCoin(maxMoneyTest, anyone)}, maxMoneyTest-1, 1)
			if spoil {
				tx.TxOut[1].Value = 2
			}
			return []*wire.MsgTx{tx}
		})},
	{name: "coin spent twice in a transaction", rule: DuplicateInputs, tx: 1, input: 1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			a, b := c.addCoin(1, anyone), c.addCoin(1, anyone)
			if spoil {
				b = a
			}
			return []*wire.MsgTx{pay([]*wire.TxIn{a, b}, 1)}
		})},
	{name: "coinbase script of 101 bytes", rule: BadCoinbaseLength, tx: 0, input: 0,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			in := d.coinbase().TxIn[0]
			in.SignatureScript = append(in.SignatureScript, make([]byte, 100-len(in.SignatureScript))...)
			if spoil {
				in.SignatureScript = append(in.SignatureScript, 0)
			}
			return d.seal()
		}},
	{name: "coinbase script of 1 byte", rule: BadCoinbaseLength, tx: 0, input: 0, height: 16,
		build: drafted(func(d *draft) { in := d.coinbase().TxIn[0]; in.SignatureScript = in.SignatureScript[:1] })},
	{name: "null outpoint", rule: NullPrevout, tx: 1, input: 1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			ins := []*wire.TxIn{c.addCoin(1, anyone)}
			if spoil {
				ins = append(ins, &wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex}})
			}
			return []*wire.MsgTx{pay(ins, 1)}
		})},
	{name: "20,001 signature operations", rule: TooManySigOps, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			d.coinbase().TxOut[0].PkScript = bytes.Repeat([]byte{txscript.OP_CHECKSIG}, 20_000)
			if spoil {
				d.coinbase().TxOut[0].PkScript = bytes.Repeat([]byte{txscript.OP_CHECKSIG}, 20_001)
			}
			return d.seal()
		}},
}

// oneTx returns a build function for a block with a transaction of one input
// and one output, which edit changes to spoil it.
func oneTx(edit func(tx *wire.MsgTx)) func(*testChain, bool) []byte {
	return sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
		tx := pay([]*wire.TxIn{c.addCoin(1000, anyone)}, 1000)
		if spoil {
			edit(tx)
		}
		return []*wire.MsgTx{tx}
	})
}

var contextCases = []ruleCase{
	{name: "lock time of the own height", rule: NonFinal, tx: 1, input: -1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			tx.TxIn[0].Sequence--
			tx.LockTime = c.height() - 1
			if spoil {
				tx.LockTime++
			}
			return []*wire.MsgTx{tx}
		})},
	{name: "lock time at the median time past", rule: NonFinal, tx: 1, input: -1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			tx.TxIn[0].Sequence--
			// The median of the last eleven blocks is the sixth from the tip.
			tx.LockTime = c.headers[c.height()-6].Time() - 1
			if spoil {
				tx.LockTime++
			}
			return []*wire.MsgTx{tx}
		})},
	{name: "relative lock of blocks", rule: NonFinal, tx: 1, input: 1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone), c.addCoin(1, anyone)}, 1)
			tx.TxIn[1].Sequence = c.height() - 1 // the coin is of block 1
			if spoil {
				tx.TxIn[1].Sequence++
			}
			return []*wire.MsgTx{tx}
		})},
	{name: "relative lock of time", rule: NonFinal, tx: 1, input: 0, height: 70,
		build: func(c *testChain, spoil bool) []byte {
			// From the median time past of block 0 to that of the parent, which
			// is the time of the sixth block from the tip, are 64 blocks of 600
			// seconds: just 75 times 512 seconds.
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			tx.TxIn[0].Sequence = wire.SequenceLockTimeIsSeconds | 75
			if spoil {
				height := c.height()
				c.headers = c.headers[:height-6]
				c.extend(c.tip().Time() + 599)
				for c.height() < height {
					c.extend(c.tip().Time() + 600)
				}
			}
			return c.draft(tx).seal()
		}},
	{name: "relative lock of a version below zero", rule: NonFinal, tx: 1, input: 0,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			tx.TxIn[0].Sequence, tx.Version = c.height(), 1
			if spoil {
				tx.Version = -1
			}
			return []*wire.MsgTx{tx}
		})},
	{name: "height of the next block in the coinbase", rule: BadCoinbaseHeight, tx: 0, input: 0,
		build: drafted(func(d *draft) { d.coinbase().TxIn[0].SignatureScript[1]++ })},
	{name: "height of 16 as a push of a byte", rule: BadCoinbaseHeight, tx: 0, input: 0, height: 16,
		build: drafted(func(d *draft) { d.coinbase().TxIn[0].SignatureScript = []byte{1, 16} })},
	{name: "coinbase witness of 33 bytes", rule: BadWitnessNonce, tx: 0, input: 0,
		build: drafted(func(d *draft) { d.coinbase().TxIn[0].Witness = wire.TxWitness{make([]byte, 33)} })},
	{name: "no coinbase witness", rule: BadWitnessNonce, tx: 0, input: 0,
		build: drafted(func(d *draft) { d.coinbase().TxIn[0].Witness = nil })},
	{name: "coinbase witness of two elements", rule: BadWitnessNonce, tx: 0, input: 0,
		build: drafted(func(d *draft) { w := &d.coinbase().TxIn[0].Witness; *w = append(*w, nil) })},
	{name: "commitment to other witnesses", rule: BadWitnessCommitment, tx: 0, input: -1,
		build: drafted(func(d *draft) { d.coinbase().TxIn[0].Witness[0][5] = 1 })},
	{name: "last commitment counts", rule: BadWitnessCommitment, tx: 0, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft().commit()
			good := d.coinbase().TxOut[1]
			bad := &wire.TxOut{PkScript: append([]byte(commitmentHeader), make([]byte, 32)...)}
			d.coinbase().TxOut = []*wire.TxOut{d.coinbase().TxOut[0], bad, good}
			if spoil {
				d.coinbase().TxOut = []*wire.TxOut{d.coinbase().TxOut[0], good, bad}
			}
			return d.root().solve()
		}},
	{name: "witness without commitment", rule: UnexpectedWitness, tx: 1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			tx := pay([]*wire.TxIn{c.addCoin(1, p2wsh(anyone))}, 1)
			tx.TxIn[0].Witness = wire.TxWitness{anyone}
			d := c.draft(tx)
			if spoil {
				d.coinbase().TxOut, d.coinbase().TxIn[0].Witness = d.coinbase().TxOut[:1], nil
				return d.root().solve()
			}
			return d.seal()
		}},
	{name: "weight of 4,000,001", rule: BadBlockWeight, tx: -1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			// A witness program of a version without a meaning takes anything.
			tx := pay([]*wire.TxIn{c.addCoin(1, []byte{txscript.OP_16, 2, 0, 1})}, 1)
			tx.TxIn[0].Witness = wire.TxWitness{make([]byte, 70_000)}
			d := c.draft(tx)
			weight := 3*d.msg.SerializeSizeStripped() + d.msg.SerializeSize()
			tx.TxIn[0].Witness[0] = make([]byte, 70_000+4_000_000-weight)
			if spoil {
				tx.TxIn[0].Witness[0] = append(tx.TxIn[0].Witness[0], 0)
			}
			return d.seal()
		}},
}
