package spv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
	"github.com/outrider-project/outrider/testvectors"
)

const unchecked = "inclusion proofs of real blocks"

// seeded returns a generator whose seed the test prints when it fails.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// realBlock returns a block of the main network as it is serialised.
func realBlock(t testing.TB, height string) []byte {
	t.Helper()
	return testvectors.Load(t, "mainnet/"+height+".block.zst", unchecked)
}

func mustParse(t testing.TB, data []byte) *Block {
	t.Helper()
	b, err := ParseBlock(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustProve(t testing.TB, b *Block, index int) *Proof {
	t.Helper()
	p, err := b.Proof(index)
	if err != nil {
		t.Fatalf("index %d: %v", index, err)
	}
	return p
}

// TestProofsOfRealBlocks proves transactions of real blocks: of all, or of some and the
// first and last ones. What is proven is compared with btcd's hashes.
func TestProofsOfRealBlocks(t *testing.T) {
	r := seeded(t)
	for height, witnesses := range map[string]bool{"170": false, "150013": false, "367891": false, "757739": true, "866342": true} {
		data := realBlock(t, height)
		b := mustParse(t, data)
		var block wire.MsgBlock
		if err := block.Deserialize(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if h := b.Header(); b.Len() != len(block.Transactions) || h.Hash() != block.BlockHash() {
			t.Fatalf("block %s: %d transactions, %d in btcd's", height, b.Len(), len(block.Transactions))
		}
		for i, tx := range block.Transactions {
			if i > 3 && i < b.Len()-3 && r.IntN(50) > 0 {
				continue
			}
			p := mustProve(t, b, i)
			id, err := p.Verify()
			if err != nil || id != tx.TxHash() {
				t.Fatalf("block %s, transaction %d: %s, %v, want %s", height, i, id, err, tx.TxHash())
			}
			if at, ok := b.Index(id); !ok || at != i {
				t.Errorf("block %s, transaction %d is found at %d", height, i, at)
			}
			w, err := b.WitnessProof(i)
			switch {
			case i == 0 && !errors.Is(err, ErrIndex):
				t.Errorf("block %s: the coinbase's witness was proven: %v", height, err)
			case i > 0 && !witnesses && !errors.Is(err, ErrCommitment):
				t.Errorf("block %s, transaction %d: %v", height, i, err)
			case i > 0 && witnesses && err != nil:
				t.Errorf("block %s, transaction %d: %v", height, i, err)
			case i > 0 && witnesses:
				if id, err := w.Verify(); err != nil || id != tx.WitnessHash() {
					t.Errorf("block %s, transaction %d: %s, %v, want %s", height, i, id, err, tx.WitnessHash())
				}
			}
		}
		for _, i := range []int{-1, b.Len()} {
			if _, err := b.Proof(i); !errors.Is(err, ErrIndex) {
				t.Errorf("block %s, transaction %d: %v", height, i, err)
			}
		}
		if _, ok := b.Index(chainhash.Hash{}); ok {
			t.Errorf("block %s has a transaction that it has not", height)
		}
	}
}

// clone returns a copy of a proof that shares nothing with it.
func (p *Proof) clone() *Proof {
	c := *p
	c.Tx, c.Path = slices.Clone(p.Tx), slices.Clone(p.Path)
	c.Coinbase, c.CoinbasePath = slices.Clone(p.Coinbase), slices.Clone(p.CoinbasePath)
	return &c
}

// TestForgedProofs forges proofs of a real block in every part, bit by bit and as a
// whole.
func TestForgedProofs(t *testing.T) {
	b := mustParse(t, realBlock(t, "757739"))
	index := b.Len() / 3
	p := mustProve(t, b, index)
	other := mustProve(t, b, index+1)
	coinbase := mustProve(t, b, 0)
	foreign := mustProve(t, mustParse(t, realBlock(t, "170")), 1)

	for bit := range 8 * header.Size {
		forged := p.clone()
		forged.Header[bit/8] ^= 1 << (bit % 8)
		_, err := forged.Verify()
		if inRoot := bit >= 8*36 && bit < 8*68; inRoot != errors.Is(err, ErrCoinbasePath) || !inRoot && err != nil {
			t.Fatalf("bit %d of the header: %v", bit, err)
		}
	}
	for bit := range 8 * len(p.Tx) {
		forged := p.clone()
		forged.Tx[bit/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrPath) && !errors.Is(err, ErrTransaction) {
			t.Fatalf("bit %d of the transaction: %v", bit, err)
		}
	}
	for bit := range 8 * len(p.Coinbase) {
		forged := p.clone()
		forged.Coinbase[bit/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrCoinbasePath) && !errors.Is(err, ErrTransaction) && !errors.Is(err, ErrCoinbase) {
			t.Fatalf("bit %d of the coinbase: %v", bit, err)
		}
	}
	for bit := range 256 * len(p.Path) {
		forged := p.clone()
		forged.Path[bit/256][bit%256/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrPath) {
			t.Fatalf("bit %d of the path: %v", bit, err)
		}
		forged = p.clone()
		forged.CoinbasePath[bit/256][bit%256/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrCoinbasePath) {
			t.Fatalf("bit %d of the coinbase's path: %v", bit, err)
		}
	}
	for i := range uint32(1 << (len(p.Path) + 1)) {
		forged := p.clone()
		if forged.Index = i; i == p.Index {
			continue
		}
		want := ErrPath
		if i == 0 {
			want = ErrCoinbase
		} else if i>>len(p.Path) != 0 {
			want = ErrIndex
		}
		if _, err := forged.Verify(); !errors.Is(err, want) {
			t.Fatalf("index %d: %v, want %v", i, err, want)
		}
	}

	deep := make([]chainhash.Hash, maxDepth+1)
	for _, tt := range []struct {
		name  string
		forge func(*Proof)
		want  error
	}{
		{"nothing", func(p *Proof) { *p = Proof{} }, ErrTransaction},
		{"another transaction", func(p *Proof) { p.Tx = other.Tx }, ErrPath},
		{"another path", func(p *Proof) { p.Path = other.Path }, ErrPath},
		{"no path", func(p *Proof) { p.Path = nil }, ErrDepth},
		{"a shorter path", func(p *Proof) { p.Path = p.Path[1:]; p.Index >>= 1 }, ErrDepth},
		{"a longer path", func(p *Proof) { p.Path = append(p.Path, chainhash.Hash{}) }, ErrDepth},
		{"shorter paths", func(p *Proof) { p.Path, p.CoinbasePath = p.Path[1:], p.CoinbasePath[1:] }, ErrCoinbasePath},
		{"paths without end", func(p *Proof) { p.Path, p.CoinbasePath = deep, deep }, ErrDepth},
		{"another block's header", func(p *Proof) { p.Header = foreign.Header }, ErrCoinbasePath},
		{"another block's coinbase", func(p *Proof) { p.Coinbase, p.CoinbasePath = foreign.Coinbase, foreign.CoinbasePath }, ErrCoinbasePath},
		{"the transaction as coinbase", func(p *Proof) { p.Coinbase, p.CoinbasePath = p.Tx, p.Path }, ErrCoinbase},
		{"the coinbase as transaction", func(p *Proof) { p.Tx, p.Path = coinbase.Tx, coinbase.Path }, ErrCoinbase},
		{"bytes after the transaction", func(p *Proof) { p.Tx = append(p.Tx, 0) }, ErrTransaction},
		{"a torn transaction", func(p *Proof) { p.Tx = p.Tx[:len(p.Tx)-1] }, ErrTransaction},
		{"a torn coinbase", func(p *Proof) { p.Coinbase = p.Coinbase[:len(p.Coinbase)-1] }, ErrTransaction},
		{"witnesses", func(p *Proof) { p.Tx = witnessOf(t, b).Tx }, ErrWitness},
		{"a witness in the coinbase", func(p *Proof) { p.Coinbase = b.serialised[0] }, ErrWitness},
	} {
		forged := p.clone()
		tt.forge(forged)
		if id, err := forged.Verify(); !errors.Is(err, tt.want) || id != (chainhash.Hash{}) && tt.want != ErrPath {
			t.Errorf("%s: %s, %v, want %v", tt.name, id, err, tt.want)
		}
	}
	if _, err := p.Verify(); err != nil {
		t.Errorf("forging has spoilt the proof: %v", err)
	}
}

// witnessOf returns a proof of a transaction that has witnesses.
func witnessOf(t testing.TB, b *Block) *WitnessProof {
	t.Helper()
	for i := 1; i < b.Len(); i++ {
		if b.transactions[i].Witness != nil {
			p, err := b.WitnessProof(i)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatal("the block has no witnesses")
	return nil
}

// TestForgedWitnessProofs does the same with a proof of witnesses.
func TestForgedWitnessProofs(t *testing.T) {
	b := mustParse(t, realBlock(t, "757739"))
	p := witnessOf(t, b)
	forge := func() *WitnessProof {
		c := *p
		c.Tx, c.Path = slices.Clone(p.Tx), slices.Clone(p.Path)
		c.Coinbase, c.CoinbasePath = slices.Clone(p.Coinbase), slices.Clone(p.CoinbasePath)
		return &c
	}
	for bit := range 8 * len(p.Tx) {
		forged := forge()
		forged.Tx[bit/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrCommitment) && !errors.Is(err, ErrTransaction) {
			t.Fatalf("bit %d of the transaction: %v", bit, err)
		}
	}
	for bit := range 256 * len(p.Path) {
		forged := forge()
		forged.Path[bit/256][bit%256/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrCommitment) {
			t.Fatalf("bit %d of the path: %v", bit, err)
		}
	}
	for bit := range 256 {
		forged := forge()
		forged.Nonce[bit/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); !errors.Is(err, ErrCommitment) {
			t.Fatalf("bit %d of the nonce: %v", bit, err)
		}
	}
	for bit := range 8 * len(p.Coinbase) {
		forged := forge()
		forged.Coinbase[bit/8] ^= 1 << (bit % 8)
		if _, err := forged.Verify(); err == nil {
			t.Fatalf("bit %d of the coinbase is of no matter", bit)
		}
	}
	old := mustProve(t, mustParse(t, realBlock(t, "170")), 1)
	for _, tt := range []struct {
		name  string
		forge func(*WitnessProof)
		want  error
	}{
		{"no witnesses", func(p *WitnessProof) {
			tx, err := ParseTransaction(p.Tx)
			if err != nil {
				t.Fatal(err)
			}
			p.Tx = tx.Stripped()
		}, ErrCommitment},
		{"index 0", func(p *WitnessProof) { p.Index = 0 }, ErrCoinbase},
		{"the coinbase", func(p *WitnessProof) { p.Tx = b.serialised[0] }, ErrCoinbase},
		{"another index", func(p *WitnessProof) { p.Index ^= 2 }, ErrCommitment},
		{"an index beyond the tree", func(p *WitnessProof) { p.Index |= 1 << len(p.Path) }, ErrIndex},
		{"a shorter path", func(p *WitnessProof) { p.Path = p.Path[1:] }, ErrDepth},
		{"a coinbase that commits to nothing", func(p *WitnessProof) {
			p.Header, p.Coinbase, p.CoinbasePath = old.Header, old.Coinbase, old.CoinbasePath
		}, ErrCommitment},
	} {
		forged := forge()
		tt.forge(forged)
		if _, err := forged.Verify(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	root, err := p.MerkleRoot()
	if err != nil || bytes.Equal(root[:], make([]byte, 32)) {
		t.Errorf("the root of the witnesses: %s, %v", root, err)
	}
}

// payment returns a well-formed transaction without witnesses, with so many bytes of
// scripts; a coinbase if it has a height.
func payment(coinbase bool, script int, salt byte) []byte {
	tx := []byte{2, 0, 0, 0, 1}
	prevout := bytes.Repeat([]byte{salt}, 36)
	if coinbase {
		prevout = append(make([]byte, 32), 0xff, 0xff, 0xff, 0xff)
	}
	tx = append(tx, prevout...)
	tx = append(tx, byte(script))
	tx = append(tx, bytes.Repeat([]byte{salt}, script)...)
	tx = append(tx, 0xff, 0xff, 0xff, 0xff, 1)
	tx = append(tx, 1, 2, 3, 4, 5, 6, 7, 0) // the value
	return append(tx, 0, 0, 0, 0, 0)        // an empty script, the lock time
}

// assemble returns a block of these transactions.
func assemble(txs ...[]byte) []byte {
	ids := make([]chainhash.Hash, len(txs))
	for i := range txs {
		ids[i] = hash256(txs[i])
	}
	root, _ := hashlane.MerkleRoot(ids)
	block := make([]byte, header.Size, header.Size+1)
	copy(block[36:], root[:])
	block = append(block, byte(len(txs)))
	return append(block, bytes.Join(txs, nil)...)
}

// TestNodesAsTransactions passes nodes of a tree off as transactions, and transactions
// as nodes.
func TestNodesAsTransactions(t *testing.T) {
	coinbase := payment(true, 10, 1)
	fake := payment(false, 20, 7)
	fakeID := hash256(fake)

	// A leaf of 64 bytes whose second half is the hash of a payment that nobody
	// made: the leaf is passed off as the node above that.
	leaf := append(bytes.Repeat([]byte{9}, 32), fakeID[:]...)
	ids := []chainhash.Hash{hash256(coinbase), hash256(leaf)}
	root, _ := hashlane.MerkleRoot(slices.Clone(ids))
	forged := &Proof{
		Tx: fake, Index: 3, Path: []chainhash.Hash{chainhash.Hash(leaf[:32]), ids[0]},
		Coinbase: coinbase, CoinbasePath: []chainhash.Hash{ids[1]},
	}
	copy(forged.Header[36:], root[:])
	if err := VerifyPath(fakeID, forged.Index, forged.Path, root); err != nil {
		t.Fatalf("the forgery is none: %v", err)
	}
	if _, err := forged.Verify(); !errors.Is(err, ErrDepth) {
		t.Errorf("a transaction below a leaf: %v, want %v", err, ErrDepth)
	}

	// A node passed off as a transaction, and the node at its left as the coinbase,
	// so that both are equally deep: BOB's contracts are told the hash's preimage only,
	// which a node has too.
	txs := [][]byte{coinbase, fake, payment(false, 5, 2), payment(false, 6, 3)}
	b := mustParse(t, assemble(txs...))
	left, right := b.ids[0][:2], b.ids[0][2:]
	node := &Proof{
		Header: b.header,
		Tx:     append(right[0][:], right[1][:]...), Index: 1, Path: b.ids[1][:1],
		Coinbase: append(left[0][:], left[1][:]...), CoinbasePath: b.ids[1][1:],
	}
	if err := VerifyPath(hash256(node.Tx), 1, node.Path, b.root()); err != nil {
		t.Fatalf("the forgery is none: %v", err)
	}
	if preimage := node.CoinbasePreimage(); VerifyPath(hash256(node.Coinbase), 0, node.CoinbasePath, b.root()) != nil || preimage == [32]byte{} {
		t.Fatal("the coinbase's forgery is none")
	}
	if _, err := node.Verify(); !errors.Is(err, ErrTransaction) && !errors.Is(err, ErrCoinbase) {
		t.Errorf("a node as the coinbase: %v", err)
	}
	node.Coinbase, node.CoinbasePath = mustProve(t, b, 0).Coinbase, mustProve(t, b, 0).CoinbasePath
	if _, err := node.Verify(); err == nil {
		t.Error("a node was taken for a transaction")
	}

	// Real transactions of 64 bytes.
	small := payment(false, 4, 5)
	if len(small) != 64 {
		t.Fatalf("%d bytes", len(small))
	}
	sized := mustParse(t, assemble(coinbase, small, fake))
	if _, err := sized.Proof(1); !errors.Is(err, ErrSize) {
		t.Errorf("a transaction of 64 bytes: %v", err)
	}
	if _, err := sized.Proof(2); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
	if _, err := mustParse(t, assemble(payment(true, 4, 5), fake)).Proof(1); !errors.Is(err, ErrSize) {
		t.Errorf("a coinbase of 64 bytes: %v", err)
	}
}

// TestSmallTransactionsWithWitnesses proves the transactions of a block that commits to
// witnesses and has a transaction of 64 bytes.
func TestSmallTransactionsWithWitnesses(t *testing.T) {
	small, other := payment(false, 4, 5), payment(false, 20, 6)
	root, _ := hashlane.MerkleRoot([]chainhash.Hash{{}, hash256(small), hash256(other)})
	commitment := hash256(append(root[:], make([]byte, 32)...))
	coinbase := payment(true, 10, 1)
	script := slices.Concat([]byte("\x26\x6a\x24\xaa\x21\xa9\xed"), commitment[:])
	coinbase = slices.Concat(coinbase[:len(coinbase)-5], script, make([]byte, 4))
	stripped := assemble(coinbase, small, other)
	// The same with the coinbase's witness.
	end := len(coinbase) - 4
	witness := slices.Concat([]byte{1, 32}, make([]byte, 32))
	segwit := slices.Concat(coinbase[:4], []byte{0, 1}, coinbase[4:end], witness, coinbase[end:])
	b := mustParse(t, slices.Concat(stripped[:header.Size+1], segwit, small, other))
	if _, err := b.WitnessProof(1); !errors.Is(err, ErrSize) {
		t.Errorf("a transaction of 64 bytes: %v", err)
	}
	p, err := b.WitnessProof(2)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := p.Verify(); err != nil || id != hash256(other) {
		t.Errorf("its neighbour: %s, %v", id, err)
	}
	// Without its witness the coinbase has no reserved value.
	if _, err := mustParse(t, stripped).WitnessProof(2); !errors.Is(err, ErrCommitment) {
		t.Errorf("a coinbase without a witness: %v", err)
	}
}

// TestCopies proves the last transaction of an odd number at the index of its copy.
func TestCopies(t *testing.T) {
	txs := [][]byte{payment(true, 10, 1), payment(false, 20, 2), payment(false, 20, 3)}
	b := mustParse(t, assemble(txs...))
	p := mustProve(t, b, 2)
	p.Index = 3
	if _, err := p.Verify(); !errors.Is(err, ErrIndex) {
		t.Errorf("the copy: %v", err)
	}
	// A block with the copy in it has the same root, and is none.
	if _, err := ParseBlock(assemble(append(txs, txs[2])...)); !errors.Is(err, ErrBlock) {
		t.Errorf("a block with a copy: %v", err)
	}
	alone := mustProve(t, mustParse(t, assemble(txs[0])), 0)
	if id, err := alone.Verify(); err != nil || id != hash256(txs[0]) || len(alone.Path) != 0 {
		t.Errorf("a block of a coinbase: %s, %v", id, err)
	}
}

// sharedProof is the proof of the vectors, without a coinbase's.
type sharedProof struct {
	Tx       string `json:"OP_RETURN_TX"`
	Proof    string `json:"OP_RETURN_PROOF"`
	Index    uint32 `json:"OP_RETURN_INDEX"`
	Header   string `json:"OP_RETURN_HEADER"`
	ID       string `json:"OP_RETURN_TX_ID_LE"`
	Version  string `json:"OP_RETURN_VERSION"`
	Vin      string `json:"OP_RETURN_VIN"`
	Vout     string `json:"OP_RETURN_VOUT"`
	Locktime string `json:"OP_RETURN_LOCKTIME"`
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSharedProof verifies the proof of the vectors, and it forged.
func TestSharedProof(t *testing.T) {
	var v sharedProof
	if err := json.Unmarshal(testvectors.Load(t, "relay/spv_proof.json", "a published inclusion proof"), &v); err != nil {
		t.Fatal(err)
	}
	tx, err := ParseTransaction(unhex(t, v.Tx))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name, want string
		got        []byte
	}{{"version", v.Version, tx.Version[:]}, {"inputs", v.Vin, tx.InputVector}, {"outputs", v.Vout, tx.OutputVector}, {"lock time", v.Locktime, tx.Locktime[:]}} {
		if !bytes.Equal(part.got, unhex(t, part.want)) {
			t.Errorf("%s: %x, want %s", part.name, part.got, part.want)
		}
	}
	id := tx.txid()
	if !bytes.Equal(id[:], unhex(t, v.ID)) || id != hash256(tx.Stripped()) {
		t.Errorf("txid %x, want %s", id[:], v.ID)
	}
	h := header.Header(unhex(t, v.Header))
	path, err := SplitPath(unhex(t, v.Proof))
	if err != nil || !bytes.Equal(Joined(path), unhex(t, v.Proof)) {
		t.Fatal(err)
	}
	root := h.MerkleRoot()
	if err := VerifyPath(id, v.Index, path, root); err != nil {
		t.Errorf("the proof: %v", err)
	}
	for bit := range 256 {
		forged := id
		forged[bit/8] ^= 1 << (bit % 8)
		if err := VerifyPath(forged, v.Index, path, root); !errors.Is(err, ErrPath) {
			t.Fatalf("bit %d of the txid: %v", bit, err)
		}
		forged = root
		forged[bit/8] ^= 1 << (bit % 8)
		if err := VerifyPath(id, v.Index, path, forged); !errors.Is(err, ErrPath) {
			t.Fatalf("bit %d of the root: %v", bit, err)
		}
		for level := range path {
			forged := slices.Clone(path)
			forged[level][bit/8] ^= 1 << (bit % 8)
			if err := VerifyPath(id, v.Index, forged, root); !errors.Is(err, ErrPath) {
				t.Fatalf("bit %d of level %d: %v", bit, level, err)
			}
		}
	}
	for bit := range 32 {
		want := ErrPath
		if bit >= len(path) {
			want = ErrIndex
		}
		if err := VerifyPath(id, v.Index^1<<bit, path, root); !errors.Is(err, want) {
			t.Errorf("bit %d of the index: %v", bit, err)
		}
	}
	for level := range path {
		forged := slices.Delete(slices.Clone(path), level, level+1)
		if err := VerifyPath(id, v.Index&(1<<len(forged)-1), forged, root); !errors.Is(err, ErrPath) {
			t.Errorf("without level %d: %v", level, err)
		}
	}
	for _, size := range []int{1, 31, 33, 32 * (maxDepth + 1)} {
		if _, err := SplitPath(make([]byte, size)); !errors.Is(err, ErrDepth) {
			t.Errorf("a path of %d bytes: %v", size, err)
		}
	}
}

// TestSummaProofs verifies summa's proofs, one good and one with code 108.
func TestSummaProofs(t *testing.T) {
	var v struct {
		Validator struct {
			ValidateProof []struct {
				Proof struct {
					Version, Vin, Vout, Locktime string
					TxID                         string `json:"tx_id"`
					Index                        uint32
					Nodes                        string               `json:"intermediate_nodes"`
					Header                       struct{ Raw string } `json:"confirming_header"`
				}
				Error int
			}
		}
	}
	if err := json.Unmarshal(testvectors.Load(t, "relay/summa_testVectors.json", "summa's inclusion proofs"), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Validator.ValidateProof) != 2 {
		t.Fatal("want two proofs")
	}
	for i, c := range v.Validator.ValidateProof {
		p := c.Proof
		path, err := SplitPath(unhex(t, p.Nodes))
		if err != nil {
			t.Fatal(err)
		}
		h := header.Header(unhex(t, p.Header.Raw))
		tx, err := ParseTransaction(slices.Concat(unhex(t, p.Version), unhex(t, p.Vin), unhex(t, p.Vout), unhex(t, p.Locktime)))
		if err == nil {
			id := tx.txid()
			if err = VerifyPath(id, p.Index, path, h.MerkleRoot()); err == nil && !bytes.Equal(id[:], unhex(t, p.TxID)) {
				t.Errorf("proof %d: txid %x, want %s", i, id[:], p.TxID)
			}
		}
		if (c.Error == 0) != (err == nil) || c.Error != 0 && c.Error != 108 {
			t.Errorf("proof %d: %v, want code %d", i, err, c.Error)
		}
	}
}

// BenchmarkProof parses the block with 4,864 transactions and proves one, and verifies.
func BenchmarkProof(b *testing.B) {
	data := realBlock(b, "866342")
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustParse(b, data)
		}
	})
	block := mustParse(b, data)
	b.Run("prove", func(b *testing.B) {
		for b.Loop() {
			mustProve(b, block, 2000)
		}
	})
	p := mustProve(b, block, 2000)
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Verify(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
