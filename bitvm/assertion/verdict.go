package assertion

// A Kind is what a part computes, by BitVM's name of its script (ScriptType in
// chunk/g16_runner_utils.rs).
type Kind string

// The kinds of parts.
const (
	PrecomputeP         Kind = "PreMillerPrecomputeP"         // A or C, made ready for lines
	MSM                 Kind = "MSM"                          // 64 bits of the public input
	HashP               Kind = "PreMillerHashP"               // the constant term added
	PrecomputePFromHash Kind = "PreMillerPrecomputePFromHash" // the sum, made ready
	HashC               Kind = "PreMillerHashC"
	HashCInv            Kind = "PreMillerHashCInv"
	InitT4              Kind = "PreMillerInitT4" // B
	Squaring            Kind = "MillerSquaring"
	PointOpsStep1       Kind = "MillerPointOpsStep1" // T moved on; its line and two others begun
	PointOpsStep2       Kind = "MillerPointOpsStep2" // the product of the three lines
	Multiply            Kind = "FoldedFp12Multiply"
	Frobenius           Kind = "PostMillerFrobFp12"
	FinalVerify         Kind = "PostMillerFinalVerify"
)

// A Reason is why a leaf disproves an assertion.
type Reason string

// The reasons.
const (
	// InvalidInput: what the part is given is no element or point, or cannot be
	// computed with.
	InvalidInput Reason = "invalid input"
	// HashMismatch: the part's output is another than is committed to.
	HashMismatch Reason = "hash mismatch"
	// FinalCheck: the end of the chain is not that of a valid proof.
	FinalCheck Reason = "final check"
)

// A Verdict says whether an assertion can be disproved.
type Verdict struct {
	// Segments is how many of the 363 hashes were found right, from the first on.
	Segments int
	// Disproved says that a leaf disproves the assertion. What follows is of the
	// first one, counted from 0.
	Disproved bool
	Leaf      int
	Kind      Kind
	Reason    Reason
	// Claimed and Expected are the hash that is committed to, and the right one, in
	// the order of BLAKE3, if the reason is HashMismatch.
	Claimed, Expected [hashSize]byte
}
