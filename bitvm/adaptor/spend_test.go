package adaptor

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// message returns a message of digits below width.
func message(digits, width int) []byte {
	m := make([]byte, digits)
	for i := range m {
		h := draw("message", i)
		m[i] = byte(int(h[0]) % width)
	}
	return m
}

// Claims of many digits are valid natively and by btcd's engine, and a table tells what
// they say.
func TestClaims(t *testing.T) {
	const width = 2
	sizes := []int{1, 2, 108, 256}
	if testing.Short() {
		sizes = []int{1, 2, 9}
	}
	for _, digits := range sizes {
		p := newProver(t, "claims", digits)
		want := message(digits, width)
		signatures, secrets := p.sign(t, want)
		items := Witness(signatures, p.script, p.control)
		if !p.agree(t, items) {
			t.Fatalf("%d digits: %v", digits, p.native(items))
		}
		table, err := NewTable(t.Context(), p.key, p.digests, p.labels(t, width))
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.decode(items)
		if err != nil {
			t.Fatal(err)
		}
		got, revealed, err := table.Extract(s)
		if err != nil || string(got) != string(want) || table.Digits() != digits {
			t.Fatalf("%d digits: %x (%v), want %x", digits, got, err, want)
		}
		for i := range secrets {
			if revealed[i] != secrets[i] {
				t.Fatalf("%d digits: secret %d is %x, want %x", digits, i, revealed[i], secrets[i])
			}
		}
		// One signature in another's place.
		if digits > 1 {
			last := len(signatures) - 1
			signatures[0], signatures[last] = signatures[last], signatures[0]
			if p.agree(t, Witness(signatures, p.script, p.control)) {
				t.Errorf("%d digits: signatures may change places", digits)
			}
		}
	}
}

// The longest claim is as long as the stack lets it: one digit more is refused by the
// engine, and Script does not make it.
func TestLongestClaim(t *testing.T) {
	if testing.Short() {
		t.Skip("the longest claim was not run: it has 998 signatures, too many for a short test")
	}
	defer func() {
		if recover() == nil {
			t.Error("Script takes a digit too many")
		}
	}()
	p := newProver(t, "longest", MaxDigits)
	right := make([]Signature, MaxDigits)
	for i := range right {
		right[i] = p.signDigest(t, p.digests[i])
	}
	if !p.agree(t, Witness(right, p.script, p.control)) {
		t.Error("the longest claim is refused")
	}
	long := append(p.script[:len(p.script)-1:len(p.script)-1], txscript.OP_TUCK, txscript.OP_CHECKSIGVERIFY, txscript.OP_CODESEPARATOR, txscript.OP_CHECKSIG)
	if _, _, err := ParseScript(long); !errors.Is(err, ErrForm) {
		t.Errorf("%v", err)
	}
	p.script = long
	private, _ := btcec.PrivKeyFromBytes(p.secret[:])
	tree := txscript.AssembleTaprootScriptTree(txscript.NewBaseTapLeaf(long))
	root := tree.RootNode.TapHash()
	control := tree.LeafMerkleProofs[0].ToControlBlock(private.PubKey())
	raw, err := control.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	p.prevouts[claimInput].PkScript = append([]byte{txscript.OP_1, txscript.OP_DATA_32},
		schnorr.SerializePubKey(txscript.ComputeTaprootOutputKey(private.PubKey(), root[:]))...)
	// The stack is too large at the first OP_TUCK, before any signature is looked at.
	if err := p.engine(Witness(make([]Signature, MaxDigits+1), long, raw)); !txscript.IsErrorCode(err, txscript.ErrStackOverflow) {
		t.Errorf("btcd's engine says %v", err)
	}
	Script(p.key.X(), MaxDigits+1)
}

