package script

// An Error is the reason why scripts fail, Bitcoin Core's ScriptError. As an
// error it reads as its name there.
type Error uint8

// These are Bitcoin Core's reasons, by its names.
const (
	// OK says that the scripts succeed.
	OK Error = iota
	ErrUnknownError
	ErrEvalFalse
	ErrOpReturn
	ErrScriptNum

	ErrScriptSize
	ErrPushSize
	ErrOpCount
	ErrStackSize
	ErrSigCount
	ErrPubkeyCount

	ErrVerify
	ErrEqualVerify
	ErrCheckMultisigVerify
	ErrCheckSigVerify
	ErrNumEqualVerify

	ErrBadOpcode
	ErrDisabledOpcode
	ErrInvalidStackOperation
	ErrInvalidAltstackOperation
	ErrUnbalancedConditional

	ErrNegativeLocktime
	ErrUnsatisfiedLocktime

	ErrSigHashType
	ErrSigDER
	ErrMinimalData
	ErrSigPushOnly
	ErrSigHighS
	ErrSigNullDummy
	ErrPubkeyType
	ErrCleanStack
	ErrMinimalIf
	ErrSigNullFail

	ErrDiscourageUpgradableNops
	ErrDiscourageUpgradableWitnessProgram
	ErrDiscourageUpgradableTaprootVersion
	ErrDiscourageOpSuccess
	ErrDiscourageUpgradablePubkeyType

	ErrWitnessProgramWrongLength
	ErrWitnessProgramWitnessEmpty
	ErrWitnessProgramMismatch
	ErrWitnessMalleated
	ErrWitnessMalleatedP2SH
	ErrWitnessUnexpected
	ErrWitnessPubkeyType

	ErrSchnorrSigSize
	ErrSchnorrSigHashType
	ErrSchnorrSig
	ErrTaprootWrongControlSize
	ErrTapscriptValidationWeight
	ErrTapscriptCheckMultisig
	ErrTapscriptMinimalIf
	ErrTapscriptEmptyPubkey

	ErrOpCodeSeparator
	ErrSigFindAndDelete

	// Undecided is none of Bitcoin Core's: Collect returns it where the outcome
	// of a signature check cannot be taken for granted.
	Undecided
)

