package bob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
	"github.com/outrider-project/outrider/bob/spv"
	"github.com/outrider-project/outrider/sidecar/node"
)

// A ProofSource is a Bitcoin node that proofs are built from: a part of node.Node, and a
// node.Locator.
type ProofSource interface {
	node.Locator
	headerSource
	Network(ctx context.Context) (string, error)
	Tip(ctx context.Context) (node.Tip, error)
	Block(ctx context.Context, hash chainhash.Hash) ([]byte, error)
}

// A headerSource tells which headers follow one, as node.Node does.
type headerSource interface {
	Headers(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error)
}

// A ProofQuery says what is to be proven, and to whom.
type ProofQuery struct {
	Txid chainhash.Hash
	// Block is the block that the transaction is in; nil if the node is to look it up,
	// for which it needs a transaction index.
	Block *chainhash.Hash
	// Witness adds the proof of the transaction with its witnesses.
	Witness bool
	// Confirmations is how many headers on top are asked for. Kind is the relay's: a
	// LightRelay is shown these headers, the others know them and are shown the block's.
	Confirmations uint8
	Kind          relay.Kind
}

// A ProofReport is a proof that has been verified, and when the relay accepts it. Its JSON field
// names are a contract; it is a spv.Document, too.
type ProofReport struct {
	spv.Document
	Height uint32 `json:"height"`
	// Kind is that of the relay that the headers of the proof are for.
	Kind relay.Kind `json:"relay_kind"`
	// Confirmations is how many headers are on top of the block's in the node's best chain,
	// Needed how many the proof needs: for a LightRelay as many as have the work of
	// those that are asked for, and more where the difficulty falls. If there are fewer, the
	// document has what there is.
	Confirmations uint32 `json:"confirmations"`
	Needed        uint32 `json:"needed"`
	// Provable says when the relay accepts the proof; nil if there is no relay to ask, or if
	// it is not known, for which Unknown is the reason.
	Provable *monitor.Provability `json:"provable,omitempty"`
	Unknown  string               `json:"provable_unknown,omitempty"`
	Notes    []string             `json:"notes"`
}

// Prove builds a proof from a node's block, and verifies it. watch is asked when the relay
// accepts it, unless it is nil or watches none. What the node answers is checked but for one
// thing, that the block is in the best chain, and at which height.
func Prove(ctx context.Context, source ProofSource, watch *Watch, q ProofQuery) (*ProofReport, error) {
	network, err := source.Network(ctx)
	if err != nil {
		return nil, err
	}
	hash, err := q.block(ctx, source)
	if err != nil {
		return nil, err
	}
	height, err := source.HeightOf(ctx, hash)
	if err != nil {
		return nil, err
	}
	raw, err := source.Block(ctx, hash)
	if err != nil {
		return nil, err
	}
	b, err := spv.ParseBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", hash, err)
	}
	at, ok := b.Index(q.Txid)
	if !ok {
		return nil, fmt.Errorf("block %s has no transaction %s", hash, q.Txid)
	}
	proof, err := b.Proof(at)
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", q.Txid, err)
	}
	var witness *spv.WitnessProof
	if q.Witness {
		if witness, err = b.WitnessProof(at); err != nil {
			return nil, fmt.Errorf("transaction %s with its witnesses: %w", q.Txid, err)
		}
	}
	tip, err := source.Tip(ctx)
	if err != nil {
		return nil, err
	}
	if tip.Height < height {
		return nil, fmt.Errorf("the node's tip went from %d or above to %d meanwhile: ask again", height, tip.Height)
	}
	r := &ProofReport{Height: height, Kind: q.Kind, Confirmations: tip.Height - height, Needed: uint32(q.Confirmations), Notes: []string{}}
	headers := []header.Header{b.Header()}
	if q.Kind == relay.KindLight {
		if headers, r.Needed, err = onTop(ctx, source, b.Header(), q.Confirmations); err != nil {
			return nil, err
		}
	}
	d, err := spv.NewDocument(network, proof, witness, headers)
	if err != nil {
		return nil, err
	}
	r.Document = *d
	if r.Confirmations < r.Needed {
		r.Notes = append(r.Notes, fmt.Sprintf("%d headers are on top of the block's, and %d are needed: the relay refuses the proof until then", r.Confirmations, r.Needed))
	}
	switch {
	case watch == nil || watch.relay == nil:
	case (watch.cfg.Kind == relay.KindLight) != (q.Kind == relay.KindLight):
		// Both full kinds are shown the same headers.
		r.Unknown = fmt.Sprintf("the relay that is watched is a %s one, and the proof's headers are for a %s one", watch.cfg.Kind, q.Kind)
	default:
		if r.Provable, err = watch.Provable(ctx, height, r.Needed); err != nil {
			r.Unknown = err.Error()
		}
	}
	return r, nil
}

// block returns the block that the transaction is in.
func (q *ProofQuery) block(ctx context.Context, source ProofSource) (chainhash.Hash, error) {
	if q.Block != nil {
		return *q.Block, nil
	}
	hash, err := source.BlockOf(ctx, q.Txid)
	switch {
	case errors.Is(err, node.ErrNoIndex):
		return hash, fmt.Errorf("name the block that the transaction is in: --block HASH; the node cannot tell: %w", err)
	case errors.Is(err, node.ErrUnconfirmed):
		return hash, fmt.Errorf("there is nothing to prove yet: the transaction must be in a block, and %d more on top of that: %w", q.Confirmations, err)
	}
	return hash, err
}

