package bench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/adaptor"
	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sigverify"
)

const (
	// adaptorDigits is how many signatures a claim has in the rows of adaptors, and
	// adaptorLabels how many values a digit has.
	adaptorDigits = 108
	adaptorLabels = adaptor.MaxLabels
)

// An adaptorBench is a claim by adaptor signatures, and what reads it.
type adaptorBench struct {
	tx       *wire.MsgTx
	prevouts []wire.TxOut
	table    *adaptor.Table
	spend    *adaptor.Spend
	message  []byte
	secrets  [][32]byte
	check    adaptor.Checker
}

func newAdaptorBench(ctx context.Context, verifier *sigverify.Verifier, digits, labels int) (*adaptorBench, error) {
	secret := sha256.Sum256([]byte("key of adaptor signatures"))
	_, public := btcec.PrivKeyFromBytes(secret[:])
	key, err := adaptor.ParseKey([32]byte(schnorr.SerializePubKey(public)))
	if err != nil {
		return nil, err
	}
	leaf := adaptor.Script(key.X(), digits)
	tree := txscript.AssembleTaprootScriptTree(txscript.NewBaseTapLeaf(leaf))
	root := tree.RootNode.TapHash()
	block := tree.LeafMerkleProofs[0].ToControlBlock(public)
	control, err := block.ToBytes()
	if err != nil {
		return nil, err
	}
	output := txscript.ComputeTaprootOutputKey(public, root[:])
	b := &adaptorBench{
		tx:       wire.NewMsgTx(2),
		prevouts: []wire.TxOut{{Value: 10_000, PkScript: append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(output)...)}},
		check:    bitvm.Signatures(verifier),
	}
	b.tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, nil))
	b.tx.AddTxOut(wire.NewTxOut(1000, b.prevouts[0].PkScript))
	digests, err := adaptor.Digests(b.tx, 0, b.prevouts, leaf, make([]txscript.SigHashType, digits), nil)
	if err != nil {
		return nil, err
	}
	all, err := adaptorLabelsOf(secret, digests, labels)
	if err != nil {
		return nil, err
	}
	if b.table, err = adaptor.NewTable(ctx, key, digests, all); err != nil {
		return nil, err
	}
	var signatures []adaptor.Signature
	for i := range digests {
		value := int(digests[i][0]) % labels // as good as random
		t := labelSecret(i, value)
		sig, err := all[i][value].Pre.Adapt(t)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, sig)
		b.message, b.secrets = append(b.message, byte(value)), append(b.secrets, t)
	}
	b.tx.TxIn[0].Witness = adaptor.Witness(signatures, leaf, control)
	b.spend, err = adaptor.Decode(b.tx, 0, b.prevouts)
	return b, err
}

// labelSecret is the secret of a label.
func labelSecret(digit, value int) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "label %d %d", digit, value))
}

// adaptorLabelsOf makes the labels of all digits, on all processors.
func adaptorLabelsOf(secret [32]byte, digests [][32]byte, labels int) ([][]adaptor.Label, error) {
	all, errs := make([][]adaptor.Label, len(digests)), make([]error, len(digests))
	var workers sync.WaitGroup
	procs := runtime.GOMAXPROCS(0)
	for w := range procs {
		workers.Go(func() {
			for i := w; i < len(digests); i += procs {
				all[i] = make([]adaptor.Label, labels)
				for v := range all[i] {
					t := labelSecret(i, v)
					all[i][v].Point, _ = adaptor.PointOf(t)
					if all[i][v].Pre, errs[i] = adaptor.Presign(secret, all[i][v].Point, digests[i], t); errs[i] != nil {
						return
					}
				}
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// claim reads a claim from its transaction: its form, its signatures, and what they say.
func (b *adaptorBench) claim(ctx context.Context) (int, error) {
	s, err := adaptor.Decode(b.tx, 0, b.prevouts)
	if err != nil {
		return 0, err
	}
	if err := s.Verify(ctx, b.check); err != nil {
		return 0, err
	}
	return b.read(s)
}

// extract does the last of that alone.
func (b *adaptorBench) extract(context.Context) (int, error) { return b.read(b.spend) }

func (b *adaptorBench) read(s *adaptor.Spend) (int, error) {
	message, secrets, err := b.table.Extract(s)
	if err != nil {
		return 0, err
	}
	for i := range secrets {
		if message[i] != b.message[i] || secrets[i] != b.secrets[i] {
			return 0, fmt.Errorf("digit %d of the claim is read as %d, and is %d", i, message[i], b.message[i])
		}
	}
	return 1, nil
}

// engine runs the leaf in btcd's engine, which verifies the signatures one by one, and
// extracts nothing.
func (b *adaptorBench) engine(context.Context) (int, error) {
	out := &b.prevouts[0]
	fetcher := txscript.NewCannedPrevOutputFetcher(out.PkScript, out.Value)
	vm, err := txscript.NewEngine(out.PkScript, b.tx, 0, script.Consensus.Txscript(), nil, txscript.NewTxSigHashes(b.tx, fetcher), out.Value, fetcher)
	if err != nil {
		return 0, err
	}
	return 1, vm.Execute()
}

// newAdaptorVerifier returns a verifier of one thread that verifies again what it has
// verified; whoever asks for it closes it.
func newAdaptorVerifier() *sigverify.Verifier {
	return sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
}

func adaptorFigures(ctx context.Context, verifier *sigverify.Verifier) ([]*bitvmFigure, error) {
	b, err := newAdaptorBench(ctx, verifier, adaptorDigits, adaptorLabels)
	if err != nil {
		return nil, err
	}
	return []*bitvmFigure{
		{name: "adaptor108", ours: b.claim, anchor: "btcd's engine, the leaf", theirs: b.engine},
		{name: "adaptor108/extract", ours: b.extract},
	}, nil
}
