package script

import (
	"context"
	"fmt"

	"github.com/outrider-project/outrider/sigverify"
)

func ExampleBatch() {
	v := sigverify.New(sigverify.Options{Workers: 1})
	defer v.Close()
	ctx := context.Background()

	tx, _ := manyInputs(newForge(1), 3) // P2PKH, P2WPKH and P2TR
	m, b := NewMachine(), new(Batch)
	var exact []int
	for i := range tx.Msg.TxIn {
		if m.Collect(tx, i, P2SH|Witness|Taproot, b, i) != OK {
			exact = append(exact, i)
		}
	}
	fmt.Println(len(b.Items), "checks")
	for len(b.Items) > 0 {
		valid := make([]bool, len(b.Items))
		if err := v.Verify(ctx, b.Items, valid); err != nil {
			fmt.Println(err)
			return
		}
		exact = b.Settle(valid, exact)
	}
	for _, i := range exact {
		reason, err := m.Execute(ctx, tx, i, P2SH|Witness|Taproot, v)
		fmt.Println(i, reason, err)
	}
	fmt.Println(len(exact), "inputs run exactly")
	// Output:
	// 3 checks
	// 0 inputs run exactly
}
