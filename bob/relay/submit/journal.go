package submit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// An entry is a line of the journal.
type entry struct {
	// Is says what it is; see the constants.
	Is string `json:"is"`
	// Time is when it was written, in Unix seconds.
	Time int64 `json:"time"`

	// An opening has these.
	Chain   uint64          `json:"chain,omitempty"`
	Account *common.Address `json:"account,omitempty"`

	// All others have Nonce and the transaction's hash.
	Nonce uint64       `json:"nonce"`
	Hash  *common.Hash `json:"hash,omitempty"`

	// What is about to be sent has these: what it does (planOf), how many headers it
	// brings, the signed transaction, the most that it can cost in wei, and the head at
	// that time.
	Plan    *common.Hash  `json:"plan,omitempty"`
	Headers int           `json:"headers,omitempty"`
	Raw     hexutil.Bytes `json:"raw,omitempty"`
	Most    string        `json:"most_wei,omitempty"`
	Head    uint64        `json:"head,omitempty"`

	// What was mined has these.
	Block     uint64       `json:"block,omitempty"`
	BlockHash *common.Hash `json:"block_hash,omitempty"`
	OK        bool         `json:"ok,omitempty"`
	Cost      string       `json:"cost_wei,omitempty"`
}

// These are the kinds of entry.
const (
	isOpen    = "open"    // the first: of which chain and account the journal is
	isSending = "sending" // written before a transaction is sent
	isMined   = "mined"   // it is in a block
	isUnmined = "unmined" // that block is not in the chain any more
	isTaken   = "taken"   // another transaction, which is not ours, has its nonce
)

// A variant is one of the transactions that were signed for a nonce.
type variant struct {
	tx      *types.Transaction
	raw     []byte
	plan    common.Hash
	headers int
	most    *big.Int
	head    uint64 // when it was sent first
}

// A slot is a nonce, and what was signed for it: the first, and those that replace it.
type slot struct {
	nonce    uint64
	variants []variant
	state    string // isSending, isMined or isTaken
	// time is when it was found to be mined or taken, in Unix seconds; before that, when it
	// was sent first.
	time int64
	// These are of the variant that was mined.
	mined     *variant
	block     uint64
	blockHash common.Hash
	ok        bool
	cost      *big.Int

	// missing is the number of different heads, one after another, whose state has the
	// nonce as used while nobody had a receipt; lastMissing is the last of them.
	missing     int
	lastMissing uint64
}

// last returns the newest variant.
func (s *slot) last() *variant { return &s.variants[len(s.variants)-1] }

// most returns the most that the nonce can cost: one of the variants is mined at last.
func (s *slot) most() *big.Int {
	most := new(big.Int)
	for i := range s.variants {
		if s.variants[i].most.Cmp(most) > 0 {
			most = s.variants[i].most
		}
	}
	return most
}

// A journal is a file that knows every transaction that was ever sent, before it is sent:
// lines with a checksum, each on disk before the next step. Whoever is killed at any
// moment and starts again learns from it what it may have sent. It also counts what was
// spent. It is locked while it is open, and not safe for concurrent use.
//
// A line is eight hexadecimal digits of CRC-32C, a space, and an entry as JSON. The last
// one may be torn: it was then never acted upon. Any other damage is an error.
type journal struct {
	file  *os.File
	slots []*slot // by nonce
}

const (
	// maxLine bounds a line: a transaction has at most 128 KiB.
	maxLine = 1 << 20
	// compactAbove is the size above which opening rewrites the journal, with only what
	// is needed.
	compactAbove = 16 << 20
	// keepFor is how long what was mined is kept at least, for the spend of a day and
	// for reorganisations.
	keepFor = 48 * time.Hour
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens or begins the journal of an account on a chain.
func openJournal(path string, chain uint64, account common.Address, now time.Time) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &journal{file: f}
	if err := j.load(chain, account, now); err != nil {
		return nil, fmt.Errorf("journal: %w", errors.Join(err, j.file.Close()))
	}
	return j, nil
}

func (j *journal) load(chain uint64, account common.Address, now time.Time) error {
	if err := lock(j.file); err != nil {
		return err
	}
	// Another may have put a new file in its place just now.
	if mine, err := j.file.Stat(); err != nil {
		return err
	} else if there, err := os.Stat(j.file.Name()); err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%s was replaced meanwhile", j.file.Name())
	}
	entries, good, err := readJournal(j.file)
	if err != nil {
		return fmt.Errorf("%s: %w", j.file.Name(), err)
	}
	opening := entry{Is: isOpen, Time: now.Unix(), Chain: chain, Account: &account}
	if len(entries) > 0 {
		if err := j.replay(entries, chain, account); err != nil {
			return fmt.Errorf("%s: %w", j.file.Name(), err)
		}
	}
	if err := j.file.Truncate(good); err != nil {
		return err
	}
	if _, err := j.file.Seek(good, io.SeekStart); err != nil {
		return err
	}
	if len(entries) == 0 {
		if err := j.write(&opening); err != nil {
			return err
		}
		return syncDir(filepath.Dir(j.file.Name()))
	}
	if good > compactAbove {
		return j.compact(&opening, entries, now)
	}
	return nil
}

