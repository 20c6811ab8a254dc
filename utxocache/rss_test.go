package utxocache

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// rssVariable asks this program to measure its own memory instead of testing, with
// the budget in bytes as its value.
const rssVariable = "UTXOCACHE_RSS"

func TestMain(m *testing.M) {
	s := os.Getenv(rssVariable)
	if s == "" {
		os.Exit(m.Run())
	}
	report, err := measureRSS(s)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// An rssReport is what a process tells of itself, in bytes.
type rssReport struct {
	Budget int64
	Base   int64 // resident, before there was a cache
	Peak   int64 // resident, at most
	Most   int64 // accounted, at most
	Blocks int
	// Shrunk is what was resident, and Left what was accounted, once the budget was
	// a quarter.
	Shrunk, Left int64
	GCShare      float64 // of the processors' time
}

// over returns by which part of the budget the process exceeded it.
func (r *rssReport) over() float64 { return float64(r.Peak-r.Base)/float64(r.Budget) - 1 }

// residentMemory returns what the process has in memory now, and had at most, as
// proc(5) tells it.
func residentMemory() (now, most int64, err error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, kib, _ := strings.Cut(lines.Text(), ":")
		into := map[string]*int64{"VmRSS": &now, "VmHWM": &most}[name]
		if into == nil {
			continue
		}
		if *into, err = strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kib, "kB")), 10, 64); err != nil {
			return 0, 0, err
		}
		*into <<= 10
	}
	if now == 0 || most == 0 {
		return 0, 0, errors.New("/proc/self/status has no VmRSS or VmHWM")
	}
	return now, most, nil
}

// runtimeMemory returns what the Go runtime has of the system: what a memory limit
// bounds.
func runtimeMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

// numbered returns the id of a transaction by its block and place.
func numbered(height, n int) (h chainhash.Hash) {
	binary.LittleEndian.PutUint64(h[:], uint64(height)<<32|uint64(n))
	return h
}

// plainBlock makes a block of a chain of which nobody remembers anything: half of
// what a block makes is spent ten blocks later, and an eighth after 300.
func plainBlock(prev Tip, txs int) Block {
	height := int(prev.Height) + 1
	b := Block{Tip: Tip{Hash: numbered(height, txs), Height: uint32(height)}, Prev: prev.Hash}
	for i := range txs {
		tx := &wire.MsgTx{TxOut: []*wire.TxOut{{Value: int64(i), PkScript: make([]byte, 22)}, {Value: int64(i), PkScript: make([]byte, 34)}}}
		if i > 0 && height > 10 {
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: numbered(height-10, i)}})
		}
		if i > 0 && i%4 == 0 && height > 300 {
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: numbered(height-300, i), Index: 1}})
		}
		b.Txs, b.Txids = append(b.Txs, tx), append(b.Txids, numbered(height, i))
	}
	return b
}

// rssTxs is how many transactions the blocks have: 4,000 spend 5,000 coins and make
// 8,000, about as many as mainnet's.
const rssTxs = 4000

// measureRSS fills a cache to a budget, follows as many blocks again, and shrinks it
// to a quarter.
func measureRSS(budget string) (*rssReport, error) {
	n, err := strconv.ParseInt(budget, 10, 64)
	if err != nil {
		return nil, err
	}
	r := &rssReport{Budget: n}
	// The program's own code comes into memory with a cache that is soon closed.
	if err := r.follow(1<<20, 30, nil); err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	if r.Base, _, err = residentMemory(); err != nil {
		return nil, err
	}
	rest := runtimeMemory()
	debug.SetMemoryLimit(MemoryLimit(rest, n))
	err = r.follow(n, 80, func(c *Cache) error {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		r.GCShare = m.GCCPUFraction
		if _, r.Peak, err = residentMemory(); err != nil {
			return err
		}
		if err := c.SetBudget(n / 4); err != nil {
			return err
		}
		debug.SetMemoryLimit(MemoryLimit(rest, n/4))
		debug.FreeOSMemory()
		r.Left = c.Memory().Total()
		r.Shrunk, _, err = residentMemory()
		return err
	})
	return r, err
}

// follow makes a cache, applies blocks until it has forgotten coins for as many of
// them as more says, and hands the cache to then.
func (r *rssReport) follow(budget int64, more int, then func(*Cache) error) error {
	c, err := New(Options{Blocks: 288, LeastBlocks: 6, Budget: budget})
	if err != nil {
		return err
	}
	defer c.Close()
	c.Reset(Tip{}, true)
	tip, answers := Tip{}, make([]Answer, 1)
	for r.Blocks, r.Most = 0, 0; more > 0; r.Blocks++ {
		b := plainBlock(tip, rssTxs)
		if err := c.Apply(b); err != nil {
			return err
		}
		tip = b.Tip
		if err := c.Fetch(tip.Hash, []wire.OutPoint{{Hash: b.Txids[1]}}, answers); err != nil || answers[0].State != Unspent {
			return fmt.Errorf("a coin of the tip is %s: %w", answers[0].State, err)
		}
		r.Most = max(r.Most, c.Memory().Total())
		if !c.Complete() {
			more--
		}
	}
	if then == nil {
		return nil
	}
	return then(c)
}

// A process with a cache takes its budget and five per cent more, with the memory
// limit that MemoryLimit says and GOGC as it is by default.
func TestResidentMemory(t *testing.T) {
	switch {
	case runtime.GOOS != "linux":
		t.Skip("that a process with a cache stays within its budget was not checked: only Linux tells it by /proc/self/status")
	case testing.Short():
		t.Skip("that a process with a cache stays within its budget was not checked: it takes 700 large blocks")
	case raceEnabled:
		t.Skip("that a process with a cache stays within its budget was not checked: the race detector takes memory of its own")
	}
	const budget = 256 << 20
	r := measureResident(t, budget)
	// Where others use the processors, the collector may come too late.
	for tries := 1; r.over() > 0.05 && tries < 3; tries++ {
		r = measureResident(t, budget)
	}
	if r.over() > 0.05 {
		t.Errorf("the process exceeds its budget by %.1f %%", 100*r.over())
	}
	if r.Most < budget*3/4 || r.Peak-r.Base < budget*3/4 {
		t.Errorf("%d bytes accounted at most: the budget was never used", r.Most)
	}
	if r.Left > budget/4 || r.Shrunk-r.Base > budget/2 {
		t.Errorf("%d bytes are left as accounted, %d of the process", r.Left, r.Shrunk-r.Base)
	}
}

// measureResident runs a process with a cache of that budget.
func measureResident(t *testing.T, budget int64) (r rssReport) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), rssVariable+"="+strconv.FormatInt(budget, 10), "GOGC=100", "GOMEMLIMIT=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const mib = 1 << 20
	t.Logf("a base of %d MiB, %d blocks; a budget of %d MiB, of which %d accounted at most: %d MiB and %+.1f %%; %.1f %% of the time in the garbage collector",
		r.Base/mib, r.Blocks, r.Budget/mib, r.Most/mib, r.Budget/mib, 100*r.over(), 100*r.GCShare)
	t.Logf("with a budget of %d MiB, %d accounted: %.1f MiB resident, beyond the base %.1f", r.Budget/4/mib, r.Left/mib, float64(r.Shrunk)/mib, float64(r.Shrunk-r.Base)/mib)
	return r
}
