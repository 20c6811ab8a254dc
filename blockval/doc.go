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
// Scripts of the commonest forms are recognised, and their signatures verified
// in one batch by sigverify. All others, and whatever fails there, run in the
// engine of btcd's txscript, so that no block is called invalid on the word of
// a batch alone.
//
// Where btcd's rules differ from Core's, Core's are followed, but for what
// txscript itself does. One difference is known there: below BIP66's height Core
// reads a signature with a lax parser, and txscript does not read all that this
// one does, such as one whose sequence length is wrong. That can matter only at
// heights that are history, on mainnet and testnet3, and btcd accepts what is
// there.
package blockval
