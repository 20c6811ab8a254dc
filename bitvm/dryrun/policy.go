package dryrun

import (
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// The limits of consensus, as in Bitcoin Core's consensus/consensus.h.
const (
	maxBlockWeight     = 4_000_000
	maxBlockSigOpsCost = 80_000
)

// Bitcoin Core's policy as of version 30, from policy/policy.h and policy/truc_policy.h.
const (
	maxMinedWeight          = maxBlockWeight - 8_000 // DEFAULT_BLOCK_RESERVED_WEIGHT is for header and coinbase
	maxStandardWeight       = 400_000
	minStandardSize         = 65 // without witnesses, in bytes
	maxStandardVersion      = 3
	maxStandardSigScript    = 1650
	maxStandardSigOpsCost   = maxBlockSigOpsCost / 5
	maxStandardLegacySigOps = 2500
	maxStandardP2SHSigOps   = 15
	maxStandardP2WSHScript  = 3600
	maxStandardP2WSHItems   = 100
	maxStandardItem         = 80     // of a witness, in bytes
	maxTRUCSize             = 10_000 // of version 3, in units of vsize
	bytesPerSigOp           = 20
	dustRelayFee            = 3   // satoshis a byte
	minRelayFee             = 100 // satoshis for 1,000 units of vsize
	maxRawFeeRate           = 10_000
)

// A Warning is why a node of Bitcoin Core with its defaults would not relay a transaction.
type Warning struct {
	// Reason is Bitcoin Core's name of it, as sendrawtransaction and testmempoolaccept
	// tell it.
	Reason string `json:"reason"`
	// Words say what it means here.
	Words string `json:"words"`
}

// problems says why no block can have a transaction, beside its scripts: CheckTransaction
// and Consensus::CheckTxInputs in Bitcoin Core.
func problems(s *Spend) []string {
	found := []string{}
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	tx, r := s.Tx, measure(s)
	if len(tx.TxOut) == 0 {
		complain("bad-txns-vout-empty: the transaction has no outputs")
	}
	if r.Weight > maxBlockWeight {
		complain("bad-blk-weight: it weighs %d, and a block has room for %d", r.Weight, maxBlockWeight)
	}
	total, sound := int64(0), true
	for i, out := range tx.TxOut {
		if out.Value < 0 || out.Value > maxMoney {
			complain("bad-txns-vout-toolarge or -negative: output %d has a value of %d", i, out.Value)
			sound = false
			break
		}
		if total += out.Value; total > maxMoney {
			complain("bad-txns-txouttotal-toolarge: the outputs have more than there is")
			sound = false
			break
		}
	}
	in := int64(0)
	for i, p := range s.Prevouts {
		if p == nil {
			continue
		}
		if !addMoney(&in, p.Value) {
			complain("bad-txns-inputvalues-outofrange: input %d has a value of %d, and those before it have %d", i, p.Value, in)
			sound = false
			break
		}
	}
	spent := make(map[wire.OutPoint]bool, len(tx.TxIn))
	for i, in := range tx.TxIn {
		if spent[in.PreviousOutPoint] {
			complain("bad-txns-inputs-duplicate: input %d spends what another one spends", i)
		}
		spent[in.PreviousOutPoint] = true
		if in.PreviousOutPoint.Index == wire.MaxPrevOutIndex && in.PreviousOutPoint.Hash == [32]byte{} {
			complain("bad-txns-prevout-null: input %d spends nothing, as a coinbase does", i)
		}
	}
	if sound && r.Fee != nil && *r.Fee < 0 {
		complain("bad-txns-in-belowout: the outputs have %d satoshis more than the inputs", -*r.Fee)
	}
	if r.SigOpsCost != nil && *r.SigOpsCost > maxBlockSigOpsCost {
		complain("bad-blk-sigops: its signature operations cost %d, and a block has %d", *r.SigOpsCost, maxBlockSigOpsCost)
	}
	return found
}

// A warner collects warnings.
type warner struct{ found []Warning }

func (w *warner) warn(reason, format string, args ...any) {
	w.found = append(w.found, Warning{reason, fmt.Sprintf(format, args...)})
}

// warnings says why nodes would not relay a transaction, beside the flags of its scripts:
// IsStandardTx, ValidateInputsStandardness and IsWitnessStandard in Bitcoin Core, and the
// fees. All inputs are looked at whose prevouts are known.
func warnings(s *Spend, r *Report) []Warning {
	w := &warner{found: []Warning{}}
	tx := s.Tx
	if tx.Version < 1 || tx.Version > maxStandardVersion {
		w.warn("version", "version %d: nodes relay 1 to %d", tx.Version, maxStandardVersion)
	}
	if r.Weight > maxStandardWeight {
		w.warn("tx-size", "it weighs %d, and nodes relay up to %d: give it to a miner directly, and look for it in blocks, "+
			"since no mempool will show it", r.Weight, maxStandardWeight)
	}
	if r.Weight > maxMinedWeight {
		w.warn("tx-size", "by default miners leave room for %d, since a block has a header and a coinbase, too", maxMinedWeight)
	}
	if size := tx.SerializeSizeStripped(); size < minStandardSize {
		w.warn("tx-size-small", "it has %d bytes without witnesses, and nodes relay %d and more", size, minStandardSize)
	}
	if tx.Version == 3 && r.VSize > maxTRUCSize {
		w.warn("TRUC-violation", "its vsize is %d, and of version 3 nodes relay up to %d (BIP431)", r.VSize, maxTRUCSize)
	}
	w.outputs(tx, r)
	legacy := 0
	for i, in := range tx.TxIn {
		if len(in.SignatureScript) > maxStandardSigScript {
			w.warn("scriptsig-size", "input %d has a scriptSig of %d bytes, and nodes relay up to %d", i, len(in.SignatureScript), maxStandardSigScript)
		}
		if !txscript.IsPushOnlyScript(in.SignatureScript) {
			w.warn("scriptsig-not-pushonly", "the scriptSig of input %d does more than push", i)
		}
		if p := s.Prevouts[i]; p != nil {
			w.input(i, in, p.PkScript)
			legacy += txscript.GetPreciseSigOpCount(nil, in.SignatureScript, true) + txscript.GetPreciseSigOpCount(in.SignatureScript, p.PkScript, true)
		}
	}
	if legacy > maxStandardLegacySigOps {
		w.warn("bad-txns-nonstandard-inputs", "%d signature operations outside of witnesses, and nodes relay up to %d (BIP54)", legacy, maxStandardLegacySigOps)
	}
	w.fees(r)
	return w.found
}

// outputs looks at what a transaction creates. What OP_RETURN carries is bounded by the
// weight alone since version 30.
func (w *warner) outputs(tx *wire.MsgTx, r *Report) {
	for i, out := range tx.TxOut {
		switch kind(out.PkScript) {
		case "nonstandard":
			w.warn("scriptpubkey", "output %d has a script of no known kind", i)
		case "multisig":
			if keys, _, err := txscript.CalcMultiSigStats(out.PkScript); err != nil || keys > 3 {
				w.warn("scriptpubkey", "output %d is a bare multisig of more than 3 keys", i)
			}
		}
		if least := dust(out); out.Value < least {
			zero := ""
			if r.Fee != nil && *r.Fee == 0 {
				zero = "; as it pays no fee, a package that spends the output takes it along (ephemeral dust)"
			}
			w.warn("dust", "output %d has %d satoshis, and %d are the least that nodes relay%s", i, out.Value, least, zero)
		}
	}
}

// dust returns the least value of an output that is no dust, GetDustThreshold in Bitcoin
// Core: three satoshis a byte for it and for the input that spends it.
func dust(out *wire.TxOut) int64 {
	if len(out.PkScript) > 0 && out.PkScript[0] == txscript.OP_RETURN || len(out.PkScript) > txscript.MaxScriptSize {
		return 0
	}
	input := 32 + 4 + 1 + 107 + 4
	if txscript.IsWitnessProgram(out.PkScript) {
		input = 32 + 4 + 1 + 107/4 + 4
	}
	return dustRelayFee * int64(out.SerializeSize()+input)
}

// input looks at what an input spends and with which witness.
func (w *warner) input(i int, in *wire.TxIn, pkScript []byte) {
	switch k := kind(pkScript); {
	case k == "nonstandard" || k == "witness_unknown" || k == "nulldata":
		w.warn("bad-txns-nonstandard-inputs", "input %d spends an output of no kind that nodes relay spends of (%s)", i, k)
		return
	case k == "scripthash" && txscript.GetPreciseSigOpCount(in.SignatureScript, pkScript, true) > maxStandardP2SHSigOps:
		w.warn("bad-txns-nonstandard-inputs", "the redeemScript of input %d has more than %d signature operations", i, maxStandardP2SHSigOps)
	}
	items := in.Witness
	if len(items) == 0 {
		return
	}
	const reason = "bad-witness-nonstandard"
	program, p2sh := innerProgram(in, pkScript)
	version, data, err := txscript.ExtractWitnessProgramInfo(program)
	switch {
	case err != nil:
		w.warn(reason, "input %d has a witness, but spends no witness program", i)
	case txscript.IsPayToAnchorScript(program):
		w.warn(reason, "input %d has a witness, but spends an anchor", i)
	case version == 0 && len(data) == 32:
		if script := items[len(items)-1]; len(script) > maxStandardP2WSHScript {
			w.warn(reason, "input %d has a witnessScript of %d bytes, and nodes relay up to %d", i, len(script), maxStandardP2WSHScript)
		}
		if n := len(items) - 1; n > maxStandardP2WSHItems {
			w.warn(reason, "input %d has %d items before its witnessScript, and nodes relay up to %d", i, n, maxStandardP2WSHItems)
		}
		w.items(i, items[:len(items)-1])
	case isTaproot(program) && !p2sh:
		rest, annex := withoutAnnex(items)
		if annex {
			w.warn(reason, "input %d has an annex", i)
		}
		if len(rest) < 2 {
			return
		}
		control := rest[len(rest)-1]
		if len(control) == 0 {
			w.warn(reason, "input %d has an empty control block", i)
		} else if control[0]&txscript.TaprootLeafMask == byte(txscript.BaseLeafVersion) {
			w.items(i, rest[:len(rest)-2])
		}
	}
}

// items looks at the size of a witness's items, and warns of the first that is too large.
func (w *warner) items(i int, items [][]byte) {
	for j, item := range items {
		if len(item) > maxStandardItem {
			w.warn("bad-witness-nonstandard", "input %d has a witness item (%d) of %d bytes, and nodes relay up to %d", i, j, len(item), maxStandardItem)
			return
		}
	}
}

// fees looks at what a transaction pays and what its signatures cost.
func (w *warner) fees(r *Report) {
	if r.Fee == nil {
		return
	}
	if *r.SigOpsCost > maxStandardSigOpsCost {
		w.warn("bad-txns-too-many-sigops", "its signature operations cost %d, and nodes relay up to %d", *r.SigOpsCost, maxStandardSigOpsCost)
	}
	vsize := max(r.VSize, (*r.SigOpsCost*bytesPerSigOp+3)/4)
	if least := (int64(vsize)*minRelayFee + 999) / 1000; *r.Fee < least {
		w.warn("min relay fee not met", "it pays %d satoshis, and %d are the least that nodes relay it for; many want ten times that", *r.Fee, least)
	}
	if *r.Fee > int64(r.VSize)*maxRawFeeRate {
		w.warn("max-fee-exceeded", "it pays %.0f satoshis for each unit of vsize, and sendrawtransaction refuses more than %d", r.FeeRate, maxRawFeeRate)
	}
}

// waits says which timelocks of its own a transaction waits for: nLockTime, and the
// relative ones of BIP68.
func waits(tx *wire.MsgTx) []string {
	found := []string{}
	final := true
	for i, in := range tx.TxIn {
		final = final && in.Sequence == wire.MaxTxInSequenceNum
		if uint32(tx.Version) < 2 || in.Sequence&wire.SequenceLockTimeDisabled != 0 {
			continue
		}
		n := in.Sequence & wire.SequenceLockTimeMask
		switch {
		case in.Sequence&wire.SequenceLockTimeIsSeconds != 0 && n > 0:
			found = append(found, fmt.Sprintf("input %d: until the output is %d seconds old by the median of past blocks", i, n<<wire.SequenceLockTimeGranularity))
		case n > 1:
			found = append(found, fmt.Sprintf("input %d: the block may be the %dth after the output's, and no earlier one", i, n))
		}
	}
	if tx.LockTime == 0 || final {
		return found
	}
	if tx.LockTime < txscript.LockTimeThreshold {
		return append(found, fmt.Sprintf("until block %d, the last one that may not have it", tx.LockTime))
	}
	return append(found, fmt.Sprintf("until the median time of past blocks is later than %d", tx.LockTime))
}
