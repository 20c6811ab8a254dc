package blockval

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// signetBlocks are the blocks 1 and 2 of the default signet.
var signetBlocks = []string{
	"00000020f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000f575c83235984e7dc4afc1f30944c170462e8443" +
		"7ab6f2d52e16878a79e4678bd1914d5fae77031eccf4070001010000000001010000000000000000000000000000000000000000000000" +
		"000000000000000000ffffffff025151feffffff0200f2052a010000001600149243f727dd5343293eb83174324019ec16c2630f000000" +
		"0000000000776a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf94c4fecc7daa24900473044" +
		"02205e423a8754336ca99dbe16509b877ef1bf98d008836c725005b3c787c41ebe46022047246e4467ad7cc7f1ad98662afcaf14c115e0" +
		"095a227c7b05c5182591c23e7e01000120000000000000000000000000000000000000000000000000000000000000000000000000",
	"00000020533b53ded9bff4adc94101d32400a144c54edc5ed492a3b26c63b2d686000000b38fef50592017cfafbcab88eb3d9cf50b2c8017" +
		"11cad8299495d26df5e54812e7914d5fae77031ecfdd0b0001010000000001010000000000000000000000000000000000000000000000" +
		"000000000000000000ffffffff025251feffffff0200f2052a01000000160014fd09839740f0e0b4fc6d5e2527e4022aa9b89dfa000000" +
		"0000000000776a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf94c4fecc7daa24900473044" +
		"022031d64a1692cdad1fc0ced69838169fe19ae01be524d831b95fcf5ea4e6541c3c02204f9dea0801df8b4d0cd0857c62ab35c6c25cc4" +
		"7c930630dc7fe723531daa3e9b01000120000000000000000000000000000000000000000000000000000000000000000000000000",
}

func TestSignetBlocks(t *testing.T) {
	v := newValidator(t, "signet", Options{})
	chain := header.Chain{v.params.Genesis}
	step := 1
	if testing.Short() {
		step = 17
	}
	for i, text := range signetBlocks {
		raw := decodeHex(t, text)
		at := At{Height: uint32(i + 1), Ancestors: chain, Coins: testCoins{}}
		got := checkRaw(t, v, raw, at)
		if !got.Valid() || len(got.Unchecked) != 0 {
			t.Errorf("signet block %d: %v, unchecked %v", i+1, got.Err, got.Unchecked)
		}
		// Every bit is covered by the proof of work, the solution or, where a
		// solution may say the same in other bytes, the merkle root.
		for bit := i; bit < 8*len(raw); bit += step {
			raw[bit/8] ^= 1 << (bit % 8)
			got := checkRaw(t, v, raw, at)
			raw[bit/8] ^= 1 << (bit % 8)
			if got.Valid() {
				t.Fatalf("signet block %d with bit %d flipped is valid", i+1, bit)
			}
			want := []Rule{header.HighHash}
			if bit >= 8*header.Size {
				want = []Rule{BlockDecode, BadSignetSolution, BadMerkleRoot, BadWitnessCommitment, BadWitnessNonce}
			}
			if !slices.Contains(want, got.Err.Rule) {
				t.Errorf("bit %d: %v, want one of %q", bit, got.Err, want)
			}
		}
		chain = append(chain, header.Header(raw[:header.Size]))
	}
}

// TestSignetOtherChallenge checks a block of the default signet against the same
// keys, of which both must sign.
func TestSignetOtherChallenge(t *testing.T) {
	v := newValidator(t, "signet", Options{})
	v.params.SignetChallenge[0] = txscript.OP_2
	at := At{Height: 1, Ancestors: header.Chain{v.params.Genesis}, Coins: testCoins{}}
	if got := checkRaw(t, v, decodeHex(t, signetBlocks[0]), at); got.Valid() || got.Err.Rule != BadSignetSolution {
		t.Errorf("verdict %v, want %s", got.Err, BadSignetSolution)
	}
}

