package blockval

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/testvectors"
)

// parseTx parses a block of one transaction, given in hexadecimal with spaces.
func parseTx(tb testing.TB, tx string) (*Block, error) {
	tb.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(tx, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return Parse(append(append(make([]byte, header.Size), 1), raw...))
}

// in is a serialised input with an empty script.
const in = "1111111111111111111111111111111111111111111111111111111111111111 00000000 00 ffffffff "

// TestParseForms tells the serialisations of a transaction that Bitcoin Core
// reads from those that it does not, and where btcd's wire differs.
func TestParseForms(t *testing.T) {
	for _, tc := range []struct {
		name, tx string
		ok       bool
		// wire says that wire gives the other answer.
		wireDiffers bool
	}{
		{name: "plain", tx: "01000000 01 " + in + "01 0000000000000000 00 00000000", ok: true},
		{name: "a byte more", tx: "01000000 01 " + in + "01 0000000000000000 00 00000000 00", wireDiffers: true},
		{name: "a byte less", tx: "01000000 01 " + in + "01 0000000000000000 00 000000"},
		{name: "witness", tx: "01000000 0001 01 " + in + "01 0000000000000000 00 0101aa 00000000", ok: true},
		{name: "witness of an empty element", tx: "01000000 0001 01 " + in + "01 0000000000000000 00 0100 00000000", ok: true},
		{name: "superfluous witness", tx: "01000000 0001 01 " + in + "01 0000000000000000 00 00 00000000"},
		{name: "no inputs and no outputs", tx: "01000000 00 00 00000000", ok: true, wireDiffers: true},
		{name: "no inputs but an output", tx: "01000000 00 01 0000000000000000 00 00000000"},
		{name: "no outputs", tx: "01000000 01 " + in + "00 00000000", ok: true},
		{name: "witness without inputs", tx: "01000000 0001 00 00 00000000"},
		{name: "unknown flag", tx: "01000000 0002 01 " + in + "01 0000000000000000 00 00000000"},
		{name: "unknown flag beside the witness's", tx: "01000000 0003 01 " + in + "01 0000000000000000 00 0101aa 00000000"},
		{name: "count in three bytes", tx: "01000000 fd0100 " + in + "01 0000000000000000 00 00000000"},
		{name: "count in five bytes", tx: "01000000 fe01000000 " + in + "01 0000000000000000 00 00000000"},
		{name: "count in nine bytes", tx: "01000000 ff0100000000000000 " + in + "01 0000000000000000 00 00000000"},
		{name: "script length in three bytes", tx: "01000000 01 " + in + "01 0000000000000000 fd0000 00000000"},
		{name: "count beyond the data", tx: "01000000 feffffff00 " + in},
		{name: "script beyond the data", tx: "01000000 01 " + in + "01 0000000000000000 ffffffffffffffffff 00000000"},
		{name: "witness count beyond the data", tx: "01000000 0001 01 " + in + "01 0000000000000000 00 feffffff01 00000000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := parseTx(t, tc.tx)
			if (err == nil) != tc.ok {
				t.Errorf("error %v, want ok %v", err, tc.ok)
			}
			if err != nil && (!errors.Is(err, BlockDecode) || b == nil || b.Msg != nil) {
				t.Errorf("error %v beside block %+v, want %s beside a header", err, b, BlockDecode)
			}
			raw, _ := hex.DecodeString(strings.ReplaceAll(tc.tx, " ", ""))
			wireOK := new(wire.MsgTx).Deserialize(bytes.NewReader(raw)) == nil
			if (wireOK != tc.ok) != tc.wireDiffers {
				t.Errorf("wire says %v, Core %v; difference expected: %v", wireOK, tc.ok, tc.wireDiffers)
			}
		})
	}
}

// TestParseAgreesWithBtcd holds the decoded form, the hashes and the sizes
// against btcd's.
func TestParseAgreesWithBtcd(t *testing.T) {
	for _, height := range testvectors.MainnetHeights() {
		m := loadMainnet(t, height)
		got, err := Parse(m.raw)
		if err != nil {
			t.Fatal(err)
		}
		want, err := btcutil.NewBlockFromBytes(m.raw)
		if err != nil {
			t.Fatal(err)
		}
		if got.Hash != *want.Hash() {
			t.Errorf("block %d: hash %s, want %s", height, got.Hash, want.Hash())
		}
		if size := want.MsgBlock().SerializeSizeStripped(); got.StrippedSize != size || got.Size != len(m.raw) {
			t.Errorf("block %d: sizes %d and %d, want %d and %d", height, got.StrippedSize, got.Size, size, len(m.raw))
		}
		largest := 0
		for i, tx := range want.Transactions() {
			largest = max(largest, tx.MsgTx().SerializeSizeStripped())
			if got.Txids[i] != *tx.Hash() || got.Wtxids[i] != *tx.WitnessHash() {
				t.Fatalf("block %d transaction %d: ids %s and %s, want %s and %s",
					height, i, got.Txids[i], got.Wtxids[i], tx.Hash(), tx.WitnessHash())
			}
		}
		if got.largest != largest {
			t.Errorf("block %d: largest transaction of %d bytes, want %d", height, got.largest, largest)
		}
		sameBytes(t, got, m.raw)
	}
}

