// Package bitvm0 is for teaching and for tests: the first BitVM, of "BitVM: Compute
// Anything on Bitcoin" (Linus, 2023), whose circuits are NAND gates. No bridge uses it, and
// nobody else here does: what bridges claim is in the packages beside it. It claims no
// speed, and it moves no money: keys and transactions are the caller's.
//
// The prover says that a circuit has certain bits on its wires. It commits to them with a
// pair of hashes for each wire ([Commit]), and opens a bit by showing one of the two
// preimages. Whoever shows both of a wire has equivocated.
//
// All leaves of an [Instance] are in one output of taproot:
//
//   - one for each gate, with which the prover, challenged by a preimage that only the
//     verifier has, opens the gate's three bits, and which the script takes only if the
//     third is the NAND of the others;
//   - one for each wire, with which the verifier takes the money by both preimages of it;
//   - one with which the verifier takes it if a challenge is not answered in time.
//
// So a prover that lies has a gate that it cannot open ([Circuit.Fault]), unless by other
// bits than those that it has opened before, which [Observed] notices.
package bitvm0
