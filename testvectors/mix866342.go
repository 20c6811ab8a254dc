package testvectors

// shapes866342 is the shape of every transaction of mainnet block 866342 but the
// coinbase, as parseMix reads it, the most frequent first. 4,863 transactions have
// 7,972 inputs, of which 4,036 spend outputs of the block itself. Where an output's
// pattern does not show, it is that of pattern.output.
//
// A few spends of p2wshSwap, p2wshAnchor and nestedP2WSH are of scripts that check
// their signatures in another way than the pattern's.
const shapes866342 = `
2159 2094: 1w -> 1R 1w
1471 1381: 1t -> 1R 1t
179 96: 1t -> 2t
138 135: 1w -> 1R 1t
124 98: 1b -> 1t
73 70: 1t -> 1R 2t 1w
57 1: 1w -> 2w
55 24: 1t -> 1t 1w
52 12: 1t -> 1R 1t 1w
44 0: 1h -> 1t
29 0: 1w -> 1p 1w
25 1: 1w -> 1w
20 0: 2w -> 2w
14 9: 1n -> 1n 1w
14 12: 1w -> 1R 3w
14 0: 1w -> 1p
12 1: 1w -> 1n 1w
12 5: 1w -> 1t 1w
10 3: 1p -> 2p
9 9: 1b -> 10t
8 3: 1t -> 1R 2t
8 2: 1t -> 1t
7 5: 1b -> 1w
7 1: 1t -> 1c 1t
6 2: 1n -> 1c 1n
6 1: 1p -> 1w
6 6: 1w -> 1R 1t 2w
6 0: 1w -> 1n
6 1: 2w -> 1n 1w
6 1: 2w -> 1w
5 1: 1n -> 1n 1t
5 1: 1p -> 1n 1p
5 0: 2t -> 1w
4 0: 1p -> 1R 1p 2w
4 1: 1t -> 1w
4 1: 2w -> 1p
4 0: 2w -> 1p 1w
4 1: 4w -> 1w
3 0: 100u -> 1p
3 1: 1b -> 1t 1w
3 0: 1c -> 1c 1w
3 0: 1c -> 4c
3 2: 1n 1t -> 1R 1n 2t
3 3: 1p -> 1p 1w
3 6: 1t 1w -> 1R 2t 1w
3 2: 1w -> 1R 2w
3 1: 2p -> 2p
3 1: 3t -> 1c
3 0: 3w -> 1p
3 1: 3w -> 1p 1w
3 1: 3w -> 1w
3 0: 3w -> 2w
3 4: 4t -> 1w
3 0: 5p -> 1n
2 0: 1c -> 1c 1t
2 1: 1c 1t -> 1c 1t
2 0: 1g 1n -> 1R 1t
2 0: 1h -> 1w
2 1: 1n -> 1w
2 0: 1n -> 2n
2 0: 1n -> 2w
2 0: 1p 99u -> 1p
2 2: 1t -> 1R 1n 1t
2 2: 1t -> 1R 1p 2t
2 1: 1t -> 1c
2 2: 1t 1w -> 1t 1w
2 2: 1w -> 1R 1n 1w
2 2: 1w -> 1R 1t 1w
2 0: 1w -> 1R 3c 1w
2 0: 1w -> 1c
2 0: 1w -> 1n 4w
2 0: 2n -> 1n
2 0: 2n 1t -> 2n 1t 1w
2 0: 2t -> 1R 1t
2 2: 2t -> 1R 5t
2 0: 2t -> 2t
2 0: 2w -> 1R 3w
2 1: 3t -> 1c 1t
2 0: 4w -> 2w
2 0: 5w -> 1w
2 1: 6p -> 1R 1p
2 0: 8t -> 1p 1t
1 0: 1009w -> 1w
1 0: 10n -> 1n
1 3: 10n -> 1w
1 0: 10t -> 1t
1 0: 11p -> 1w
1 0: 11w -> 1c 7n 9p 1t 21w
1 0: 11w -> 1w
1 0: 120p -> 1p
1 0: 120t -> 1p
1 0: 12t -> 1t
1 0: 12w -> 1w
1 0: 14n -> 1w
1 0: 14w -> 1p
1 0: 15w -> 1n
1 0: 15w -> 1p
1 0: 17M -> 1n
1 0: 18w -> 1p
1 1: 1I -> 1t
1 1: 1M -> 1n
1 0: 1M -> 1p
1 0: 1M -> 2n
1 1: 1b -> 4t
1 1: 1b -> 9t
1 2: 1b 2t -> 2t
1 0: 1c -> 1c
1 0: 1c -> 1n 1t
1 0: 1c -> 1t
1 0: 1c -> 2t
1 0: 1c 1w -> 1c 1w
1 3: 1c 4t -> 1c 1t
1 0: 1d -> 1c 1n
1 0: 1d -> 1c 1p
1 0: 1d -> 1c 1w
1 0: 1n -> 1R 1t 1w
1 0: 1n -> 1n
1 0: 1n -> 1n 1p 8w
1 0: 1n -> 1n 2p
1 0: 1n -> 1n 2w
1 0: 1n -> 1p
1 0: 1n -> 2c 3n 8w
1 0: 1n 10t -> 1R 1n 1t
1 2: 1n 1t -> 1R 1n 10t
1 0: 1n 1t -> 1n 2t 1w
1 0: 1n 1w -> 1n 1t 2w
1 0: 1n 2t -> 1n 1t 3w
1 0: 1n 2t -> 1n 3t 1w
1 0: 1n 2w -> 1n 1t 3w
1 0: 1n 3t -> 1n 1t 4w
1 0: 1p -> 1R 1p
1 0: 1p -> 2w
1 0: 1p 3w -> 1w
1 0: 1t -> 1R 11t
1 1: 1t -> 1R 21t
1 0: 1t -> 1n
1 1: 1t -> 1n 1t
1 0: 1t -> 1p 1t
1 0: 1t -> 3t
1 0: 1t 1w -> 1c 1w
1 0: 1t 1w -> 1n 1t 2w
1 0: 1t 1w -> 1n 3w
1 0: 1t 1w -> 1t 3w
1 0: 1u -> 1p 1w
1 0: 1w -> 1R 1t 20w
1 0: 1w -> 1R 1t 3w
1 0: 1w -> 1R 2t 1w
1 0: 1w -> 1c 12n 12p 29w
1 0: 1w -> 1c 1w
1 0: 1w -> 1c 2p 11w
1 0: 1w -> 1n 1p 4w
1 0: 1w -> 1n 3w
1 0: 1w -> 1p 4w
1 0: 1w -> 2n 2p 11w
1 0: 1w -> 2n 3p 2t 6w
1 0: 1w -> 3n 3p 5w
1 0: 1w -> 3w
1 0: 1w -> 4p 2w
1 0: 1w -> 4w
1 0: 1w -> 5w
1 0: 1w -> 6c 20n 31p 1t 95w
1 0: 1x -> 1t
1 0: 21w -> 1R 4w
1 0: 24n 1t -> 5n 1t 1w
1 0: 2a -> 1t
1 0: 2d -> 1c 1p
1 0: 2n -> 1w
1 0: 2n -> 2n
1 0: 2n -> 3n
1 0: 2n 1t -> 2n 1t
1 0: 2n 2t -> 2n 2t 1w
1 1: 2p -> 1n 1p
1 0: 2p -> 1p 1w
1 0: 2p 98u -> 1p
1 0: 2t -> 1R 2t
1 0: 2t -> 1R 3t
1 0: 2t -> 1R 6t
1 0: 2t -> 1n 2t 1w
1 0: 2t -> 1t
1 0: 2t -> 1t 1w
1 0: 2t -> 3t
1 0: 2t -> 3t 1w
1 0: 2t 3w -> 3t 3w
1 0: 2u -> 1p 1w
1 0: 2w -> 1R 1t 1w
1 0: 2w -> 1c 1w
1 0: 2w -> 1n
1 0: 2w -> 1t 3w
1 0: 2w -> 4n 1w
1 0: 32p -> 2p
1 0: 3M 2n -> 1c
1 0: 3n 1t -> 1n 2t 1w
1 0: 3n 1t -> 2n 1t 1w
1 0: 3p -> 1w
1 0: 3p -> 2p
1 0: 3p -> 2p 1w
1 0: 3t -> 1R 3t 1w
1 0: 3t -> 1t 1w
1 0: 3t 3w -> 4t 4w
1 0: 43p -> 1p
1 0: 4n -> 1R 1n 1t 1w
1 0: 4n -> 1n 1t
1 0: 4n -> 1n 1w
1 0: 4n -> 2w
1 1: 4n 11t -> 12n 1t 1w
1 0: 4t -> 3t
1 0: 4t -> 5t 1w
1 0: 4t 2w -> 3n 2t 2w
1 0: 4t 6w -> 4t 12w
1 0: 4w -> 1n 1w
1 0: 4w -> 1p 1w
1 0: 500w -> 1w
1 0: 5a -> 1t
1 0: 5t -> 1n 5t 1w
1 0: 5t 1w -> 2n 3t 3w
1 0: 62n 11w -> 3w
1 0: 6n 2t -> 3n 1t 1w
1 0: 6p -> 1p
1 0: 6p -> 1w
1 0: 6t -> 1c
1 0: 6t -> 2n 7t 1w
1 0: 6t -> 3t
1 0: 6w -> 1w
1 0: 7p -> 1p
1 1: 7t 2w -> 7n 1t 2w
1 0: 7w -> 2w
1 0: 8w -> 1c 1w
1 0: 9t -> 1c
1 0: 9w -> 1n 1w
`

// shapesBeside has the patterns that block 866342 does not.
const shapesBeside = `
1 0: 1k -> 1w
1 0: 1m -> 1n
`

// chain866342 counts the transactions of block 866342, without the coinbase, by how
// long the longest chain of transactions of the same block is that they build on:
// 842 on none, 382 on one.
var chain866342 = [...]int{
	842, 382, 260, 207, 189, 180, 176, 167, 158, 154, 152, 151, 149,
	149, 148, 148, 148, 148, 147, 146, 146, 144, 144, 115, 113,
}