// A signer that gives the separator's position in bytes, as a proof of concept of others
// did, makes signatures that neither takes: from digit 1 on, since digit 0 has none.
func TestByteOffsetIsRefused(t *testing.T) {
	digits := 108
	if testing.Short() {
		digits = 9
	}
	p := newProver(t, "offset", digits)
	want := message(digits, 256)
	right, _ := p.sign(t, want)
	leaf := txscript.NewBaseTapLeaf(p.script)
	hash := leaf.TapHash()
	outputs := make(map[wire.OutPoint]*wire.TxOut)
	for i := range p.prevouts {
		outputs[p.tx.TxIn[i].PreviousOutPoint] = &p.prevouts[i]
	}
	fetcher := txscript.NewMultiPrevOutFetcher(outputs)
	for i := 1; i < digits; i++ {
		// The key's push has 33 bytes, and is one opcode.
		digest, err := txscript.CalcTapscriptSignaturehash(txscript.NewTxSigHashes(p.tx, fetcher), txscript.SigHashDefault, p.tx,
			claimInput, fetcher, leaf, txscript.WithBaseTapscriptVersion(uint32(3*i+32), hash[:]))
		if err != nil {
			t.Fatal(err)
		}
		// What a digit signs by one count is never what it signs by the other.
		if [32]byte(digest) == p.digests[i] {
			t.Fatalf("digit %d: both counts are the same", i)
		}
		p.digests[i] = [32]byte(digest)
	}
	signatures, _ := p.sign(t, want)
	if p.agree(t, Witness(signatures, p.script, p.control)) {
		t.Error("all signatures by bytes are taken")
	}
	for _, i := range []int{1, 2, digits / 2, digits - 1} {
		mixed := append([]Signature(nil), right...)
		mixed[i] = signatures[i]
		items := Witness(mixed, p.script, p.control)
		if p.agree(t, items) {
			t.Errorf("the signature of digit %d by bytes is taken", i)
		}
		if err := p.native(items); !errors.Is(err, ErrSignature) {
			t.Errorf("digit %d: %v", i, err)
		}
	}
}

// No bit of a witness can be another: neither takes it. Of a claim of one digit all bits
// are tried, of longer ones some, and of any some in a short test.
func TestWitnessBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cases := []struct{ digits, tries int }{{1, 0}, {2, 100}, {108, 10}}
	if testing.Short() {
		cases = []struct{ digits, tries int }{{1, 40}, {2, 40}}
	}
	for _, tt := range cases {
		p := newProver(t, "witness bits", tt.digits)
		signatures, _ := p.sign(t, message(tt.digits, 256))
		items := Witness(signatures, p.script, p.control)
		if !p.agree(t, items) {
			t.Fatal("a valid claim is refused")
		}
		change := func(item, bit int) {
			original := items[item]
			items[item] = append([]byte(nil), original...)
			items[item][bit/8] ^= 1 << (bit % 8)
			if p.agree(t, items) {
				t.Errorf("%d digits: item %d with bit %d changed is taken", tt.digits, item, bit)
			}
			items[item] = original
		}
		for range tt.tries {
			item := r.IntN(len(items))
			change(item, r.IntN(8*len(items[item])))
		}
		if tt.tries > 0 {
			continue
		}
		for item := range items {
			for bit := range 8 * len(items[item]) {
				change(item, bit)
			}
		}
	}
}

