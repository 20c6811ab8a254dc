package muhash_test

import (
	"fmt"

	"github.com/outrider-project/outrider/utxocache/muhash"
)

// A block is a set of its own: what it creates is inserted, what it spends is
// removed. Combined with the whole it connects the block, and uncombined it
// disconnects it.
func Example() {
	var coins muhash.Set
	coins.Insert([]byte("the first coin"))
	before := coins.Finalize()

	var block muhash.Set
	block.Remove([]byte("the first coin"))
	block.Insert([]byte("the second coin"))

	coins.Combine(&block)
	var want muhash.Set
	want.Insert([]byte("the second coin"))
	fmt.Println("connected:", coins.Finalize() == want.Finalize())

	coins.Uncombine(&block)
	fmt.Println("disconnected:", coins.Finalize() == before)
	// Output:
	// connected: true
	// disconnected: true
}

// Many elements are shared among goroutines.
func ExampleSet_Apply() {
	var batch muhash.Batch
	var one, many muhash.Set
	for i := range 1000 {
		coin := fmt.Append(nil, "coin ", i)
		one.Insert(coin)
		batch.Insert(coin)
	}
	many.Apply(&batch, 4)
	fmt.Println(batch.Len(), many.Finalize() == one.Finalize())
	// Output: 1000 true
}