// sameBytes checks that b's decoded form serialises to raw.
func sameBytes(tb testing.TB, b *Block, raw []byte) {
	tb.Helper()
	var buf bytes.Buffer
	if err := b.Msg.Serialize(&buf); err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), raw) {
		tb.Errorf("block %s does not serialise to the bytes that it was parsed from", b.Hash)
	}
}

func TestParseTooShort(t *testing.T) {
	m := loadMainnet(t, 170)
	for n := range len(m.raw) {
		b, err := Parse(m.raw[:n])
		if !errors.Is(err, BlockDecode) {
			t.Fatalf("%d bytes: %v, want %s", n, err, BlockDecode)
		}
		if known := b.Hash != (chainhash.Hash{}); known != (n >= header.Size) {
			t.Errorf("%d bytes: hash %s", n, b.Hash)
		}
		v, err := newValidator(t, "main", Options{}).Check(t.Context(), b, m.at())
		if err != nil || v.Err == nil || v.Err.Rule != BlockDecode || v.Hash != b.Hash || v.Height != 170 {
			t.Fatalf("%d bytes: verdict %+v, %v", n, v, err)
		}
	}
}

// compactSize returns n as a CompactSize.
func compactSize(n int) []byte {
	var b bytes.Buffer
	wire.WriteVarInt(&b, 0, uint64(n)) // to memory, which never fails
	return b.Bytes()
}

// TestParseMemory holds Parse to what it says of its memory, for the blocks
// that need the most for their size.
func TestParseMemory(t *testing.T) {
	const size = 1_000_000
	head := make([]byte, header.Size)
	tx := func(body string, n int) []byte {
		raw, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Repeat(raw, n)
	}
	count := compactSize
	witness := func(items int) []byte {
		one := slices.Concat(tx("01000000 0001 01 "+in+"00", 1), count(items), make([]byte, items), make([]byte, 4))
		n := size / len(one)
		return slices.Concat(head, count(n), bytes.Repeat(one, n))
	}
	blocks := map[string][]byte{
		"empty transactions": slices.Concat(head, count(size/10), tx("01000000 00 00 00000000", size/10)),
		"inputs":             slices.Concat(head, count(1), tx("01000000", 1), count(size/41), tx(in, size/41), make([]byte, 5)),
		"outputs": slices.Concat(head, count(1), tx("01000000 01"+in, 1), count(size/9),
			tx("0000000000000000 00", size/9), make([]byte, 4)),
		"a count of transactions alone": slices.Concat(head, count(size), make([]byte, size)),
		"a count of inputs alone":       slices.Concat(head, count(1), tx("01000000", 1), count(size), make([]byte, size)),
		"a count of outputs alone":      slices.Concat(head, count(1), tx("01000000 01"+in, 1), count(size), make([]byte, size)),
		"a count of elements alone": slices.Concat(head, count(1), tx("01000000 0001 01"+in+"00", 1),
			count(size+1), make([]byte, size)),
	}
	for i, raw := range countsAlone(t) {
		blocks[fmt.Sprintf("largest count alone, of kind %d", i)] = raw
	}
	for _, items := range []int{1, 60, 500, size - 1000} {
		blocks[fmt.Sprintf("witnesses of %d elements", items)] = witness(items)
	}
	for name, raw := range blocks {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := Parse(raw)
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %.1f bytes for each (%v)", name, float64(used)/float64(len(raw)), err)
		if limit := uint64(32*len(raw) + 1<<20); used > limit {
			t.Errorf("%s: %d bytes for %d", name, used, len(raw))
		}
		runtime.KeepAlive(b)
	}
}

