package corefile

// MaxMoney is the number of satoshis that no value in the chain exceeds:
// MAX_MONEY of Bitcoin Core's consensus/amount.h.
const MaxMoney = 21_000_000 * 100_000_000

// CompressAmount maps a value to a number that is small when the value has few
// significant decimal digits, as Bitcoin Core's CompressAmount does. The value
// must be between 0 and MaxMoney: of others the result is of no use.
//
// With e the number of zeros at the value's end, 9 at most, and d the last
// digit before them, the result is 1 + 10·(9·(value/10^(e+1)) + d−1) + e, or
// for e = 9 it is 1 + 10·(value/10^9 − 1) + 9; and 0 for 0.
func CompressAmount(value int64) uint64 {
	if value == 0 {
		return 0
	}
	n, e := uint64(value), uint64(0)
	for n%10 == 0 && e < 9 {
		n /= 10
		e++
	}
	if e == 9 {
		return 1 + (n-1)*10 + 9
	}
	return 1 + (n/10*9+n%10-1)*10 + e
}

// DecompressAmount returns the value that CompressAmount maps to x. It is
// malformed if there is none between 0 and MaxMoney, where Bitcoin Core would
// return a value that was reduced modulo 2^64.
func DecompressAmount(x uint64) (int64, error) {
	if x == 0 {
		return 0, nil
	}
	rest, e := (x-1)/10, (x-1)%10
	n := rest + 1
	if e < 9 {
		n = rest/9*10 + rest%9 + 1
	}
	limit := uint64(MaxMoney)
	for range e {
		limit /= 10
	}
	if n > limit {
		return 0, malformed("compressed amount %d above %d satoshis", x, int64(MaxMoney))
	}
	for range e {
		n *= 10
	}
	return int64(n), nil
}
