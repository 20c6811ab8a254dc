package blockval

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// todaysFlags are the rules of today.
const todaysFlags = script.Consensus

// flagChoices are the rules of the first heights, of those between BIP66 and BIP65,
// and of today, and those of the blocks that are exceptions.
var flagChoices = []script.Flags{
	script.P2SH | script.Witness | script.Taproot,
	script.P2SH | script.Witness | script.Taproot | script.DERSig,
	todaysFlags, 0, script.P2SH | script.Witness,
}

// A spendTx is a transaction beside the outputs that it spends, for btcd's code.
type spendTx struct {
	tx       *wire.MsgTx
	prevouts []wire.TxOut
}

// FetchPrevOutput implements txscript.PrevOutputFetcher.
func (t *spendTx) FetchPrevOutput(op wire.OutPoint) *wire.TxOut {
	for i, in := range t.tx.TxIn {
		if in.PreviousOutPoint == op {
			return &t.prevouts[i]
		}
	}
	return nil
}

func (t *spendTx) sigHashes() *txscript.TxSigHashes { return txscript.NewTxSigHashes(t.tx, t) }

// execute runs the scripts of an input in btcd's engine.
func (t *spendTx) execute(input int, flags script.Flags) error {
	out := &t.prevouts[input]
	vm, err := txscript.NewEngine(out.PkScript, t.tx, input, flags.Txscript(), nil, t.sigHashes(), out.Value, t)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// agree checks that a transaction's scripts get the verdict that btcd's engine gives
// them under every choice of flags, at the input that it refuses first, and returns
// whether they succeed today.
func agree(tb testing.TB, v *Validator, spend *spendTx) (valid bool) {
	tb.Helper()
	for _, flags := range flagChoices {
		first, why := -1, error(nil)
		for i := range spend.tx.TxIn {
			if why = spend.execute(i, flags); why != nil {
				first = i
				break
			}
		}
		rule := judgeScripts(tb, v, spend, flags)
		if flags&script.DERSig == 0 && first >= 0 && (rule == nil || rule.Input > first) && maybeLax(spend.tx.TxIn[first]) {
			// btcd does not read every signature that Core does: see TestLaxSignatures.
			continue
		}
		if (rule == nil) != (first < 0) || rule != nil && (rule.Tx != 1 || rule.Input != first) {
			tb.Errorf("flags %v: %v; the engine refuses input %d: %v; %+v, prevouts %+v",
				flags.Names(), rule, first, why, spend.tx, spend.prevouts)
		}
		if flags == todaysFlags {
			valid = rule == nil
		}
	}
	return valid
}

// maybeLax reports whether the input may present a signature that is not strict DER, as
// BIP66 has it, and that Core can read all the same (ecdsa_signature_parse_der_lax).
func maybeLax(in *wire.TxIn) bool {
	elements := slices.Clone(in.Witness)
	for t := txscript.MakeScriptTokenizer(0, in.SignatureScript); t.Next(); {
		elements = append(elements, t.Data())
	}
	return slices.ContainsFunc(elements, func(e []byte) bool {
		if len(e) < 9 || len(e) > 80 || e[0] != 0x30 {
			return false
		}
		_, notDER := ecdsa.ParseDERSignature(e[:len(e)-1])
		return notDER != nil
	})
}

// A spendForm is a form of output and how to spend it.
type spendForm struct {
	name string
	// lock returns the output's script for a key.
	lock func(key *btcec.PrivateKey) []byte
	// sign sets what spends it.
	sign func(s *spendTx, input int, hashType txscript.SigHashType, key *btcec.PrivateKey) error
}

// spendForms are common forms.
func spendForms() []spendForm {
	p2pkh := func(compressed bool) spendForm {
		return spendForm{
			name: fmt.Sprintf("P2PKH, compressed %v", compressed),
			lock: func(key *btcec.PrivateKey) []byte { return p2pkh(serialise(key, compressed)) },
			sign: func(s *spendTx, input int, hashType txscript.SigHashType, key *btcec.PrivateKey) (err error) {
				s.tx.TxIn[input].SignatureScript, err = txscript.SignatureScript(
					s.tx, input, s.prevouts[input].PkScript, hashType, key, compressed)
				return err
			},
		}
	}
	p2wpkh := func(compressed bool) spendForm {
		return spendForm{
			name: fmt.Sprintf("P2WPKH, compressed %v", compressed),
			lock: func(key *btcec.PrivateKey) []byte { return p2wpkh(serialise(key, compressed)) },
			sign: func(s *spendTx, input int, hashType txscript.SigHashType, key *btcec.PrivateKey) (err error) {
				s.tx.TxIn[input].Witness, err = txscript.WitnessSignature(
					s.tx, s.sigHashes(), input, s.prevouts[input].Value, s.prevouts[input].PkScript, hashType, key, compressed)
				return err
			},
		}
	}
	return []spendForm{
		p2pkh(true), p2pkh(false), p2wpkh(true), p2wpkh(false),
		{
			name: "P2SH-P2WPKH",
			lock: func(key *btcec.PrivateKey) []byte { return p2sh(p2wpkh(true).lock(key)) },
			sign: func(s *spendTx, input int, hashType txscript.SigHashType, key *btcec.PrivateKey) (err error) {
				program := p2wpkh(true).lock(key)
				s.tx.TxIn[input].SignatureScript = appendPush(nil, program)
				s.tx.TxIn[input].Witness, err = txscript.WitnessSignature(
					s.tx, s.sigHashes(), input, s.prevouts[input].Value, program, hashType, key, true)
				return err
			},
		},
		{
			name: "P2TR",
			lock: func(key *btcec.PrivateKey) []byte {
				return append([]byte{txscript.OP_1, 32}, schnorr.SerializePubKey(key.PubKey())...)
			},
			sign: func(s *spendTx, input int, hashType txscript.SigHashType, key *btcec.PrivateKey) error {
				if hashType == txscript.SigHashAll && input%2 == 0 {
					hashType = txscript.SigHashDefault
				}
				hash, err := txscript.CalcTaprootSignatureHash(s.sigHashes(), hashType, s.tx, input, s)
				if err != nil {
					return err
				}
				sig, err := schnorr.Sign(key, hash)
				if err != nil {
					return err
				}
				raw := sig.Serialize()
				if hashType != txscript.SigHashDefault {
					raw = append(raw, byte(hashType))
				}
				s.tx.TxIn[input].Witness = wire.TxWitness{raw}
				return nil
			},
		},
	}
}

func serialise(key *btcec.PrivateKey, compressed bool) []byte {
	if compressed {
		return key.PubKey().SerializeCompressed()
	}
	return key.PubKey().SerializeUncompressed()
}

func p2pkh(key []byte) []byte {
	script := append([]byte{txscript.OP_DUP, txscript.OP_HASH160, 20}, address.Hash160(key)...)
	return append(script, txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
}

func p2wpkh(key []byte) []byte { return append([]byte{txscript.OP_0, 20}, address.Hash160(key)...) }

// testKey returns the private key of a number.
func testKey(n byte) *btcec.PrivateKey {
	key, _ := btcec.PrivKeyFromBytes(append(make([]byte, 31), n+1))
	return key
}

// allHashTypes are the hash types that are defined for ECDSA.
var allHashTypes = []txscript.SigHashType{0x01, 0x02, 0x03, 0x81, 0x82, 0x83}

// signedTx returns a transaction with an input of every form, in random order
// and with random hash types, and two outputs fewer than inputs.
func signedTx(tb testing.TB, rng *rand.Rand) *spendTx {
	tb.Helper()
	forms := spendForms()
	rng.Shuffle(len(forms), func(i, j int) { forms[i], forms[j] = forms[j], forms[i] })
	s := &spendTx{tx: wire.NewMsgTx(int32(rng.IntN(3)))}
	s.tx.LockTime = rng.Uint32N(2)
	for i, form := range forms {
		in := &wire.TxIn{Sequence: rng.Uint32()}
		in.PreviousOutPoint.Hash[0], in.PreviousOutPoint.Index = byte(i), rng.Uint32N(3)
		s.tx.AddTxIn(in)
		s.prevouts = append(s.prevouts, wire.TxOut{Value: rng.Int64N(1e12), PkScript: form.lock(testKey(byte(i)))})
		if i >= 2 {
			s.tx.AddTxOut(&wire.TxOut{Value: rng.Int64N(1e12), PkScript: form.lock(testKey(byte(100 + i)))})
		}
	}
	for i, form := range forms {
		hashType := allHashTypes[rng.IntN(len(allHashTypes))]
		if hashType&0x1f == txscript.SigHashSingle && i >= len(s.tx.TxOut) {
			hashType = txscript.SigHashAll
		}
		if err := form.sign(s, i, hashType, testKey(byte(i))); err != nil {
			tb.Fatalf("sign %s: %v", form.name, err)
		}
	}
	return s
}

// clone returns a deep copy, without what has been computed.
func (t *spendTx) clone() *spendTx {
	c := &spendTx{tx: t.tx.Copy(), prevouts: slices.Clone(t.prevouts)}
	for i := range c.prevouts {
		c.prevouts[i].PkScript = slices.Clone(c.prevouts[i].PkScript)
	}
	return c
}

// twoInputs returns a transaction of two inputs that spend outputs of a form, of
// keys 0 and 1.
func twoInputs(form spendForm, outputs int) *spendTx {
	s := &spendTx{tx: pay([]*wire.TxIn{{Sequence: 7}, {PreviousOutPoint: wire.OutPoint{Index: 1}}}, make([]int64, outputs)...)}
	for i := range s.tx.TxIn {
		s.prevouts = append(s.prevouts, wire.TxOut{Value: int64(5 + i), PkScript: form.lock(testKey(byte(i)))})
	}
	return s
}

func TestCommonForms(t *testing.T) {
	v := newValidator(t, "main", Options{})
	for _, form := range spendForms() {
		for _, hashType := range allHashTypes {
			s := twoInputs(form, 2)
			for i := range s.tx.TxIn {
				if err := form.sign(s, i, hashType, testKey(byte(i))); err != nil {
					t.Fatal(err)
				}
				if n := signatures(s.tx.TxIn[i], s.prevouts[i].PkScript); n != 1 {
					t.Errorf("%s, hash type %#x: %d signatures", form.name, hashType, n)
				}
			}
			if !agree(t, v, s) {
				t.Errorf("%s, hash type %#x: not valid", form.name, hashType)
			}
		}
	}
}

// TestOtherKey spends outputs with valid signatures of a key that they do not
// pay to.
func TestOtherKey(t *testing.T) {
	v := newValidator(t, "main", Options{})
	for _, form := range spendForms() {
		s := twoInputs(form, 2)
		for i, key := range []byte{1, 1} {
			if err := form.sign(s, i, txscript.SigHashAll, testKey(key)); err != nil {
				t.Fatal(err)
			}
		}
		if agree(t, v, s) {
			t.Errorf("%s: a spend with another's key is valid", form.name)
		}
	}
}

// TestSingleWithoutOutput signs with SIGHASH_SINGLE for an output that is not
// there: legacy scripts then sign the number 1, segwit's a zero hash, and
// taproot refuses.
func TestSingleWithoutOutput(t *testing.T) {
	v := newValidator(t, "main", Options{})
	for _, form := range spendForms() {
		for _, hashType := range []txscript.SigHashType{txscript.SigHashSingle, 0x83} {
			s := twoInputs(form, 1)
			if err := form.sign(s, 0, txscript.SigHashAll, testKey(0)); err != nil {
				t.Fatal(err)
			}
			if err := form.sign(s, 1, hashType, testKey(1)); err != nil {
				if form.name != "P2TR" {
					t.Fatal(err)
				}
				s.tx.TxIn[1].Witness = wire.TxWitness{append(make([]byte, 64), byte(hashType))}
			}
			if valid, want := agree(t, v, s), form.name != "P2TR"; valid != want {
				t.Errorf("%s, hash type %#x: valid %v, want %v", form.name, hashType, valid, want)
			}
		}
	}
}

// TestMutatedSpends changes valid spends of the common forms at random, and holds
// the verdicts against btcd's engine. OUTRIDER_BULK is how many, in place of 1,000.
func TestMutatedSpends(t *testing.T) {
	const seed = 2
	n := 1000
	if text := os.Getenv("OUTRIDER_BULK"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("OUTRIDER_BULK: %v", err)
		}
	} else if testing.Short() {
		n = 50
	}
	v := newValidator(t, "main", Options{})
	rng := rand.New(rand.NewPCG(seed, 0))
	valid := 0
	var original *spendTx
	for i := range n {
		if i%10 == 0 {
			original = signedTx(t, rng)
		}
		s := original.clone()
		for range 1 + rng.IntN(2) {
			mutate(rng, s, rng.IntN(len(s.tx.TxIn)))
		}
		if agree(t, v, s) {
			valid++
		}
		if t.Failed() {
			t.Fatalf("seed %d, case %d", seed, i)
		}
	}
	t.Logf("%d of %d valid", valid, n)
	if valid < n/20 || valid > n/2 {
		t.Error("valid or invalid spends are too rare for the test to mean much")
	}
}

// mutate changes one thing about a spend.
func mutate(rng *rand.Rand, s *spendTx, input int) {
	in, out := s.tx.TxIn[input], &s.prevouts[input]
	// The elements of the spend that can be changed as bytes.
	parts := []*[]byte{&in.SignatureScript, &out.PkScript}
	for i := range in.Witness {
		parts = append(parts, &in.Witness[i])
	}
	part := parts[rng.IntN(len(parts))]
	at := func() int { return rng.IntN(len(*part)) }
	switch rng.IntN(14) {
	case 0, 1:
		if len(*part) > 0 {
			(*part)[at()] ^= 1 << rng.IntN(8)
		}
	case 2:
		if len(*part) > 0 {
			*part = slices.Delete(*part, len(*part)-1, len(*part))
		}
	case 3:
		*part = append(*part, byte(rng.Uint32()))
	case 4:
		if len(*part) > 0 {
			i := at()
			*part = slices.Delete(*part, i, i+1)
		}
	case 5:
		// A bit of the signature or the hash type, where there is a witness.
		if len(in.Witness) > 0 {
			sig := in.Witness[0]
			if len(sig) > 0 {
				sig[len(sig)-1] ^= 1 << rng.IntN(8)
			}
		}
	case 6:
		in.Witness = append(in.Witness, []byte{0x50, 1})
	case 7:
		in.Witness = in.Witness[:rng.IntN(len(in.Witness)+1)]
	case 8:
		out.Value ^= 1 << rng.IntN(40)
	case 9:
		in.Sequence ^= 1 << rng.IntN(32)
	case 10:
		s.tx.Version ^= 1 << rng.IntN(32)
	case 11:
		o := s.tx.TxOut[rng.IntN(len(s.tx.TxOut))]
		o.Value ^= 1 << rng.IntN(40)
	case 12:
		s.tx.TxOut = s.tx.TxOut[:rng.IntN(len(s.tx.TxOut))]
		s.tx.AddTxOut(&wire.TxOut{})
	case 13:
		remakeSignature(rng, in)
	}
}

// remakeSignature replaces the signature of an input, where it is in strict DER,
// by one with the same numbers in another form, or one with other numbers of the
// same value: a high S, padding, a hash type.
func remakeSignature(rng *rand.Rand, in *wire.TxIn) {
	legacy := len(in.Witness) == 0
	var sig, rest []byte
	switch {
	case !legacy:
		sig = in.Witness[0]
	case len(in.SignatureScript) > 0 && int(in.SignatureScript[0]) < len(in.SignatureScript):
		end := 1 + int(in.SignatureScript[0])
		sig, rest = in.SignatureScript[1:end], in.SignatureScript[end:]
	}
	if len(sig) == 0 {
		return
	}
	parsed, err := ecdsa.ParseDERSignature(sig[:len(sig)-1])
	if err != nil {
		return
	}
	r, high := parsed.R(), parsed.S()
	if rng.IntN(2) == 0 {
		high.Negate()
	}
	rBytes, sBytes := r.Bytes(), high.Bytes()
	sig = slices.Concat(derInteger(rng, rBytes[:]), derInteger(rng, sBytes[:]))
	sig = slices.Concat([]byte{0x30, byte(len(sig))}, sig, []byte{byte(allHashTypes[rng.IntN(len(allHashTypes))])})
	if legacy {
		in.SignatureScript = append(appendPush(nil, sig), rest...)
	} else {
		in.Witness[0] = sig
	}
}

// derInteger encodes a number, mostly as DER has it.
func derInteger(rng *rand.Rand, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	if n[0]&0x80 != 0 || rng.IntN(20) == 0 {
		n = append([]byte{0}, n...)
	}
	return append([]byte{0x02, byte(len(n))}, n...)
}
