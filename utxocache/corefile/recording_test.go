package corefile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// recordings are the folders with the files of a real bitcoind.
var recordings = []string{"bitcoind/", "bitcoind/zoo/"}

const unchecked = "that the files of a real bitcoind are read and written byte for byte"

// A txoutset is what dumptxoutset answered.
type txoutset struct {
	Coins uint64 `json:"coins_written"`
	Base  string `json:"base_hash"`
	Hash  string `json:"txoutset_hash"`
}

// recordedSet returns what the recorded node said of its snapshot.
func recordedSet(tb testing.TB, folder string) txoutset {
	tb.Helper()
	for line := range bytes.Lines(testvectors.LoadFixture(tb, folder+"rpc.jsonl.zst", unchecked)) {
		var said struct {
			Request  json.RawMessage `json:"request"`
			Response json.RawMessage `json:"response"`
			Raw      string          `json:"raw_response"`
		}
		if err := json.Unmarshal(line, &said); err != nil {
			tb.Fatal(err)
		}
		if !bytes.Contains(said.Request, []byte(`"dumptxoutset"`)) {
			continue
		}
		if said.Raw != "" {
			said.Response = json.RawMessage(said.Raw)
		}
		var answer struct {
			Result txoutset `json:"result"`
		}
		if err := json.Unmarshal(said.Response, &answer); err != nil {
			tb.Fatal(err)
		}
		return answer.Result
	}
	tb.Fatalf("%srpc.jsonl.zst has no dumptxoutset", folder)
	return txoutset{}
}

func TestSnapshotRecorded(t *testing.T) {
	for _, folder := range recordings {
		t.Run(folder, func(t *testing.T) {
			want := recordedSet(t, folder)
			file := testvectors.LoadFixture(t, folder+"utxo_snapshot.dat", unchecked)
			r, err := NewSnapshotReader(bytes.NewReader(file), wire.TestNet)
			if err != nil {
				t.Fatal(err)
			}
			h := r.Header()
			if h.Coins != want.Coins || h.Base.String() != want.Base || h.Net != wire.TestNet {
				t.Errorf("the header is %+v, the node said %+v", h, want)
			}
			var out bytes.Buffer
			w, err := NewSnapshotWriter(&out, h)
			if err != nil {
				t.Fatal(err)
			}
			hasher, coins := NewSetHasher(), uint64(0)
			for {
				tx, err := r.Next()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				coins += uint64(len(tx.Coins))
				if err := hasher.Add(tx); err != nil {
					t.Fatal(err)
				}
				if err := w.Write(tx); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if coins != want.Coins {
				t.Errorf("%d coins, want %d", coins, want.Coins)
			}
			if got := hasher.Sum().String(); got != want.Hash {
				t.Errorf("hash_serialized_3 is %s, the node said %s", got, want.Hash)
			}
			if !bytes.Equal(out.Bytes(), file) {
				t.Error("written again, the snapshot is another")
			}
		})
	}
}

// TestSnapshotRecordedDamaged cuts a real snapshot at each byte, and changes a
// bit of each.
func TestSnapshotRecordedDamaged(t *testing.T) {
	file := testvectors.LoadFixture(t, recordings[0]+"utxo_snapshot.dat", unchecked)
	for cut := range file {
		r, err := NewSnapshotReader(bytes.NewReader(file[:cut]), wire.TestNet)
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at byte %d of %d: %v, want ErrTruncated", cut, len(file), err)
		}
	}
	checkFlips(t, file, wire.TestNet, func(at int) []int { return []int{at % 8} })
}

// A diskFile is a block or undo file of a recording and its key.
type diskFile struct {
	raw []byte
	key Key
}

func loadFile(tb testing.TB, folder, name string) diskFile {
	tb.Helper()
	key, err := ParseKey(testvectors.LoadFixture(tb, folder+"xor.dat", unchecked))
	if err != nil {
		tb.Fatal(err)
	}
	return diskFile{testvectors.LoadFixture(tb, folder+name, unchecked), key}
}

// checkAgain compares what was written again with the file: the same, and zeros
// after it.
func (f diskFile) checkAgain(t *testing.T, again []byte) {
	t.Helper()
	f.key.XOR(again, 0)
	if !bytes.HasPrefix(f.raw, again) || len(bytes.Trim(f.raw[len(again):], "\x00")) > 0 {
		t.Error("written again, the file is another")
	}
}

