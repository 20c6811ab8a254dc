package blockval

import (
	"bytes"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// These are the cases that take coins.

var inputCases = []ruleCase{
	{name: "id of an unspent transaction", rule: RepeatedTx, tx: 1, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			tx := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 0, 1)
			if spoil {
				c.coins[wire.OutPoint{Hash: tx.TxHash(), Index: 1}] = Coin{Value: 1, Script: anyone, Height: 1}
			}
			return c.draft(tx).seal()
		}},
	{name: "coin that does not exist", rule: MissingInputs, tx: 1, input: 0,
		build: oneTx(func(tx *wire.MsgTx) { tx.TxIn[0].PreviousOutPoint.Index++ })},
	{name: "coin spent by an earlier transaction", rule: MissingInputs, tx: 2, input: 1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			a, b, other := c.addCoin(1, anyone), c.addCoin(1, anyone), c.addCoin(1, anyone)
			if spoil {
				other.PreviousOutPoint = a.PreviousOutPoint
			}
			return []*wire.MsgTx{pay([]*wire.TxIn{a}, 1), pay([]*wire.TxIn{b, other}, 1)}
		})},
	{name: "coin of a later transaction", rule: MissingInputs, tx: 1, input: 0,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			parent := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
			child := pay([]*wire.TxIn{{PreviousOutPoint: wire.OutPoint{Hash: parent.TxHash()}}}, 1)
			child.TxIn[0].Sequence = wire.MaxTxInSequenceNum
			if spoil {
				return []*wire.MsgTx{child, parent}
			}
			return []*wire.MsgTx{parent, child}
		})},
	{name: "output beyond the last of an earlier transaction", rule: MissingInputs, tx: 2, input: 0,
		build: chained(anyone, 1)},
	{name: "output that nobody can spend", rule: MissingInputs, tx: 2, input: 0,
		build: chained([]byte{txscript.OP_RETURN}, 0)},
	{name: "output with a script of 10,001 bytes", rule: MissingInputs, tx: 2, input: 0,
		build: chained(bytes.Repeat([]byte{txscript.OP_NOP}, 10_001), 0)},
	{name: "coin with a script of 10,001 bytes", rule: MissingInputs, tx: 1, input: 0,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			push := append([]byte{txscript.OP_PUSHDATA2, 8, 2}, make([]byte, 520)...)
			script := bytes.Repeat(append(push, txscript.OP_DROP), 19)
			script = append(script, bytes.Repeat([]byte{txscript.OP_NOP}, 43)...)
			script = append(script, txscript.OP_TRUE) // the 10,000th
			if spoil {
				script = append(script, txscript.OP_NOP)
			}
			return []*wire.MsgTx{pay([]*wire.TxIn{c.addCoin(1, script)}, 1)}
		})},
	{name: "coin that nobody can spend", rule: MissingInputs, tx: 1, input: 0,
		build: oneCoin(func(coin *Coin) { coin.Script = []byte{txscript.OP_RETURN} })},
	{name: "coinbase of 99 blocks ago", rule: ImmatureCoinbase, tx: 1, input: 0,
		build: func(c *testChain, spoil bool) []byte {
			in := c.addCoin(1, anyone)
			coin := Coin{Value: 1, Script: anyone, Coinbase: true, Height: c.height() - 100}
			if spoil {
				coin.Height++
			}
			c.coins[in.PreviousOutPoint] = coin
			return c.draft(pay([]*wire.TxIn{in}, 1)).seal()
		}},
	{name: "coinbase of the same block", rule: ImmatureCoinbase, tx: 1, input: 0,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			// The coinbase's id must not depend on what spends it.
			d.coinbase().TxOut, d.coinbase().TxIn[0].Witness = d.coinbase().TxOut[:1], nil
			if spoil {
				in := &wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: d.coinbase().TxHash()}}
				d.msg.AddTransaction(pay([]*wire.TxIn{in}, 1))
			}
			return d.root().solve()
		}},
	{name: "coin of -1", rule: InputsOutOfRange, tx: 1, input: 0, build: oneCoin(func(coin *Coin) { coin.Value = -1 })},
	{name: "coin above all money", rule: InputsOutOfRange, tx: 1, input: 0,
		build: oneCoin(func(coin *Coin) { coin.Value = maxMoneyTest + 1 })},
	{name: "coins together above all money", rule: InputsOutOfRange, tx: 1, input: 1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			a, b := c.addCoin(maxMoneyTest, anyone), c.addCoin(0, anyone)
			if spoil {
				c.coins[b.PreviousOutPoint] = Coin{Value: 1, Script: anyone, Height: 1}
			}
			return []*wire.MsgTx{pay([]*wire.TxIn{a, b}, 1)}
		})},
	{name: "creates more than it spends", rule: InBelowOut, tx: 1, input: -1,
		build: oneTx(func(tx *wire.MsgTx) { tx.TxOut[0].Value++ })},
	{name: "fees together above all money", rule: FeesOutOfRange, tx: 2, input: -1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			second := int64(0)
			if spoil {
				second = 1
			}
			return []*wire.MsgTx{
				pay([]*wire.TxIn{c.addCoin(maxMoneyTest, anyone)}, 0),
				pay([]*wire.TxIn{c.addCoin(second, anyone)}, 0),
			}
		})},
	{name: "signature operations of a witness script", rule: TooManySigOps, tx: 1, input: -1,
		build: sigOpsCost(func(script []byte) (pkScript, sigScript []byte, witness wire.TxWitness) {
			return p2wsh(script), nil, wire.TxWitness{script}
		}, 80_000)},
	{name: "signature operations of a redeem script", rule: TooManySigOps, tx: 1, input: -1,
		build: sigOpsCost(func(script []byte) (pkScript, sigScript []byte, witness wire.TxWitness) {
			return p2sh(script), appendPush(nil, script), nil
		}, 20_000)},
	{name: "subsidy and fees and a satoshi", rule: BadCoinbaseAmount, tx: 0, input: -1,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft(pay([]*wire.TxIn{c.addCoin(1000, anyone)}, 300))
			d.coinbase().TxOut[0].Value += 700
			if spoil {
				d.coinbase().TxOut[0].Value++
			}
			return d.seal()
		}},
	{name: "half of the subsidy after a halving", rule: BadCoinbaseAmount, tx: 0, input: -1, height: 150,
		build: func(c *testChain, spoil bool) []byte {
			d := c.draft()
			d.coinbase().TxOut[0].Value = 25e8
			if spoil {
				d.coinbase().TxOut[0].Value++
			}
			return d.seal()
		}},
}

