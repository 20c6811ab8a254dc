package opstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// The hashes that cast computes from the specification's words; the last two are in
// op-node's tests.
func TestSourceHashes(t *testing.T) {
	block := common.HexToHash("0xd25df7858efc1778118fb133ac561b138845361626dfb976699c5287ed0f4959")
	for _, tt := range []struct {
		name string
		got  common.Hash
		want string
	}{
		{"user", UserSourceHash(block, 1), "0xf923fb07134d7d287cb52c770cc619e17e82606c21a875c92f4c63b65280a5cc"},
		{"L1 info", L1InfoSourceHash(common.HexToHash("0xc00e5d67c2755389aded7d8b151cbd5bcdf7ed275ad5e028b664880fc7581c77"), 4),
			"0x0586c503340591999b8b38bc9834bb16aec7d5bc00eb5587ab139c9ddab81977"},
		{"upgrade", UpgradeSourceHash("Ecotone: L1 Block Proxy Update"), "0x18acb38c5ff1c238a7460ebc1b421fa49ec4874bdf1e0a530d234104e5e67dbc"},
	} {
		if tt.got.Hex() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, tt.got, tt.want)
		}
	}
	seen := make(map[common.Hash]bool)
	for i := range uint64(3) {
		seen[UserSourceHash(block, i)] = true
		seen[L1InfoSourceHash(block, i)] = true
	}
	if len(seen) != 6 {
		t.Errorf("six origins have %d source hashes", len(seen))
	}
}

// someDeposits are deposits with and without each field.
func someDeposits() []*Deposit {
	a := blocksOfAnvil()[3]
	all := deposits(&a, 1)
	all = append(all, &Deposit{}, &Deposit{
		To: &common.Address{}, Mint: *new(uint256.Int).SetAllOne(), Value: *new(uint256.Int).SetAllOne(),
		Gas: 1<<64 - 1, IsSystem: true, Data: []byte{0},
	})
	return all
}

func TestDepositRoundTrip(t *testing.T) {
	for _, d := range someDeposits() {
		data, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var binary, text Deposit
		if err := binary.UnmarshalBinary(data); err != nil || binary.Hash() != d.Hash() {
			t.Errorf("%x: %+v, %v", data, binary, err)
		}
		encoded, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encoded, &text); err != nil || text.Hash() != d.Hash() {
			t.Errorf("%s: %+v, %v", encoded, text, err)
		}
		for _, wrong := range [][]byte{nil, data[1:], data[:len(data)-1], append(bytes.Clone(data), 0), append([]byte{2}, data[1:]...)} {
			before := *d
			if err := before.UnmarshalBinary(wrong); err == nil || !reflect.DeepEqual(before, *d) {
				t.Errorf("%x is taken for a deposit, %v", wrong, err)
			}
		}
	}
}