// readBlocks returns the blocks of a recording's block file by hash, having
// compared the file with itself written again.
func readBlocks(t *testing.T, folder string) map[chainhash.Hash]*wire.MsgBlock {
	t.Helper()
	file := loadFile(t, folder, "blk00000.dat.zst")
	f := NewBlockFile(bytes.NewReader(file.raw), file.key, wire.TestNet)
	blocks := map[chainhash.Hash]*wire.MsgBlock{}
	var again []byte
	for offset := int64(0); ; {
		raw, next, err := f.Read(offset, nil)
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if found, err := f.Find(max(0, offset-1)); err != nil || found != offset && offset > 0 {
			t.Errorf("found a record at byte %d, %v, want %d", found, err, offset)
		}
		var block wire.MsgBlock
		r := bytes.NewReader(raw)
		if err := block.Deserialize(r); err != nil || r.Len() > 0 {
			t.Fatalf("the block at byte %d: %v, %d bytes left", offset, err, r.Len())
		}
		blocks[block.BlockHash()] = &block
		again = AppendBlockRecord(again, wire.TestNet, raw)
		offset = next
	}
	if end, err := f.Find(int64(len(again))); err != io.EOF {
		t.Errorf("found a record at byte %d after the last, %v", end, err)
	}
	file.checkAgain(t, again)
	return blocks
}

// TestFilesRecorded reads the block and undo files of a recording. Every undo
// record belongs to a block, and has for each input the coin that the block's
// chain has for it; and where the node was asked what a block spends, that is it.
func TestFilesRecorded(t *testing.T) {
	for _, folder := range recordings {
		t.Run(folder, func(t *testing.T) {
			blocks := readBlocks(t, folder)
			chain := bytes.Fields(testvectors.LoadFixture(t, folder+"chain.hex.zst", unchecked))
			if len(blocks) < len(chain) {
				t.Errorf("%d blocks in the file, %d in the chain", len(blocks), len(chain))
			}
			undos := match(t, blocks, readUndo(t, folder))
			if genesis := 1; len(undos) != len(blocks)-genesis {
				t.Errorf("%d of %d blocks have an undo record", len(undos), len(blocks))
			}
			checkSpent(t, folder, undos)
		})
	}
}

// readUndo returns the records of a recording's undo file, having compared the
// file with itself encoded and written again.
func readUndo(t *testing.T, folder string) []UndoRecord {
	t.Helper()
	file := loadFile(t, folder, "rev00000.dat.zst")
	f := NewUndoFile(bytes.NewReader(file.raw), file.key, wire.TestNet)
	var records []UndoRecord
	var again []byte
	for offset := int64(0); ; {
		rec, next, err := f.Read(offset, nil)
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		undo, err := DecodeBlockUndo(rec.Data)
		if err != nil {
			t.Fatal(err)
		}
		again = appendHeader(again, wire.TestNet, len(rec.Data))
		again = AppendBlockUndo(again, undo)
		again = append(again, rec.Checksum[:]...)
		if int64(len(again)) != next {
			t.Fatalf("the record at byte %d ends at byte %d when it is written again, not at %d", offset, len(again), next)
		}
		records = append(records, rec)
		offset = next
	}
	file.checkAgain(t, again)
	return records
}

// A creation is a coin and the block that creates it.
type creation struct {
	coin  Coin
	block chainhash.Hash
}

// match returns the undo record of each block that has one. A record without
// coins may be that of many blocks, any other is that of one.
func match(t *testing.T, blocks map[chainhash.Hash]*wire.MsgBlock, records []UndoRecord) map[chainhash.Hash]BlockUndo {
	t.Helper()
	created := map[wire.OutPoint][]creation{}
	for hash, block := range blocks {
		height := uint32(len(ancestors(blocks, hash)) - 1)
		for i, tx := range block.Transactions {
			for vout, out := range tx.TxOut {
				op := wire.OutPoint{Hash: tx.TxHash(), Index: uint32(vout)}
				coin := Coin{Value: out.Value, Script: out.PkScript, Height: height, Coinbase: i == 0}
				created[op] = append(created[op], creation{coin, hash})
			}
		}
	}
	undos := map[chainhash.Hash]BlockUndo{}
	for i, rec := range records {
		undo, err := DecodeBlockUndo(rec.Data)
		if err != nil {
			t.Fatal(err)
		}
		owners := 0
		for hash, block := range blocks {
			if rec.Verify(block.Header.PrevBlock) == nil && spends(block, undo, created, ancestors(blocks, hash)) {
				undos[hash] = undo
				owners++
			}
		}
		if owners == 0 || owners > 1 && len(undo) > 0 {
			t.Errorf("undo record %d of %d transactions fits %d blocks", i, len(undo), owners)
		}
	}
	return undos
}

// ancestors returns the hashes of the block and of all blocks below it.
func ancestors(blocks map[chainhash.Hash]*wire.MsgBlock, hash chainhash.Hash) map[chainhash.Hash]bool {
	chain := map[chainhash.Hash]bool{}
	for block, ok := blocks[hash]; ok; block, ok = blocks[hash] {
		chain[hash] = true
		hash = block.Header.PrevBlock
	}
	return chain
}

