package coindb_test

import (
	"fmt"
	"log"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

func Example() {
	dir, err := os.MkdirTemp("", "coins")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := coindb.Open(dir, coindb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	genesis := coindb.Tip{Hash: chainhash.HashH([]byte("block 0"))}
	if err := db.Reset(genesis, true); err != nil {
		log.Fatal(err)
	}
	op := wire.OutPoint{Hash: chainhash.HashH([]byte("coinbase"))}
	block := coindb.Block{
		Tip:  coindb.Tip{Hash: chainhash.HashH([]byte("block 1")), Height: 1},
		Prev: genesis.Hash,
		Created: []coindb.CoinAt{
			{OutPoint: op, Coin: coindb.Coin{Value: 50e8, Script: []byte{0x51}, Height: 1, Coinbase: true}},
		},
	}
	if err := db.Apply(&block); err != nil {
		log.Fatal(err)
	}

	view, err := db.View()
	if err != nil {
		log.Fatal(err)
	}
	answers := make([]coindb.Answer, 2)
	if err := view.GetBatch([]wire.OutPoint{op, {Hash: op.Hash, Index: 1}}, answers); err != nil {
		log.Fatal(err)
	}
	fmt.Println(view.Tip().Height, answers[0].Found, answers[0].Coin.Value, answers[1].Found)
	if err := view.Close(); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: 1 true 5000000000 false
}
