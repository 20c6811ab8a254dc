package demo

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// fewCoins and manyCoins are where the traffic makes more coins than it
	// spends, and fewer.
	fewCoins, manyCoins = 300, 900
	// smallestOutput is the least value of an output, in satoshis: well above
	// dust, and enough to be spent again.
	smallestOutput = 20_000
	// leastFeeRate and mostFeeRate are in satoshis per virtual byte.
	leastFeeRate, mostFeeRate = 2, 20

	// chained and replaced say how rare a transaction is, one in so many, that
	// spends an unconfirmed output, and one that replaces another (BIP125).
	chained, replaced = 6, 25

	// replaceable is the highest sequence number that signals replaceability.
	replaceable = wire.MaxTxInSequenceNum - 2
)

// spendSize is the virtual size, at most, of an input that spends a coin of a
// kind.
var spendSize = [numKinds]int64{
	P2PK: 115, P2PKH: 181, Multisig: 189, P2SHMultisig: 298, P2WPKH: 69, P2SHP2WPKH: 92,
	P2WSHMultisig: 106, P2TRKey: 59, P2TRScript: 84, P2TRMultisig: 110,
}

const (
	// baseSize is the virtual size, at most, of a transaction without its
	// inputs and outputs.
	baseSize = 13
	// outputSize is the size of the largest output: of bare multisig.
	outputSize = 115
)

// spendable returns the coins that a transaction may spend: mined, not spent by
// a pending transaction, and mature, even after the deepest reorganisation. They
// are sorted by outpoint.
func (w *workload) spendable() []Coin {
	spent := w.spentByPending()
	var coins []Coin
	for op, c := range w.ledger.coins {
		if !spent[op] && (!c.Coinbase || w.ledger.tip.Height-c.Height+1 >= coinbaseMaturity+MaxReorg) {
			coins = append(coins, c)
		}
	}
	slices.SortFunc(coins, compareCoins)
	return coins
}

// shuffled returns the spendable coins in random order.
func (w *workload) shuffled() []Coin {
	coins := w.spendable()
	w.random.Shuffle(len(coins), func(i, j int) { coins[i], coins[j] = coins[j], coins[i] })
	return coins
}

// spentByPending returns the outpoints that pending transactions spend.
func (w *workload) spentByPending() map[wire.OutPoint]bool {
	spent := make(map[wire.OutPoint]bool)
	for _, tx := range w.pending {
		for _, c := range tx.Spent {
			spent[c.OutPoint] = true
		}
	}
	return spent
}

func compareCoins(a, b Coin) int {
	return cmp.Or(compareHashes(a.Hash, b.Hash), cmp.Compare(a.Index, b.Index))
}

// traffic makes count transactions of all kinds, each for one of the nodes, and
// makes them pending. It makes fewer when there are too few coins.
func (w *workload) traffic(count int, nodes []int) ([]*Tx, error) {
	coins := w.shuffled()
	var txs []*Tx
	for range count {
		tx, err := w.next(&coins, txs, nodes)
		if err != nil {
			return nil, err
		}
		if tx == nil {
			break
		}
		w.pending = append(w.pending, tx)
		txs = append(txs, tx)
	}
	return txs, nil
}

// next makes a transaction: mostly one that spends some of coins, which it takes
// away, else one that spends an output of the last of made. It returns nil if
// there are too few coins.
func (w *workload) next(coins *[]Coin, made []*Tx, nodes []int) (*Tx, error) {
	tx, err := w.child(made)
	if tx != nil || err != nil {
		return tx, err
	}
	tx, err = w.replacement(nodes)
	if tx != nil || err != nil {
		return tx, err
	}
	inputs, outputs := 1+w.random.IntN(3), 1+w.random.IntN(3)
	switch {
	case len(*coins) < fewCoins:
		inputs, outputs = 1, 3+w.random.IntN(6)
	case len(*coins) > manyCoins:
		inputs, outputs = 3+w.random.IntN(8), 1+w.random.IntN(2)
	}
	for len(*coins) > 0 {
		rest := max(len(*coins)-inputs, 0)
		from := slices.Clone((*coins)[rest:])
		*coins = (*coins)[:rest]
		o := w.lockTime(from)
		o.HashType = w.hashType(len(from))
		tx, err := w.spend(from, outputs, o)
		if err != nil {
			return nil, err
		}
		if tx != nil {
			tx.node = nodes[w.random.IntN(len(nodes))]
			return tx, nil
		}
		// These do not pay for themselves: they wait for larger company.
	}
	return nil, nil
}

