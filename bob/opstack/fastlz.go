package opstack

// The compressor of FastLZ at level 1 (github.com/ariya/FastLZ at 344eb402, as the
// Fjord specification wants it). Only the length counts.
const (
	flzHashBits    = 13
	flzMaxDistance = 8191
	flzMaxLength   = 264
	flzMaxLiterals = 32
	// flzTail is how much of the input's end is never the beginning of a match.
	flzTail = 13
)

// FastLZLength returns the length of data after FastLZ's compression at level 1. It is
// what the fee for a transaction's data is computed from since Fjord; data is then the
// signed transaction as MarshalBinary returns it.
func FastLZLength(data []byte) uint64 {
	if uint64(len(data)) >= 1<<32 {
		// A transaction is never so long; the reference counts in 32 bits.
		panic("opstack: 4 GiB of data to compress")
	}
	var (
		length uint64
		last   [1 << flzHashBits]uint32 // where a hash was last seen
		anchor int                      // the first byte that is not accounted for
	)
	limit := len(data) - flzTail
	for at := 2; at < limit; {
		// Find three bytes that were there before.
		var before int
		for {
			v := three(data, at)
			slot := &last[flzHash(v)]
			before, *slot = int(*slot), uint32(at)
			found := at-before <= flzMaxDistance && v == three(data, before)
			if at >= limit {
				break
			}
			at++
			if found {
				break
			}
		}
		if at >= limit {
			break
		}
		at--
		if at > anchor {
			length += flzLiterals(at - anchor)
		}
		matched := flzMatch(data, before+3, at+3)
		length += flzMatchLength(matched)
		at += matched
		// The two places behind the match are remembered too.
		for range 2 {
			last[flzHash(three(data, at))] = uint32(at)
			at++
		}
		anchor = at
	}
	return length + flzLiterals(len(data)-anchor)
}

func three(data []byte, at int) uint32 {
	return uint32(data[at]) | uint32(data[at+1])<<8 | uint32(data[at+2])<<16
}

func flzHash(v uint32) uint32 {
	return v * 2654435769 >> (32 - flzHashBits)
}

// flzLiterals returns the length of n bytes that are copied as they are: a byte in front
// of every 32.
func flzLiterals(n int) uint64 {
	return uint64(n) + uint64(n+flzMaxLiterals-1)/flzMaxLiterals
}

// flzMatch returns how many bytes are compared until two differ, the differing one
// included. The last four bytes of data are not compared.
func flzMatch(data []byte, before, at int) int {
	n := 0
	for end := len(data) - 4; at+n < end; {
		n++
		if data[before+n-1] != data[at+n-1] {
			break
		}
	}
	return n
}

// flzMatchLength returns the length of a match of which n bytes were compared.
func flzMatchLength(n int) uint64 {
	long, rest := (n-1)/(flzMaxLength-2), (n-1)%(flzMaxLength-2)
	if rest < 6 {
		return 3*uint64(long) + 2
	}
	return 3*uint64(long) + 3
}
