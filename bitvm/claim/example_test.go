package claim_test

import (
	"context"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
)

// A prover commits to a proof, and to one wrong hash.
func ExampleVerifier() {
	bridge := groth16.NewSimulator(1, 1)
	key, err := assertion.Prepare(bridge.Key)
	if err != nil {
		fmt.Println(err)
		return
	}
	item := bridge.Item()
	raw, err := key.Assert(item.Proof, item.Inputs[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	raw.Hashes[200][0] ^= 1
	var secrets [assertion.Commitments][]byte
	var keys assertion.Keys
	for i := range secrets {
		secrets[i] = fmt.Appendf(nil, "secret %d", i)
		keys[i] = assertion.Scheme(i).PublicKey(secrets[i])
	}
	var stacks claim.Stacks
	for i, signature := range raw.Sign(&secrets) {
		stacks[i] = signature.Witness()
	}

	v := claim.New(claim.Options{})
	defer v.Close()
	verdict, err := v.Verify(context.Background(), &claim.Claim{Key: bridge.Key, Keys: &keys, Load: stacks.Load})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(verdict.Outcome, "by leaf", verdict.Leaf.Leaf, verdict.Leaf.Kind, "for a", verdict.Leaf.Reason)
	fmt.Println("the proof is valid:", verdict.Proof == nil)
	// Output:
	// disprovable by leaf 200 MillerPointOpsStep1 for a hash mismatch
	// the proof is valid: true
}
