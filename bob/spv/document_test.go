package spv

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
	"github.com/outrider-project/outrider/testvectors"
)

// mustDocument returns the document of the transaction at an index, with its witnesses if
// it is to have them.
func mustDocument(t testing.TB, network string, b *Block, index int, witness bool, more ...header.Header) *Document {
	t.Helper()
	var w *WitnessProof
	if witness {
		var err error
		if w, err = b.WitnessProof(index); err != nil {
			t.Fatal(err)
		}
	}
	d, err := NewDocument(network, mustProve(t, b, index), w, append([]header.Header{b.Header()}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// after returns headers of the main network that follow its block 170.
func after170(t testing.TB, n int) (list []header.Header) {
	t.Helper()
	raw := testvectors.Load(t, "headers/mainnet_0_10236.bin.zst", unchecked)
	for i := range n {
		list = append(list, header.Header(raw[(171+i)*header.Size:]))
	}
	return list
}

func encoded(t testing.TB, d *Document) []byte {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func verifyText(raw []byte) (*Verified, error) {
	d, err := ParseDocument(raw)
	if err != nil {
		return nil, err
	}
	return d.Verify()
}

// What a document says is what its block has, and survives its encoding.
func TestDocument(t *testing.T) {
	b := mustParse(t, realBlock(t, "170"))
	d := mustDocument(t, "main", b, 1, false, after170(t, 6)...)
	const txid, block = "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16", "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee"
	v, err := verifyText(encoded(t, d))
	if err != nil || v.Txid.String() != txid || v.Block.String() != block || v.Index != 1 || v.OnTop != 6 || v.Wtxid != nil || v.Time.Unix() != 1231731025 ||
		v.Network != "main" || strings.TrimLeft(v.Work, "0") != "700070007" {
		t.Errorf("it proves %+v, %v", v, err)
	}
	for _, want := range []string{
		`"network":"main","txid":"` + txid + `","block_hash":"` + block + `","txHash":"0x169e1e83e930853391bc6f35f605c6754cfead57cf8387639d3b4096c54f18f4"`,
		`"info":{"version":"0x01000000","inputVector":"0x01c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847`,
		`"locktime":"0x00000000"},"proof":{"merkleProof":"0x82501c1178fa0b222c1f3d474ec726b832013f0a532b44bb620cce8624a5feb1","txIndexInBlock":1,"bitcoinHeaders":"0x0100000055bd840a`,
		`"coinbasePreimage":"0x`, `"coinbaseProof":"0x169e1e83e930853391bc6f35f605c6754cfead57cf8387639d3b4096c54f18f4"},"coinbaseTx":{"version":"0x01000000"`,
	} {
		if got := string(encoded(t, d)); !strings.Contains(got, want) {
			t.Errorf("there is no %s in\n%s", want, got)
		}
	}
	segwit := mustParse(t, realBlock(t, "757739"))
	for _, index := range []int{1, segwit.Len() - 1} {
		d := mustDocument(t, "main", segwit, index, true)
		v, err := verifyText(encoded(t, d))
		want, werr := segwit.WitnessProof(index)
		if err != nil || werr != nil {
			t.Fatal(err, werr)
		}
		if id, _ := want.Verify(); v.Wtxid == nil || *v.Wtxid != ID(id) || v.OnTop != 0 {
			t.Errorf("transaction %d: it proves %+v, want %s", index, v, id)
		}
	}
}

// A leaf is a value in a document, and how to replace it.
type leaf struct {
	path    string
	value   any
	replace func(v any)
	remove  func()
}

// leaves returns all values of decoded JSON.
func leaves(path string, fields map[string]any) (list []leaf) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at := path + "." + name
		list = append(list, leaf{at, fields[name], func(v any) { fields[name] = v }, func() { delete(fields, name) }})
		if below, ok := fields[name].(map[string]any); ok {
			list = append(list, leaves(at, below)...)
		}
	}
	return list
}

func decodedFields(t testing.TB, raw []byte) (fields map[string]any) {
	t.Helper()
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// Nothing in a document is of no matter: each value, changed in any digit, cut, lengthened or
// left out, is refused.
func TestForgedDocuments(t *testing.T) {
	segwit := mustParse(t, realBlock(t, "757739"))
	index := 1 // a short one
	for i := 1; i < segwit.Len(); i++ {
		if len(segwit.serialised[i]) < len(segwit.serialised[index]) && segwit.transactions[i].Witness != nil {
			index = i
		}
	}
	for name, d := range map[string]*Document{
		"without witnesses": mustDocument(t, "main", mustParse(t, realBlock(t, "170")), 1, false, after170(t, 2)...),
		"with witnesses":    mustDocument(t, "main", segwit, index, true),
	} {
		raw := encoded(t, d)
		if _, err := verifyText(raw); err != nil {
			t.Fatal(err)
		}
		paths := leaves("", decodedFields(t, raw))
		tried := 0
		for at, one := range paths {
			refused := func(how string, change func(l leaf)) {
				t.Helper()
				tried++
				fields := decodedFields(t, raw)
				change(leaves("", fields)[at])
				forged, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := verifyText(forged); err == nil {
					t.Errorf("%s: %s %s: it proves %+v", name, one.path, how, v)
				}
			}
			if s, ok := one.value.(string); !ok || strings.Trim(s, "0x") != "" { // what is left out counts as zero
				refused("left out", func(l leaf) { l.remove() })
			}
			refused("of another type", func(l leaf) { l.replace(true) })
			switch v := one.value.(type) {
			case string:
				for _, how := range []string{"", "0x", v + "00", v + "0", v[:max(len(v)-2, 0)], "x" + v, strings.Replace(v, "0x", "", 1) + "00"} {
					if how != v {
						refused(fmt.Sprintf("as %.20q", how), func(l leaf) { l.replace(how) })
					}
				}
				if one.path == ".network" {
					continue // which of the networks with this proof of work it is, the caller knows
				}
				start := strings.Index(v, "0x") + 2
				for i := max(start, 0) % (start + 2); i < len(v); i++ {
					if start == 2 && i < 2 {
						continue
					}
					digit := "0123456789abcdef"[(strings.IndexByte("0123456789abcdef", v[i])+1+i%15)%16]
					refused(fmt.Sprintf("with another digit %d", i), func(l leaf) { l.replace(v[:i] + string(digit) + v[i+1:]) })
				}
			case float64:
				for _, n := range []float64{v + 1, v + 2, v + 1024, -1, 1e10, 0.5} {
					refused(fmt.Sprintf("as %v", n), func(l leaf) { l.replace(n) })
				}
			}
		}
		if len(paths) < 15 || tried < 1500 {
			t.Errorf("%s: %d forgeries of %d values", name, tried, len(paths))
		}
	}
}

// Parts of two proofs do not make one, whatever each is worth.
func TestMixedDocuments(t *testing.T) {
	b := mustParse(t, realBlock(t, "757739"))
	witnesses := slices.DeleteFunc([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, func(i int) bool { return b.transactions[i].Witness == nil })
	one, other := mustDocument(t, "main", b, witnesses[0], true), mustDocument(t, "main", b, witnesses[1], true)
	for name, mix := range map[string]func(d *Document){
		"another path":                func(d *Document) { d.Proof.MerkleProof = other.Proof.MerkleProof },
		"another transaction":         func(d *Document) { d.Info = other.Info },
		"another txid":                func(d *Document) { d.Txid = other.Txid },
		"another txid in other order": func(d *Document) { d.TxHash = other.TxHash },
		"the coinbase as it": func(d *Document) {
			d.Info, d.Proof.MerkleProof, d.Proof.TxIndexInBlock = d.CoinbaseTx, d.Proof.CoinbaseProof, 0
		},
		"it as the coinbase":         func(d *Document) { d.CoinbaseTx, d.Proof.CoinbaseProof = d.Info, d.Proof.MerkleProof },
		"another wtxid":              func(d *Document) { d.Wtxid = other.Wtxid },
		"other witnesses":            func(d *Document) { d.WitnessInfo = other.WitnessInfo },
		"another proof of witnesses": func(d *Document) { d.WitnessProof = other.WitnessProof },
		"all of other witnesses": func(d *Document) {
			d.Wtxid, d.WitnessInfo, d.WitnessProof = other.Wtxid, other.WitnessInfo, other.WitnessProof
		},
		"other headers":    func(d *Document) { d.Proof.BitcoinHeaders = after170(t, 1)[0][:] },
		"the header twice": func(d *Document) { d.Proof.BitcoinHeaders = bytes.Repeat(d.Proof.BitcoinHeaders, 2) },
		"headers that do not follow": func(d *Document) {
			h := after170(t, 1)[0]
			d.Proof.BitcoinHeaders = append(slices.Clone(d.Proof.BitcoinHeaders), h[:]...)
		},
		"more headers than there may":  func(d *Document) { d.Proof.BitcoinHeaders = bytes.Repeat(d.Proof.BitcoinHeaders, maxHeaders+1) },
		"no witnesses that are proven": func(d *Document) { d.WitnessInfo = &WitnessInfo{Info: d.Info} },
		"a network without its work":   func(d *Document) { d.Network = "nowhere" },
		"parts that end elsewhere": func(d *Document) {
			in, out := d.Info.InputVector, d.Info.OutputVector
			d.Info.InputVector, d.Info.OutputVector = in[:len(in)-1], append(slices.Clone(in[len(in)-1:]), out...)
		},
	} {
		d, err := ParseDocument(encoded(t, one))
		if err != nil {
			t.Fatal(err)
		}
		mix(d)
		if v, err := d.Verify(); err == nil {
			t.Errorf("%s: it proves %+v", name, v)
		}
	}
	// Without witnesses, which would contradict.
	for name, mix := range map[string]func(d *Document){
		"a header is left out": func(d *Document) {
			d.Proof.BitcoinHeaders = slices.Concat(d.Proof.BitcoinHeaders[:header.Size], d.Proof.BitcoinHeaders[2*header.Size:])
		},
		"inputs that end elsewhere": func(d *Document) {
			in, out := d.Info.InputVector, d.Info.OutputVector
			d.Info.InputVector, d.Info.OutputVector = in[:len(in)-1], append(slices.Clone(in[len(in)-1:]), out...)
		},
		"a coinbase whose inputs do": func(d *Document) {
			in, out := d.CoinbaseTx.InputVector, d.CoinbaseTx.OutputVector
			d.CoinbaseTx.InputVector, d.CoinbaseTx.OutputVector = append(slices.Clone(in), out[0]), out[1:]
		},
	} {
		d := mustDocument(t, "main", mustParse(t, realBlock(t, "170")), 1, false, after170(t, 3)...)
		mix(d)
		if v, err := d.Verify(); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: it proves %+v, %v", name, v, err)
		}
	}
	if _, err := ParseDocument(make([]byte, MaxDocument+1)); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a document that is too long: %v", err)
	}
	if _, err := NewDocument("main", mustProve(t, b, witnesses[0]), nil, nil); !errors.Is(err, ErrDocument) {
		t.Errorf("without a header: %v", err)
	}
	none := slices.IndexFunc(b.transactions, func(tx Transaction) bool { return tx.Witness == nil })
	w, err := b.WitnessProof(none)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewDocument("main", mustProve(t, b, none), w, []header.Header{b.Header()}); !errors.Is(err, ErrWitness) {
		t.Errorf("the witnesses of a transaction that has none: %v", err)
	}
}

// mined returns a block of regtest with these transactions, and its work.
func mined(t *testing.T, txs ...[]byte) *Block {
	t.Helper()
	raw := assemble(txs...)
	binary.LittleEndian.PutUint32(raw[72:], 0x207fffff)
	params, err := header.For("regtest")
	if err != nil {
		t.Fatal(err)
	}
	for nonce := uint32(0); ; nonce++ {
		binary.LittleEndian.PutUint32(raw[76:], nonce)
		if h := header.Header(raw); params.CheckProofOfWork(&h) == nil {
			return mustParse(t, raw)
		}
	}
}

// infoOfBytes cuts bytes into the parts of a transaction, whatever they are.
func infoOfBytes(raw []byte) Info {
	n := len(raw)
	return Info{Version: Four(raw[:4]), InputVector: raw[4 : n/2], OutputVector: raw[n/2 : n-4], Locktime: Four(raw[n-4:])}
}

// A node of a tree that is passed off as a transaction, or as the coinbase, or a transaction of 64
// bytes as a node, is refused in a document, too, though its path leads to the root.
func TestNodesInDocuments(t *testing.T) {
	coinbase, fake := payment(true, 10, 1), payment(false, 20, 7)
	fakeID := hash256(fake)
	leaf := append(bytes.Repeat([]byte{9}, 32), fakeID[:]...)
	// The transaction "below" a leaf of 64 bytes, which is no transaction: the block is
	// put together by hand.
	ids := []chainhash.Hash{hash256(coinbase), hash256(leaf)}
	below := mined(t, coinbase, fake)
	root, _ := hashlane.MerkleRoot(slices.Clone(ids))
	h := below.Header()
	copy(h[36:], root[:])
	params, err := header.For("regtest")
	if err != nil {
		t.Fatal(err)
	}
	for nonce := uint32(0); params.CheckProofOfWork(&h) != nil; nonce++ {
		binary.LittleEndian.PutUint32(h[76:], nonce)
	}
	tx, err := ParseTransaction(fake)
	if err != nil {
		t.Fatal(err)
	}
	d := mustDocument(t, "regtest", below, 1, false)
	d.BlockHash, d.Proof.BitcoinHeaders = ID(h.Hash()), h[:]
	d.Info, d.Txid, d.TxHash = infoOf(&tx), ID(fakeID), Word(fakeID)
	d.Proof.MerkleProof, d.Proof.TxIndexInBlock, d.Proof.CoinbaseProof = Joined([]chainhash.Hash{chainhash.Hash(leaf[:32]), ids[0]}), 3, Joined(ids[1:])
	if path, err := SplitPath(d.Proof.MerkleProof); err != nil || VerifyPath(fakeID, 3, path, root) != nil {
		t.Fatal("the forgery is none")
	}
	if _, err := d.Verify(); !errors.Is(err, ErrDepth) {
		t.Errorf("a transaction below a leaf: %v, want %v", err, ErrDepth)
	}

	// Nodes as the transaction and as the coinbase, equally deep.
	b := mined(t, coinbase, fake, payment(false, 5, 2), payment(false, 6, 3))
	node := slices.Concat(b.ids[0][2][:], b.ids[0][3][:])
	d = mustDocument(t, "regtest", b, 1, false)
	d.Info, d.Txid, d.TxHash = infoOfBytes(node), ID(hash256(node)), Word(hash256(node))
	d.Proof.MerkleProof, d.Proof.TxIndexInBlock = Joined(b.ids[1][:1]), 1
	left := slices.Concat(b.ids[0][0][:], b.ids[0][1][:])
	d.CoinbaseTx, d.Proof.CoinbaseProof = infoOfBytes(left), Joined(b.ids[1][1:])
	d.Proof.CoinbasePreimage = (&Proof{Coinbase: left}).CoinbasePreimage()
	if VerifyPath(hash256(node), 1, b.ids[1][:1], b.root()) != nil || VerifyPath(hash256(left), 0, b.ids[1][1:], b.root()) != nil {
		t.Fatal("the forgery is none")
	}
	if _, err := d.Verify(); !errors.Is(err, ErrTransaction) {
		t.Errorf("nodes as transactions: %v, want %v", err, ErrTransaction)
	}

	// A real transaction of 64 bytes.
	small := payment(false, 4, 5)
	sized := mined(t, coinbase, small, fake)
	p := &Proof{Header: sized.Header(), Tx: small, Index: 1, Path: path(sized.ids, 1), Coinbase: coinbase, CoinbasePath: path(sized.ids, 0)}
	if _, err := NewDocument("regtest", p, nil, []header.Header{p.Header}); !errors.Is(err, ErrSize) {
		t.Errorf("a transaction of 64 bytes: %v", err)
	}
}

// A document that verifies is the encoding of a proof, whatever it was decoded from.
func FuzzDocument(f *testing.F) {
	b := mustParse(f, realBlock(f, "170"))
	f.Add(encoded(f, mustDocument(f, "main", b, 1, false, after170(f, 1)...)))
	f.Add(encoded(f, mustDocument(f, "main", b, 0, false)))
	f.Add([]byte(`{"network":"main","info":null,"proof":{"bitcoinHeaders":"0x"},"wtxid":"00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDocument(data)
		if err != nil {
			return
		}
		v, err := d.Verify()
		if err != nil {
			return
		}
		again, err := verifyText(encoded(t, d))
		if err != nil || *again != *v && v.Wtxid == nil {
			t.Errorf("%+v, and again %+v, %v", v, again, err)
		}
	})
}
