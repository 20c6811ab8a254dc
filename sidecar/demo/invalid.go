package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// An InvalidKind is a way for a block with a valid header to be invalid.
type InvalidKind uint8

// These are the kinds of invalid block. The first ones, up to ExcessCoinbase,
// show only when the block is connected: btcd stores such a block, and
// getchaintips calls its branch invalid. The others btcd refuses at the door.
const (
	// BadSignature: an ECDSA signature signs something else.
	BadSignature InvalidKind = iota
	// BadSchnorrSignature: a BIP340 signature signs something else.
	BadSchnorrSignature
	// MissingInput: an input spends an output that never was.
	MissingInput
	// SpentInput: an input spends an output that a block below spent.
	SpentInput
	// DoubleSpend: two transactions of the block spend the same output.
	DoubleSpend
	// OutOfOrder: a transaction spends an output of a later one.
	OutOfOrder
	// ValueCreated: a transaction's outputs are worth more than its inputs.
	ValueCreated
	// ImmatureSpend: an input spends a coinbase of less than 100 blocks ago.
	ImmatureSpend
	// SequenceLocked: a relative lock time (BIP68) is not over.
	SequenceLocked
	// ExcessCoinbase: the coinbase claims one satoshi too many.
	ExcessCoinbase

	// NonFinal: an nLockTime is not over.
	NonFinal
	// DuplicateInput: a transaction spends an output twice.
	DuplicateInput
	// NoCoinbase: the first transaction is no coinbase.
	NoCoinbase
	// SecondCoinbase: the second transaction is a coinbase, too.
	SecondCoinbase
	// CoinbaseHeight: the coinbase has another height (BIP34).
	CoinbaseHeight
	// MerkleRoot: the header commits to other transactions.
	MerkleRoot
	// RepeatedTxs: the last transactions are there twice, which leaves the
	// merkle root as it is (CVE-2012-2459).
	RepeatedTxs
	// WitnessCommitment: the coinbase commits to other witnesses.
	WitnessCommitment
	// UnexpectedWitness: there are witnesses, but no commitment to them.
	UnexpectedWitness
	numInvalidKinds
)

// An invalidKind describes an InvalidKind.
type invalidKind struct {
	name   string
	reason string
	build  func(*saboteur) (*Block, error)
}

func (k InvalidKind) describe() invalidKind {
	return [numInvalidKinds]invalidKind{
		BadSignature:        {"bad signature", "block-script-verify-flag-failed", (*saboteur).badSignature},
		BadSchnorrSignature: {"bad Schnorr signature", "block-script-verify-flag-failed", (*saboteur).badSchnorrSignature},
		MissingInput:        {"missing input", "bad-txns-inputs-missingorspent", (*saboteur).missingInput},
		SpentInput:          {"spent input", "bad-txns-inputs-missingorspent", (*saboteur).spentInput},
		DoubleSpend:         {"double spend", "bad-txns-inputs-missingorspent", (*saboteur).doubleSpend},
		OutOfOrder:          {"out of order", "bad-txns-inputs-missingorspent", (*saboteur).outOfOrder},
		ValueCreated:        {"value created", "bad-txns-in-belowout", (*saboteur).valueCreated},
		ImmatureSpend:       {"immature spend", "bad-txns-premature-spend-of-coinbase", (*saboteur).immatureSpend},
		SequenceLocked:      {"sequence locked", "bad-txns-nonfinal", (*saboteur).sequenceLocked},
		ExcessCoinbase:      {"excess coinbase", "bad-cb-amount", (*saboteur).excessCoinbase},
		NonFinal:            {"non-final", "bad-txns-nonfinal", (*saboteur).nonFinal},
		DuplicateInput:      {"duplicate input", "bad-txns-inputs-duplicate", (*saboteur).duplicateInput},
		NoCoinbase:          {"no coinbase", "bad-cb-missing", (*saboteur).noCoinbase},
		SecondCoinbase:      {"second coinbase", "bad-cb-multiple", (*saboteur).secondCoinbase},
		CoinbaseHeight:      {"coinbase height", "bad-cb-height", (*saboteur).coinbaseHeight},
		MerkleRoot:          {"merkle root", "bad-txnmrklroot", (*saboteur).merkleRoot},
		RepeatedTxs:         {"repeated transactions", "bad-txns-duplicate", (*saboteur).repeatedTxs},
		WitnessCommitment:   {"witness commitment", "bad-witness-merkle-match", (*saboteur).witnessCommitment},
		UnexpectedWitness:   {"unexpected witness", "unexpected-witness", (*saboteur).unexpectedWitness},
	}[k]
}