// signDigest makes a signature without a presignature.
func (p *prover) signDigest(t testing.TB, digest [32]byte) Signature {
	t.Helper()
	private, _ := btcec.PrivKeyFromBytes(p.secret[:])
	sig, err := schnorr.Sign(private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return Signature(sig.Serialize())
}

// Hash types and an annex are what consensus makes of them.
func TestHashTypesAndAnnex(t *testing.T) {
	const digits = 3
	p := newProver(t, "types", digits)
	for _, annex := range [][]byte{nil, {0x50}, {0x50, 1, 2, 3}} {
		for _, hashType := range []txscript.SigHashType{0, 1, 2, 3, 4, 0x80, 0x81, 0x82, 0x83, 0x84, 0xff} {
			types := []txscript.SigHashType{0, hashType, txscript.SigHashAll}
			digests, err := Digests(p.tx, claimInput, p.prevouts, p.script, types, annex)
			known := hashType <= 3 || hashType >= 0x81 && hashType <= 0x83
			single := hashType&3 == txscript.SigHashSingle // input 1 has no output beside it
			if (err == nil) != (known && !single) || err != nil && !errors.Is(err, ErrForm) {
				t.Fatalf("hash type %#x: %v", hashType, err)
			}
			if err != nil {
				digests = p.digests
			}
			var items [][]byte
			for i := digits - 1; i >= 0; i-- {
				sig := p.signDigest(t, digests[i])
				item := sig[:]
				if types[i] != 0 || i == 1 {
					item = append(item, byte(types[i]))
				}
				items = append(items, item)
			}
			items = append(items, p.script, p.control)
			if annex != nil {
				items = append(items, annex)
			}
			// A hash type of 0 is not written.
			if got := p.agree(t, items); got != (err == nil && hashType != 0) {
				t.Errorf("hash type %#x, annex %x: valid %v", hashType, annex, got)
			}
			if annex != nil && err == nil && p.agree(t, items[:len(items)-1]) {
				t.Errorf("hash type %#x: an annex may be taken away", hashType)
			}
		}
	}
}

// What is no spend of the script is refused, whatever it is.
func TestDecodeRefuses(t *testing.T) {
	p := newProver(t, "refuse", 3)
	signatures, _ := p.sign(t, []byte{1, 2, 3})
	items := Witness(signatures, p.script, p.control)
	for name, change := range map[string]func(tx *wire.MsgTx, prevouts *[]wire.TxOut, input *int){
		"no such input":      func(_ *wire.MsgTx, _ *[]wire.TxOut, input *int) { *input = 2 },
		"another input":      func(_ *wire.MsgTx, _ *[]wire.TxOut, input *int) { *input = 0 },
		"an output too few":  func(_ *wire.MsgTx, prevouts *[]wire.TxOut, _ *int) { *prevouts = (*prevouts)[:1] },
		"no output":          func(_ *wire.MsgTx, prevouts *[]wire.TxOut, _ *int) { (*prevouts)[1] = wire.TxOut{} },
		"a signature script": func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) { tx.TxIn[1].SignatureScript = []byte{txscript.OP_0} },
		"no witness":         func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) { tx.TxIn[1].Witness = nil },
		"a key path":         func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) { tx.TxIn[1].Witness = items[:1] },
		"a signature less":   func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) { tx.TxIn[1].Witness = items[1:] },
		"a signature more": func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) {
			tx.TxIn[1].Witness = append([][]byte{items[0]}, items...)
		},
		"an empty signature": func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) {
			tx.TxIn[1].Witness = append([][]byte{nil}, items[1:]...)
		},
		"no control block": func(tx *wire.MsgTx, _ *[]wire.TxOut, _ *int) { tx.TxIn[1].Witness = items[:4] },
		"another amount":   func(_ *wire.MsgTx, prevouts *[]wire.TxOut, _ *int) { (*prevouts)[0].Value++ },
	} {
		tx, prevouts, input := p.tx.Copy(), append([]wire.TxOut(nil), p.prevouts...), claimInput
		tx.TxIn[1].Witness = items
		change(tx, &prevouts, &input)
		s, err := Decode(tx, input, prevouts)
		if err == nil {
			err = s.Verify(t.Context(), verifyBtcec)
		}
		if !errors.Is(err, ErrForm) && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Digests(p.tx, 7, p.prevouts, p.script, nil, nil); !errors.Is(err, ErrForm) {
		t.Error(err)
	}
}

