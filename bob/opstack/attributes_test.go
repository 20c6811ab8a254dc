package opstack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// The offsets of the specifications: each field is found where they put it.
func TestAttributesLayout(t *testing.T) {
	words := func(parts ...string) []byte {
		data, err := hex.DecodeString(strings.Join(parts, ""))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	h1, h2 := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	u256 := func(last string) string { return strings.Repeat("0", 64-len(last)) + last }
	ecotone := []string{"440a5e20", "00000001", "00000002", "0000000000000003", "0000000000000004", "0000000000000005",
		u256("06"), u256("07"), h1, h2}
	for _, tt := range []struct {
		form Form
		data []byte
	}{
		{FormBedrock, words("015d8eb9", u256("05"), u256("04"), u256("06"), h1, u256("03"), h2, u256("08"), u256("09"))},
		{FormEcotone, words(ecotone...)},
		{FormIsthmus, words(append(append([]string{"098999be"}, ecotone[1:]...), "0000000a", "000000000000000b")...)},
		{FormJovian, words(append(append([]string{"3db6be2b"}, ecotone[1:]...), "0000000a", "000000000000000b", "000c")...)},
	} {
		want := Attributes{
			Form: tt.form, Number: 5, Time: 4, Hash: common.HexToHash(h1), Sequence: 3, BatcherHash: common.HexToHash(h2),
		}
		want.BaseFee.SetUint64(6)
		if tt.form == FormBedrock {
			want.Overhead.SetUint64(8)
			want.Scalar.SetUint64(9)
		} else {
			want.BlobBaseFee.SetUint64(7)
			want.BaseFeeScalar, want.BlobBaseFeeScalar = 1, 2
		}
		if tt.form >= FormIsthmus {
			want.OperatorFeeScalar, want.OperatorFeeConstant = 10, 11
		}
		if tt.form >= FormJovian {
			want.DAFootprintGasScalar = 12
		}
		got, err := ParseAttributes(tt.data)
		if err != nil || *got != want {
			t.Errorf("%v: %+v, %v; want %+v", tt.form, got, err, want)
			continue
		}
		if !bytes.Equal(got.Encode(), tt.data) {
			t.Errorf("%v: encoded as %x, want %x", tt.form, got.Encode(), tt.data)
		}
		for _, wrong := range [][]byte{tt.data[:len(tt.data)-1], append(bytes.Clone(tt.data), 0)} {
			if a, err := ParseAttributes(wrong); err == nil {
				t.Errorf("%v: %d bytes are taken for %+v", tt.form, len(wrong), a)
			}
		}
	}
}

func TestAttributesSelectors(t *testing.T) {
	for form, signature := range map[Form]string{
		FormBedrock: "setL1BlockValues(uint64,uint64,uint256,bytes32,uint64,bytes32,uint256,uint256)",
		FormEcotone: "setL1BlockValuesEcotone()",
		FormIsthmus: "setL1BlockValuesIsthmus()",
		FormJovian:  "setL1BlockValuesJovian()",
	} {
		if want := crypto.Keccak256([]byte(signature)); !bytes.Equal(forms[form].selector[:], want[:4]) {
			t.Errorf("the selector of %v is %x, not %x", form, forms[form].selector, want[:4])
		}
	}
	future := append([]byte{1, 2, 3, 4}, make([]byte, 180)...)
	if _, err := ParseAttributes(future); !errors.Is(err, ErrUnknownForm) {
		t.Errorf("a form of the future: %v", err)
	}
	for _, short := range [][]byte{nil, {1, 0x5d, 0x8e}} {
		if _, err := ParseAttributes(short); err == nil || errors.Is(err, ErrUnknownForm) {
			t.Errorf("%x: %v", short, err)
		}
	}
	wide := blocksOfAnvil()[0].Encode()
	wide[4] = 1
	if _, err := ParseAttributes(wide); err == nil {
		t.Error("a height of more than 64 bits is taken")
	}
}

func FuzzParseAttributes(f *testing.F) {
	for _, a := range blocksOfAnvil() {
		f.Add(a.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAttributes(data)
		if err == nil && !bytes.Equal(a.Encode(), data) {
			t.Errorf("%x is decoded and encoded as %x", data, a.Encode())
		}
	})
}
