package relay

// Costs is the gas that the steps of one compiled contract take beside storage. It
// differs with the source, the compiler and its settings.
type Costs struct {
	// AddHeaders is for addHeaders, or the same part of addHeadersWithRetarget, which
	// takes Retarget more; Header for each header, NewHeader more if it is not known,
	// and Height more if its height is stored.
	AddHeaders, Retarget, Header, NewHeader, Height uint64
	// HeaderMemory is the memory that each header takes, in bytes: the contracts copy it
	// from the call, and for hashing.
	HeaderMemory uint64
	// Mark is for markNewHeaviest, CommonAncestor for each step of its limit, and
	// StepDown for each branch that goes down in it. PeriodWork is for the work of two
	// headers, where both are in a later period than their ancestor.
	Mark, CommonAncestor, StepDown, PeriodWork uint64
	// FindHeight and Ancestor are for each step that findHeight and isAncestor take,
	// alone or in other calls.
	FindHeight, Ancestor uint64
	// Verify is for verifyHeaderHash, Proof for verifyProof, MerkleStep for each digest
	// of it, and Proven for what follows when the digests prove the transaction.
	Verify, Proof, MerkleStep, Proven uint64
	// LightGenesis, and LightRetarget with LightHeader for each header, are a
	// LightRelay's. They have the storage that it always reads and writes, but not
	// what it takes more to write another difficulty than there is, or another number
	// of the genesis epoch. Authorization is for the look at who calls.
	LightGenesis, LightRetarget, LightHeader, Authorization uint64
	// Multicall is for a multicall, MulticallCall for each call in it, beside their data
	// in memory, which it copies MulticallCopies times.
	Multicall, MulticallCall, MulticallCopies uint64
}

// BOBCosts are those of Multicall3, and of the contracts on BOB as solc compiles them (0.8.24,
// optimised for 5000 runs), fitted to executions in go-ethereum's EVM. The tests compare their
// sums with measurements.
func BOBCosts() Costs {
	return Costs{
		AddHeaders:     8102,
		Retarget:       10230,
		Header:         2091,
		NewHeader:      415,
		Height:         80,
		HeaderMemory:   160,
		Mark:           12786,
		CommonAncestor: 89,
		StepDown:       76,
		PeriodWork:     2485, // of our contract: BOB's was not executed for it
		FindHeight:     322,
		Ancestor:       140,
		Verify:         875,
		Proof:          2150,
		MerkleStep:     771,
		Proven:         888,
		LightGenesis:   36031,
		LightRetarget:  42148,
		LightHeader:    2459,
		Authorization:  89,

		Multicall:       1160,
		MulticallCall:   2175,
		MulticallCopies: 2,
	}
}
