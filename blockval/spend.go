package blockval

import (
	"sync"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A spendTx is a transaction beside the outputs that it spends, and what the
// signature hashes of its inputs share. It is safe for concurrent use.
type spendTx struct {
	tx *wire.MsgTx
	// prevouts are what the inputs spend, in their order.
	prevouts []wire.TxOut

	hashesOnce, blankOnce, indexOnce sync.Once

	hashes *txscript.TxSigHashes
	blank  *blankTx
	index  map[wire.OutPoint]int
}

// sigHashes returns what the signature hashes of BIP143 and BIP341 share.
func (t *spendTx) sigHashes() *txscript.TxSigHashes {
	t.hashesOnce.Do(func() { t.hashes = txscript.NewTxSigHashes(t.tx, t) })
	return t.hashes
}

// blankTx returns what the legacy signature hashes share.
func (t *spendTx) blankTx() *blankTx {
	t.blankOnce.Do(func() { t.blank = newBlankTx(t.tx) })
	return t.blank
}

// FetchPrevOutput implements txscript.PrevOutputFetcher.
func (t *spendTx) FetchPrevOutput(op wire.OutPoint) *wire.TxOut {
	// A map costs more than a look at so few inputs.
	const few = 8
	if len(t.tx.TxIn) <= few {
		for i, in := range t.tx.TxIn {
			if in.PreviousOutPoint == op {
				return &t.prevouts[i]
			}
		}
		return nil
	}
	t.indexOnce.Do(func() {
		t.index = make(map[wire.OutPoint]int, len(t.tx.TxIn))
		for i, in := range t.tx.TxIn {
			t.index[in.PreviousOutPoint] = i
		}
	})
	if i, ok := t.index[op]; ok {
		return &t.prevouts[i]
	}
	return nil
}

// execute runs the scripts of an input in txscript's engine. The error is
// theirs; nil means that they succeed.
func (t *spendTx) execute(input int, flags txscript.ScriptFlags) error {
	out := &t.prevouts[input]
	var hashes *txscript.TxSigHashes
	if len(t.tx.TxIn[input].Witness) > 0 {
		hashes = t.sigHashes()
	}
	vm, err := txscript.NewEngine(out.PkScript, t.tx, input, flags, nil, hashes, out.Value, t)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// signatures returns how many signatures an input presents, as
// Verdict.Signatures counts them.
func (t *spendTx) signatures(input int) int {
	in := t.tx.TxIn[input]
	n := 0
	if isP2TR(t.prevouts[input].PkScript) {
		for _, e := range taprootArguments(in.Witness) {
			if len(e) == 64 || len(e) == 65 {
				n++
			}
		}
		return n
	}
	for s := (scriptReader{rest: in.SignatureScript}); s.next(); {
		if looksDER(s.data) {
			n++
		}
	}
	for _, e := range in.Witness {
		if looksDER(e) {
			n++
		}
	}
	return n
}

// taprootArguments returns the elements of a taproot spend's witness that are
// neither annex nor script nor control block (BIP341).
func taprootArguments(witness wire.TxWitness) wire.TxWitness {
	if n := len(witness); n >= 2 && len(witness[n-1]) > 0 && witness[n-1][0] == txscript.TaprootAnnexTag {
		witness = witness[:n-1]
	}
	if n := len(witness); n >= 2 {
		return witness[:n-2]
	}
	return witness
}

func looksDER(e []byte) bool {
	return len(e) >= 9 && len(e) <= 80 && e[0] == 0x30 && e[2] == 0x02
}