var errorNames = [...]string{
	OK:              "SCRIPT_ERR_OK",
	ErrUnknownError: "SCRIPT_ERR_UNKNOWN_ERROR",
	ErrEvalFalse:    "SCRIPT_ERR_EVAL_FALSE",
	ErrOpReturn:     "SCRIPT_ERR_OP_RETURN",
	ErrScriptNum:    "SCRIPT_ERR_SCRIPTNUM",

	ErrScriptSize:  "SCRIPT_ERR_SCRIPT_SIZE",
	ErrPushSize:    "SCRIPT_ERR_PUSH_SIZE",
	ErrOpCount:     "SCRIPT_ERR_OP_COUNT",
	ErrStackSize:   "SCRIPT_ERR_STACK_SIZE",
	ErrSigCount:    "SCRIPT_ERR_SIG_COUNT",
	ErrPubkeyCount: "SCRIPT_ERR_PUBKEY_COUNT",

	ErrVerify:              "SCRIPT_ERR_VERIFY",
	ErrEqualVerify:         "SCRIPT_ERR_EQUALVERIFY",
	ErrCheckMultisigVerify: "SCRIPT_ERR_CHECKMULTISIGVERIFY",
	ErrCheckSigVerify:      "SCRIPT_ERR_CHECKSIGVERIFY",
	ErrNumEqualVerify:      "SCRIPT_ERR_NUMEQUALVERIFY",

	ErrBadOpcode:                "SCRIPT_ERR_BAD_OPCODE",
	ErrDisabledOpcode:           "SCRIPT_ERR_DISABLED_OPCODE",
	ErrInvalidStackOperation:    "SCRIPT_ERR_INVALID_STACK_OPERATION",
	ErrInvalidAltstackOperation: "SCRIPT_ERR_INVALID_ALTSTACK_OPERATION",
	ErrUnbalancedConditional:    "SCRIPT_ERR_UNBALANCED_CONDITIONAL",

	ErrNegativeLocktime:    "SCRIPT_ERR_NEGATIVE_LOCKTIME",
	ErrUnsatisfiedLocktime: "SCRIPT_ERR_UNSATISFIED_LOCKTIME",

	ErrSigHashType:  "SCRIPT_ERR_SIG_HASHTYPE",
	ErrSigDER:       "SCRIPT_ERR_SIG_DER",
	ErrMinimalData:  "SCRIPT_ERR_MINIMALDATA",
	ErrSigPushOnly:  "SCRIPT_ERR_SIG_PUSHONLY",
	ErrSigHighS:     "SCRIPT_ERR_SIG_HIGH_S",
	ErrSigNullDummy: "SCRIPT_ERR_SIG_NULLDUMMY",
	ErrPubkeyType:   "SCRIPT_ERR_PUBKEYTYPE",
	ErrCleanStack:   "SCRIPT_ERR_CLEANSTACK",
	ErrMinimalIf:    "SCRIPT_ERR_MINIMALIF",
	ErrSigNullFail:  "SCRIPT_ERR_SIG_NULLFAIL",

	ErrDiscourageUpgradableNops:           "SCRIPT_ERR_DISCOURAGE_UPGRADABLE_NOPS",
	ErrDiscourageUpgradableWitnessProgram: "SCRIPT_ERR_DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM",
	ErrDiscourageUpgradableTaprootVersion: "SCRIPT_ERR_DISCOURAGE_UPGRADABLE_TAPROOT_VERSION",
	ErrDiscourageOpSuccess:                "SCRIPT_ERR_DISCOURAGE_OP_SUCCESS",
	ErrDiscourageUpgradablePubkeyType:     "SCRIPT_ERR_DISCOURAGE_UPGRADABLE_PUBKEYTYPE",

	ErrWitnessProgramWrongLength:  "SCRIPT_ERR_WITNESS_PROGRAM_WRONG_LENGTH",
	ErrWitnessProgramWitnessEmpty: "SCRIPT_ERR_WITNESS_PROGRAM_WITNESS_EMPTY",
	ErrWitnessProgramMismatch:     "SCRIPT_ERR_WITNESS_PROGRAM_MISMATCH",
	ErrWitnessMalleated:           "SCRIPT_ERR_WITNESS_MALLEATED",
	ErrWitnessMalleatedP2SH:       "SCRIPT_ERR_WITNESS_MALLEATED_P2SH",
	ErrWitnessUnexpected:          "SCRIPT_ERR_WITNESS_UNEXPECTED",
	ErrWitnessPubkeyType:          "SCRIPT_ERR_WITNESS_PUBKEYTYPE",

	ErrSchnorrSigSize:            "SCRIPT_ERR_SCHNORR_SIG_SIZE",
	ErrSchnorrSigHashType:        "SCRIPT_ERR_SCHNORR_SIG_HASHTYPE",
	ErrSchnorrSig:                "SCRIPT_ERR_SCHNORR_SIG",
	ErrTaprootWrongControlSize:   "SCRIPT_ERR_TAPROOT_WRONG_CONTROL_SIZE",
	ErrTapscriptValidationWeight: "SCRIPT_ERR_TAPSCRIPT_VALIDATION_WEIGHT",
	ErrTapscriptCheckMultisig:    "SCRIPT_ERR_TAPSCRIPT_CHECKMULTISIG",
	ErrTapscriptMinimalIf:        "SCRIPT_ERR_TAPSCRIPT_MINIMALIF",
	ErrTapscriptEmptyPubkey:      "SCRIPT_ERR_TAPSCRIPT_EMPTY_PUBKEY",

	ErrOpCodeSeparator:  "SCRIPT_ERR_OP_CODESEPARATOR",
	ErrSigFindAndDelete: "SCRIPT_ERR_SIG_FINDANDDELETE",

	Undecided: "undecided",
}

// Error returns the name that the reason has in Bitcoin Core.
func (e Error) Error() string { return errorNames[e] }
