package spv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A Document is a proof for programs, in the shapes that BOB's contracts take. Its JSON field
// names are a contract. Bytes are hexadecimal with 0x before them and in the order in which
// contracts take them; Txid, Wtxid and BlockHash are in display order, as Bitcoin's nodes have
// them.
type Document struct {
	// Network is that of the headers' proof of work: main, test, testnet4, signet, regtest.
	Network   string `json:"network"`
	Txid      ID     `json:"txid"`
	BlockHash ID     `json:"block_hash"`
	// TxHash is the txid as contracts take it.
	TxHash Word `json:"txHash"`
	// Info and Proof are arguments of BitcoinTx.validateProof. The first 80 bytes of the
	// proof's headers, its path, TxHash and its index are those of
	// FullRelayWithVerify.verifyProof, which does not look at the coinbase transaction.
	Info  Info          `json:"info"`
	Proof ContractProof `json:"proof"`
	// CoinbaseTx is the coinbase transaction, of which the proof has the preimage of its
	// hash only, which nodes of a tree have, too.
	CoinbaseTx Info `json:"coinbaseTx"`
	// Wtxid, WitnessInfo and WitnessProof are set for a proof of the transaction with its
	// witnesses; the latter two are arguments of WitnessTx.validateWitnessProof.
	Wtxid        *ID                   `json:"wtxid,omitempty"`
	WitnessInfo  *WitnessInfo          `json:"witnessInfo,omitempty"`
	WitnessProof *ContractWitnessProof `json:"witnessProof,omitempty"`
}

// An Info is BitcoinTx.Info: the parts of a transaction without its witnesses.
type Info struct {
	Version      Four  `json:"version"`
	InputVector  Bytes `json:"inputVector"`
	OutputVector Bytes `json:"outputVector"`
	Locktime     Four  `json:"locktime"`
}

// A ContractProof is BitcoinTx.Proof. Its headers are one for a FullRelay, and for a LightRelay
// as many as the work that is asked for needs.
type ContractProof struct {
	MerkleProof      Bytes  `json:"merkleProof"`
	TxIndexInBlock   uint32 `json:"txIndexInBlock"`
	BitcoinHeaders   Bytes  `json:"bitcoinHeaders"`
	CoinbasePreimage Word   `json:"coinbasePreimage"`
	CoinbaseProof    Bytes  `json:"coinbaseProof"`
}

// A WitnessInfo is WitnessTx.WitnessInfo.
type WitnessInfo struct {
	Info          Info  `json:"info"`
	WitnessVector Bytes `json:"witnessVector"`
}

// A ContractWitnessProof is WitnessTx.WitnessProof. The path of PaymentProof is that of the
// wtxid.
type ContractWitnessProof struct {
	WitnessNonce      Word          `json:"witnessNonce"`
	PaymentMerkleRoot Word          `json:"paymentMerkleRoot"`
	PaymentProof      ContractProof `json:"paymentProof"`
	CoinbaseTx        Info          `json:"coinbaseTx"`
}

const (
	// MaxDocument bounds a document, in bytes. A block has 4,000,000 at most, and what a
	// document has twice, all but witnesses, is a quarter of them at most.
	MaxDocument = 16 << 20
	// maxHeaders is how many headers a LightRelay's proof may have.
	maxHeaders = 2015
)

// ErrDocument says that a document is not of its form, or that its parts are not of one proof.
var ErrDocument = errors.New("not a proof, or not of one")