// child makes, now and then, a transaction that spends an output of the last of
// made. It goes to the same node: another may not have the parent yet.
func (w *workload) child(made []*Tx) (*Tx, error) {
	if len(made) == 0 || w.random.IntN(chained) != 0 {
		return nil, nil
	}
	parent := made[len(made)-1]
	tx, err := w.spend(parent.Created[:1], 1+w.random.IntN(2), SpendOptions{HashType: w.hashType(1)})
	if tx != nil {
		tx.node = parent.node
	}
	return tx, err
}

// replacement makes, now and then, a transaction that replaces a pending one,
// which is then no longer pending.
func (w *workload) replacement(nodes []int) (*Tx, error) {
	if len(w.pending) == 0 || w.random.IntN(replaced) != 0 {
		return nil, nil
	}
	spent := w.spentByPending()
	i := w.random.IntN(len(w.pending))
	old := w.pending[i]
	hasChild := slices.ContainsFunc(old.Created, func(c Coin) bool { return spent[c.OutPoint] })
	if hasChild || old.Msg.TxIn[0].Sequence > replaceable || !slices.Contains(nodes, old.node) {
		return nil, nil
	}
	// Twice the fee pays for itself: the new one is never twice as large.
	tx, err := w.pay(old.Spent, 1, 2*old.Fee+1000, SpendOptions{Sequence: replaceable})
	if tx != nil {
		tx.node = old.node
		w.pending = slices.Delete(w.pending, i, i+1)
	}
	return tx, err
}

// spend makes a transaction that spends coins to outputs of random kinds and
// values, with a random fee. It makes fewer outputs if the coins are small, and
// returns nil if they are too small for any.
func (w *workload) spend(coins []Coin, outputs int, o SpendOptions) (*Tx, error) {
	size := baseSize + int64(outputs+1)*outputSize
	for _, c := range coins {
		size += spendSize[c.Kind]
	}
	rate := leastFeeRate + w.random.Int64N(mostFeeRate-leastFeeRate+1)
	return w.pay(coins, outputs, size*rate, o)
}

// pay is spend with a given fee.
func (w *workload) pay(coins []Coin, outputs int, fee int64, o SpendOptions) (*Tx, error) {
	value := -fee
	for _, c := range coins {
		value += c.Value
	}
	outputs = int(min(int64(outputs), value/smallestOutput))
	if outputs < 1 {
		return nil, nil
	}
	payments := make([]Payment, outputs, outputs+1)
	for i := range payments {
		share := value
		if rest := int64(outputs - i - 1); rest > 0 {
			share = smallestOutput + w.random.Int64N(value-smallestOutput*(rest+1)+1)
		}
		value -= share
		payments[i] = Payment{Kind: Kind(w.random.IntN(int(numKinds))), Value: share}
	}
	if w.random.IntN(20) == 0 {
		payments = append(payments, Payment{Data: fmt.Appendf(nil, "outrider %d", w.wallet.next)})
	}
	tx, err := w.wallet.spend(coins, payments, o)
	if err != nil {
		return nil, fmt.Errorf("make a transaction: %w", err)
	}
	return tx, nil
}