func TestDepositJSON(t *testing.T) {
	right, err := json.Marshal(someDeposits()[0])
	if err != nil {
		t.Fatal(err)
	}
	change := func(key string, value any) []byte {
		var fields map[string]any
		if err := json.Unmarshal(right, &fields); err != nil {
			t.Fatal(err)
		}
		if fields[key] = value; value == "absent" {
			delete(fields, key)
		}
		data, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	zeros := "0x" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name  string
		data  []byte
		right bool
	}{
		{"as it is", right, true},
		{"without a mint", change("mint", "absent"), true},
		{"with no mint", change("mint", nil), true},
		{"without isSystemTx", change("isSystemTx", "absent"), true},
		{"a signature of zeros", change("r", zeros), true},
		{"a signature of 0", change("s", "0x0"), true},
		{"an empty signature", change("s", "0x"), true},
		{"a signature", change("s", zeros[:65]+"1"), false},
		{"a signature too long", change("r", zeros+"0"), false},
		{"a signature of letters", change("r", "0xzz"), false},
		{"a parity", change("v", "0x1"), false},
		{"a price", change("gasPrice", "0x1"), false},
		{"no source", change("sourceHash", "absent"), false},
		{"no sender", change("from", nil), false},
		{"no gas", change("gas", nil), false},
		{"no value", change("value", nil), false},
		{"no input", change("input", nil), false},
		{"a mint of 257 bits", change("mint", "0x1"+strings.Repeat("0", 64)), false},
		{"another type", change("type", "0x2"), false},
		{"a type that ends alike", change("type", "0x17e"), false},
		{"no object", []byte("[]"), false},
	} {
		var d Deposit
		if err := d.UnmarshalJSON(tt.data); (err == nil) != tt.right {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A transaction of a future type hides itself, and not its block.
func TestUnknownTransaction(t *testing.T) {
	data := []byte(`{"type":"0x7d","hash":"0x` + strings.Repeat("11", 32) + `","what":"is new"}`)
	var tx Transaction
	if err := json.Unmarshal(data, &tx); err != nil || tx.Type != 0x7d || string(tx.Unknown) != string(data) {
		t.Errorf("%+v, %v", tx, err)
	}
	if _, err := tx.MarshalBinary(); err == nil {
		t.Error("it has an encoding")
	}
	if _, err := tx.Sender(); err == nil {
		t.Error("it has a sender")
	}
	raw := []byte{0x7d, 1, 2, 3}
	if err := tx.UnmarshalBinary(raw); err != nil || tx.Type != 0x7d {
		t.Errorf("%+v, %v", tx, err)
	}
	if back, err := tx.MarshalBinary(); err != nil || !bytes.Equal(back, raw) {
		t.Errorf("%x, %v", back, err)
	}
	for _, wrong := range [][]byte{nil, {0x80}, {0xbf, 1}, {0x7e}, {2}, {0xc0}} {
		if err := tx.UnmarshalBinary(wrong); err == nil {
			t.Errorf("%x is taken for a transaction", wrong)
		}
	}
}

// A node that contradicts itself is found.
func TestBlockContradictions(t *testing.T) {
	a := blocksOfAnvil()[3]
	block := Block{Header: &types.Header{Number: uint256.NewInt(7).ToBig(), Difficulty: uint256.NewInt(0).ToBig()}}
	for _, d := range deposits(&a, 1) {
		block.Transactions = append(block.Transactions, Transaction{Type: DepositType, Deposit: d, Hash: d.Hash(), From: d.From})
	}
	list := make(encodings, len(block.Transactions))
	for i := range list {
		list[i], _ = block.Transactions[i].MarshalBinary()
	}
	block.Header.TxHash = list.root()
	block.Hash = block.Header.Hash()
	right := func() map[string]any {
		header, err := json.Marshal(block.Header)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(header, &fields); err != nil {
			t.Fatal(err)
		}
		var txs []any
		for _, tx := range block.Transactions {
			data, err := json.Marshal(tx.Deposit)
			if err != nil {
				t.Fatal(err)
			}
			var tf map[string]any
			if err := json.Unmarshal(data, &tf); err != nil {
				t.Fatal(err)
			}
			tf["hash"] = tx.Hash
			txs = append(txs, tf)
		}
		fields["transactions"] = txs
		return fields
	}
	for _, tt := range []struct {
		name  string
		spoil func(b map[string]any)
		want  error
	}{
		{"as it is", func(map[string]any) {}, nil},
		{"another height", func(b map[string]any) { b["number"] = "0x8" }, ErrHash},
		{"another hash", func(b map[string]any) { b["hash"] = common.Hash{1} }, ErrHash},
		{"another mint", func(b map[string]any) { b["transactions"].([]any)[1].(map[string]any)["mint"] = "0x1" }, ErrHash},
		{"a transaction less", func(b map[string]any) { b["transactions"] = b["transactions"].([]any)[1:] }, ErrRoot},
	} {
		fields := right()
		tt.spoil(fields)
		data, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var b Block
		if err := b.UnmarshalJSON(data); !errors.Is(err, tt.want) || tt.want == nil && (err != nil || b.Hash != block.Hash) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		_, hash, err := ParseHeader(data)
		if wrong := tt.want == ErrHash && tt.name != "another mint"; (err != nil) != wrong || !wrong && hash != block.Hash {
			t.Errorf("%s: the header is %v, %v", tt.name, hash, err)
		}
	}
	fields := right()
	fields["transactions"] = []any{common.Hash{1}}
	data, _ := json.Marshal(fields)
	if err := new(Block).UnmarshalJSON(data); err == nil {
		t.Error("a block of hashes is taken")
	}
	if _, err := (&Block{Header: block.Header}).Attributes(); err == nil {
		t.Error("a block without transactions has attributes")
	}
	if _, err := (&Block{Header: block.Header, Transactions: block.Transactions[1:]}).Attributes(); err == nil {
		t.Error("a user's deposit is taken for attributes")
	}
}

func FuzzTransactionBinary(f *testing.F) {
	for _, d := range someDeposits() {
		data, _ := d.MarshalBinary()
		f.Add(data)
	}
	f.Add(hexutil.MustDecode("0x02f86c82ed8880843b9aca00847735940082520894f39fd6e51aad88f6f4ce6ab8827279cfffb922660780c001a0ec0cca59bce05407c12411ceb7c995f3b12399b59014b415f77bf6ec7a2d609ba0083063097c33388e7177dd4a8d31b0b2d88aa0018d1a2667af97bc0fc5b4be64"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var tx Transaction
		if tx.UnmarshalBinary(data) != nil {
			return
		}
		if back, err := tx.MarshalBinary(); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%x is decoded and encoded as %x, %v", data, back, err)
		}
	})
}

func FuzzBlockJSON(f *testing.F) {
	for _, e := range loadRecording(f) {
		f.Add([]byte(e.Result))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Block
		if b.UnmarshalJSON(data) == nil && b.Header.Hash() != b.Hash {
			t.Errorf("block %v has the hash %v", b.Hash, b.Header.Hash())
		}
		var tx Transaction
		if tx.UnmarshalJSON(data) == nil && tx.Deposit != nil && tx.Deposit.Hash() != tx.Hash {
			t.Errorf("deposit %v has the hash %v", tx.Hash, tx.Deposit.Hash())
		}
	})
}

func FuzzBlockBinary(f *testing.F) {
	for _, e := range loadRecording(f) {
		var b Block
		if b.UnmarshalJSON(e.Result) == nil {
			data, _ := b.MarshalBinary()
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Block
		if b.UnmarshalBinary(data) != nil {
			return
		}
		again, err := b.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var c Block
		if err := c.UnmarshalBinary(again); err != nil || c.Hash != b.Hash || len(c.Transactions) != len(b.Transactions) {
			t.Errorf("%x is another block after encoding, %v", data, err)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	for _, r := range mainnetReceipts(f) {
		data, _ := r.MarshalJSON()
		f.Add(data)
		data, _ = r.MarshalBinary()
		f.Add(data)
	}
	version := uint64(1)
	deposit := Receipt{DepositNonce: &version, DepositReceiptVersion: &version}
	deposit.Type, deposit.Status = DepositType, 1
	data, _ := deposit.MarshalBinary()
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Receipt
		if r.UnmarshalJSON(data) == nil {
			again, err := r.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var second Receipt
			if err := second.UnmarshalJSON(again); err != nil {
				t.Errorf("%s is no receipt after encoding: %v", again, err)
			}
			_, _ = r.Fees(Jovian)
		}
		if r.UnmarshalBinary(data) == nil {
			if back, err := r.MarshalBinary(); err != nil || !bytes.Equal(back, data) {
				t.Errorf("%x is decoded and encoded as %x, %v", data, back, err)
			}
		}
	})
}

func TestReceiptJSON(t *testing.T) {
	for i, r := range mainnetReceipts(t) {
		data, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var again Receipt
		if err := again.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		if r.PostState = []byte{}; !reflect.DeepEqual(again, r) {
			t.Errorf("receipt %d is another after encoding: %s", i, data)
		}
	}
	const head = `{"type":"0x7E","status":"0x1","cumulativeGasUsed":"0x1","logs":[],"gasUsed":"0x1","logsBloom":"0x`
	bloom := strings.Repeat("0", 512) + `","transactionHash":"0x` + strings.Repeat("22", 32) + `"`
	var r Receipt
	if err := r.UnmarshalJSON([]byte(head + bloom + `,"depositNonce":"0x5","depositReceiptVersion":"0x1","l1FeeScalar":"0.684"}`)); err != nil ||
		r.Type != DepositType || *r.DepositNonce != 5 || *r.DepositReceiptVersion != 1 || r.L1FeeScalar != "0.684" {
		t.Errorf("%+v, %v", r, err)
	}
	r.DepositNonce = nil
	if _, err := r.MarshalBinary(); err == nil {
		t.Error("a deposit's receipt with a version and no nonce has an encoding")
	}
	for _, wrong := range []string{`,"l1FeeScalar":"1e9999"}`, `,"operatorFeeScalar":7}`, `,"type":"0x17e"}`, `,"blockNumber":"0x10000000000000000"}`} {
		if err := r.UnmarshalJSON([]byte(head + bloom + wrong)); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}
