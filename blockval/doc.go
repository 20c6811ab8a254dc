// Package blockval validates whole blocks by Bitcoin Core's consensus rules: a
// second opinion beside the node's.
//
// [Parse] decodes a block and hashes it. [Validator.Check] applies the rules in
// the order in which Core does when it is handed a whole block (ProcessNewBlock),
// so that the first broken rule is the reason that Core gives:
//
//  1. what the block alone decides (CheckBlock): proof of work, the signet
//     solution, merkle root, sizes, the shape of each transaction, legacy
//     signature operations;
//  2. what the headers below it decide (ContextualCheckBlockHeader), by
//     blockval/header;
//  3. what its height and the median time past decide (ContextualCheckBlock):
//     finality, the height in the coinbase, the witness commitment, weight;
//  4. what the coins that it spends decide (ConnectBlock): BIP30, that they
//     exist, maturity, values and fees, relative locks, the cost of signature
//     operations, the subsidy, and last the scripts.
//
// That is the order of the reasons, and not of the work. Parse passes over the bytes,
// which finds all that can be wrong with them, and then decodes and hashes on all
// cores. With more than one worker the coins are looked up, in one batch, while the
// block's structure is checked, and scripts run while what the coins decide is. What
// was done for a block that breaks an earlier rule is thrown away.
//
// Every script runs in package script, which collects the signature checks in it as
// data. Workers collect them and verify them in batches by sigverify, which takes them
// many at a time. What that leaves undecided runs again, exactly, and no block is
// called invalid but on the word of such a run without lanes and caches.
//
// [Validator.VerifyTx] verifies a transaction before its block comes. The block then
// needs only the strangers.
//
// Where btcd's rules differ from Core's, Core's are followed. Tests name the
// differences that are known: TestLaxSignatures here, TestSmallSignaturesAreDeleted in
// package script.
package blockval
