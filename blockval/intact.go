package blockval

// Intact returns nil if b is what its header commits to: the transactions make
// the header's merkle root, and the witnesses, if there are any, the coinbase's
// commitment to them. Else the error is a *RuleError. A block that came from
// elsewhere and is not intact may have been spoilt on the way.
func (b *Block) Intact() error {
	switch {
	case b.err != nil:
		return b.err
	case b.Msg == nil || len(b.Msg.Transactions) == 0:
		return broken(BadBlockLength, "no transaction")
	}
	if rule := b.checkMerkleRoot(nil); rule != nil {
		return rule
	}
	for _, tx := range b.Msg.Transactions {
		if tx.HasWitness() {
			if rule := b.checkWitnessCommitment(true, nil); rule != nil {
				return rule
			}
			break
		}
	}
	return nil
}
