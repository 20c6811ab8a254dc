package nodetest

import (
	"encoding/json"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// SignetBlock returns a block on signet's genesis block that has no solution: it
// keeps every rule where the challenge is OP_TRUE, and breaks it where the
// challenge is another.
func SignetBlock() []byte {
	params := chaincfg.SigNetParams
	parent := &block{msg: params.GenesisBlock, hash: *params.GenesisHash}
	d := &draft{parent: parent, msg: &wire.MsgBlock{
		Header: wire.BlockHeader{
			Version: 0x20000000, PrevBlock: parent.hash, Bits: params.PowLimitBits,
			Timestamp: parent.msg.Header.Timestamp.Add(blockSpacing),
			Nonce:     signetNonce, // found once, in some seconds; where it is none, another is looked for
		},
		Transactions: []*wire.MsgTx{coinbase(1, 0, 0)},
	}}
	return d.seal()
}

// signetNonce is the nonce of SignetBlock.
const signetNonce = 473873

// SignetRecording returns what a bitcoind says and stores on a signet whose chain
// is the genesis block and SignetBlock. challenge is what getblockchaininfo has as
// the challenge, in JSON; nothing if it is empty, as in Bitcoin Core before v29.
func SignetRecording(tb testing.TB, challenge string) *BitcoindRecording {
	tb.Helper()
	rec := &BitcoindRecording{Blocks: make(map[chainhash.Hash][]byte)}
	for _, raw := range [][]byte{serialize(chaincfg.SigNetParams.GenesisBlock), SignetBlock()} {
		rec.Chain = append(rec.Chain, rec.add(raw))
	}
	info := map[string]json.RawMessage{"chain": json.RawMessage(`"signet"`)}
	if challenge != "" {
		info["signet_challenge"] = json.RawMessage(challenge)
	}
	said, err := json.Marshal(info)
	if err != nil {
		tb.Fatalf("nodetest: getblockchaininfo with the challenge %s: %v", challenge, err)
	}
	var call RecordedCall
	call.Request.Method, call.Response.Result = "getblockchaininfo", said
	rec.Calls = append(rec.Calls, call)
	return rec
}