// countsAlone returns blocks that end soon after the largest count that can be read: of
// transactions, inputs, outputs, elements, and bytes of a script and of an element.
func countsAlone(tb testing.TB) [][]byte {
	var blocks [][]byte
	for _, before := range []string{
		"", "01 01000000", "01 01000000 01" + in, "01 01000000 0001 01" + in + "00",
		"01 01000000 01" + strings.Repeat("00", 36), "01 01000000 0001 01" + in + "00 01",
	} {
		raw := append(make([]byte, header.Size), decodeHex(tb, strings.ReplaceAll(before, " ", ""))...)
		blocks = append(blocks, slices.Concat(raw, compactSize(maxSize), make([]byte, 5)))
	}
	return blocks
}

// TestParseHugeScript reads a script of the largest size that Bitcoin Core
// reads, and one a byte longer.
func TestParseHugeScript(t *testing.T) {
	for size, ok := range map[int]bool{maxSize: true, maxSize + 1: false} {
		raw := append(make([]byte, header.Size), 1, 1, 0, 0, 0, 1)
		raw = append(raw, decodeHex(t, strings.ReplaceAll(in, " ", ""))...)
		raw = append(raw, 1, 0, 0, 0, 0, 0, 0, 0, 0)
		raw = append(append(raw, compactSize(size)...), make([]byte, size+4)...)
		if _, err := Parse(raw); (err == nil) != ok {
			t.Errorf("script of %d bytes: %v, want ok %v", size, err, ok)
		}
	}
}

// TestParseManyAtOnce parses blocks of different lengths at the same time, over and
// over, in memory that is used again: each is what it is alone.
func TestParseManyAtOnce(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	var raws [][]byte
	for _, n := range []int{0, 1, 100, parseChunk - 1, parseChunk, 3*parseChunk + 5} {
		d := c.draft()
		for i := range n {
			tx := pay([]*wire.TxIn{{Sequence: uint32(n)}}, int64(i))
			if i%3 > 0 {
				tx.TxIn[0].Witness = wire.TxWitness{make([]byte, i%7), nil}
			}
			d.msg.Transactions = append(d.msg.Transactions, tx)
		}
		raw := d.seal()
		raws = append(raws, raw, raw[:len(raw)-1])
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 60 {
				raw := raws[(n*(g+1)+g)%len(raws)]
				b, err := Parse(raw)
				var want wire.MsgBlock
				if wantErr := want.Deserialize(bytes.NewReader(raw)); (err == nil) != (wantErr == nil) {
					t.Errorf("%v, wire says %v", err, wantErr)
				}
				if err != nil {
					continue
				}
				sameBytes(t, b, raw)
				for i, tx := range want.Transactions {
					if b.Txids[i] != tx.TxHash() || b.Wtxids[i] != tx.WitnessHash() {
						t.Errorf("transaction %d of %d: ids %s and %s", i, len(want.Transactions), b.Txids[i], b.Wtxids[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestHeightPush(t *testing.T) {
	for _, height := range []uint32{0, 1, 15, 16, 17, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 8388607, 8388608, 1<<31 - 1} {
		want, err := txscript.NewScriptBuilder().AddInt64(int64(height)).Script()
		if err != nil {
			t.Fatal(err)
		}
		if got := heightPush(height); !bytes.Equal(got, want) {
			t.Errorf("height %d: %x, want %x", height, got, want)
		}
	}
}

// FuzzParse parses arbitrary bytes. What is a block must serialise to the same
// bytes, and have the hashes that wire computes of its parts.
func FuzzParse(f *testing.F) {
	c := newTestChain(f, "regtest", 2)
	f.Add(c.draft().seal())
	f.Add(c.draft(pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1), wire.NewMsgTx(1)).seal())
	f.Add([]byte{})
	for _, raw := range countsAlone(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := Parse(raw)
		runtime.ReadMemStats(&after)
		// Those of the fuzzer's goroutines are counted, too.
		if used, limit := after.TotalAlloc-before.TotalAlloc, uint64(32*len(raw)+4<<20); used > limit {
			t.Errorf("%d bytes for %d", used, len(raw))
		}
		if err != nil {
			if e, ok := errors.AsType[*RuleError](err); !ok || e.Rule != BlockDecode || b == nil || b.Msg != nil {
				t.Fatalf("error %v beside %+v", err, b)
			}
			return
		}
		sameBytes(t, b, raw)
		if got, want := b.StrippedSize, b.Msg.SerializeSizeStripped(); got != want {
			t.Errorf("size %d without witnesses, want %d", got, want)
		}
		for i, tx := range b.Msg.Transactions {
			if b.Txids[i] != tx.TxHash() || b.Wtxids[i] != tx.WitnessHash() {
				t.Errorf("transaction %d: ids %s and %s, want %s and %s", i, b.Txids[i], b.Wtxids[i], tx.TxHash(), tx.WitnessHash())
			}
		}
	})
}