func (k InvalidKind) String() string { return k.describe().name }

// Reason returns the reason that Bitcoin Core gives for refusing such a block,
// without what it adds in brackets.
func (k InvalidKind) Reason() string { return k.describe().reason }

// Stored reports whether btcd stores such a block and lists it as invalid.
func (k InvalidKind) Stored() bool { return k <= ExcessCoinbase }

// InvalidKinds returns every kind.
func InvalidKinds() []InvalidKind {
	kinds := make([]InvalidKind, numInvalidKinds)
	for i := range kinds {
		kinds[i] = InvalidKind(i)
	}
	return kinds
}

// An InvalidBranch is a branch with an invalid block in it. It is one block
// longer than the one that it leaves, so that a node that overlooks the invalid
// block switches to it.
type InvalidBranch struct {
	Kind InvalidKind
	Fork *Block
	// Blocks are the branch's blocks in ascending order.
	Blocks []*Block
	// At is the index in Blocks of the invalid one.
	At int
}

// Invalid builds a branch that leaves the best chain depth blocks below the tip
// and has an invalid block of the given kind, with above blocks on top of it. It
// hands it to nobody. Above is at most depth, and 0 for a kind that btcd does not
// store.
func (n *Network) Invalid(kind InvalidKind, depth, above uint32) (*InvalidBranch, error) {
	return n.work.invalid(kind, depth, above)
}

func (w *workload) invalid(kind InvalidKind, depth, above uint32) (*InvalidBranch, error) {
	if depth > MaxReorg || above > depth || above > 0 && !kind.Stored() {
		return nil, fmt.Errorf("build an invalid block (%v): %d on top of it, %d below the tip: no such branch",
			kind, above, depth)
	}
	view := w.ledger.clone()
	for range depth {
		view.disconnect()
	}
	br := &InvalidBranch{Kind: kind, Fork: view.tip, At: int(depth - above)}
	for range br.At {
		b, err := w.miner.mine(view.tip, nil)
		if err != nil {
			return nil, err
		}
		view.connect(b)
		br.Blocks = append(br.Blocks, b)
	}
	bad, err := kind.describe().build(&saboteur{w, view})
	if err != nil {
		return nil, fmt.Errorf("build an invalid block (%v): %w", kind, err)
	}
	br.Blocks = append(br.Blocks, bad)
	for range above {
		b, err := w.miner.mine(br.Blocks[len(br.Blocks)-1], nil)
		if err != nil {
			return nil, err
		}
		br.Blocks = append(br.Blocks, b)
	}
	return br, nil
}

// SubmitInvalid builds an invalid branch (see Invalid) and hands it to a node. It
// returns an error if the node does not refuse it. The node tells the other nodes
// of the branch's blocks but the last, and they keep them as a fork.
func (n *Network) SubmitInvalid(ctx context.Context, node int, kind InvalidKind, depth, above uint32) (*InvalidBranch, error) {
	br, err := n.work.invalid(kind, depth, above)
	if err != nil {
		return nil, err
	}
	last := len(br.Blocks) - 1
	for _, b := range br.Blocks[:last] {
		if err := n.Nodes[node].Submit(ctx, b); err != nil {
			return nil, fmt.Errorf("submit to node %d: %w", node, err)
		}
	}
	err = n.Nodes[node].Submit(ctx, br.Blocks[last])
	refused, ok := errors.AsType[*RejectedError](err)
	switch {
	case err == nil:
		return nil, fmt.Errorf("node %d accepted an invalid block (%v)", node, kind)
	case !ok:
		return nil, fmt.Errorf("submit to node %d: %w", node, err)
	}
	n.log.Debug("a node refused an invalid block", "node", node, "kind", kind, "reason", refused.Reason)
	return br, nil
}

// A saboteur builds an invalid block on view's tip.
type saboteur struct {
	w    *workload
	view *ledger
}

// errNoCoin says that no coin suits. A few blocks of traffic help.
var errNoCoin = errors.New("there is no suitable coin")

