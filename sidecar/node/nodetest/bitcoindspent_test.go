package nodetest

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// TestBitcoindSpendsWhatWasRecorded compares what the fake makes up of a block's
// spent coins with what a real node said of them.
func TestBitcoindSpendsWhatWasRecorded(t *testing.T) {
	type told []struct {
		Txid string
		Vin  []struct {
			Coinbase, Txid string
			Vout           uint32
			Prevout        *struct {
				Generated    bool
				Height       int
				Value        float64 // one recording has numbers as another program wrote them
				ScriptPubKey struct{ Hex string }
			}
		}
	}
	for _, folder := range []string{"bitcoind/", "bitcoind/zoo/"} {
		rec := ReadBitcoindRecording(t, func(name string) []byte {
			return testvectors.LoadFixture(t, folder+name, "the fake bitcoind against a real one")
		})
		compared, coins := 0, 0
		for _, c := range rec.Calls {
			var params []any
			if c.Request.Method != "getblock" || json.Unmarshal(c.Request.Params, &params) != nil || len(params) != 2 || params[1] != float64(3) {
				continue
			}
			hash, err := chainhash.NewHashFromStr(params[0].(string))
			if err != nil {
				t.Fatal(err)
			}
			var want struct{ Tx told }
			if err := json.Unmarshal(c.Response.Result, &want); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(rec.spendingTxs(*hash))
			if err != nil {
				t.Fatal(err)
			}
			var got told
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want.Tx) {
				t.Errorf("block %s: %.500s", hash, data)
			}
			compared++
			for _, tx := range got[1:] {
				coins += len(tx.Vin)
			}
		}
		if compared == 0 || coins == 0 {
			t.Errorf("%s: %d answers with %d coins were compared", folder, compared, coins)
		}
	}
}
