package opstack

import (
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// mainnetReceipts are the receipts of two deployments in block 21,372,653 of BOB, in
// August 2025: Isthmus, with an operator fee that is a constant. They are public data of
// the chain, as github.com/bob-collective/bob had them at d67a9b5f in contracts/broadcast.
func mainnetReceipts(t testing.TB) []Receipt {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "bob-receipts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var receipts []Receipt
	if err := json.Unmarshal(data, &receipts); err != nil {
		t.Fatal(err)
	}
	return receipts
}

func TestMainnetFees(t *testing.T) {
	for i, want := range []struct{ execution, l1, operator, total, fastLZ uint64 }{
		{687_991 * 10_100_252, 14_461_143_691_138, 15_000_000_000_000, 0, 1998},
		{687_991 * 10_100_252, 14_505_706_001_758, 15_000_000_000_000, 0, 2004},
	} {
		r := mainnetReceipts(t)[i]
		want.total = want.execution + want.l1 + want.operator
		fees, err := r.Fees(Isthmus)
		if err != nil {
			t.Fatal(err)
		}
		total, err := fees.Total()
		if err != nil {
			t.Fatal(err)
		}
		if fees.Execution.Uint64() != want.execution || fees.L1.Uint64() != want.l1 ||
			fees.Operator.Uint64() != want.operator || total.Uint64() != want.total {
			t.Errorf("receipt %d: %v, %v in all, want %+v", i, fees, total.Dec(), want)
		}
		// The L1 fee again, to the wei. The signed transaction is not known, but what
		// it compresses to follows from l1GasUsed, which is the size in sixteenths.
		a := Attributes{
			Form: FormIsthmus, BaseFee: *r.L1GasPrice, BlobBaseFee: *r.L1BlobBaseFee,
			BaseFeeScalar: uint32(*r.L1BaseFeeScalar), BlobBaseFeeScalar: uint32(*r.L1BlobBaseFeeScalar),
		}
		size := want.fastLZ*836_500 - 42_585_600
		if used := size * 16 / 1_000_000; used != r.L1GasUsed.Uint64() {
			t.Errorf("receipt %d: %d bytes after FastLZ use %d gas of L1, the receipt has %v", i, want.fastLZ, used, r.L1GasUsed)
		}
		if fee, err := a.scaledFee(size, 1e12); err != nil || fee != *r.L1Fee {
			t.Errorf("receipt %d: L1 fee %v, %v, want %v", i, fee.Dec(), err, r.L1Fee.Dec())
		}
	}
}

// The figures of op-geth's own tests.
func TestL1Fee(t *testing.T) {
	to := common.HexToAddress("095e7baea6a6c7c4c2dfeb977efac326af552d87")
	tx, err := types.NewTx(&types.LegacyTx{To: &to, Value: new(big.Int), GasPrice: new(big.Int)}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	bedrock := Attributes{Form: FormBedrock, BaseFee: *uint256.NewInt(1e9), Overhead: *uint256.NewInt(50), Scalar: *uint256.NewInt(7e6)}
	ecotone := Attributes{
		Form: FormEcotone, BaseFee: *uint256.NewInt(1e9), BlobBaseFee: *uint256.NewInt(1e7), BaseFeeScalar: 2, BlobBaseFeeScalar: 3,
	}
	for _, tt := range []struct {
		name string
		a    Attributes
		fork Fork
		want uint64
	}{
		{"bedrock", bedrock, Bedrock, 11_326_000_000_000},
		{"regolith", bedrock, Regolith, 3_710_000_000_000},
		{"first block of ecotone", bedrock, Ecotone, 3_710_000_000_000},
		{"ecotone", ecotone, Ecotone, 960_900},
		{"fjord", ecotone, Fjord, 3_203_000},
		{"jovian", ecotone, Jovian, 3_203_000},
	} {
		if got, err := tt.a.L1Fee(tt.fork, tx); err != nil || got.Uint64() != tt.want {
			t.Errorf("%s: %v, %v; want %d", tt.name, got.Dec(), err, tt.want)
		}
	}
	for _, a := range []Attributes{bedrock, ecotone} {
		a.BaseFee.SetAllOne()
		a.BaseFeeScalar, a.Scalar = 1<<32-1, *new(uint256.Int).SetAllOne()
		if fee, err := a.L1Fee(Fjord, tx); !errors.Is(err, ErrFeeRange) {
			t.Errorf("form %v: a fee without bounds is %v, %v", a.Form, fee.Dec(), err)
		}
	}
}

func TestOperatorFee(t *testing.T) {
	const most = 1<<64 - 1
	for _, tt := range []struct {
		fork          Fork
		scalar        uint32
		constant, gas uint64
		want          string
	}{
		{Holocene, 5, 6, 7, "0"},
		{Isthmus, 0, 15e12, 687_991, "15000000000000"},
		{Isthmus, 999_999, 1, 3, "3"}, // 2.999997, rounded down
		{Jovian, 999_999, 1, 3, "299999701"},
		// The greatest that the specifications name, of 77 and 103 bits.
		{Isthmus, 1<<32 - 1, most, most, "79228162495817593519834"},
		{Jovian, 1<<32 - 1, most, most, "7922816249581759353166063222815"},
	} {
		got := OperatorFee(tt.fork, tt.scalar, tt.constant, tt.gas)
		want := new(big.Int).Mul(new(big.Int).SetUint64(tt.gas), big.NewInt(int64(tt.scalar)))
		switch {
		case tt.fork >= Jovian:
			want.Mul(want, big.NewInt(100))
		case tt.fork == Isthmus:
			want.Div(want, big.NewInt(1e6))
		}
		if want.Add(want, new(big.Int).SetUint64(tt.constant)); tt.fork < Isthmus {
			want.SetInt64(0)
		}
		if got.ToBig().Cmp(want) != 0 || tt.gas < most && got.Dec() != tt.want {
			t.Errorf("%v, scalar %d, constant %d, gas %d: %s, want %s (%v)", tt.fork, tt.scalar, tt.constant, tt.gas, got.Dec(), tt.want, want)
		}
	}
}

func TestDAFootprint(t *testing.T) {
	a := blocksOfAnvil()[3]
	if got := a.DAFootprint(make([]byte, 50)); got != 100*400 {
		t.Errorf("the footprint of a small transaction is %d", got)
	}
	rest := []byte{2}
	for i := range 20_000 {
		rest = append(rest, byte(i*i*7919>>5))
	}
	if got, want := a.DAFootprint(rest), (FastLZLength(rest)*836_500-42_585_600)/1_000_000*400; got != want || got <= 100*400 {
		t.Errorf("the footprint of a large transaction is %d, want %d", got, want)
	}
	for i, form := range blocksOfAnvil() {
		to := bob
		user := types.NewTx(&types.DynamicFeeTx{To: &to, Data: rest, V: big.NewInt(0), R: big.NewInt(1), S: big.NewInt(1)})
		block := Block{Header: new(types.Header), Transactions: []Transaction{
			{Deposit: form.Deposit(), Type: DepositType}, {Deposit: deposits(&form, 1)[1], Type: DepositType},
		}}
		if got, err := block.DAFootprint(); err != nil || got != 0 {
			t.Errorf("form %v: deposits have a footprint of %d, %v", form.Form, got, err)
		}
		block.Transactions = append(block.Transactions, Transaction{Ethereum: user, Type: 2})
		got, err := block.DAFootprint()
		data, _ := block.Transactions[2].MarshalBinary()
		if i < 3 && err == nil || i == 3 && (err != nil || got != form.DAFootprint(data)) {
			t.Errorf("form %v: the footprint is %d, %v", form.Form, got, err)
		}
	}
}

// Every field that a node gets wrong is found.
func TestCheckFees(t *testing.T) {
	a := blocksOfAnvil()[3]
	to := bob
	tx := Transaction{Type: 2, Ethereum: types.NewTx(&types.DynamicFeeTx{
		To: &to, Data: make([]byte, 3000), V: big.NewInt(0), R: big.NewInt(1), S: big.NewInt(1),
	})}
	data, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	right := func() *Receipt {
		fee, err := a.L1Fee(Jovian, data)
		if err != nil {
			t.Fatal(err)
		}
		number := func(n uint64) *uint64 { return &n }
		r := &Receipt{
			L1Fee: &fee, L1GasPrice: new(a.BaseFee), L1BlobBaseFee: new(a.BlobBaseFee),
			L1BaseFeeScalar: number(uint64(a.BaseFeeScalar)), L1BlobBaseFeeScalar: number(uint64(a.BlobBaseFeeScalar)),
			OperatorFeeScalar: number(uint64(a.OperatorFeeScalar)), OperatorFeeConstant: number(a.OperatorFeeConstant),
			DAFootprintGasScalar: number(uint64(a.DAFootprintGasScalar)),
		}
		r.BlobGasUsed = a.DAFootprint(data)
		return r
	}
	if err := a.CheckFees(Jovian, &tx, right()); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(r *Receipt){
		"l1Fee":                func(r *Receipt) { r.L1Fee.AddUint64(r.L1Fee, 1) },
		"l1GasPrice":           func(r *Receipt) { r.L1GasPrice = nil },
		"l1BlobBaseFee":        func(r *Receipt) { r.L1BlobBaseFee.Clear() },
		"l1BaseFeeScalar":      func(r *Receipt) { *r.L1BaseFeeScalar = 1 },
		"l1BlobBaseFeeScalar":  func(r *Receipt) { r.L1BlobBaseFeeScalar = nil },
		"operatorFeeScalar":    func(r *Receipt) { *r.OperatorFeeScalar = 0 },
		"operatorFeeConstant":  func(r *Receipt) { r.OperatorFeeConstant = nil },
		"daFootprintGasScalar": func(r *Receipt) { *r.DAFootprintGasScalar++ },
		"blobGasUsed":          func(r *Receipt) { r.BlobGasUsed-- },
	} {
		r := right()
		spoil(r)
		if e, ok := errors.AsType[*FeeError](a.CheckFees(Jovian, &tx, r)); !ok || e.Field != field {
			t.Errorf("a wrong %s: %v", field, e)
		}
	}
	// Both parameters of the operator may be left out if both are 0.
	a.OperatorFeeScalar, a.OperatorFeeConstant = 0, 0
	r := right()
	r.OperatorFeeScalar, r.OperatorFeeConstant = nil, nil
	if err := a.CheckFees(Jovian, &tx, r); err != nil {
		t.Error(err)
	}
}

func TestFeesOfIncompleteReceipts(t *testing.T) {
	for name, spoil := range map[string]func(r *Receipt){
		"no price":            func(r *Receipt) { r.EffectiveGasPrice = nil },
		"no L1 fee":           func(r *Receipt) { r.L1Fee = nil },
		"a scalar of 33 bits": func(r *Receipt) { *r.OperatorFeeScalar = 1 << 32 },
		"a price of 300 bits": func(r *Receipt) { r.EffectiveGasPrice = new(big.Int).Lsh(big.NewInt(1), 300) },
	} {
		r := mainnetReceipts(t)[0]
		spoil(&r)
		if fees, err := r.Fees(Isthmus); err == nil {
			t.Errorf("%s: %+v", name, fees)
		}
	}
}