// replay takes the entries of a journal into account, which must be of an account on a
// chain.
func (j *journal) replay(entries []entry, chain uint64, account common.Address) error {
	if e := entries[0]; e.Chain != chain || *e.Account != account {
		return fmt.Errorf("it is of account %v on chain %d, not of %v on %d: name another file", e.Account, e.Chain, account, chain)
	}
	for i := range entries[1:] {
		if err := j.apply(&entries[i+1]); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

// readJournal reads entries, and returns how many bytes of the file are whole lines.
func readJournal(r io.Reader) (entries []entry, good int64, err error) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return entries, good, nil // and what is left is torn
		}
		if err != nil {
			return nil, 0, fmt.Errorf("after %d entries: %w", len(entries), err)
		}
		e, err := parseEntry(line[:len(line)-1])
		if err != nil {
			// What follows the last good line and is not one may be torn, with its end
			// on disk; but not if it begins with a whole entry.
			whole := wholeEntry(line)
			if _, err := lines.Peek(1); err == io.EOF && !whole {
				return entries, good, nil
			}
			return nil, 0, fmt.Errorf("damaged after %d entries: %w", len(entries), err)
		}
		if first := e.Is == isOpen; first != (len(entries) == 0) {
			return nil, 0, fmt.Errorf("damaged: entry %d is %q", len(entries), e.Is)
		}
		entries = append(entries, *e)
		good += int64(len(line))
	}
}

// parseEntry decodes a line.
func parseEntry(line []byte) (*entry, error) {
	var sum [4]byte
	if len(line) < 10 || line[8] != ' ' {
		return nil, errors.New("the line has no checksum")
	}
	if _, err := hex.Decode(sum[:], line[:8]); err != nil {
		return nil, errors.New("the line has no checksum")
	}
	body := line[9:]
	if got := crc32.Checksum(body, castagnoli); got != uint32(sum[0])<<24|uint32(sum[1])<<16|uint32(sum[2])<<8|uint32(sum[3]) {
		return nil, errors.New("the line's checksum is another one")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	e := new(entry)
	if err := d.Decode(e); err != nil {
		return nil, err
	}
	switch {
	case e.Is == isOpen && (e.Account == nil || e.Chain == 0),
		e.Is != isOpen && e.Hash == nil,
		e.Is == isSending && e.Plan == nil,
		e.Is == isMined && e.BlockHash == nil:
		return nil, fmt.Errorf("the entry %q lacks something", e.Is)
	}
	return e, nil
}

// wholeEntry reports whether a line that is none begins with an entry and its checksum.
func wholeEntry(line []byte) bool {
	if len(line) < 10 {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(line[9:]))
	if err := d.Decode(new(json.RawMessage)); err != nil {
		return false
	}
	_, err := parseEntry(line[:9+d.InputOffset()])
	return err == nil
}

// format returns an entry's line.
func (e *entry) format() ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body)
	if len(line) > maxLine {
		return nil, fmt.Errorf("an entry of %d bytes", len(line))
	}
	return line, nil
}

// write puts an entry on disk.
func (j *journal) write(e *entry) error {
	line, err := e.format()
	if err != nil {
		return err
	}
	if _, err := j.file.Write(line); err != nil {
		return err
	}
	return j.file.Sync()
}

// record puts an entry on disk, and then takes it into account. After an error of the
// disk the journal is of no more use: nobody knows what is in it.
func (j *journal) record(e *entry) error {
	if err := j.write(e); err != nil {
		return &JournalError{err}
	}
	return j.apply(e)
}

// A JournalError says that the journal cannot be written. Nothing is sent then.
type JournalError struct{ Err error }

func (e *JournalError) Error() string { return fmt.Sprintf("the journal cannot be written: %v", e.Err) }
func (e *JournalError) Unwrap() error { return e.Err }

