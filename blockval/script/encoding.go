package script

import "bytes"

// The sizes of public keys in bytes.
const (
	compressedSize   = 33
	uncompressedSize = 65
	schnorrKeySize   = 32
)

// halfOrder is half the order of secp256k1's group, rounded down: the highest s
// that LowS accepts.
const halfOrder = "\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\x5d\x57\x6e\x73\x57\xa4\x50\x1d\xdf\xe9\x2f\x46\x68\x1b\x20\xa0"

// order is the group's order.
const order = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe" +
	"\xba\xae\xdc\xe6\xaf\x48\xa0\x3b\xbf\xd2\x5e\x8c\xd0\x36\x41\x41"

// isStrictDER reports whether a signature with its hash type is in the only form
// that BIP66 allows, IsValidSignatureEncoding in Bitcoin Core. It does not ask
// how large r and s are.
func isStrictDER(sig []byte) bool {
	// 0x30 [length of what follows, without the hash type] 0x02 [length of r] r
	// 0x02 [length of s] s [hash type]
	if len(sig) < 9 || len(sig) > 73 || sig[0] != 0x30 || int(sig[1]) != len(sig)-3 {
		return false
	}
	rest := sig[2 : len(sig)-1]
	for range 2 {
		if len(rest) < 3 || rest[0] != 0x02 || rest[1] == 0 || int(rest[1]) > len(rest)-2 {
			return false
		}
		n := rest[2 : 2+rest[1]]
		rest = rest[2+rest[1]:]
		negative := n[0]&0x80 != 0
		padded := n[0] == 0 && len(n) > 1 && n[1]&0x80 == 0
		if negative || padded {
			return false
		}
	}
	return len(rest) == 0
}

// parseDER reads r and s from a signature without its hash type, and forgives
// what Bitcoin Core's ecdsa_signature_parse_der_lax does: negative numbers, which
// it takes for positive ones, zeros before them, long lengths, a wrong length of
// the whole, and bytes after it. It reports false for what that cannot read, and
// where r or s has more than 32 bytes, which no signature can.
func parseDER(sig []byte) (rs [64]byte, ok bool) {
	if len(sig) < 2 || sig[0] != 0x30 {
		return rs, false
	}
	rest := sig[2:]
	if long := sig[1]; long&0x80 != 0 {
		skip := int(long & 0x7f)
		if skip > len(rest) {
			return rs, false
		}
		rest = rest[skip:]
	}
	for half := range 2 {
		var n []byte
		if n, rest, ok = parseInteger(rest); !ok {
			return rs, false
		}
		n = bytes.TrimLeft(n, "\x00")
		if len(n) > 32 {
			return rs, false
		}
		copy(rs[32*half+32-len(n):], n)
	}
	return rs, true
}

// parseInteger splits the first integer of b from the rest.
func parseInteger(b []byte) (n, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != 0x02 {
		return nil, nil, false
	}
	size := int(b[1])
	b = b[2:]
	if size&0x80 != 0 {
		long := size & 0x7f
		if long > len(b) {
			return nil, nil, false
		}
		digits := bytes.TrimLeft(b[:long], "\x00")
		if len(digits) >= 4 {
			return nil, nil, false
		}
		size = 0
		for _, d := range digits {
			size = size<<8 | int(d)
		}
		b = b[long:]
	}
	if size > len(b) {
		return nil, nil, false
	}
	return b[:size], b[size:], true
}

// isLowS reports whether the s of a strict signature is one that LowS accepts:
// CPubKey::CheckLowS in Bitcoin Core, which takes numbers that are no signature
// for 0.
func isLowS(sig []byte) bool {
	rs, ok := parseDER(sig[:len(sig)-1])
	if !ok || string(rs[:32]) >= order || string(rs[32:]) >= order {
		return true
	}
	return string(rs[32:]) <= halfOrder
}

// checkSigEncoding applies the flags to a signature with its hash type,
// CheckSignatureEncoding in Bitcoin Core.
func checkSigEncoding(sig []byte, flags Flags) Error {
	if len(sig) == 0 {
		return OK
	}
	switch {
	case flags&(DERSig|LowS|StrictEnc) != 0 && !isStrictDER(sig):
		return ErrSigDER
	case flags&LowS != 0 && !isLowS(sig):
		return ErrSigHighS
	case flags&StrictEnc != 0 && !isDefinedHashType(sig[len(sig)-1]):
		return ErrSigHashType
	}
	return OK
}

func isDefinedHashType(hashType byte) bool {
	base := hashType &^ sigHashAnyoneCanPay
	return base >= sigHashAll && base <= sigHashSingle
}

// checkKeyEncoding applies the flags to a public key, CheckPubKeyEncoding in
// Bitcoin Core.
func checkKeyEncoding(key []byte, flags Flags, v version) Error {
	compressed := len(key) == compressedSize && (key[0] == 2 || key[0] == 3)
	switch {
	case flags&StrictEnc != 0 && !compressed && (len(key) != uncompressedSize || key[0] != 4):
		return ErrPubkeyType
	case flags&WitnessPubkeyType != 0 && v == witnessV0 && !compressed:
		return ErrWitnessPubkeyType
	}
	return OK
}

// isKey reports whether a public key has a first byte and a length that fit,
// CPubKey::IsValid in Bitcoin Core. No signature is valid for another.
func isKey(key []byte) bool {
	switch len(key) {
	case compressedSize:
		return key[0] == 2 || key[0] == 3
	case uncompressedSize:
		return key[0] == 4 || key[0] == 6 || key[0] == 7
	}
	return false
}