// coin returns the first coin by outpoint that suits.
func (s *saboteur) coin(suits func(Coin) bool) (Coin, error) {
	var coins []Coin
	for _, c := range s.view.coins {
		if suits(c) {
			coins = append(coins, c)
		}
	}
	if len(coins) == 0 {
		return Coin{}, errNoCoin
	}
	return slices.MinFunc(coins, compareCoins), nil
}

// worthwhile reports whether a coin pays for a transaction.
func worthwhile(c Coin) bool { return !c.Coinbase && c.Value >= 10*smallestOutput }

// anyCoin returns a coin of one of the kinds.
func (s *saboteur) anyCoin(kinds ...Kind) (Coin, error) {
	return s.coin(func(c Coin) bool {
		return worthwhile(c) && (len(kinds) == 0 || slices.Contains(kinds, c.Kind))
	})
}

// spend spends coins to one output that is worth less by the fee.
func (s *saboteur) spend(fee int64, o SpendOptions, coins ...Coin) (*Tx, error) {
	var value int64
	for _, c := range coins {
		value += c.Value
	}
	return s.w.wallet.spend(coins, []Payment{{Kind: P2WPKH, Value: value - fee}}, o)
}

// usualFee is what a saboteur's transactions pay, in satoshis.
const usualFee = 5_000

// block mines a block of txs, which need not be valid.
func (s *saboteur) block(txs ...*Tx) (*Block, error) { return s.w.miner.mine(s.view.tip, txs) }

// assemble makes a block of txs without commitment, merkle root and proof of
// work.
func (s *saboteur) assemble(txs ...*Tx) (*Block, error) {
	return s.w.miner.assemble(s.view.tip, txs, s.w.miner.now())
}

// spendBlock mines a block with one transaction that spends coin.
func (s *saboteur) spendBlock(coin Coin, fee int64, o SpendOptions) (*Block, error) {
	tx, err := s.spend(fee, o, coin)
	if err != nil {
		return nil, err
	}
	return s.block(tx)
}

// tampered mines a block with a transaction that was changed after it was
// signed.
func (s *saboteur) tampered(kinds ...Kind) (*Block, error) {
	coin, err := s.anyCoin(kinds...)
	if err != nil {
		return nil, err
	}
	tx, err := s.spend(usualFee, SpendOptions{}, coin)
	if err != nil {
		return nil, err
	}
	tx.Msg.TxOut[0].Value--
	tx.Fee++
	tx.Hash = tx.Msg.TxHash()
	tx.Created = nil
	return s.block(tx)
}

func (s *saboteur) badSignature() (*Block, error) {
	return s.tampered(P2PK, P2PKH, Multisig, P2SHMultisig, P2WPKH, P2SHP2WPKH, P2WSHMultisig)
}

func (s *saboteur) badSchnorrSignature() (*Block, error) {
	return s.tampered(P2TRKey, P2TRScript, P2TRMultisig)
}

func (s *saboteur) missingInput() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	coin.Hash = chainhash.DoubleHashH(coin.Hash[:])
	return s.spendBlock(coin, usualFee, SpendOptions{})
}

func (s *saboteur) spentInput() (*Block, error) {
	for b := s.view.tip; b != nil; b = b.parent {
		if i := slices.IndexFunc(b.spent, worthwhile); i >= 0 {
			return s.spendBlock(b.spent[i], usualFee, SpendOptions{})
		}
	}
	return nil, errNoCoin
}

func (s *saboteur) doubleSpend() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	first, err := s.spend(usualFee, SpendOptions{}, coin)
	if err != nil {
		return nil, err
	}
	second, err := s.spend(2*usualFee, SpendOptions{}, coin)
	if err != nil {
		return nil, err
	}
	return s.block(first, second)
}

func (s *saboteur) outOfOrder() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	parent, err := s.spend(usualFee, SpendOptions{}, coin)
	if err != nil {
		return nil, err
	}
	child, err := s.spend(usualFee, SpendOptions{}, parent.Created...)
	if err != nil {
		return nil, err
	}
	return s.block(child, parent)
}

func (s *saboteur) valueCreated() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	return s.spendBlock(coin, -1, SpendOptions{})
}

