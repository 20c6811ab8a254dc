package corefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// set returns transactions with coins of all kinds in ascending order of txid,
// their coins by index, among them indices whose VARINTs sort otherwise.
func set(tb testing.TB) []TxCoins {
	var coins []Coin
	for _, tx := range undoOfAll(tb) {
		coins = append(coins, tx...)
	}
	var txs []TxCoins
	for i, vouts := range [][]uint32{{0}, {5, 255, 256, 16511, 16512, 16513, 65535, 65536, maxVout}, {0, 1, 2}, {16512}} {
		tx := TxCoins{Txid: chainhash.Hash{byte(i), byte(255 - i)}}
		for j, vout := range vouts {
			tx.Coins = append(tx.Coins, TxCoin{Vout: vout, Coin: coins[(i+j)%len(coins)]})
		}
		txs = append(txs, tx)
	}
	return txs
}

// shortSet returns the same with scripts of 100 bytes at most.
func shortSet(tb testing.TB) []TxCoins {
	txs := set(tb)
	for _, tx := range txs {
		for i := range tx.Coins {
			c := &tx.Coins[i]
			c.Script = c.Script[:min(len(c.Script), 100)]
		}
	}
	return txs
}

func headerOf(txs []TxCoins) SnapshotHeader {
	h := SnapshotHeader{Net: wire.MainNet, Base: chainhash.Hash{31: 7}}
	for _, tx := range txs {
		h.Coins += uint64(len(tx.Coins))
	}
	return h
}

