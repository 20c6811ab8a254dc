package script

import "github.com/btcsuite/btcd/txscript/v2"

// Flags are the rules that apply beyond those of the first days, Bitcoin Core's
// SCRIPT_VERIFY_ flags. Each only forbids: scripts that succeed under some flags
// succeed under fewer.
type Flags uint32

// These are the flags of consensus.
const (
	// P2SH executes the script that a P2SH output commits to (BIP16).
	P2SH Flags = 1 << iota
	// DERSig wants signatures in strict DER (BIP66).
	DERSig
	// NullDummy wants the element that OP_CHECKMULTISIG takes in excess empty
	// (BIP147).
	NullDummy
	// CheckLockTimeVerify gives OP_CHECKLOCKTIMEVERIFY its meaning (BIP65).
	CheckLockTimeVerify
	// CheckSequenceVerify gives OP_CHECKSEQUENCEVERIFY its meaning (BIP112).
	CheckSequenceVerify
	// Witness executes witness programs (BIP141). It needs P2SH.
	Witness
	// Taproot executes witness programs of version 1 (BIP341, BIP342).
	Taproot

	// These are policy, and never a block's.

	// StrictEnc wants strict DER, a defined hash type, and keys that are
	// compressed or uncompressed.
	StrictEnc
	// LowS wants the lower of the two values that s can have.
	LowS
	// SigPushOnly wants input scripts that do nothing but push.
	SigPushOnly
	// MinimalData wants pushes and numbers in their shortest form.
	MinimalData
	// DiscourageUpgradableNops refuses to execute the operations kept for upgrades.
	DiscourageUpgradableNops
	// CleanStack wants nothing left but the result. It needs P2SH and Witness.
	CleanStack
	// MinimalIf wants conditions in witness version 0 to be empty or 1.
	MinimalIf
	// NullFail wants signatures that fail to be empty.
	NullFail
	// WitnessPubkeyType wants the keys in witness version 0 compressed.
	WitnessPubkeyType
	// ConstScriptCode refuses OP_CODESEPARATOR, and signatures in the script that
	// they sign, in legacy scripts.
	ConstScriptCode
	// DiscourageUpgradableWitnessProgram refuses witness programs kept for upgrades.
	DiscourageUpgradableWitnessProgram
	// DiscourageUpgradableTaprootVersion refuses leaf versions kept for upgrades.
	DiscourageUpgradableTaprootVersion
	// DiscourageOpSuccess refuses the operations that make any tapscript succeed.
	DiscourageOpSuccess
	// DiscourageUpgradablePubkeyType refuses key types kept for upgrades.
	DiscourageUpgradablePubkeyType
)

// Consensus is all rules that the scripts of a block have to keep today.
const Consensus = P2SH | DERSig | NullDummy | CheckLockTimeVerify | CheckSequenceVerify | Witness | Taproot

// consensusFlags are the flags of consensus by the names that Bitcoin Core has for
// them, without SCRIPT_VERIFY_, and as btcd's engine has them.
var consensusFlags = [...]struct {
	flag Flags
	name string
	btcd txscript.ScriptFlags
}{
	{P2SH, "P2SH", txscript.ScriptBip16},
	{DERSig, "DERSIG", txscript.ScriptVerifyDERSignatures},
	{CheckLockTimeVerify, "CHECKLOCKTIMEVERIFY", txscript.ScriptVerifyCheckLockTimeVerify},
	{CheckSequenceVerify, "CHECKSEQUENCEVERIFY", txscript.ScriptVerifyCheckSequenceVerify},
	{Witness, "WITNESS", txscript.ScriptVerifyWitness},
	{NullDummy, "NULLDUMMY", txscript.ScriptStrictMultiSig},
	{Taproot, "TAPROOT", txscript.ScriptVerifyTaproot},
}

// Names returns the names that Bitcoin Core has for those flags of f that are
// consensus, without SCRIPT_VERIFY_. It is not nil.
func (f Flags) Names() []string {
	names := []string{}
	for _, c := range consensusFlags {
		if f&c.flag != 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// Txscript returns those flags of f that are consensus as btcd's engine has them.
func (f Flags) Txscript() (flags txscript.ScriptFlags) {
	for _, c := range consensusFlags {
		if f&c.flag != 0 {
			flags |= c.btcd
		}
	}
	return flags
}

// check panics for flags that contradict each other, as Bitcoin Core asserts.
func (f Flags) check() {
	if f&Witness != 0 && f&P2SH == 0 {
		panic("script: Witness without P2SH")
	}
	if f&CleanStack != 0 && f&Witness == 0 {
		panic("script: CleanStack without Witness")
	}
}