// NewDocument returns the document of a proof, with the headers that are to go with it, of
// which the first is the proof's. w is nil, or the proof of the same transaction with its
// witnesses. It fails where Verify would.
func NewDocument(network string, p *Proof, w *WitnessProof, headers []header.Header) (*Document, error) {
	tx, err := ParseTransaction(p.Tx)
	if err != nil {
		return nil, err
	}
	coinbase, err := ParseTransaction(p.Coinbase)
	if err != nil {
		return nil, err
	}
	var raw []byte
	for i := range headers {
		raw = append(raw, headers[i][:]...)
	}
	id := tx.txid()
	d := &Document{
		Network: network, Txid: ID(id), TxHash: Word(id), BlockHash: ID(p.Header.Hash()), Info: infoOf(&tx), CoinbaseTx: infoOf(&coinbase),
		Proof: ContractProof{
			MerkleProof: Joined(p.Path), TxIndexInBlock: p.Index, BitcoinHeaders: raw,
			CoinbasePreimage: p.CoinbasePreimage(), CoinbaseProof: Joined(p.CoinbasePath),
		},
	}
	if w != nil {
		whole, err := ParseTransaction(w.Tx)
		if err != nil {
			return nil, err
		}
		root, err := w.MerkleRoot()
		if err != nil {
			return nil, err
		}
		wtxid := ID(hash256(w.Tx))
		d.Wtxid, d.WitnessInfo = &wtxid, &WitnessInfo{Info: infoOf(&whole), WitnessVector: whole.Witness}
		d.WitnessProof = &ContractWitnessProof{WitnessNonce: w.Nonce, PaymentMerkleRoot: Word(root), PaymentProof: d.Proof, CoinbaseTx: d.CoinbaseTx}
		d.WitnessProof.PaymentProof.MerkleProof = Joined(w.Path)
	}
	if _, err := d.Verify(); err != nil {
		return nil, err
	}
	return d, nil
}

// ParseDocument decodes a document. What else is in the JSON is passed over, and what is not
// counts as zero. That it is a proof is for Verify to say.
func ParseDocument(data []byte) (*Document, error) {
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrDocument, MaxDocument)
	}
	d := new(Document)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return d, nil
}

// A Verified is what a document proves: that a transaction is in a block, on top of whose
// header there are others, each with the work that it claims. That this is the work that
// Bitcoin demanded, and that the block is in the best chain, is for a relay to say.
type Verified struct {
	Network string `json:"network"`
	Txid    ID     `json:"txid"`
	Wtxid   *ID    `json:"wtxid,omitempty"`
	Block   ID     `json:"block_hash"`
	// Index is the transaction's place in the block, Time the header's.
	Index uint32    `json:"index"`
	Time  time.Time `json:"time"`
	// OnTop counts the headers on top of the block's; Work is that of all of them
	// together, as chainwork is counted, in hexadecimal digits.
	OnTop int    `json:"headers_on_top"`
	Work  string `json:"work"`
}

// Verify returns what the document proves, or says what is wrong with it. Every part of it is
// checked against the others.
func (d *Document) Verify() (*Verified, error) {
	headers, work, err := d.headers()
	if err != nil {
		return nil, err
	}
	p, err := d.proof(headers[0])
	if err != nil {
		return nil, err
	}
	id, err := p.Verify()
	if err != nil {
		return nil, err
	}
	switch block := headers[0].Hash(); {
	case ID(id) != d.Txid || Word(id) != d.TxHash:
		return nil, fmt.Errorf("%w: the transaction is %s", ErrDocument, id)
	case ID(block) != d.BlockHash:
		return nil, fmt.Errorf("%w: the block is %s", ErrDocument, block)
	case p.CoinbasePreimage() != d.Proof.CoinbasePreimage:
		return nil, fmt.Errorf("%w: the coinbase transaction's preimage is that of another", ErrDocument)
	}
	v := &Verified{
		Network: d.Network, Txid: d.Txid, Block: d.BlockHash, Index: p.Index, Time: time.Unix(int64(headers[0].Time()), 0).UTC(),
		OnTop: len(headers) - 1, Work: work.String(),
	}
	if d.Wtxid == nil && d.WitnessInfo == nil && d.WitnessProof == nil {
		return v, nil
	}
	if v.Wtxid, err = d.verifyWitness(p); err != nil {
		return nil, err
	}
	return v, nil
}