// writeSnapshot writes txs, each of which it gives to the writer backwards.
func writeSnapshot(tb testing.TB, txs []TxCoins) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := NewSnapshotWriter(&out, headerOf(txs))
	if err != nil {
		tb.Fatal(err)
	}
	for _, tx := range txs {
		backwards := slices.Clone(tx.Coins)
		slices.Reverse(backwards)
		if err := w.Write(&TxCoins{tx.Txid, backwards}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// readSnapshot reads what it can.
func readSnapshot(r io.Reader) (txs []TxCoins, err error) {
	s, err := NewSnapshotReader(r, wire.MainNet)
	if err != nil {
		return nil, err
	}
	for {
		tx, err := s.Next()
		if err == io.EOF {
			return txs, nil
		} else if err != nil {
			if _, again := s.Next(); again != err {
				return txs, fmt.Errorf("after the error %w comes %w", err, again)
			}
			return txs, err
		}
		kept := TxCoins{Txid: tx.Txid, Coins: slices.Clone(tx.Coins)}
		for i := range kept.Coins {
			kept.Coins[i].Script = bytes.Clone(kept.Coins[i].Script)
		}
		txs = append(txs, kept)
	}
}

func sameSet(a, b []TxCoins) bool {
	return slices.EqualFunc(a, b, func(a, b TxCoins) bool {
		return a.Txid == b.Txid && slices.EqualFunc(a.Coins, b.Coins, func(a, b TxCoin) bool {
			return a.Vout == b.Vout && sameCoin(&a.Coin, &b.Coin)
		})
	})
}

// TestSnapshotOrder writes coins in Bitcoin Core's order, reads them in that
// order, and hashes them in the numeric one.
func TestSnapshotOrder(t *testing.T) {
	txs := set(t)
	file := writeSnapshot(t, txs)
	got, err := readSnapshot(iotest.OneByteReader(bytes.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	var vouts []uint32
	for _, c := range got[1].Coins {
		vouts = append(vouts, c.Vout)
	}
	want := []uint32{5, 255, 16512, 16513, 256, 65535, 65536, maxVout, 16511}
	if !slices.Equal(vouts, want) {
		t.Errorf("the coins come in the order %v, want %v", vouts, want)
	}
	var sorted []byte
	hasher := NewSetHasher()
	for i := range got {
		if err := hasher.Add(&got[i]); err != nil {
			t.Fatal(err)
		}
		for _, c := range txs[i].Coins {
			sorted = AppendTxOutSer(sorted, wire.OutPoint{Hash: txs[i].Txid, Index: c.Vout}, &c.Coin)
		}
	}
	if !sameSet(got, txs) {
		t.Error("sorted, what was read is not what was written")
	}
	for range 2 {
		if got, want := hasher.Sum(), chainhash.DoubleHashH(sorted); got != want {
			t.Errorf("hash %s, want %s", got, want)
		}
	}
}

// descents counts the coins whose key, the txid and the big-endian index, is not
// after the one before.
func descents(txs []TxCoins) (n int) {
	var last []byte
	for _, tx := range txs {
		for _, c := range tx.Coins {
			key := binary.BigEndian.AppendUint32(bytes.Clone(tx.Txid[:]), c.Vout)
			if bytes.Compare(last, key) >= 0 {
				n++
			}
			last = key
		}
	}
	return n
}

func TestSort(t *testing.T) {
	txs, err := readSnapshot(bytes.NewReader(writeSnapshot(t, set(t))))
	if err != nil {
		t.Fatal(err)
	}
	if descents(txs) == 0 {
		t.Error("the file is in the order of the keys: there is nothing to sort")
	}
	for i := range txs {
		txs[i].Sort()
	}
	if n := descents(txs); n != 0 {
		t.Errorf("sorted, %d coins are not after the one before", n)
	}
}

// TestSnapshotHeight reads coins of a height, and of the one above it.
func TestSnapshotHeight(t *testing.T) {
	coin := func(vout, height uint32) TxCoin { return TxCoin{vout, Coin{Value: 1, Height: height, Coinbase: true}} }
	file := writeSnapshot(t, []TxCoins{
		{chainhash.Hash{1}, []TxCoin{coin(0, 0), coin(1, 100)}},
		{chainhash.Hash{2}, []TxCoin{coin(7, 101)}},
	})
	for limit, want := range map[uint32]error{MaxHeight: nil, 102: nil, 101: nil, 100: ErrMalformed, 0: ErrMalformed} {
		r, err := NewSnapshotReader(bytes.NewReader(file), wire.MainNet)
		if err != nil {
			t.Fatal(err)
		}
		r.LimitHeight(limit)
		for err == nil {
			_, err = r.Next()
		}
		if want == nil && err != io.EOF || want != nil && !errors.Is(err, want) {
			t.Errorf("with coins up to height %d: %v, want %v", limit, err, want)
		}
	}
}

// TestSnapshotErrors has errors say where and what.
func TestSnapshotErrors(t *testing.T) {
	txs := []TxCoins{{chainhash.Hash{1}, []TxCoin{{1, Coin{Value: 1, Height: 9}}, {2, Coin{Value: 2, Height: 9}}}}}
	file := writeSnapshot(t, txs)
	second := len(file) - len("\x02\x12\x02\x06") // index, height, amount, script
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"cut":        {file[:len(file)-1], fmt.Sprintf("snapshot: coin 2 of 2 at byte %d: the data ends too early", second)},
		"twice":      {append(file[:second:second], 1, 0x12, 2, 6), fmt.Sprintf("snapshot: coins up to 2 of 2, before byte %d: malformed data: an output of transaction %s twice", len(file), txs[0].Txid)},
		"more":       {append(slices.Clone(file), 0), fmt.Sprintf("snapshot: malformed data: more after the last of 2 coins, at byte %d", len(file))},
		"header cut": {file[:SnapshotHeaderSize-1], "snapshot: header: the data ends too early"},
		"empty":      {nil, "snapshot: header: the data ends too early"},
	} {
		if _, err := readSnapshot(bytes.NewReader(c.file)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// checkFlips changes bits of a snapshot, one at a time: each is refused, or the
// hash of the coins or the base they are for is another.
func checkFlips(t *testing.T, file []byte, net wire.BitcoinNet, bits func(at int) []int) {
	t.Helper()
	hash := func(file []byte) (base, sum chainhash.Hash, err error) {
		r, err := NewSnapshotReader(bytes.NewReader(file), net)
		if err != nil {
			return base, sum, err
		}
		h := NewSetHasher()
		for {
			tx, err := r.Next()
			if err == io.EOF {
				return r.Header().Base, h.Sum(), nil
			} else if err != nil {
				return base, sum, err
			}
			if err := h.Add(tx); err != nil {
				return base, sum, err
			}
		}
	}
	wantBase, wantSum, err := hash(file)
	if err != nil {
		t.Fatal(err)
	}
	refused, others := 0, 0
	for at := range file {
		for _, bit := range bits(at) {
			file[at] ^= 1 << bit
			switch base, sum, err := hash(file); {
			case err != nil && !known(err) && !errors.Is(err, ErrMagic):
				t.Fatalf("bit %d of byte %d changed: %v", bit, at, err)
			case err != nil:
				refused++
			case base == wantBase && sum == wantSum:
				t.Fatalf("bit %d of byte %d changed, and nothing shows it", bit, at)
			default:
				others++
			}
			file[at] ^= 1 << bit
		}
	}
	if refused == 0 || others == 0 {
		t.Errorf("%d changes were refused, %d give another hash", refused, others)
	}
}

func TestSnapshotFlips(t *testing.T) {
	checkFlips(t, writeSnapshot(t, shortSet(t)), wire.MainNet, func(int) []int { return []int{0, 1, 2, 3, 4, 5, 6, 7} })
}

// TestSnapshotCut cuts a snapshot at every byte, and has reading fail there.
func TestSnapshotCut(t *testing.T) {
	file := writeSnapshot(t, shortSet(t)[:3])
	broken := errors.New("the disk is broken")
	for cut := range file {
		if _, err := readSnapshot(bytes.NewReader(file[:cut])); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at byte %d of %d: %v, want ErrTruncated", cut, len(file), err)
		}
		failing := io.MultiReader(bytes.NewReader(file[:cut]), iotest.ErrReader(broken))
		if _, err := readSnapshot(failing); !errors.Is(err, broken) {
			t.Fatalf("broken at byte %d of %d: %v", cut, len(file), err)
		}
	}
	failing := io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken))
	if _, err := readSnapshot(failing); !errors.Is(err, broken) {
		t.Errorf("broken at the end: %v", err)
	}
}

// rawTx encodes a transaction of a snapshot whose coins are the given bytes.
func rawTx(id byte, n uint64, coins ...string) []byte {
	txid := chainhash.Hash{id}
	return append(AppendCompactSize(txid[:], n), strings.Join(coins, "")...)
}

// rawCoin encodes a coin of a snapshot.
func rawCoin(vout uint64, script int) string {
	return string(AppendCoin(AppendCompactSize(nil, vout), &Coin{Value: 1, Script: make([]byte, script), Height: 1}))
}

func TestSnapshotRefused(t *testing.T) {
	one, two := rawTx(1, 1, rawCoin(0, 1)), rawTx(2, 1, rawCoin(0, 1))
	full := make([]string, maxTxOuts/(minTxOut+MaxScriptSize))
	for i := range full {
		full[i] = rawCoin(uint64(i), MaxScriptSize)
	}
	fullTx := rawTx(1, uint64(len(full)), full...)
	overfullTx := rawTx(1, uint64(len(full)+1), append(full, rawCoin(maxVout, MaxScriptSize))...)
	for _, c := range []struct {
		name  string
		coins uint64
		txs   [][]byte
		want  error
	}{
		{"empty", 0, nil, nil},
		{"one coin", 1, [][]byte{one}, nil},
		{"two transactions", 2, [][]byte{one, two}, nil},
		{"too many coins told", 2, [][]byte{one}, ErrTruncated},
		{"too few coins told", 1, [][]byte{one, two}, ErrMalformed},
		{"no coins told", 0, [][]byte{one}, ErrMalformed},
		{"a byte after the last", 1, [][]byte{one, {0}}, ErrMalformed},
		{"transactions in descending order", 2, [][]byte{two, one}, ErrMalformed},
		{"a transaction twice", 2, [][]byte{one, one}, ErrMalformed},
		{"a transaction without coins", 1, [][]byte{rawTx(0, 0), one}, ErrMalformed},
		{"more coins than are left", 1, [][]byte{rawTx(1, 2, rawCoin(0, 1), rawCoin(1, 1))}, ErrMalformed},
		{"an output twice", 2, [][]byte{rawTx(1, 2, rawCoin(3, 1), rawCoin(3, 1))}, ErrMalformed},
		{"an output twice, not adjacent", 3, [][]byte{rawTx(1, 3, rawCoin(3, 1), rawCoin(2, 1), rawCoin(3, 1))}, ErrMalformed},
		{"outputs in another order", 3, [][]byte{rawTx(1, 3, rawCoin(3, 1), rawCoin(2, 1), rawCoin(1, 1))}, nil},
		{"the last output", 1, [][]byte{rawTx(1, 1, rawCoin(maxVout, 0))}, nil},
		{"an output after the last", 1, [][]byte{rawTx(1, 1, rawCoin(maxVout+1, 0))}, ErrMalformed},
		{"too many outputs", 1 << 40, [][]byte{rawTx(1, maxVout+2)}, ErrMalformed},
		{"the longest script", 1, [][]byte{rawTx(1, 1, rawCoin(0, MaxScriptSize))}, nil},
		{"a longer script", 1, [][]byte{rawTx(1, 1, rawCoin(0, MaxScriptSize+1))}, ErrMalformed},
		{"a much longer script", 1, [][]byte{rawTx(1, 1, rawCoin(0, 3*MaxScriptSize))}, ErrMalformed},
		{"a full transaction", uint64(len(full)), [][]byte{fullTx}, nil},
		{"a transaction that no block has room for", uint64(len(full) + 1), [][]byte{overfullTx}, ErrMalformed},
		{"a huge number of coins", 1<<64 - 1, [][]byte{one}, ErrTruncated},
	} {
		h := SnapshotHeader{Net: wire.MainNet, Coins: c.coins}
		file := append(AppendSnapshotHeader(nil, h), bytes.Join(c.txs, nil)...)
		if _, err := readSnapshot(bytes.NewReader(file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSnapshotHeader(t *testing.T) {
	h := SnapshotHeader{Net: wire.SigNet, Base: chainhash.Hash{1, 31: 2}, Coins: 1<<63 + 5}
	b := AppendSnapshotHeader(nil, h)
	if got, err := DecodeSnapshotHeader(append(b, 0xff)); err != nil || got != h || len(b) != SnapshotHeaderSize {
		t.Errorf("%+v becomes %d bytes, then %+v, %v", h, len(b), got, err)
	}
	if want := "7574786fff02000a03cf40"; !bytes.HasPrefix(b, unhex(t, want)) {
		t.Errorf("the header begins %x, want %s", b[:11], want)
	}
	for cut := range b {
		if _, err := DecodeSnapshotHeader(b[:cut]); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut at %d: %v, want ErrTruncated", cut, err)
		}
	}
	for at, want := range map[int]error{0: ErrMagic, 4: ErrMagic, 5: ErrMalformed, 6: ErrMalformed} {
		bad := slices.Clone(b)
		bad[at] ^= 1
		if _, err := DecodeSnapshotHeader(bad); !errors.Is(err, want) {
			t.Errorf("byte %d changed: %v, want %v", at, err, want)
		}
	}
	if _, err := NewSnapshotReader(bytes.NewReader(b), wire.MainNet); !errors.Is(err, ErrMagic) {
		t.Errorf("another network: %v, want ErrMagic", err)
	}
}

func TestSnapshotWriterRefused(t *testing.T) {
	coin := func(vout uint32) TxCoin { return TxCoin{Vout: vout, Coin: Coin{Value: 1, Script: []byte{0x51}}} }
	one := TxCoins{chainhash.Hash{1}, []TxCoin{coin(0), coin(1)}}
	for name, bad := range map[string]TxCoins{
		"the same transaction":     one,
		"a transaction before":     {chainhash.Hash{0, 1}, []TxCoin{coin(0)}},
		"no coins":                 {chainhash.Hash{2}, nil},
		"more coins than are left": {chainhash.Hash{2}, []TxCoin{coin(0), coin(1), coin(2)}},
		"an output twice":          {chainhash.Hash{2}, []TxCoin{coin(4), coin(4)}},
	} {
		var out bytes.Buffer
		w, err := NewSnapshotWriter(&out, SnapshotHeader{Net: wire.MainNet, Coins: 4})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&one); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
		if err := w.Close(); !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: closed with %v, want ErrTruncated", name, err)
		}
		if want := SnapshotHeaderSize + len(rawTx(1, 2)) + 2*len("v..sS"); out.Len() != want {
			t.Errorf("%s: %d bytes were written, want %d", name, out.Len(), want)
		}
	}
	broken := errors.New("the disk is full")
	w, err := NewSnapshotWriter(fullDisk{broken}, SnapshotHeader{Coins: 1})
	if err == nil {
		err = w.Close()
	}
	if !errors.Is(err, broken) {
		t.Errorf("a full disk: %v", err)
	}
}

type fullDisk struct{ err error }

func (d fullDisk) Write([]byte) (int, error) { return 0, d.err }

func TestSetHasher(t *testing.T) {
	h := NewSetHasher()
	if got, want := h.Sum(), chainhash.DoubleHashH(nil); got != want {
		t.Errorf("the empty set has the hash %s, want %s", got, want)
	}
	txs := set(t)
	if err := h.Add(&txs[1]); err != nil {
		t.Fatal(err)
	}
	sum := h.Sum()
	twice := TxCoins{chainhash.Hash{0xff}, []TxCoin{{Vout: 2}, {Vout: 1}, {Vout: 2}}}
	for _, bad := range []*TxCoins{&txs[0], &txs[1], &twice} {
		if err := h.Add(bad); !errors.Is(err, ErrMalformed) || h.Sum() != sum {
			t.Errorf("transaction %s: %v, want ErrMalformed and no change", bad.Txid, err)
		}
	}
	// Every field of a coin counts.
	for name, change := range map[string]func(*TxCoins){
		"txid":     func(tx *TxCoins) { tx.Txid[31] ^= 1 },
		"vout":     func(tx *TxCoins) { tx.Coins[0].Vout++ },
		"value":    func(tx *TxCoins) { tx.Coins[0].Value++ },
		"height":   func(tx *TxCoins) { tx.Coins[0].Height++ },
		"coinbase": func(tx *TxCoins) { tx.Coins[0].Coinbase = !tx.Coins[0].Coinbase },
		"script":   func(tx *TxCoins) { tx.Coins[0].Script = append(tx.Coins[0].Script, 0) },
	} {
		h, tx := NewSetHasher(), set(t)[1]
		change(&tx)
		if err := h.Add(&tx); err != nil || h.Sum() == sum {
			t.Errorf("%s changed, the hash did not: %v", name, err)
		}
	}
}

// TestSnapshotMemory reads a snapshot of many transactions in the memory that
// one takes.
func TestSnapshotMemory(t *testing.T) {
	var txs []TxCoins
	for i := range 20_000 {
		tx := TxCoins{Coins: []TxCoin{{Vout: 0, Coin: Coin{Value: 1, Script: make([]byte, 200), Height: 1}}}}
		binary.BigEndian.PutUint32(tx.Txid[:], uint32(i))
		txs = append(txs, tx)
	}
	file := writeSnapshot(t, txs)
	n := allocated(func() {
		r, err := NewSnapshotReader(bytes.NewReader(file), wire.MainNet)
		for err == nil {
			_, err = r.Next()
		}
		if err != io.EOF {
			t.Error(err)
		}
	})
	if n > 1<<19 {
		t.Errorf("%d bytes taken to read %d", n, len(file))
	}
}
