package muhash

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

const unchecked = "that a set has the muhash that a real bitcoind told"

// A told is an answer to gettxoutsetinfo.
type told struct {
	Height    uint32
	BestBlock string
	TxOuts    int
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
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(said.Request, []byte(`"gettxoutsetinfo"`)) {
			continue
		}
		if said.Raw != "" {
			said.Response = json.RawMessage(said.Raw)
		}
		var answer struct{ Result told }
		if err := json.Unmarshal(said.Response, &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Result.Muhash != "" {
			answers[answer.Result.BestBlock] = answer.Result
		}
	}
	if len(answers) < 2 {
		t.Fatalf("%srpc.jsonl.zst tells the muhash of %d blocks, want 2 or more", folder, len(answers))
	}
	return answers
}

// TestSnapshotRecorded hashes the coins of the recorded snapshots.
func TestSnapshotRecorded(t *testing.T) {
	for _, folder := range []string{"bitcoind/", "bitcoind/zoo/"} {
		r, err := corefile.NewSnapshotReader(bytes.NewReader(testvectors.LoadFixture(t, folder+"utxo_snapshot.dat", unchecked)), wire.TestNet)
		if err != nil {
			t.Fatal(err)
		}
		var s, batched Set
		var b Batch
		var element []byte
		for {
			tx, err := r.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for i := range tx.Coins {
				c := &tx.Coins[i]
				element = corefile.AppendTxOutSer(element[:0], wire.OutPoint{Hash: tx.Txid, Index: c.Vout}, &c.Coin)
				s.Insert(element)
				b.Insert(element)
			}
		}
		batched.Apply(&b, 3)
		want := recordedHashes(t, folder)[r.Header().Base.String()]
		if got := s.Finalize().String(); got != want.Muhash || b.Len() != want.TxOuts {
			t.Errorf("%s: %d coins have the hash %s, the node said %+v", folder, b.Len(), got, want)
		}
		if got := batched.Finalize().String(); got != want.Muhash {
			t.Errorf("%s: as a batch the coins have the hash %s, the node said %s", folder, got, want.Muhash)
		}
	}
}

// A chain is a set of coins that follows blocks, and its hash.
type chain struct {
	t     *testing.T
	set   Set
	coins map[wire.OutPoint]corefile.Coin
	done  []step
}

// A step is what a block did.
type step struct {
	hash    chainhash.Hash
	delta   Set
	created []wire.OutPoint
	spent   map[wire.OutPoint]corefile.Coin
}

func (c *chain) tip() chainhash.Hash { return c.done[len(c.done)-1].hash }

// connect adds what the block creates and takes away what it spends. As in
// Bitcoin Core, outputs that nobody can spend are not in the set, nor is any
// output of the genesis block.
func (c *chain) connect(block *wire.MsgBlock) {
	s := step{hash: block.BlockHash(), spent: map[wire.OutPoint]corefile.Coin{}}
	height := uint32(len(c.done))
	for i, tx := range block.Transactions {
		for _, in := range tx.TxIn {
			if i == 0 {
				break
			}
			coin, ok := c.coins[in.PreviousOutPoint]
			if !ok {
				c.t.Fatalf("block %s spends %s, which is not there", s.hash, in.PreviousOutPoint)
			}
			s.spent[in.PreviousOutPoint] = coin
			delete(c.coins, in.PreviousOutPoint)
			s.delta.Remove(corefile.AppendTxOutSer(nil, in.PreviousOutPoint, &coin))
		}
		for vout, out := range tx.TxOut {
			const opReturn = 0x6a
			if height == 0 || len(out.PkScript) > corefile.MaxScriptSize || len(out.PkScript) > 0 && out.PkScript[0] == opReturn {
				continue
			}
			op := wire.OutPoint{Hash: tx.TxHash(), Index: uint32(vout)}
			coin := corefile.Coin{Value: out.Value, Script: out.PkScript, Height: height, Coinbase: i == 0}
			s.created = append(s.created, op)
			c.coins[op] = coin
			s.delta.Insert(corefile.AppendTxOutSer(nil, op, &coin))
		}
	}
	c.set.Combine(&s.delta)
	c.done = append(c.done, s)
}

