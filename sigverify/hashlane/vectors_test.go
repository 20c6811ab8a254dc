package hashlane

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// NIST's examples of SHA-256: those of FIPS 180-2, appendix B, some short ones of
// SHAVS (SHA256ShortMsg), and the additional examples (SHA2_Additional).
var sha256Vectors = []struct {
	message, digest string // message is hex
	repeat          int
}{
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1},
	{"616263", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 1},
	{hex.EncodeToString([]byte("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", 1},
	{"61", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", 1000000},
	{"d3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1", 1},
	{"11af", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98", 1},
	{"bd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b", 1},
	{"c98c8e55", "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504", 1},
	{"00", "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7", 55},
	{"00", "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb", 56},
	{"00", "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785", 57},
	{"00", "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b", 64},
	{"00", "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53", 1000},
	{"41", "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4", 1000},
	{"55", "f4d62ddec0f3dd90ea1380fa16a5ff8dc4c54b21740650f24afc4120903552b0", 1005},
}

func TestSHA256Vectors(t *testing.T) {
	var whole [][]byte
	var want [][32]byte
	for range 3 { // enough of them for every kernel
		for _, v := range sha256Vectors {
			whole = append(whole, bytes.Repeat(unhex(t, v.message), v.repeat))
			want = append(want, [32]byte(unhex(t, v.digest)))
		}
	}
	onEachPath(t, func(t *testing.T, p path) {
		for _, n := range []int{1, 2, 15, len(whole)} {
			got := make([][32]byte, n)
			p.sums(got, messages{whole: whole[:n], n: n})
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("vector %d: got %x, want %x", i%len(sha256Vectors), got[i], want[i])
				}
			}
		}
	})
}

// The examples of RIPEMD-160's paper, appendix B.
func TestRIPEMD160Vectors(t *testing.T) {
	for _, v := range []struct {
		message string
		repeat  int
		digest  string
	}{
		{"", 1, "9c1185a5c5e9fc54612808977ee8f548b2258d31"},
		{"a", 1, "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"},
		{"abc", 1, "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
		{"message digest", 1, "5d0689ef49d2fae572b881b123a85ffa21595f36"},
		{"abcdefghijklmnopqrstuvwxyz", 1, "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "12a053384a9c0c88e405a06c27dcf49ada62eb2b"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 1, "b0e20b6e3116640286ed3a87a5713079b21f5189"},
		{"1234567890", 8, "9b752e45573d4b39f4dbd3323cab82bf63326bfb"},
		{"a", 1000000, "52783243c1697bdbe16d37f97f68f08325dc1528"},
	} {
		m := []byte(strings.Repeat(v.message, v.repeat))
		if got := RIPEMD160(m); got != [20]byte(unhex(t, v.digest)) {
			t.Errorf("%d bytes of %q: got %x, want %s", len(m), v.message, got, v.digest)
		}
	}
}

// The key of BIP173's examples, which is the group's generator, and its HASH160.
func TestHash160Vector(t *testing.T) {
	key := unhex(t, "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	want := [20]byte(unhex(t, "751e76e8199196d454941c45d1b3a323f1433bd6"))
	for _, n := range []int{1, 2, 40} {
		got := make([][20]byte, n)
		Hash160(got, slices.Repeat([][]byte{key}, n))
		for i := range got {
			if got[i] != want {
				t.Errorf("%d of %d: got %x, want %x", i, n, got[i], want)
			}
		}
	}
}

// reversed returns a hash as it is shown, in the order of the bytes in which it
// is hashed.
func reversed(t *testing.T, s string) (h [32]byte) {
	t.Helper()
	copy(h[:], unhex(t, s))
	slices.Reverse(h[:])
	return h
}

// Bitcoin's first header, and the transactions and the root of block 100,000.
func TestBitcoinVectors(t *testing.T) {
	header := [80]byte(unhex(t, "01000000"+strings.Repeat("00", 32)+
		"3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"))
	for _, n := range []int{1, 2, 40} {
		got := make([][32]byte, n)
		DoubleSum80(got, slices.Repeat([][80]byte{header}, n))
		want := reversed(t, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
		for i := range got {
			if got[i] != want {
				t.Errorf("%d of %d: got %x, want %x", i, n, got[i], want)
			}
		}
	}

	root, mutated := MerkleRoot([][32]byte{
		reversed(t, "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87"),
		reversed(t, "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4"),
		reversed(t, "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4"),
		reversed(t, "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d"),
	})
	want := reversed(t, "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766")
	if root != want || mutated {
		t.Errorf("block 100,000: got %x, mutated %v; want %x", root, mutated, want)
	}
}