// apply takes an entry into account.
func (j *journal) apply(e *entry) error {
	at, found := slices.BinarySearchFunc(j.slots, e.Nonce, func(s *slot, nonce uint64) int {
		switch {
		case s.nonce < nonce:
			return -1
		case s.nonce > nonce:
			return 1
		}
		return 0
	})
	if e.Is == isSending {
		v, err := e.variant()
		if err != nil {
			return err
		}
		if !found {
			j.slots = slices.Insert(j.slots, at, &slot{nonce: e.Nonce, state: isSending, time: e.Time})
		}
		s := j.slots[at]
		if s.state != isSending {
			return fmt.Errorf("nonce %d is sent again, and is %s", e.Nonce, s.state)
		}
		s.variants = append(s.variants, *v)
		return nil
	}
	if !found {
		return fmt.Errorf("nonce %d is %s, and was never sent", e.Nonce, e.Is)
	}
	s := j.slots[at]
	switch e.Is {
	case isMined:
		i := slices.IndexFunc(s.variants, func(v variant) bool { return v.tx.Hash() == *e.Hash })
		cost, ok := new(big.Int).SetString(e.Cost, 10)
		if i < 0 || !ok || cost.Sign() < 0 {
			return fmt.Errorf("nonce %d: %v was mined at a cost of %.40q, and was not sent", e.Nonce, e.Hash, e.Cost)
		}
		s.state, s.mined, s.block, s.blockHash, s.ok, s.cost, s.time = isMined, &s.variants[i], e.Block, *e.BlockHash, e.OK, cost, e.Time
	case isUnmined:
		s.state, s.mined, s.cost = isSending, nil, nil
	case isTaken:
		s.state, s.mined, s.cost, s.time = isTaken, nil, nil, e.Time
	default:
		return fmt.Errorf("an entry %.20q", e.Is)
	}
	return nil
}

// variant returns what an entry says was sent.
func (e *entry) variant() (*variant, error) {
	tx := new(types.Transaction)
	most, ok := new(big.Int).SetString(e.Most, 10)
	if err := tx.UnmarshalBinary(e.Raw); err != nil || tx.Hash() != *e.Hash || tx.Nonce() != e.Nonce || !ok || most.Sign() < 0 ||
		tx.Type() != types.DynamicFeeTxType || tx.To() == nil {
		return nil, fmt.Errorf("nonce %d: what was sent is not what the entry says", e.Nonce)
	}
	return &variant{tx: tx, raw: e.Raw, plan: *e.Plan, headers: e.Headers, most: most, head: e.Head}, nil
}

// pending returns the nonces of which nobody knows what becomes, the lowest first.
func (j *journal) pending() []*slot {
	var all []*slot
	for _, s := range j.slots {
		if s.state == isSending {
			all = append(all, s)
		}
	}
	return all
}

// newest returns the mined slot with the highest nonce; nil if there is none.
func (j *journal) newest() *slot {
	for i := len(j.slots) - 1; i >= 0; i-- {
		if j.slots[i].state == isMined {
			return j.slots[i]
		}
	}
	return nil
}

// did returns the last transaction that does this, was mined and is still in the chain; nil
// if there is none.
func (j *journal) did(plan common.Hash) *slot {
	for _, s := range slices.Backward(j.slots) {
		if s.state == isMined && s.mined.plan == plan {
			return s
		}
	}
	return nil
}

// next returns the first nonce above all that were sent.
func (j *journal) next() uint64 {
	if len(j.slots) == 0 {
		return 0
	}
	return j.slots[len(j.slots)-1].nonce + 1
}

// spent returns what was spent in the day before now, in wei, and what may yet be spent
// by what is pending, but for the nonce except (nil: for none). A nonce that was taken counts
// with the most that it could cost: it may be that ours was mined, and nobody kept its
// receipt. What has a later time than now counts: a clock that was put back gives no more to
// spend.
func (j *journal) spent(now time.Time, except *slot) *big.Int {
	sum := new(big.Int)
	since := now.Add(-24 * time.Hour).Unix()
	for _, s := range j.slots {
		switch {
		case s == except:
		case s.state == isSending:
			sum.Add(sum, s.most())
		case s.state == isMined && s.time > since:
			sum.Add(sum, s.cost)
		case s.state == isTaken && s.time > since:
			sum.Add(sum, s.most())
		}
	}
	return sum
}

// compact rewrites the journal without what was mined or taken long ago, but for the last
// of these.
func (j *journal) compact(opening *entry, entries []entry, now time.Time) error {
	before := now.Add(-keepFor).Unix()
	drop := make(map[uint64]bool)
	for i, s := range j.slots {
		if s.state != isSending && s.time < before && i < len(j.slots)-1 {
			drop[s.nonce] = true
		}
	}
	if len(drop) == 0 {
		return nil
	}
	var buf bytes.Buffer
	for i := range entries {
		e := &entries[i]
		if i == 0 {
			e = opening
		} else if drop[e.Nonce] {
			continue
		}
		line, err := e.format()
		if err != nil {
			return err
		}
		buf.Write(line)
	}
	path := j.file.Name()
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := lock(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err = f.Write(buf.Bytes()); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := j.file
	// The new file keeps its old name in f.Name; it is the same file.
	j.file = f
	j.slots = slices.DeleteFunc(j.slots, func(s *slot) bool { return drop[s.nonce] })
	return old.Close()
}

func (j *journal) close() error { return j.file.Close() }
