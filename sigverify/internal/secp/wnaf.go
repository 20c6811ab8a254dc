package secp

// A recoding is a number below 2¹²⁸ in signed digits: the sum of digit i times
// 2^i. In width w, a digit is 0 or odd and between -2^(w-1) and 2^(w-1), and of
// w digits in a row one at most is not 0 (width-w non-adjacent form). Digits
// from length up are 0.
type recoding struct {
	digits [129]int16
	length int
}

// set recodes h in width w, which must be from 2 to 16.
func (r *recoding) set(h Half, w uint) {
	*r = recoding{}
	sign := int16(1)
	if h.Neg {
		sign = -1
	}
	lo, hi := h.Lo, h.Hi
	for i := uint(0); lo|hi != 0; {
		if lo&1 == 0 {
			lo = lo>>1 | hi<<63
			hi >>= 1
			i++
			continue
		}
		digit := int(lo & (1<<w - 1))
		lo = lo>>w | hi<<(64-w)
		hi >>= w
		if digit >= 1<<(w-1) {
			digit -= 1 << w
			// What is left has w bits less than a word pair, and cannot overflow.
			if lo++; lo == 0 {
				hi++
			}
		}
		r.digits[i] = sign * int16(digit)
		r.length = int(i) + 1
		i += w
	}
}
