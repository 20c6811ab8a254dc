package blockval

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// signetHeader begins the push that holds the solution (BIP325).
const signetHeader = "\xec\xc7\xda\xa2"

// signetFlags are the rules for the challenge's script. Taproot is not among
// them.
const signetFlags = script.P2SH | script.Witness | script.DERSig | script.NullDummy

// checkSignetSolution checks that the block's solution satisfies the challenge
// (BIP325), as CheckSignetBlockSolution in Bitcoin Core. The genesis block needs
// none.
func (v *Validator) checkSignetSolution(ctx context.Context, b *Block) (*RuleError, error) {
	if b.Header == v.params.Genesis {
		return nil, nil
	}
	spend, err := signetSpend(b, v.params.SignetChallenge)
	if err != nil {
		return broken(BadSignetSolution, "%v", err), nil
	}
	t := &script.Tx{Msg: spend, Prevouts: []wire.TxOut{{PkScript: v.params.SignetChallenge}}}
	w := v.take()
	defer v.put(w)
	reason, err := v.exactly(ctx, w.machine, t, 0, signetFlags)
	if err != nil || reason == script.OK {
		return nil, err
	}
	return broken(BadSignetSolution, "%v", reason), nil
}

// signetSpend returns the transaction whose input must satisfy the challenge:
// it spends one that pays to the challenge and commits to the block without its
// solution.
func signetSpend(b *Block, challenge []byte) (*wire.MsgTx, error) {
	txs := b.Msg.Transactions
	if len(txs) == 0 {
		return nil, errors.New("no transaction")
	}
	i := commitmentIndex(txs[0])
	if i < 0 {
		return nil, errors.New("no witness commitment to hold a solution")
	}
	cut, solution := cutSolution(txs[0].TxOut[i].PkScript)
	spend := wire.NewMsgTx(0)
	spend.AddTxIn(&wire.TxIn{})
	spend.AddTxOut(&wire.TxOut{PkScript: []byte{txscript.OP_RETURN}})
	if solution != nil {
		d := &decoder{buf: solution}
		spend.TxIn[0].SignatureScript = d.varBytes()
		spend.TxIn[0].Witness = d.witness()
		if d.left() > 0 {
			d.fail("%d bytes after the solution", d.left())
		}
		if d.err != nil {
			return nil, fmt.Errorf("decode the solution: %w", d.err)
		}
	}

	coinbase := txs[0].Copy()
	coinbase.TxOut[i].PkScript = cut
	leaves := slices.Clone(b.Txids)
	leaves[0] = coinbase.TxHash()
	root, _ := b.merkleRoot(leaves)
	data := binary.LittleEndian.AppendUint32(nil, uint32(b.Header.Version()))
	prev := b.Header.Prev()
	data = append(data, prev[:]...)
	data = append(data, root[:]...)
	data = binary.LittleEndian.AppendUint32(data, b.Header.Time())

	pay := wire.NewMsgTx(0)
	pay.AddTxIn(&wire.TxIn{
		PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex},
		SignatureScript:  append([]byte{txscript.OP_0, byte(len(data))}, data...),
	})
	pay.AddTxOut(&wire.TxOut{PkScript: challenge})
	spend.TxIn[0].PreviousOutPoint.Hash = pay.TxHash()
	return spend, nil
}

// cutSolution returns the solution in the first push of script that holds one,
// and the script with it cut out: the header stays, and every push is written
// again in its shortest form. Where no push holds a solution it returns script
// as it is and nil. A push that goes beyond the script ends it.
func cutSolution(script []byte) (rest, solution []byte) {
	s := scriptReader{rest: script}
	for s.next() {
		data := s.data
		if len(data) == 0 {
			rest = append(rest, s.op)
			continue
		}
		if solution == nil && len(data) > len(signetHeader) && strings.HasPrefix(string(data), signetHeader) {
			data, solution = data[:len(signetHeader)], data[len(signetHeader):]
		}
		rest = appendPush(rest, data)
	}
	if solution == nil {
		return script, nil
	}
	return rest, solution
}

// appendPush appends a push of data, with the shortest length that its size
// allows, as CScript::operator<< in Bitcoin Core does for a vector.
func appendPush(script, data []byte) []byte {
	switch n := len(data); {
	case n < txscript.OP_PUSHDATA1:
		script = append(script, byte(n))
	case n <= 0xff:
		script = append(script, txscript.OP_PUSHDATA1, byte(n))
	case n <= 0xffff:
		script = binary.LittleEndian.AppendUint16(append(script, txscript.OP_PUSHDATA2), uint16(n))
	default:
		script = binary.LittleEndian.AppendUint32(append(script, txscript.OP_PUSHDATA4), uint32(n))
	}
	return append(script, data...)
}
