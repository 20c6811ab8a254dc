package coindb

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

const unchecked = "that the MuHash of the database is what a real bitcoind told"

// A told is an answer to gettxoutsetinfo.
type told struct {
	Height    uint32
	BestBlock string
	TxOuts    uint64
	Muhash    string
}

// recordedHashes returns the recorded answers that have a muhash, by block.
func recordedHashes(t *testing.T, folder string) map[string]told {
	t.Helper()
	answers := map[string]told{}
	for line := range bytes.Lines(testvectors.LoadFixture(t, folder+"rpc.jsonl.zst", unchecked)) {
		var said struct {
			Request  json.RawMessage `json:"request"`
			Response json.RawMessage `json:"response"`
			Raw      string          `json:"raw_response"`
		}
		must(t, json.Unmarshal(line, &said))
		if !bytes.Contains(said.Request, []byte(`"gettxoutsetinfo"`)) {
			continue
		}
		if said.Raw != "" {
			said.Response = json.RawMessage(said.Raw)
		}
		var answer struct{ Result told }
		must(t, json.Unmarshal(said.Response, &answer))
		if answer.Result.Muhash != "" {
			answers[answer.Result.BestBlock] = answer.Result
		}
	}
	if len(answers) < 2 {
		t.Fatalf("%srpc.jsonl.zst tells the muhash of %d blocks, want 2 or more", folder, len(answers))
	}
	return answers
}

// readBlocks returns the blocks of a recording by hash, those of abandoned
// branches too, and the hashes of the chain that was active at the end.
func readBlocks(t *testing.T, folder string) (blocks map[chainhash.Hash]*wire.MsgBlock, active []chainhash.Hash) {
	t.Helper()
	key, err := corefile.ParseKey(testvectors.LoadFixture(t, folder+"xor.dat", unchecked))
	must(t, err)
	raw := testvectors.LoadFixture(t, folder+"blk00000.dat.zst", unchecked)
	file := corefile.NewBlockFile(bytes.NewReader(raw), key, wire.TestNet)
	blocks = map[chainhash.Hash]*wire.MsgBlock{}
	for offset := int64(0); ; {
		raw, next, err := file.Read(offset, nil)
		if err == io.EOF {
			break
		}
		must(t, err)
		block := new(wire.MsgBlock)
		must(t, block.Deserialize(bytes.NewReader(raw)))
		blocks[block.BlockHash()] = block
		offset = next
	}
	for line := range bytes.FieldsSeq(testvectors.LoadFixture(t, folder+"chain.hex.zst", unchecked)) {
		var header wire.BlockHeader
		must(t, header.Deserialize(hex.NewDecoder(bytes.NewReader(line))))
		active = append(active, header.BlockHash())
	}
	return blocks, active
}

// blockOf returns what a block does to the coins. As in Bitcoin Core, outputs that
// nobody can spend are no coins.
func blockOf(block *wire.MsgBlock, height uint32) *Block {
	b := &Block{Tip: Tip{block.BlockHash(), height}, Prev: block.Header.PrevBlock}
	for i, tx := range block.Transactions {
		for _, in := range tx.TxIn {
			if i > 0 {
				b.Spent = append(b.Spent, in.PreviousOutPoint)
			}
		}
		for vout, out := range tx.TxOut {
			const opReturn = 0x6a
			if len(out.PkScript) > corefile.MaxScriptSize || len(out.PkScript) > 0 && out.PkScript[0] == opReturn {
				continue
			}
			b.Created = append(b.Created, CoinAt{
				wire.OutPoint{Hash: tx.TxHash(), Index: uint32(vout)},
				Coin{Value: out.Value, Script: out.PkScript, Height: height, Coinbase: i == 0},
			})
		}
	}
	return b
}

// The MuHash follows the recorded chains, at each block that has a rival up the
// other branch first and back again, as the recorded node did. It is what the node
// told, wherever it told it.
func TestMuHashRecorded(t *testing.T) {
	rivals := 0
	for _, folder := range []string{"bitcoind/", "bitcoind/zoo/"} {
		answers := recordedHashes(t, folder)
		blocks, active := readBlocks(t, folder)
		isActive := map[chainhash.Hash]bool{}
		for _, hash := range active {
			isActive[hash] = true
		}
		children := map[chainhash.Hash][]chainhash.Hash{}
		for hash, block := range blocks {
			children[block.Header.PrevBlock] = append(children[block.Header.PrevBlock], hash)
		}
		d := mustOpen(t, vfs.NewMem(), Options{})
		follow(t, d)
		must(t, d.Reset(Tip{Hash: active[0]}, true))
		check := func(tip Tip) {
			t.Helper()
			want, ok := answers[tip.Hash.String()]
			if !ok {
				return
			}
			delete(answers, tip.Hash.String())
			got, at, err := d.MuHash(t.Context())
			must(t, err)
			v, err := d.View()
			must(t, err)
			if got.String() != want.Muhash || at != tip || v.Coins() != want.TxOuts || tip.Height != want.Height {
				t.Errorf("%s: %d coins have the MuHash %s at %s, the node said %+v", folder, v.Coins(), got, at, want)
			}
			must(t, v.Close())
		}
		var climb func(chainhash.Hash, uint32)
		climb = func(hash chainhash.Hash, height uint32) {
			tip := Tip{hash, height}
			if height > 0 {
				must(t, d.Apply(blockOf(blocks[hash], height)))
			}
			check(tip)
			for _, child := range children[hash] {
				if isActive[child] {
					continue
				}
				rivals++
				before, _, err := d.MuHash(t.Context())
				must(t, err)
				climb(child, height+1)
				for at, err := d.Tip(); at != tip; at, err = d.Tip() {
					must(t, err)
					must(t, d.Undo(at))
				}
				if got, at, err := d.MuHash(t.Context()); err != nil || got != before || at != tip {
					t.Errorf("up from block %s and back the MuHash is %s at %s, must be %s: %v", tip, got, at, before, err)
				}
			}
		}
		for height, hash := range active {
			climb(hash, uint32(height))
		}
		if len(answers) > 0 {
			t.Errorf("%s: what the node told of %v was not compared", folder, answers)
		}
		kept, _, err := d.MuHash(t.Context())
		must(t, err)
		must(t, d.Rehash(t.Context(), nil))
		if afresh, _, err := d.MuHash(t.Context()); err != nil || afresh != kept {
			t.Errorf("%s: all coins have the MuHash %s, kept is %s: %v", folder, afresh, kept, err)
		}
	}
	if rivals == 0 {
		t.Error("no recorded block has a rival")
	}
}