// TestSignetGenesis checks the genesis block, which has no solution.
func TestSignetGenesis(t *testing.T) {
	v := newValidator(t, "signet", Options{})
	raw := append(v.params.Genesis[:], 1)
	raw = append(raw, decodeHex(t, "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff"+
		"4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f6620736563"+
		"6f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828"+
		"e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000")...)
	if got := checkRaw(t, v, raw, At{}); !got.Valid() || len(got.Unchecked) != 0 {
		t.Errorf("verdict %v, unchecked %v", got.Err, got.Unchecked)
	}
	if got := checkRaw(t, newValidator(t, "main", Options{}), raw, At{}); got.Valid() {
		t.Error("signet's genesis block is valid on mainnet")
	}
}

// TestSignetSolutionForms tells the forms of a commitment in which a challenge
// that everybody satisfies is satisfied, as signet_parse_tests in Bitcoin Core.
func TestSignetSolutionForms(t *testing.T) {
	commitment := append([]byte("\xaa\x21\xa9\xed"), bytes.Repeat([]byte{0xff}, 32)...)
	script := func(pushes ...[]byte) []byte {
		s := []byte{txscript.OP_RETURN}
		for _, p := range pushes {
			s = appendPush(s, p)
		}
		return s
	}
	for _, tc := range []struct {
		name   string
		script []byte
		ok     bool
	}{
		{"no commitment", nil, false},
		{"no solution", script(commitment), true},
		{"header of a solution alone", script(commitment, []byte(signetHeader)), true},
		{"truncated solution", script(commitment, []byte(signetHeader+"\x01\x51")), false},
		{"solution", script(commitment, []byte(signetHeader+"\x01\x51\x00")), true},
		{"a byte after the solution", script(commitment, []byte(signetHeader+"\x01\x51\x00\x00")), false},
		{"length not in its shortest form", script(commitment, []byte(signetHeader+"\xfd\x01\x00\x51\x00")), false},
		{"second solution is none", script(commitment, []byte(signetHeader+"\x01\x51\x00"), []byte(signetHeader+"junk")), true},
		{"solution after a truncated push", append(script(commitment), 0x4c), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			coinbase := wire.NewMsgTx(1)
			coinbase.AddTxOut(&wire.TxOut{PkScript: tc.script})
			b := &Block{Msg: &wire.MsgBlock{Transactions: []*wire.MsgTx{coinbase, coinbase}}, Txids: make([]chainhash.Hash, 2)}
			p := &Params{Params: &header.Params{}, SignetChallenge: []byte{txscript.OP_TRUE}}
			b.Header[0] = 1
			rule, err := open(t, p, Options{}).checkSignetSolution(t.Context(), b)
			if err != nil || (rule == nil) != tc.ok {
				t.Errorf("%x: %v, %v, want ok %v", tc.script, rule, err, tc.ok)
			}
		})
	}
}

func TestCutSolution(t *testing.T) {
	for _, tc := range []struct{ script, rest, solution string }{
		{"", "", ""},
		{"51", "51", ""},
		{"04ecc7daa2", "04ecc7daa2", ""},
		{"06ecc7daa20102", "04ecc7daa2", "0102"},
		{"4c06ecc7daa20102", "04ecc7daa2", "0102"},                   // written again in its shortest form
		{"6a4d0200aabb06ecc7daa20102", "6a02aabb04ecc7daa2", "0102"}, // and so are the others
		{"6a4c0006ecc7daa20102", "6a4c04ecc7daa2", "0102"},           // but an empty push keeps only its operation
		{"06ecc7daa2010206ecc7daa20304", "04ecc7daa206ecc7daa20304", "0102"},
		{"06ecc7daa2010205aa", "04ecc7daa2", "0102"}, // what is truncated is dropped
		{"05aa", "05aa", ""},
	} {
		rest, solution := cutSolution(decodeHex(t, tc.script))
		if hex.EncodeToString(rest) != tc.rest || hex.EncodeToString(solution) != tc.solution {
			t.Errorf("%s: %x and %x, want %s and %s", tc.script, rest, solution, tc.rest, tc.solution)
		}
	}
}