// spends reports whether undo has, for each input of block, the coin that it
// spends in the block's chain.
func spends(block *wire.MsgBlock, undo BlockUndo, created map[wire.OutPoint][]creation, chain map[chainhash.Hash]bool) bool {
	if len(undo) != len(block.Transactions)-1 {
		return false
	}
	for i, coins := range undo {
		inputs := block.Transactions[i+1].TxIn
		if len(coins) != len(inputs) {
			return false
		}
		for j := range coins {
			if !slices.ContainsFunc(created[inputs[j].PreviousOutPoint], func(c creation) bool {
				return chain[c.block] && sameCoin(&c.coin, &coins[j])
			}) {
				return false
			}
		}
	}
	return true
}

func sameCoin(a, b *Coin) bool {
	return a.Value == b.Value && a.Height == b.Height && a.Coinbase == b.Coinbase && bytes.Equal(a.Script, b.Script)
}

// checkSpent compares what blocks spend with the recorded answers to
// /rest/spenttxouts: for each transaction and input, value and script.
func checkSpent(t *testing.T, folder string, undos map[chainhash.Hash]BlockUndo) {
	t.Helper()
	var index []struct {
		Path, File string
		Status     int
	}
	if err := json.Unmarshal(testvectors.LoadFixture(t, folder+"rest/index.json", unchecked), &index); err != nil {
		t.Fatal(err)
	}
	coins := 0
	for _, e := range index {
		name, found := strings.CutPrefix(e.Path, "/rest/spenttxouts/")
		name, bin := strings.CutSuffix(name, ".bin")
		if !found || !bin || e.Status != 200 {
			continue
		}
		if strings.Contains(folder, "zoo") {
			e.File += ".zst"
		}
		hash, err := chainhash.NewHashFromStr(name)
		if err != nil {
			t.Fatal(err)
		}
		want := testvectors.LoadFixture(t, folder+e.File, unchecked)
		if got := spentTxOuts(undos[*hash]); !bytes.Equal(got, want) {
			t.Errorf("block %s spends %x, the node said %x", hash, got, want)
		}
		for _, tx := range undos[*hash] {
			coins += len(tx)
		}
	}
	if coins == 0 {
		t.Errorf("no answer to /rest/spenttxouts in %s has a coin", folder)
	}
}

// spentTxOuts encodes u as /rest/spenttxouts does.
func spentTxOuts(u BlockUndo) []byte {
	b := AppendCompactSize(nil, uint64(len(u)+1))
	b = append(b, 0) // the coinbase spends nothing
	for _, coins := range u {
		b = AppendCompactSize(b, uint64(len(coins)))
		for _, c := range coins {
			b = binary.LittleEndian.AppendUint64(b, uint64(c.Value))
			b = AppendCompactSize(b, uint64(len(c.Script)))
			b = append(b, c.Script...)
		}
	}
	return b
}

// TestZooScripts has every script of the recordings' blocks take the way through
// its compressed form, and both forms of each special one occur.
func TestZooScripts(t *testing.T) {
	tags := map[byte]int{}
	for _, folder := range recordings {
		for _, block := range readBlocks(t, folder) {
			for _, tx := range block.Transactions {
				for _, out := range tx.TxOut {
					packed := AppendScript(nil, out.PkScript)
					script, size, err := DecodeScript(nil, packed)
					if err != nil || size != len(packed) || !bytes.Equal(script, out.PkScript) {
						t.Errorf("%x becomes %x, then %x of %d bytes, %v", out.PkScript, packed, script, size, err)
					}
					tags[min(packed[0], tagRaw)]++
				}
			}
		}
	}
	for _, tag := range []byte{tagP2PKH, tagP2SH, tagEven, tagFullEven, tagRaw} {
		if tags[tag] == 0 {
			t.Errorf("no script has the tag %d: %v", tag, tags)
		}
	}
}

// TestUndoOtherBlock has a record of another block, one with a changed bit and
// one with another checksum not be verified.
func TestUndoOtherBlock(t *testing.T) {
	records := readUndo(t, recordings[1])
	rec := records[len(records)-1]
	blocks := readBlocks(t, recordings[1])
	verified := 0
	for _, block := range blocks {
		prev := block.Header.PrevBlock
		if err := rec.Verify(prev); err != nil {
			if !errors.Is(err, ErrChecksum) {
				t.Fatal(err)
			}
			continue
		}
		verified++
		for bit := range 8 * len(rec.Data) {
			rec.Data[bit/8] ^= 1 << (bit % 8)
			if err := rec.Verify(prev); !errors.Is(err, ErrChecksum) {
				t.Fatalf("bit %d changed: %v, want ErrChecksum", bit, err)
			}
			rec.Data[bit/8] ^= 1 << (bit % 8)
		}
		rec.Checksum[31] ^= 1
		if err := rec.Verify(prev); !errors.Is(err, ErrChecksum) {
			t.Fatalf("checksum changed: %v, want ErrChecksum", err)
		}
		rec.Checksum[31] ^= 1
	}
	if verified != 1 {
		t.Errorf("the last record is verified as that of %d blocks", verified)
	}
}
