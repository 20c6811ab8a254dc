package blockval

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

func TestParseSignetChallenge(t *testing.T) {
	longest := strings.Repeat("51", maxScriptSize)
	for _, tc := range []struct {
		name, text string
		bytes      int // 0 is an error
	}{
		{"OP_TRUE", "51", 1},
		{"upper case", "AC", 1},
		{"the longest script", longest, maxScriptSize},
		{"a longer one", longest + "51", 0},
		{"empty", "", 0},
		{"half a byte", "515", 0},
		{"no digits", "0x51", 0},
		{"spaces", "51 ", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseSignetChallenge(tc.text)
			if len(got) != tc.bytes || (err == nil) != (tc.bytes > 0) {
				t.Errorf("%d bytes, %v, want %d", len(got), err, tc.bytes)
			}
		})
	}
}

func FuzzParseSignetChallenge(f *testing.F) {
	for _, seed := range []string{"51", "", "5", "0x51", "AC", "51 52"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseSignetChallenge(text)
		if err != nil {
			if got != nil {
				t.Errorf("%q: %x beside %v", text, got, err)
			}
			return
		}
		if len(got) == 0 || len(got) > maxScriptSize || hex.EncodeToString(got) != strings.ToLower(text) {
			t.Errorf("%q is %x", text, got)
		}
	})
}

// A signet's magic is btcd's for the same challenge, if that is short: btcd takes the
// length for one byte.
func TestSetSignetChallenge(t *testing.T) {
	for _, challenge := range [][]byte{{0x51}, bytes.Repeat([]byte{0x61}, 252), chaincfg.DefaultSignetChallenge} {
		p, err := ParamsFor("signet")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.SetSignetChallenge(challenge); err != nil {
			t.Fatal(err)
		}
		btcd := chaincfg.CustomSignetParams(challenge, nil)
		if got := binary.LittleEndian.Uint32(p.Magic[:]); got != uint32(btcd.Net) || !bytes.Equal(p.SignetChallenge, challenge) {
			t.Errorf("challenge %x: the magic is %08x, btcd's is %08x", challenge, got, uint32(btcd.Net))
		}
	}
	usual, err := ParamsFor("signet")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(usual.SignetChallenge, chaincfg.DefaultSignetChallenge) {
		t.Errorf("the default challenge is %x", usual.SignetChallenge)
	}
	main, err := ParamsFor("main")
	if err != nil {
		t.Fatal(err)
	}
	if err := main.SetSignetChallenge([]byte{0x51}); err == nil || main.SignetChallenge != nil {
		t.Errorf("mainnet has the challenge %x (%v)", main.SignetChallenge, err)
	}
}