// A leaf of a version that has no rules yet is no claim, though consensus takes it with any
// signatures.
func TestFutureLeaf(t *testing.T) {
	p := newProver(t, "future", 2)
	private, _ := btcec.PrivKeyFromBytes(p.secret[:])
	tree := txscript.AssembleTaprootScriptTree(txscript.NewTapLeaf(0xc2, p.script))
	root := tree.RootNode.TapHash()
	block := tree.LeafMerkleProofs[0].ToControlBlock(private.PubKey())
	control, err := block.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	output := txscript.ComputeTaprootOutputKey(private.PubKey(), root[:])
	p.prevouts[claimInput].PkScript = append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(output)...)
	items := Witness(make([]Signature, 2), p.script, control)
	if err := p.engine(items); err != nil {
		t.Fatal(err)
	}
	if _, err := p.decode(items); !errors.Is(err, ErrForm) || !strings.Contains(err.Error(), "version 0xc2") {
		t.Errorf("%v", err)
	}
}

// A verifier that cannot tell has not said that all is well.
func TestVerifierThatFails(t *testing.T) {
	p := newProver(t, "fails", 2)
	signatures, _ := p.sign(t, []byte{1, 2})
	s, err := p.decode(Witness(signatures, p.script, p.control))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := s.Verify(t.Context(), func(context.Context, []Check, []bool) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	err = s.Verify(t.Context(), func(_ context.Context, _ []Check, valid []bool) error { valid[0] = true; return nil })
	if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "digit 1") {
		t.Error(err)
	}
}

// FuzzSpend changes parts of a witness, and compares the two verdicts.
func FuzzSpend(f *testing.F) {
	const digits = 3
	p := newProver(f, "fuzz spend", digits)
	signatures, _ := p.sign(f, []byte{1, 2, 3})
	valid := Witness(signatures, p.script, p.control)
	if !p.agree(f, valid) {
		f.Fatal("a valid claim is refused")
	}
	f.Add([]byte{})
	for i := range valid {
		f.Add([]byte{byte(i), 0, 5, 0x80})
	}
	f.Add([]byte{0, 1, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 3, 4, 1, 0x81})
	f.Fuzz(func(t *testing.T, changes []byte) {
		items := append([][]byte(nil), valid...)
		for ; len(changes) >= 4 && len(items) > 0; changes = changes[4:] {
			i, at := int(changes[0])%len(items), int(changes[2])
			switch item := items[i]; changes[1] % 7 {
			case 0: // a bit
				if len(item) > 0 {
					item = append([]byte(nil), item...)
					item[at%len(item)] ^= changes[3]
					items[i] = item
				}
			case 1: // a byte more, or another hash type
				items[i] = append(item[:len(item):len(item)], changes[3])
			case 2: // shorter
				items[i] = item[:min(at, len(item))]
			case 3: // two change places
				j := at % len(items)
				items[i], items[j] = items[j], items[i]
			case 4: // one twice
				items = append(items, item)
			case 5: // one less
				items = append(items[:i:i], items[i+1:]...)
			case 6: // an annex
				items = append(items, []byte{0x50, changes[3]})
			}
		}
		got := p.agree(t, items)
		same := len(items) == len(valid)
		for i := range min(len(items), len(valid)) {
			same = same && string(items[i]) == string(valid[i])
		}
		if got != same {
			t.Errorf("%x: valid %v", items, got)
		}
	})
}

// A script is parsed only if it is one that Script makes.
func FuzzParseScript(f *testing.F) {
	key := sha256.Sum256(nil)
	f.Add(Script(key, 1))
	f.Add(Script(key, 4))
	f.Add(Script(key, MaxDigits))
	f.Fuzz(func(t *testing.T, script []byte) {
		key, digits, err := ParseScript(script)
		if err == nil && string(Script(key, digits)) != string(script) {
			t.Errorf("%x is parsed", script)
		}
		if err != nil && !errors.Is(err, ErrForm) {
			t.Error(err)
		}
	})
}