// headers returns the headers, of which there is one at least, and their work.
func (d *Document) headers() ([]header.Header, header.Work, error) {
	params, err := header.For(d.Network)
	if err != nil {
		return nil, header.Work{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	raw := d.Proof.BitcoinHeaders
	if len(raw) == 0 || len(raw)%header.Size != 0 || len(raw)/header.Size > maxHeaders {
		return nil, header.Work{}, fmt.Errorf("%w: %d bytes of headers, want 1 to %d of %d bytes", ErrDocument, len(raw), maxHeaders, header.Size)
	}
	headers := make([]header.Header, len(raw)/header.Size)
	var work header.Work
	for i := range headers {
		h := &headers[i]
		*h = header.Header(raw[i*header.Size:])
		if err := params.CheckProofOfWork(h); err != nil {
			return nil, work, fmt.Errorf("header %d: %w", i, err)
		}
		if i > 0 && h.Prev() != headers[i-1].Hash() {
			return nil, work, fmt.Errorf("%w: header %d does not follow the one before it", ErrDocument, i)
		}
		work = work.Add(h.Work())
	}
	return headers, work, nil
}

// proof returns the proof of the transaction without its witnesses.
func (d *Document) proof(h header.Header) (p *Proof, err error) {
	p = &Proof{Header: h, Index: d.Proof.TxIndexInBlock}
	if p.Tx, err = d.Info.joined("transaction", nil); err != nil {
		return nil, err
	}
	if p.Coinbase, err = d.CoinbaseTx.joined("coinbase transaction", nil); err != nil {
		return nil, err
	}
	if p.Path, err = SplitPath(d.Proof.MerkleProof); err != nil {
		return nil, err
	}
	p.CoinbasePath, err = SplitPath(d.Proof.CoinbaseProof)
	return p, err
}

// verifyWitness checks the parts that are of the transaction with its witnesses against those
// of p, which is verified.
func (d *Document) verifyWitness(p *Proof) (*ID, error) {
	if d.Wtxid == nil || d.WitnessInfo == nil || d.WitnessProof == nil {
		return nil, fmt.Errorf("%w: of wtxid, witnessInfo and witnessProof one is missing", ErrDocument)
	}
	c := &d.WitnessProof.PaymentProof
	if len(d.WitnessInfo.WitnessVector) == 0 {
		return nil, fmt.Errorf("%w: it has none", ErrWitness)
	}
	tx, err := d.WitnessInfo.Info.joined("transaction with witnesses", d.WitnessInfo.WitnessVector)
	if err != nil {
		return nil, err
	}
	path, err := SplitPath(c.MerkleProof)
	if err != nil {
		return nil, err
	}
	w := &WitnessProof{Header: p.Header, Coinbase: p.Coinbase, CoinbasePath: p.CoinbasePath, Nonce: d.WitnessProof.WitnessNonce, Tx: tx, Index: p.Index, Path: path}
	id, err := w.Verify()
	if err != nil {
		return nil, err
	}
	root, err := w.MerkleRoot()
	switch {
	case err != nil:
		return nil, err
	case ID(id) != *d.Wtxid:
		return nil, fmt.Errorf("%w: the transaction with its witnesses is %s", ErrDocument, id)
	case !d.WitnessInfo.Info.equal(&d.Info) || !d.WitnessProof.CoinbaseTx.equal(&d.CoinbaseTx):
		return nil, fmt.Errorf("%w: the transactions of the two proofs differ", ErrDocument)
	case c.TxIndexInBlock != p.Index || c.CoinbasePreimage != d.Proof.CoinbasePreimage || !bytes.Equal(c.BitcoinHeaders, d.Proof.BitcoinHeaders) || !bytes.Equal(c.CoinbaseProof, d.Proof.CoinbaseProof):
		return nil, fmt.Errorf("%w: index, headers or coinbase of the two proofs differ", ErrDocument)
	case Word(root) != d.WitnessProof.PaymentMerkleRoot:
		return nil, fmt.Errorf("%w: the root of the wtxids is %x", ErrDocument, root[:])
	}
	return d.Wtxid, nil
}

// infoOf returns the parts of a transaction, which are not copied.
func infoOf(tx *Transaction) Info {
	return Info{Version: tx.Version, InputVector: tx.InputVector, OutputVector: tx.OutputVector, Locktime: tx.Locktime}
}

func (i *Info) equal(o *Info) bool {
	return i.Version == o.Version && i.Locktime == o.Locktime && bytes.Equal(i.InputVector, o.InputVector) && bytes.Equal(i.OutputVector, o.OutputVector)
}

// joined returns the transaction that has these parts, and no others that begin or end
// elsewhere. It has witnesses unless they are nil.
func (i *Info) joined(what string, witness []byte) ([]byte, error) {
	size := uint64(len(i.InputVector)) + uint64(len(i.OutputVector)) + uint64(len(witness))
	if size > math.MaxInt32 {
		return nil, fmt.Errorf("%w: the %s has %d bytes", ErrDocument, what, size)
	}
	data := append(make([]byte, 0, size+10), i.Version[:]...)
	if witness != nil {
		data = append(data, 0, 1)
	}
	data = append(append(data, i.InputVector...), i.OutputVector...)
	data = append(append(data, witness...), i.Locktime[:]...)
	tx, err := ParseTransaction(data)
	if err != nil {
		return nil, fmt.Errorf("the %s: %w", what, err)
	}
	if got := infoOf(&tx); !got.equal(i) || !bytes.Equal(tx.Witness, witness) {
		return nil, fmt.Errorf("%w: the parts of the %s end elsewhere", ErrDocument, what)
	}
	return data, nil
}

// Encodings.

// An ID is a hash in display order, without 0x.
type ID chainhash.Hash

// String returns the 64 digits.
func (id ID) String() string { return chainhash.Hash(id).String() }

// MarshalText returns the 64 digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText decodes 64 digits, and nothing shorter.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != 2*len(id) {
		return fmt.Errorf("a hash has %d hexadecimal digits, not %d", 2*len(id), len(text))
	}
	_, err := hex.Decode(id[:], text)
	slices.Reverse(id[:])
	return err
}

