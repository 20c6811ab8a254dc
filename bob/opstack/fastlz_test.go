package opstack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// patterned returns n bytes that repeat themselves at many distances, as calldata does.
func patterned(rng *rand.Rand, n int) []byte {
	data := make([]byte, 0, n+300)
	for len(data) < n {
		switch k := rng.IntN(8); {
		case k < 2 && len(data) > 0:
			from := rng.IntN(len(data))
			data = append(data, data[from:min(len(data), from+1+rng.IntN(300))]...)
		case k < 4:
			data = append(data, make([]byte, 1+rng.IntN(40))...)
		case k < 5:
			data = append(data, bytes.Repeat([]byte{byte(rng.Uint32())}, 1+rng.IntN(600))...)
		default:
			for range 1 + rng.IntN(60) {
				data = append(data, byte(rng.Uint32()))
			}
		}
	}
	return data[:n]
}

// Lengths that op-geth and the contract GasPriceOracle have in their tests.
func TestFastLZLength(t *testing.T) {
	// Transaction 0x8eb9dd4e… of OP Mainnet.
	call, err := hex.DecodeString("02f901550a758302df1483be21b88304743f94f80e51afb613d764fa61751affd3313c190a86bb870151bd62fd12adb8e41ef24f3f000000" +
		"000000000000000000000000000000000000000000000000000000006e000000000000000000000000af88d065e77c8cc2239327c5edb3a4" +
		"32268e5831000000000000000000000000000000000000000000000000000000000003c1e500000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000a00000000000000000000000" +
		"0000000000000000000000000000000000000000148c89ed219d02f1a5be012c689b4f5b731827bebe000000000000000000000000c001a0" +
		"33fd89cb37c31b2cba46b6466e040c61fc9b2a3675a7f5f493ebd5ad77c497f8a07cdf65680e238392693019b4092f610222e71b7cec0644" +
		"9cb922b93b6a12744e")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want uint64
	}{
		{"nothing", nil, 0},
		{"zeros", make([]byte, 1000), 21},
		{"ones", bytes.Repeat([]byte{1}, 1000), 21},
		{"a call", call, 202},
	} {
		if got := FastLZLength(tt.data); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// The lengths of 10,000 inputs under 3,000 bytes, as op-geth's FlzCompressLen has them:
// the SHA-256 of all, 8 bytes each, big-endian.
func TestFastLZAccumulated(t *testing.T) {
	const want = "c6a606c1a76dce72ae579af13a423e4ceb8411bd1ecfa62b8e174213436cece1"
	rng := rand.New(rand.NewPCG(1, 2))
	all := sha256.New()
	for i := range 10_000 {
		all.Write(binary.BigEndian.AppendUint64(nil, FastLZLength(patterned(rng, i%3000))))
	}
	if got := hex.EncodeToString(all.Sum(nil)); got != want {
		t.Errorf("the lengths hash to %s, want %s", got, want)
	}
}

func FuzzFastLZLength(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, 14))
	f.Add(bytes.Repeat([]byte("abcdefg"), 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := uint64(len(data))
		// A literal run of 32 bytes takes 33, a match of 264 takes three.
		if got := FastLZLength(data); got > n+(n+31)/32 || got < n/100 {
			t.Errorf("%d bytes compress to %d", n, got)
		}
	})
}

func BenchmarkFastLZLength(b *testing.B) {
	data := patterned(rand.New(rand.NewPCG(3, 4)), 2000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		FastLZLength(data)
	}
}
