package testvectors

import (
	"math/rand/v2"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A builder makes the transactions of a block.
type builder struct {
	rng   *rand.Rand
	time  int64 // of the block below, in Unix seconds
	made  map[*plan]*madeTx
	txs   []*wire.MsgTx
	spent []SpentOutput
	fees  int64
	// ecdsa and taproot count the inputs since the last one whose signature covers
	// nothing but itself and an output: those with ECDSA, and those of p2trKey.
	ecdsa, taproot int
}

// A madeTx is a transaction that is in the block, with the locks of the outputs
// that the block spends.
type madeTx struct {
	id    chainhash.Hash
	locks []*lock
}

// add makes and signs the transaction of a plan, whose parents were added before.
func (b *builder) add(p *plan) error {
	tx, made := wire.NewMsgTx(2), &madeTx{}
	var coins []SpentOutput
	var locks []*lock
	prevouts := txscript.NewMultiPrevOutFetcher(nil)
	values := p.inValues()
	for i, in := range p.ins {
		op, l, coin, err := b.coin(in, values[i])
		if err != nil {
			return err
		}
		coins, locks = append(coins, coin), append(locks, l)
		prevouts.AddPrevOut(op, wire.NewTxOut(coin.Value, coin.Script))
		tx.AddTxIn(wire.NewTxIn(&op, nil, nil))
		b.fees += coin.Value
	}
	for _, o := range p.outs {
		l := &lock{}
		if o.spent {
			var err error
			if l, err = newLock(b.rng, o.pattern); err != nil {
				return err
			}
		} else {
			l.script = unspendable(b.rng, o.pattern)
		}
		made.locks = append(made.locks, l)
		tx.AddTxOut(wire.NewTxOut(o.value, l.script))
		b.fees -= o.value
	}
	b.setTimes(tx, locks)
	hashes := txscript.NewTxSigHashes(tx, prevouts)
	for i, l := range locks {
		u := unlocking{lock: l, value: coins[i].Value, tx: tx, hashes: hashes, input: i, hashType: b.hashType(tx, i, l)}
		if err := u.unlock(); err != nil {
			return err
		}
	}
	made.id = tx.TxHash()
	b.made[p] = made
	b.txs = append(b.txs, tx)
	b.spent = append(b.spent, coins...)
	return nil
}

// coin returns the coin of an input, and where it is: an output of a parent, or one
// from before the block.
func (b *builder) coin(in planIn, value int64) (wire.OutPoint, *lock, SpentOutput, error) {
	if in.parent != nil {
		parent := b.made[in.parent]
		l := parent.locks[in.out]
		c := SpentOutput{Value: value, Script: l.script, Height: generatedHeight, Time: uint32(b.time) + blockInterval}
		return wire.OutPoint{Hash: parent.id, Index: uint32(in.out)}, l, c, nil
	}
	l, err := newLock(b.rng, in.pattern)
	if err != nil {
		return wire.OutPoint{}, nil, SpentOutput{}, err
	}
	op := wire.OutPoint{Hash: chainhash.Hash(randomBytes(b.rng, 32)), Index: uint32(b.rng.IntN(3))}
	// Most coins are young. Those of P2PK are the miners' of the first days.
	c := SpentOutput{Value: value, Script: l.script, Height: generatedHeight - delay - uint32(b.rng.IntN(100))}
	if b.rng.IntN(4) == 0 || in.pattern == p2pk {
		c.Height = 1 + uint32(b.rng.IntN(generatedHeight-100))
	}
	c.Coinbase = in.pattern == p2pk
	c.Time = uint32(b.time) - blockInterval*(generatedHeight-1-c.Height)
	return op, l, c, nil
}

// setTimes sets version, sequence numbers and lock time, each with about the share
// that it has of the 4,863 transactions of block 866342. All locks have passed.
func (b *builder) setTimes(tx *wire.MsgTx, locks []*lock) {
	sequence := uint32(wire.MaxTxInSequenceNum - 2) // replaceable (BIP125)
	switch k := b.rng.IntN(4863); {
	case k < 1200:
		sequence = wire.MaxTxInSequenceNum
	case k < 1700:
		sequence = 0
	case k < 1715:
		sequence = wire.MaxTxInSequenceNum - 1
	}
	switch k := b.rng.IntN(4863); {
	case k < 235:
		tx.Version = 1
	case k < 242:
		tx.Version, tx.LockTime = 1, generatedHeight-1
	case k < 307:
		tx.LockTime = generatedHeight - 1 - uint32(b.rng.IntN(100))
	case k < 313:
		tx.LockTime = uint32(b.time) - 100*blockInterval
	}
	for i, in := range tx.TxIn {
		in.Sequence = sequence
		if locks[i].pattern == p2wshAnchor || locks[i].pattern == tapDelayed {
			in.Sequence, tx.Version = delay, 2
		}
	}
}

// hashType returns what the signatures of an input cover: as often as in block
// 866342 not everything.
func (b *builder) hashType(tx *wire.MsgTx, input int, l *lock) txscript.SigHashType {
	const alone = txscript.SigHashSingle | txscript.SigHashAnyOneCanPay
	turn, every := &b.ecdsa, 800
	if l.pattern == p2trKey {
		turn, every = &b.taproot, 34
	} else if l.output() == p2trKey {
		return txscript.SigHashDefault
	}
	// It needs an output of the input's number.
	if *turn++; *turn >= every && input < len(tx.TxOut) {
		*turn = 0
		return alone
	}
	if l.pattern == p2trKey && b.rng.IntN(43) > 0 {
		return txscript.SigHashDefault
	}
	return txscript.SigHashAll
}

// coinbase returns the coinbase of the block, which takes subsidy and fees and
// commits to the witnesses (BIP141).
func (b *builder) coinbase() *wire.MsgTx {
	tx := wire.NewMsgTx(1)
	in := wire.NewTxIn(&wire.OutPoint{Index: wire.MaxPrevOutIndex}, nil, wire.TxWitness{make([]byte, 32)})
	// The height comes first (BIP34).
	in.SignatureScript = append(push([]byte{generatedHeight & 0xff, generatedHeight >> 8}), randomBytes(b.rng, 95)...)
	tx.AddTxIn(in)
	halvings := generatedHeight / chaincfg.RegressionNetParams.SubsidyReductionInterval
	tx.AddTxOut(wire.NewTxOut(int64(50_0000_0000)>>halvings+b.fees, unspendable(b.rng, p2pkh)))
	ids := []chainhash.Hash{{}} // zero stands for the coinbase
	for _, tx := range b.txs {
		ids = append(ids, tx.WitnessHash())
	}
	root := merkleRoot(ids)
	commitment := chainhash.DoubleHashB(append(root[:], in.Witness[0]...))
	tx.AddTxOut(wire.NewTxOut(0, append([]byte("\x6a\x24\xaa\x21\xa9\xed"), commitment...)))
	return tx
}