func (s *saboteur) immatureSpend() (*Block, error) {
	height := s.view.tip.Height + 1
	coin, err := s.coin(func(c Coin) bool { return c.Coinbase && height-c.Height < coinbaseMaturity })
	if err != nil {
		return nil, err
	}
	return s.spendBlock(coin, usualFee, SpendOptions{})
}

func (s *saboteur) sequenceLocked() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	// It would be over one block later.
	confirmations := s.view.tip.Height - coin.Height + 1
	return s.spendBlock(coin, usualFee, SpendOptions{Sequence: confirmations + 1})
}

func (s *saboteur) excessCoinbase() (*Block, error) {
	b, err := s.assemble()
	if err != nil {
		return nil, err
	}
	b.Msg.Transactions[0].TxOut[0].Value++
	commit(b.Msg)
	seal(b)
	return b, nil
}

func (s *saboteur) nonFinal() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	// It would be over one block later.
	o := SpendOptions{LockTime: s.view.tip.Height + 1, Sequence: wire.MaxTxInSequenceNum - 1}
	return s.spendBlock(coin, usualFee, o)
}

func (s *saboteur) duplicateInput() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	tx, err := s.spend(usualFee, SpendOptions{}, coin, coin)
	if err != nil {
		return nil, err
	}
	return s.block(tx)
}

// witnessSpend returns a transaction that has a witness.
func (s *saboteur) witnessSpend() (*Tx, error) {
	coin, err := s.anyCoin(P2WPKH, P2SHP2WPKH, P2WSHMultisig, P2TRKey, P2TRScript, P2TRMultisig)
	if err != nil {
		return nil, err
	}
	return s.spend(usualFee, SpendOptions{}, coin)
}

func (s *saboteur) noCoinbase() (*Block, error) {
	tx, err := s.witnessSpend()
	if err != nil {
		return nil, err
	}
	b, err := s.assemble(tx)
	if err != nil {
		return nil, err
	}
	b.Msg.Transactions = b.Msg.Transactions[1:]
	seal(b)
	return b, nil
}

func (s *saboteur) secondCoinbase() (*Block, error) {
	b, err := s.assemble()
	if err != nil {
		return nil, err
	}
	second, _, err := s.w.miner.coinbase(b.Height, 0)
	if err != nil {
		return nil, err
	}
	b.Msg.Transactions = append(b.Msg.Transactions, second)
	commit(b.Msg)
	seal(b)
	return b, nil
}

func (s *saboteur) coinbaseHeight() (*Block, error) {
	b, err := s.assemble()
	if err != nil {
		return nil, err
	}
	value := b.Msg.Transactions[0].TxOut[0].Value
	if b.Msg.Transactions[0], _, err = s.w.miner.coinbase(b.Height+1, value); err != nil {
		return nil, err
	}
	commit(b.Msg)
	seal(b)
	return b, nil
}

func (s *saboteur) merkleRoot() (*Block, error) {
	b, err := s.block()
	if err != nil {
		return nil, err
	}
	b.Msg.Header.MerkleRoot[0] ^= 1
	grind(b)
	return b, nil
}

func (s *saboteur) repeatedTxs() (*Block, error) {
	coin, err := s.anyCoin()
	if err != nil {
		return nil, err
	}
	parent, err := s.spend(usualFee, SpendOptions{}, coin)
	if err != nil {
		return nil, err
	}
	child, err := s.spend(usualFee, SpendOptions{}, parent.Created...)
	if err != nil {
		return nil, err
	}
	b, err := s.block(parent, child)
	if err != nil {
		return nil, err
	}
	// With an odd number of leaves, the merkle tree doubles the last one.
	b.Msg.Transactions = append(b.Msg.Transactions, child.Msg)
	return b, nil
}

func (s *saboteur) witnessCommitment() (*Block, error) {
	tx, err := s.witnessSpend()
	if err != nil {
		return nil, err
	}
	b, err := s.assemble(tx)
	if err != nil {
		return nil, err
	}
	commit(b.Msg)
	script := b.Msg.Transactions[0].TxOut[1].PkScript
	script[len(script)-1] ^= 1
	seal(b)
	return b, nil
}

func (s *saboteur) unexpectedWitness() (*Block, error) {
	tx, err := s.witnessSpend()
	if err != nil {
		return nil, err
	}
	b, err := s.assemble(tx)
	if err != nil {
		return nil, err
	}
	seal(b)
	return b, nil
}