// disconnect undoes the last block.
func (c *chain) disconnect() {
	s := &c.done[len(c.done)-1]
	maps.Copy(c.coins, s.spent)
	for _, op := range s.created {
		delete(c.coins, op) // after the spent ones: a block may spend what it creates
	}
	c.set.Uncombine(&s.delta)
	c.done = c.done[:len(c.done)-1]
}

// check compares the hash with one of the coins as they are, and with what the
// node told of the tip, if it did.
func (c *chain) check(answers map[string]told) {
	c.t.Helper()
	var afresh Set
	for op, coin := range c.coins {
		afresh.Insert(corefile.AppendTxOutSer(nil, op, &coin))
	}
	got := c.set.Finalize()
	if want := afresh.Finalize(); got != want {
		c.t.Errorf("block %s: the hash is %s, that of its coins %s", c.tip(), got, want)
	}
	if want, ok := answers[c.tip().String()]; ok {
		delete(answers, c.tip().String())
		if got.String() != want.Muhash || len(c.coins) != want.TxOuts || uint32(len(c.done)-1) != want.Height {
			c.t.Errorf("%d coins have the hash %s, the node said %+v", len(c.coins), got, want)
		}
	}
}

// readBlocks returns the blocks of a recording by hash, those of abandoned
// branches too, and the hashes of the chain that was active at the end.
func readBlocks(t *testing.T, folder string) (blocks map[chainhash.Hash]*wire.MsgBlock, active []chainhash.Hash) {
	t.Helper()
	key, err := corefile.ParseKey(testvectors.LoadFixture(t, folder+"xor.dat", unchecked))
	if err != nil {
		t.Fatal(err)
	}
	raw := testvectors.LoadFixture(t, folder+"blk00000.dat.zst", unchecked)
	file := corefile.NewBlockFile(bytes.NewReader(raw), key, wire.TestNet)
	blocks = map[chainhash.Hash]*wire.MsgBlock{}
	for offset := int64(0); ; {
		raw, next, err := file.Read(offset, nil)
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		block := new(wire.MsgBlock)
		if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		blocks[block.BlockHash()] = block
		offset = next
	}
	for line := range bytes.FieldsSeq(testvectors.LoadFixture(t, folder+"chain.hex.zst", unchecked)) {
		var header wire.BlockHeader
		if err := header.Deserialize(hex.NewDecoder(bytes.NewReader(line))); err != nil {
			t.Fatal(err)
		}
		active = append(active, header.BlockHash())
	}
	return blocks, active
}

// TestChainRecorded follows the recorded chains block by block, and at each
// block that has a rival goes up the other branch first and back again, as the
// recorded node did.
func TestChainRecorded(t *testing.T) {
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
		c := &chain{t: t, coins: map[wire.OutPoint]corefile.Coin{}}
		var climb func(chainhash.Hash)
		climb = func(hash chainhash.Hash) {
			c.connect(blocks[hash])
			if _, told := answers[hash.String()]; told || !isActive[hash] {
				c.check(answers)
			}
			for _, child := range children[hash] {
				if isActive[child] {
					continue
				}
				rivals++
				height, before := len(c.done), c.set.Finalize()
				climb(child)
				for len(c.done) > height {
					c.disconnect()
				}
				if got := c.set.Finalize(); got != before {
					t.Errorf("up from block %s and back the hash is %s, want %s", hash, got, before)
				}
			}
		}
		for _, hash := range active {
			climb(hash)
		}
		if len(answers) > 0 {
			t.Errorf("%s: what the node told of %v was not compared", folder, answers)
		}
	}
	if rivals == 0 {
		t.Error("no recorded block has a rival")
	}
}
