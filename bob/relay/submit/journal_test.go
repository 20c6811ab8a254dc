package submit

import (
	"bytes"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// noon is when the entries of these tests are written.
var noon = time.Unix(1_800_000_000, 0)

// sending returns the entry of a transaction with a nonce, which may cost so much; salt
// makes it another.
func sending(t testing.TB, s *testSigner, nonce uint64, most int64, salt byte, at time.Time) *entry {
	t.Helper()
	to := common.Address{1}
	tx, err := s.Sign(t.Context(), &types.DynamicFeeTx{
		ChainID: big.NewInt(5), Nonce: nonce, GasTipCap: big.NewInt(int64(salt)), GasFeeCap: big.NewInt(1000), Gas: 21_000, To: &to, Value: new(big.Int), Data: []byte{salt},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	hash, plan := tx.Hash(), planOf(to, tx.Data())
	return &entry{Is: isSending, Time: at.Unix(), Nonce: nonce, Hash: &hash, Plan: &plan, Headers: 3, Raw: raw, Most: big.NewInt(most).String(), Head: 9}
}

// mined returns the entry that says that it is in a block.
func mined(e *entry, cost int64, at time.Time) *entry {
	return &entry{Is: isMined, Time: at.Unix(), Nonce: e.Nonce, Hash: e.Hash, Block: 10, BlockHash: &common.Hash{3}, OK: true, Cost: big.NewInt(cost).String()}
}

// of returns an entry of another kind about the same transaction.
func of(e *entry, is string) *entry {
	return &entry{Is: is, Time: e.Time, Nonce: e.Nonce, Hash: e.Hash}
}

func open(t testing.TB, path string, account common.Address, now time.Time) *journal {
	t.Helper()
	j, err := openJournal(path, 5, account, now)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func record(t testing.TB, j *journal, entries ...*entry) {
	t.Helper()
	for _, e := range entries {
		if err := j.record(e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournal writes entries, and reads what they add up to after a restart at each of them.
func TestJournal(t *testing.T) {
	s := newTestSigner(t)
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, s.Address(), noon)
	first, higher, second := sending(t, s, 7, 100, 1, noon), sending(t, s, 7, 130, 2, noon), sending(t, s, 8, 50, 3, noon)
	for _, step := range []struct {
		entry   *entry
		pending int
		spent   int64
		did     bool // the first's plan
	}{
		{first, 1, 100, false},
		{higher, 1, 130, false},
		{mined(first, 60, noon), 0, 60, true},
		{second, 1, 110, true},
		{of(first, isUnmined), 2, 180, false},
		{mined(higher, 700, noon), 1, 750, false}, // more than was ever thought
		{of(higher, isUnmined), 2, 180, false},
		{mined(higher, 70, noon), 1, 120, false},
		{of(second, isTaken), 0, 120, false}, // which may be ours all the same
	} {
		record(t, j, step.entry)
		for _, reopened := range []bool{false, true} {
			if reopened {
				if err := j.close(); err != nil {
					t.Fatal(err)
				}
				j = open(t, path, s.Address(), noon)
			}
			if got := j.spent(noon, nil); len(j.pending()) != step.pending || got.Int64() != step.spent || (j.did(*first.Plan) != nil) != step.did {
				t.Errorf("after %s of nonce %d, reopened %t: %d pending, %v spent, did %t; want %+v",
					step.entry.Is, step.entry.Nonce, reopened, len(j.pending()), got, j.did(*first.Plan) != nil, step)
			}
		}
	}
	if j.next() != 9 || j.newest().nonce != 7 || j.newest().mined.headers != 3 || len(j.newest().variants) != 2 || j.newest().mined.plan != *higher.Plan {
		t.Errorf("next %d, newest %+v", j.next(), j.newest())
	}
	// 24 hours later it counts no more, a clock that was put back gives nothing.
	for at, want := range map[time.Time]int64{
		noon.Add(24*time.Hour - time.Second): 120, noon.Add(24 * time.Hour): 0, noon.Add(-48 * time.Hour): 120,
	} {
		if got := j.spent(at, nil); got.Int64() != want {
			t.Errorf("%v: %v spent, want %d", at.Sub(noon), got, want)
		}
	}
	// What is on its way counts however old it is, but for what is to be replaced.
	record(t, j, sending(t, s, 9, 33, 4, noon.Add(-72*time.Hour)))
	if got := j.spent(noon.Add(240*time.Hour), nil); got.Int64() != 33 {
		t.Errorf("%v spent with one on its way", got)
	}
	if got := j.spent(noon.Add(240*time.Hour), j.pending()[0]); got.Sign() != 0 {
		t.Errorf("%v spent but for what is replaced", got)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

// TestJournalRefuses has entries that cannot follow, and journals that are another's.
func TestJournalRefuses(t *testing.T) {
	s := newTestSigner(t)
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, s.Address(), noon)
	first := sending(t, s, 7, 100, 1, noon)
	other := sending(t, s, 7, 100, 2, noon)
	record(t, j, first, mined(first, 5, noon))
	for name, e := range map[string]*entry{
		"what is mined is sent again":    other,
		"a nonce that was never sent":    mined(sending(t, s, 9, 1, 1, noon), 1, noon),
		"a variant that was never sent":  mined(other, 1, noon),
		"a cost that is no number":       {Is: isMined, Nonce: 7, Hash: first.Hash, BlockHash: &common.Hash{}, Cost: "x"},
		"a kind that there is not":       of(first, "lost"),
		"a transaction of another nonce": {Is: isSending, Nonce: 8, Hash: first.Hash, Plan: first.Plan, Raw: first.Raw, Most: "1"},
		"a transaction of another hash":  {Is: isSending, Nonce: 7, Hash: other.Hash, Plan: first.Plan, Raw: first.Raw, Most: "1"},
		"what is no transaction":         {Is: isSending, Nonce: 8, Hash: first.Hash, Plan: first.Plan, Raw: []byte{2}, Most: "1"},
	} {
		if err := j.apply(e); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	// It is locked.
	if _, err := openJournal(path, 5, s.Address(), noon); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(path, 6, s.Address(), noon); err == nil || !strings.Contains(err.Error(), "chain 5, not of") {
		t.Errorf("of another chain: %v", err)
	}
	if _, err := openJournal(path, 5, common.Address{9}, noon); err == nil || !strings.Contains(err.Error(), "of account") {
		t.Errorf("of another account: %v", err)
	}
	open(t, path, s.Address(), noon).close()
}

// TestTornJournal cuts a journal at many lengths, and flips many bytes, among them all near
// the ends of lines: what is whole is read, a torn end is cut off, and any other damage is an error. Nothing that was sent is
// forgotten but the line that is torn.
func TestTornJournal(t *testing.T) {
	s := newTestSigner(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := open(t, path, s.Address(), noon)
	first, second := sending(t, s, 0, 100, 1, noon), sending(t, s, 1, 10, 2, noon)
	record(t, j, first, mined(first, 60, noon), second)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	some := func(n int) bool {
		return n%17 == 0 || bytes.IndexByte(whole[max(0, n-2):min(n+12, len(whole))], '\n') >= 0
	}
	for n := range whole {
		if !some(n) {
			continue
		}
		writeFile(t, path, whole[:n])
		j := open(t, path, s.Address(), noon)
		lines := bytes.Count(whole[:n], []byte("\n"))
		if want := []int{0, 0, 1, 1}[lines]; len(j.slots) != want {
			t.Errorf("cut to %d bytes: %d nonces, want %d", n, len(j.slots), want)
		}
		// It goes on from there.
		next := sending(t, s, j.next(), 10, 3, noon)
		record(t, j, next)
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		if j = open(t, path, s.Address(), noon); len(j.pending()) == 0 || j.pending()[len(j.pending())-1].nonce != next.Nonce {
			t.Errorf("cut to %d bytes: what was written afterwards is gone", n)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}
	lastLine := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for n := range whole {
		if !some(n) {
			continue
		}
		spoilt := bytes.Clone(whole)
		spoilt[n] ^= 1
		writeFile(t, path, spoilt)
		j, err := openJournal(path, 5, s.Address(), noon)
		switch {
		case n < lastLine && err == nil:
			t.Errorf("byte %d is another, and that is not seen", n)
		case n >= lastLine && err != nil:
			t.Errorf("byte %d, of the last line, is another: %v", n, err)
		case n >= lastLine && len(j.slots) != 1:
			t.Errorf("byte %d, of the last line, is another: %d nonces", n, len(j.slots))
		}
		if err == nil {
			if err := j.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCompact rewrites a journal that is large.
func TestCompact(t *testing.T) {
	s := newTestSigner(t)
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, s.Address(), noon)
	var entries []entry
	late := noon.Add(keepFor + time.Hour)
	for nonce := range uint64(6) {
		at := noon
		if nonce >= 4 {
			at = late
		}
		e := sending(t, s, nonce, 10, byte(nonce), at)
		record(t, j, e)
		if nonce != 2 { // stays on its way
			record(t, j, mined(e, 3, at))
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if entries, _, err = readJournal(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	account := s.Address()
	if err := j.compact(&entry{Is: isOpen, Chain: 5, Account: &account}, entries, late); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		var nonces []uint64
		for _, s := range j.slots {
			nonces = append(nonces, s.nonce)
		}
		if len(nonces) != 3 || nonces[0] != 2 || nonces[1] != 4 || nonces[2] != 5 || j.spent(late, nil).Int64() != 16 {
			t.Errorf("%s: nonces %v, %v spent", what, nonces, j.spent(late, nil))
		}
	}
	check("compacted")
	record(t, j, sending(t, s, 6, 0, 9, late), mined(sending(t, s, 6, 0, 9, late), 0, late))
	if _, err := openJournal(path, 5, s.Address(), late); err == nil {
		t.Error("it is not locked any more")
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, path, s.Address(), late)
	if j.next() != 7 {
		t.Errorf("the next nonce is %d", j.next())
	}
	j.slots = j.slots[:3]
	check("reopened")
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

// TestUnwritable has the disk refuse: that is fatal.
func TestUnwritable(t *testing.T) {
	s := newTestSigner(t)
	j := open(t, filepath.Join(t.TempDir(), "journal"), s.Address(), noon)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	err := j.record(sending(t, s, 0, 1, 1, noon))
	if !Fatal(err) || len(j.slots) != 0 {
		t.Errorf("%v, %d nonces", err, len(j.slots))
	}
}

func FuzzJournal(f *testing.F) {
	s := newTestSigner(f)
	account := s.Address()
	var data []byte
	e := sending(f, s, 0, 1, 1, noon)
	for _, e := range []*entry{{Is: isOpen, Chain: 5, Account: &account}, e, mined(e, 1, noon), of(e, isUnmined)} {
		line, err := e.format()
		if err != nil {
			f.Fatal(err)
		}
		data = append(data, line...)
		f.Add(data)
	}
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, good, err := readJournal(bytes.NewReader(data))
		if err != nil {
			return
		}
		if good > int64(len(data)) {
			t.Errorf("%d of %d bytes are whole", good, len(data))
		}
		if len(entries) == 0 {
			return
		}
		j := new(journal)
		if err := j.replay(entries, entries[0].Chain, *entries[0].Account); err != nil {
			return
		}
		for i := range entries {
			line, err := entries[i].format()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parseEntry(line[:len(line)-1]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		if j.spent(noon, nil).Sign() < 0 {
			t.Error("less than nothing was spent")
		}
	})
}