// maxAnswer is how many headers a node tells of at once (Core's MAX_HEADERS_RESULTS), and so the
// most on top that a proof has.
const maxAnswer = 2000

// onTop returns a header with those on top of it that a proof to a LightRelay has, as far as
// they are there, and how many are needed: they must have the difficulty of the first, and as
// much again for each that is asked for. While they are not all there, those that lack are
// taken to have the difficulty of the last. It fails if more than maxAnswer are needed.
func onTop(ctx context.Context, source headerSource, first header.Header, confirmations uint8) ([]header.Header, uint32, error) {
	list, hash := []header.Header{first}, first.Hash()
	next, err := source.Headers(ctx, []chainhash.Hash{hash})
	if err != nil {
		return nil, 0, err
	}
	if len(next) > 0 && next[0].Prev() != hash {
		return nil, 0, fmt.Errorf("block %s left the best chain meanwhile: ask again", hash)
	}
	difficulty, err := relay.HeaderDifficulty(first[:])
	if err != nil {
		return nil, 0, err
	}
	last := uint256.Int(difficulty)
	sum := last
	want := new(uint256.Int).Mul(&sum, uint256.NewInt(uint64(confirmations)+1))
	for i := 0; i < len(next) && sum.Lt(want); i++ {
		if difficulty, err = relay.HeaderDifficulty(next[i][:]); err != nil {
			return nil, 0, err
		}
		last = uint256.Int(difficulty)
		sum.Add(&sum, &last)
		list = append(list, next[i])
	}
	needed := uint32(len(list) - 1)
	if !sum.Lt(want) {
		return list, needed, nil
	}
	if len(next) >= maxAnswer {
		return nil, 0, fmt.Errorf("%d headers on top, as many as the node tells of at once, do not have the work that is asked for: ask for fewer confirmations", len(next))
	}
	if last.IsZero() {
		return nil, 0, errors.New("the difficulty fell below 1, which counts as 0: no headers on top are enough")
	}
	lack := new(uint256.Int).Sub(want, &sum)
	lack.Add(lack, &last).SubUint64(lack, 1).Div(lack, &last)
	if lack.GtUint64(maxAnswer - uint64(needed)) {
		return nil, 0, errors.New("the difficulty fell so far that no proof has enough headers: ask for fewer confirmations")
	}
	return list, needed + uint32(lack.Uint64()), nil
}

// Provable says when the relay accepts proofs of the block at a height, with so many headers on
// top. It asks all nodes.
func (w *Watch) Provable(ctx context.Context, height, needed uint32) (*monitor.Provability, error) {
	if w.relay == nil {
		return nil, errors.New("no relay is known: set OUTRIDER_BOB_RELAY to its address and OUTRIDER_BOB_RELAY_KIND to what it is")
	}
	return w.relay.Refresh(ctx).Provable(height, needed)
}

// VerifyProof verifies the proof in the file at path, or in standard input if that is "-", which
// must be of a network. It asks nobody.
func VerifyProof(path, network string) (*spv.Verified, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, spv.MaxDocument+1))
	if err != nil {
		return nil, err
	}
	params, err := header.For(network)
	if err != nil {
		return nil, err
	}
	d, err := spv.ParseDocument(data)
	if err != nil {
		return nil, err
	}
	if d.Network != params.Name {
		return nil, fmt.Errorf("%w: it is of network %.20q, not of %s", spv.ErrDocument, d.Network, params.Name)
	}
	return d.Verify()
}

// ParseHash returns the hash that 64 hexadecimal digits in display order are.
func ParseHash(text string) (chainhash.Hash, error) {
	var id spv.ID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		return chainhash.Hash{}, fmt.Errorf("%.70q is no hash: %w", text, err)
	}
	return chainhash.Hash(id), nil
}

// WriteProof writes a report for people.
func WriteProof(w io.Writer, r *ProofReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "transaction\t%s\n", r.Txid)
	if r.Wtxid != nil {
		fmt.Fprintf(t, "with witnesses\t%s\n", r.Wtxid)
	}
	fmt.Fprintf(t, "block\t%s, %s %d\nplace in it\t%d\n", r.BlockHash, r.Network, r.Height, r.Proof.TxIndexInBlock)
	fmt.Fprintf(t, "headers on top\t%d of %d\n", r.Confirmations, r.Needed)
	fmt.Fprintf(t, "proof\tverified: %d bytes of path, %d of headers (relay %s)\n", len(r.Proof.MerkleProof), len(r.Proof.BitcoinHeaders), r.Kind)
	switch {
	case r.Provable != nil:
		fmt.Fprintf(t, "relay's best\t%d\n", r.Provable.RelayBest)
		writeProvable(t, r.Provable)
	case r.Unknown != "":
		fmt.Fprintf(t, "provable\tnot known: %s\n", r.Unknown)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(t, "note\t%s\n", n)
	}
	return t.Flush()
}

// WriteVerified writes what a proof proves for people.
func WriteVerified(w io.Writer, v *spv.Verified) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "proven: transaction\t%s\n", v.Txid)
	if v.Wtxid != nil {
		fmt.Fprintf(t, "with witnesses\t%s\n", v.Wtxid)
	}
	fmt.Fprintf(t, "is number %d of block\t%s\n", v.Index, v.Block)
	fmt.Fprintf(t, "whose header is of\t%s\nwith on top\t%d headers; work %s\n", v.Time.Format("2006-01-02 15:04:05"), v.OnTop, v.Work)
	fmt.Fprintln(t, "not proven\tthat the block is in the best chain: a relay, or a node, says that")
	return t.Flush()
}