// chained returns a build function for two transactions, of which the second
// spends output index of the first, whose script is pkScript; in the valid
// block output 0, whose script is anyone.
func chained(pkScript []byte, index uint32) func(*testChain, bool) []byte {
	return sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
		parent := pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1)
		in := &wire.TxIn{Sequence: wire.MaxTxInSequenceNum}
		if spoil {
			parent.TxOut[0].PkScript = pkScript
			in.PreviousOutPoint.Index = index
		}
		in.PreviousOutPoint.Hash = parent.TxHash()
		return []*wire.MsgTx{parent, pay([]*wire.TxIn{in}, 1)}
	})
}

// oneCoin returns a build function for a block that spends one coin, which edit
// changes to spoil it.
func oneCoin(edit func(coin *Coin)) func(*testChain, bool) []byte {
	return sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
		in := c.addCoin(1000, anyone)
		if spoil {
			coin := c.coins[in.PreviousOutPoint]
			edit(&coin)
			c.coins[in.PreviousOutPoint] = coin
		}
		return []*wire.MsgTx{pay([]*wire.TxIn{in}, 1000)}
	})
}

// sigOpsCost returns a build function for a block with as many signature
// operations as total, and spoilt one more, in scripts of at most 400 that do
// not run them. wrap returns the script of an output that such a script can
// spend, and what spends it.
func sigOpsCost(wrap func(script []byte) (pkScript, sigScript []byte, witness wire.TxWitness), total int) func(*testChain, bool) []byte {
	return sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
		left := total
		if spoil {
			left++
		}
		tx := pay(nil, 1)
		for left > 0 {
			n := min(left, 20*maxPubkeysPerMultisig)
			left -= n
			script := []byte{txscript.OP_0, txscript.OP_IF}
			script = append(script, bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, n/maxPubkeysPerMultisig)...)
			script = append(script, bytes.Repeat([]byte{txscript.OP_CHECKSIG}, n%maxPubkeysPerMultisig)...)
			script = append(script, txscript.OP_ENDIF, txscript.OP_TRUE)
			pkScript, sigScript, witness := wrap(script)
			in := c.addCoin(1, pkScript)
			in.SignatureScript, in.Witness = sigScript, witness
			tx.TxIn = append(tx.TxIn, in)
		}
		return []*wire.MsgTx{tx}
	})
}

var scriptCases = []ruleCase{
	{name: "script that is false", rule: BadScript, tx: 1, input: 1,
		build: sealed(func(c *testChain, spoil bool) []*wire.MsgTx {
			script := anyone
			if spoil {
				script = []byte{txscript.OP_FALSE}
			}
			return []*wire.MsgTx{pay([]*wire.TxIn{c.addCoin(1, anyone), c.addCoin(1, script), c.addCoin(1, script)}, 1)}
		})},
	// btcd takes such an output for one that nobody can spend, and says that it
	// is missing.
	{name: "coin with a truncated script", rule: BadScript, tx: 2, input: 0,
		build: chained([]byte{txscript.OP_TRUE, txscript.OP_DATA_2, 1}, 0)},
}
