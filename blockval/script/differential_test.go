package script

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// seedOf returns the seed of a random test: OUTRIDER_SCRIPT_SEED, or n.
func seedOf(tb testing.TB, n uint64) uint64 {
	tb.Helper()
	if text := os.Getenv("OUTRIDER_SCRIPT_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			tb.Fatalf("OUTRIDER_SCRIPT_SEED: %v", err)
		}
	}
	tb.Logf("seed %d", n)
	return n
}

// TestForgedSpends runs random spends both ways, in btcd's engine where that has
// the flags, and in Bitcoin Core itself where there is one: see startCore. The first
// are the same ones always; then, but in short runs, come as many as take some ten
// seconds, of a seed that is drawn and told.
func TestForgedSpends(t *testing.T) {
	t.Run("always", func(t *testing.T) { forgedSpends(t, seedOf(t, 1), bulk(t, 5000)) })
	if testing.Short() || os.Getenv("OUTRIDER_SCRIPT_BULK") != "" {
		return
	}
	t.Run("drawn", func(t *testing.T) { forgedSpends(t, seedOf(t, rand.Uint64()), 20_000) })
}

func forgedSpends(t *testing.T, seed uint64, n int) {
	f, j, c := newForge(seed), newJudge(t), startCore(t)
	met := make(map[Error]int)
	engines := 0
	for n := range n {
		tx, input := f.spend()
		flags := f.flags()
		got := j.run(t, tx, input, flags)
		met[got]++
		if c != nil {
			if want := c.run(t, tx, input, flags); got != want {
				t.Errorf("case %d: %v, Bitcoin Core says %v\n%s", n, got, want, describe(tx, input, flags))
			}
		}
		if flags&^Flags(consensus) == 0 && flags&DERSig != 0 && !btcdKeeps(tx, input) {
			engines++
			if err := engine(tx, input, flags); (err == nil) != (got == OK) {
				t.Errorf("case %d: %v, btcd says %v\n%s", n, got, err, describe(tx, input, flags))
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d spends, %d collected, %d valid, of which proved %d; %d in btcd's engine; reasons %v",
		j.inputs, j.collected, j.valid, j.proved, engines, met)
	if j.valid < j.inputs/8 || j.proved < j.valid/2 || len(met) < 40 {
		t.Errorf("the spends are of no use: %d valid, %d reasons", j.valid, len(met))
	}
}

// btcdKeeps reports whether a spend may be one where btcd's engine signs a script
// that Bitcoin Core shortens: see TestSmallSignaturesAreDeleted.
func btcdKeeps(tx *Tx, input int) bool {
	in := tx.Msg.TxIn[input]
	scripts := [][]byte{in.SignatureScript, tx.Prevouts[input].PkScript}
	for r := (reader{script: in.SignatureScript}); r.more(); {
		_, data, ok := r.next()
		if !ok {
			break
		}
		scripts = append(scripts, data)
	}
	for _, script := range scripts[1:] {
		small, multisig := false, false
		for r := (reader{script: script}); r.more(); {
			op, data, ok := r.next()
			if !ok {
				break
			}
			small = small || op <= opPushData4 && len(data) <= 1
			multisig = multisig || op == opCheckMultisig || op == opCheckMultisigVerify
		}
		if small && multisig {
			return true
		}
	}
	return false
}

// TestSmallSignaturesAreDeleted is where btcd's engine differs from Bitcoin Core: a
// signature that is empty, or one byte for which there is an operation, is deleted
// from the legacy script that is signed, and thus every OP_0 in it (FindAndDelete).
// btcd's removeOpcodeByData deletes neither. Such a signature is never valid, but
// others of its multisig operation sign that script, and whether they are valid
// decides whether one that is not DER is looked at.
func TestSmallSignaturesAreDeleted(t *testing.T) {
	j, f, c := newJudge(t), newForge(19), startCore(t)
	for _, small := range [][]byte{nil, {5}} {
		script := append(appendPush(nil, small), opDrop, op1+2)
		for k := range 3 {
			script = appendPush(script, f.keys[k].PubKey().SerializeCompressed())
		}
		script = append(script, op1+2, opCheckMultisig, opNot)
		shortened := script[1+len(small):]
		for _, tt := range []struct {
			signed []byte
			core   Error
			btcd   bool
		}{{shortened, ErrSigDER, true}, {script, OK, false}} {
			tx := creditedSpend(nil, script, nil, 1)
			h := sigHasher{w: newHashWriter()}
			sig := signECDSA(f.keys[2], h.legacy(tx, 0, tt.signed, sigHashAll))
			noDER := []byte{0x30, 1, 1}
			tx.Msg.TxIn[0].SignatureScript = appendPush(appendPush(appendPush([]byte{op0}, small), noDER), sig)
			if got := j.run(t, tx, 0, consensus); got != tt.core {
				t.Errorf("without %x: %v, want %v", small, got, tt.core)
			}
			if c != nil {
				if got := c.run(t, tx, 0, consensus); got != tt.core {
					t.Errorf("without %x: Bitcoin Core says %v, want %v", small, got, tt.core)
				}
			}
			if err := engine(tx, 0, consensus); (err == nil) != tt.btcd {
				t.Errorf("without %x: btcd says %v: it no longer differs", small, err)
			}
			if !btcdKeeps(tx, 0) {
				t.Error("the spend is not known to differ")
			}
		}
	}
}

// describe returns a spend as one would look at it.
func describe(tx *Tx, input int, flags Flags) string {
	var raw bytes.Buffer
	if err := tx.Msg.Serialize(&raw); err != nil {
		return err.Error()
	}
	in := tx.Msg.TxIn[input]
	var s strings.Builder
	s.WriteString("input " + strconv.Itoa(input) + ", flags " + strconv.FormatUint(uint64(flags), 16) + ", transaction " + hex.EncodeToString(raw.Bytes()) +
		"\nspends " + hex.EncodeToString(tx.Prevouts[input].PkScript) + "\nscript " + hex.EncodeToString(in.SignatureScript))
	for _, e := range in.Witness {
		s.WriteString("\nwitness " + hex.EncodeToString(e))
	}
	return s.String()
}