// lockTime returns, now and then, lock times that a spend of coins satisfies,
// even after the deepest reorganisation.
func (w *workload) lockTime(coins []Coin) SpendOptions {
	const (
		notFinal = wire.MaxTxInSequenceNum - 1
		// someTime is in the past: nLockTime is a time from 500,000,000 on.
		someTime = 1_600_000_000
		// unit is what relative lock times count in, in seconds.
		unit = 1 << wire.SequenceLockTimeGranularity
	)
	settled := w.ledger.tip.ancestor(MaxReorg)
	if settled == nil {
		return SpendOptions{}
	}
	switch w.random.IntN(20) {
	case 0, 1, 2:
		return SpendOptions{Sequence: replaceable}
	case 3, 4:
		return SpendOptions{Sequence: notFinal, LockTime: settled.Height}
	case 5:
		return SpendOptions{Sequence: notFinal, LockTime: someTime}
	// Most coins are too young for these.
	case 6, 7, 8, 9:
		blocks := 1 + uint32(w.random.IntN(5))
		early := func(c Coin) bool { return c.Height+blocks > settled.Height }
		if !slices.ContainsFunc(coins, early) {
			return SpendOptions{Sequence: blocks}
		}
	case 10, 11, 12, 13:
		past := settled.medianTimePast()
		early := func(c Coin) bool { return c.past+unit > past }
		if !slices.ContainsFunc(coins, early) {
			return SpendOptions{Sequence: wire.SequenceLockTimeIsSeconds | 1}
		}
	}
	return SpendOptions{}
}

// hashType returns what the signatures of a transaction cover: nearly always
// everything.
func (w *workload) hashType(inputs int) txscript.SigHashType {
	t := txscript.SigHashDefault
	switch w.random.IntN(20) {
	case 0:
		t = txscript.SigHashAll
	case 1:
		t = txscript.SigHashNone
	case 2:
		t = txscript.SigHashSingle
		if inputs > 1 { // each needs an output of its own
			t = txscript.SigHashAll
		}
	default:
		return t
	}
	if w.random.IntN(2) == 0 {
		t |= txscript.SigHashAnyOneCanPay
	}
	return t
}

// fanOutputs is how many outputs a transaction of fanOut has, at most.
const fanOutputs = 250

// fanOut makes transactions that split the largest coins into count coins of all
// kinds, and makes them pending.
func (w *workload) fanOut(count int, nodes []int) ([]*Tx, error) {
	coins := w.spendable()
	slices.SortStableFunc(coins, func(a, b Coin) int { return cmp.Compare(b.Value, a.Value) })
	var txs []*Tx
	for ; count > 0; count -= fanOutputs {
		if len(coins) == 0 {
			return nil, fmt.Errorf("split coins: there is none for the last %d", count)
		}
		tx, err := w.split(coins[0], min(count, fanOutputs))
		if err != nil {
			return nil, err
		}
		tx.node = nodes[w.random.IntN(len(nodes))]
		coins = coins[1:]
		txs = append(txs, tx)
	}
	w.pending = append(w.pending, txs...)
	return txs, nil
}

// split makes a transaction that splits c into so many coins of all kinds.
func (w *workload) split(c Coin, outputs int) (*Tx, error) {
	fee := leastFeeRate * (baseSize + int64(outputs)*outputSize + spendSize[P2SHMultisig])
	if c.Value < fee+int64(outputs)*smallestOutput {
		return nil, fmt.Errorf("split coins: %d satoshis are too few for %d", c.Value, outputs)
	}
	payments := make([]Payment, outputs)
	for i := range payments {
		payments[i] = Payment{Kind: Kind(i % int(numKinds)), Value: (c.Value - fee) / int64(outputs)}
	}
	tx, err := w.wallet.spend([]Coin{c}, payments, SpendOptions{})
	if err != nil {
		return nil, fmt.Errorf("split coins: %w", err)
	}
	return tx, nil
}

// small makes count transactions with one input each, and makes them pending.
func (w *workload) small(count int, nodes []int) ([]*Tx, error) {
	var txs []*Tx
	for _, c := range w.shuffled() {
		if len(txs) == count {
			break
		}
		tx, err := w.spend([]Coin{c}, 1+w.random.IntN(2), SpendOptions{})
		if err != nil {
			return nil, err
		}
		if tx != nil {
			tx.node = nodes[w.random.IntN(len(nodes))]
			txs = append(txs, tx)
		}
	}
	if len(txs) < count {
		return nil, fmt.Errorf("make %d transactions: there are coins for %d only", count, len(txs))
	}
	w.pending = append(w.pending, txs...)
	return txs, nil
}
