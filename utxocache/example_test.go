package utxocache_test

import (
	"fmt"
	"log"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache"
)

func Example() {
	cache, err := utxocache.New(utxocache.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	genesis := utxocache.Tip{Hash: chainhash.HashH([]byte("block 0"))}
	cache.Reset(genesis, true)
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxOut(wire.NewTxOut(50e8, []byte{0x51}))
	block := utxocache.Block{
		Tip:   utxocache.Tip{Hash: chainhash.HashH([]byte("block 1")), Height: 1},
		Prev:  genesis.Hash,
		Txids: []chainhash.Hash{coinbase.TxHash()},
		Txs:   []*wire.MsgTx{coinbase},
	}
	if err := cache.Apply(block); err != nil {
		log.Fatal(err)
	}

	ops := []wire.OutPoint{{Hash: coinbase.TxHash()}, {Hash: coinbase.TxHash(), Index: 1}}
	answers := make([]utxocache.Answer, len(ops))
	if err := cache.Fetch(block.Hash, ops, answers); err != nil {
		log.Fatal(err)
	}
	for _, a := range answers {
		fmt.Println(a.State, a.Coin.Value, a.Own)
	}
	// Output:
	// unspent 5000000000 true
	// absent 0 true
}