// Bytes, Four and Word are bytes of Solidity's: bytes, bytes4 and bytes32, in hexadecimal with 0x
// before them.
type (
	Bytes []byte
	Four  [4]byte
	Word  [32]byte
)

// MarshalText returns the digits.
func (b Bytes) MarshalText() ([]byte, error) { return digits(b), nil }

// MarshalText returns the digits.
func (f Four) MarshalText() ([]byte, error) { return digits(f[:]), nil }

// MarshalText returns the digits.
func (w Word) MarshalText() ([]byte, error) { return digits(w[:]), nil }

// UnmarshalText decodes digits.
func (b *Bytes) UnmarshalText(text []byte) error {
	raw, err := undigits(text)
	*b = raw
	return err
}

// UnmarshalText decodes eight digits.
func (f *Four) UnmarshalText(text []byte) error { return fill(f[:], text) }

// UnmarshalText decodes 64 digits.
func (w *Word) UnmarshalText(text []byte) error { return fill(w[:], text) }

func digits(raw []byte) []byte { return hex.AppendEncode([]byte("0x"), raw) }

func undigits(text []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(text, []byte("0x"))
	if !ok {
		return nil, errors.New("there is no 0x before the digits")
	}
	raw := make([]byte, hex.DecodedLen(len(rest)))
	_, err := hex.Decode(raw, rest)
	return raw, err
}

func fill(into, text []byte) error {
	raw, err := undigits(text)
	if err == nil && len(raw) != len(into) {
		err = fmt.Errorf("%d bytes, want %d", len(raw), len(into))
	}
	copy(into, raw)
	return err
}
