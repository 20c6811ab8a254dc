package coins

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// rssVariable asks this program to measure its own memory in a directory instead of
// testing.
const rssVariable = "COINS_RSS"

// The budget that the process divides: a fifth is the database's.
const (
	rssBudget   = 320 << 20
	rssDatabase = rssBudget / 5
)

func TestMain(m *testing.M) {
	dir := os.Getenv(rssVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	var r rssReport
	err := r.measure(dir)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// An rssReport is what a process tells of itself, in bytes: what was resident before
// it held coins, and at most; and what the cache accounted for at most.
type rssReport struct {
	Base, Peak, Most int64
	Blocks, Read     int
}

// over returns by which part of the budget the process exceeded it.
func (r *rssReport) over() float64 { return float64(r.Peak-r.Base)/rssBudget - 1 }

var residentLine = regexp.MustCompile(`(?m)^(VmRSS|VmHWM):\s+(\d+) kB$`)

// resident returns what the process has in memory now, and had at most, as proc(5)
// tells it.
func resident() (now, most int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for _, m := range residentLine.FindAllSubmatch(status, -1) {
		kib, err := strconv.ParseInt(string(m[2]), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		if string(m[1]) == "VmRSS" {
			now = kib << 10
		} else {
			most = kib << 10
		}
	}
	if now == 0 || most == 0 {
		return 0, 0, fmt.Errorf("/proc/self/status has no VmRSS or VmHWM: %s", status)
	}
	return now, most, nil
}

const rssOld = 280

// rssBlock makes a block of 2,000 transactions. Half of what a block makes is spent
// ten blocks later, and an eighth after rssOld, when the cache no longer has all of it.
func rssBlock(prev utxocache.Tip) utxocache.Block {
	const txs = 2000
	txid := func(height, n int) (h chainhash.Hash) {
		// Spread over the key space, as hashes are.
		binary.BigEndian.PutUint64(h[:], (uint64(height)<<20|uint64(n))*0x9e3779b97f4a7c15)
		return h
	}
	height := int(prev.Height) + 1
	b := utxocache.Block{Tip: utxocache.Tip{Hash: txid(height, txs), Height: uint32(height)}, Prev: prev.Hash}
	for i := range txs {
		tx := &wire.MsgTx{TxOut: []*wire.TxOut{
			{Value: int64(i), PkScript: make([]byte, 180)}, {Value: int64(i), PkScript: make([]byte, 220)},
		}}
		if i > 0 && height > 10 {
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: txid(height-10, i)}})
		}
		if i > 0 && i%4 == 0 && height > rssOld {
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: txid(height-rssOld, i), Index: 1}})
		}
		b.Txs, b.Txids = append(b.Txs, tx), append(b.Txids, txid(height, i))
	}
	return b
}

// measure fills a small cache and database, which bring the program's code into
// memory, and then those of the budget.
func (r *rssReport) measure(dir string) (err error) {
	if err := r.follow(dir+"/small", 1<<20, 1<<20, 20); err != nil {
		return err
	}
	debug.FreeOSMemory()
	if r.Base, _, err = resident(); err != nil {
		return err
	}
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	debug.SetMemoryLimit(utxocache.MemoryLimit(int64(s[0].Value.Uint64()-s[1].Value.Uint64()), rssBudget-rssDatabase))
	if err := r.follow(dir+"/whole", rssBudget-rssDatabase, rssDatabase, 60); err != nil {
		return err
	}
	_, r.Peak, err = resident()
	return err
}

// follow applies blocks to a cache and a database until the cache has forgotten coins
// for as many of them as more says. What a block spends is looked up before, and a
// few coins of old blocks, which only the database has.
func (r *rssReport) follow(dir string, cacheBytes, dbBytes int64, more int) error {
	cache, err := utxocache.New(utxocache.Options{Blocks: 144, LeastBlocks: 6, Budget: cacheBytes})
	if err != nil {
		return err
	}
	defer cache.Close()
	db, err := coindb.Open(dir, coindb.Options{Memory: dbBytes, MemTable: dbBytes / 8, MinFree: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	set := New(Options{Cache: cache, DB: db, Recorder: new(perfcore.Registry)})
	tip := utxocache.Tip{}
	cache.Reset(tip, true)
	if err := db.Reset(coindb.Tip(tip), true); err != nil {
		return err
	}
	for r.Blocks, r.Most, r.Read = 0, 0, 0; more > 0; r.Blocks++ {
		b := rssBlock(tip)
		coins := coindb.NewBlock(coindb.Tip(b.Tip), b.Prev, b.Txids, b.Txs)
		answers := make([]utxocache.Answer, len(coins.Spent))
		if err := set.Fetch(tip.Hash, coins.Spent, answers); err != nil {
			return err
		}
		coins.Known = make([]coindb.Coin, len(coins.Spent))
		for i, a := range answers {
			if a.State != utxocache.Unspent {
				return fmt.Errorf("block %d: %s is %s", b.Tip.Height, coins.Spent[i], a.State)
			}
			coins.Known[i] = coindb.Coin(a.Coin)
		}
		if err := cache.Apply(b); err != nil {
			return err
		}
		if err := db.Apply(coins); err != nil {
			return err
		}
		tip = b.Tip
		r.Most = max(r.Most, cache.Memory().Total())
		if !cache.Complete() {
			more--
		}
		r.Read = int(set.perf.found[tierPebble].Value())
	}
	return nil
}

// A process with the cache and the database takes their budget and five per cent
// more, with the memory limit that utxocache.MemoryLimit says.
func TestResidentMemory(t *testing.T) {
	switch {
	case runtime.GOOS != "linux":
		t.Skip("that a process with coins stays within its budget was not checked: only Linux tells it by /proc/self/status")
	case os.Getenv("OUTRIDER_COINS_BULK") == "":
		t.Skip("that a process with coins stays within its budget was not checked: make bulk-coins does it with hundreds of large blocks")
	}
	var r rssReport
	// Where others use the processors, the collector may come too late.
	for try := 1; try == 1 || try <= 3 && r.over() > 0.05; try++ {
		r = measureResident(t)
	}
	if r.over() > 0.05 {
		t.Errorf("the process exceeds its budget by %.1f %%", 100*r.over())
	}
	if r.Most < (rssBudget-rssDatabase)*3/4 || r.Peak-r.Base < rssBudget*3/4 || r.Read == 0 {
		t.Errorf("%+v: the budget was never used, or the database not read", r)
	}
}

// measureResident runs a process with coins.
func measureResident(t *testing.T) (r rssReport) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), rssVariable+"="+t.TempDir(), "GOGC=100", "GOMEMLIMIT=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("a base of %d MiB, %d blocks, %d coins read from the disk; a budget of %d MiB, of which the cache accounted for %d at most: %+.1f %%",
		r.Base>>20, r.Blocks, r.Read, rssBudget>>20, r.Most>>20, 100*r.over())
	return r
}
