package script

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// FuzzScripts runs any scripts and witness both ways: neither may panic, and what
// the collected checks prove must be true. Where the flags are consensus, btcd's
// engine must agree.
func FuzzScripts(f *testing.F) {
	forged := newForge(14)
	for range 40 {
		tx, input := forged.spend()
		in := tx.Msg.TxIn[input]
		var witness []byte
		for _, e := range in.Witness {
			witness = append(binary.LittleEndian.AppendUint16(witness, uint16(len(e))), e...)
		}
		f.Add(in.SignatureScript, tx.Prevouts[input].PkScript, witness, uint32(consensus))
	}
	j := newJudge(f)
	f.Fuzz(func(t *testing.T, sigScript, pkScript, witness []byte, bits uint32) {
		var elements wire.TxWitness
		for len(witness) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(witness)), len(witness)-2)
			elements = append(elements, bytes.Clone(witness[2:2+n]))
			witness = witness[2+n:]
		}
		flags := allFlags() & Flags(bits)
		if flags&P2SH == 0 {
			flags &^= Witness
		}
		if flags&Witness == 0 {
			flags &^= CleanStack
		}
		tx := creditedSpend(sigScript, pkScript, elements, 1)
		got := j.run(t, tx, 0, flags)
		if flags&^Flags(consensus) == 0 && flags&DERSig != 0 && !btcdKeeps(tx, 0) {
			if err := engine(tx, 0, flags); (err == nil) != (got == OK) {
				t.Errorf("%v, btcd says %v\n%s", got, err, describe(tx, 0, flags))
			}
		}
	})
}
