package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// readVerdict returns the verdict.json of a bundle.
func readVerdict(t *testing.T, dir string) *bundle {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	b, err := readBundle(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// awaitRetrial returns the verdict.json of a bundle once it says what came of judging
// it again.
func awaitRetrial(t *testing.T, dir string) *bundle {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		if b := readVerdict(t, dir); b.Again.Failure != untried {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not judged again", dir)
		}
	}
}

// checkRetrial judges a bundle again and wants the recorded verdict, now and from the
// sidecar.
func checkRetrial(t *testing.T, dir string) *bundle {
	t.Helper()
	b := awaitRetrial(t, dir)
	r, err := JudgeEvidence(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Same || r.Height != b.Height || r.Hash != b.Hash || r.Valid != (b.Outrider.Verdict == "valid") {
		t.Errorf("judged again: %+v", r)
	}
	if !b.Again.Same || b.Again.Failure != "" {
		t.Errorf("judged again by the sidecar: %+v", b.Again)
	}
	return b
}

// The node connects a block that breaks a rule: the log names the evidence, and
// so do the status and the page; it is private, it is whole, and it is of no use
// to who wants to log in to the node.
func TestEvidenceOfAConnectedBlock(t *testing.T) {
	var logged lockedBuffer
	r := newRider(t, nodetest.BtcdOptions{})
	r.log = slog.New(slog.NewTextHandler(&logged, nil))
	r.btcd.Mine(115)
	middle := uint32(110)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	r.btcd.AddTxs(3) // of older coins, for which the node is asked
	bad := r.btcd.MineOverpaid()
	rep := r.awaitTip(t)
	if rep.Outcome != Differ || rep.Verdict.Hash != bad || rep.Verdict.Prevouts != blockval.Node {
		t.Fatalf("got %s, %v, on the word of %q", rep.Outcome, rep.Verdict.Err, rep.Verdict.Prevouts)
	}
	want := filepath.Join(r.cfg.Datadir, "regtest", "evidence", fmt.Sprintf("116-%s", bad))
	if rep.Evidence != want || rep.exhibits != nil {
		t.Fatalf("evidence at %q, want %q; exhibits %v", rep.Evidence, want, rep.exhibits)
	}
	b := checkRetrial(t, want)
	if b.Outrider.Rule != string(blockval.BadCoinbaseAmount) || b.Outrider.Prevouts != "node" || b.Node.Verdict != "valid" ||
		b.Node.Kind != "btcd" || b.Node.Agent != "/btcd:0.26.2/" || b.Versions.Go == "" || b.Versions.Signatures == "" || b.Network != "regtest" ||
		*b.Outrider.Transaction != 0 || b.Outrider.Input != nil {
		t.Errorf("verdict.json: %+v", b)
	}
	block := b.Blocks[0]
	flags := []string{"P2SH", "DERSIG", "CHECKLOCKTIMEVERIFY", "CHECKSEQUENCEVERIFY", "WITNESS", "NULLDUMMY", "TAPROOT"}
	if len(b.Blocks) != 1 || block.MedianTimePast == nil || !slices.Equal(block.ScriptFlags, flags) || len(block.LeftOut) != 0 {
		t.Errorf("block: %+v", block)
	}
	spent, err := readPackedFile(want, spentFile(116))
	if err != nil {
		t.Fatal(err)
	}
	var coins []spentJSON
	if err := json.Unmarshal(spent, &coins); err != nil || len(coins) != 3 || coins[0].Word != "node" || !coins[0].Coinbase || coins[0].Time == 0 {
		t.Errorf("spent outputs: %+v (%v)", coins, err)
	}
	s := r.status(t)
	if c := s.Agreement.Cases[0]; c.Evidence != want || !strings.Contains(c.CannotDetect, "spent already") {
		t.Errorf("case: %+v", c)
	}
	if s.Evidence.Bundles != 1 || s.Evidence.Bytes == 0 || s.Evidence.Directory != filepath.Dir(want) || s.Evidence.Failures != 0 {
		t.Errorf("status: %+v", s.Evidence)
	}
	for path, wanted := range map[string]string{"/": want, "/metrics": "outrider_evidence_bundles 1"} {
		if _, body := r.get(t, path); !strings.Contains(body, wanted) {
			t.Errorf("%s lacks %q", path, wanted)
		}
	}
	if l := logged.String(); !strings.Contains(l, "level=ERROR msg=\"the evidence of the difference is kept\"") || !strings.Contains(l, "path="+want) {
		t.Errorf("the log is\n%s", l)
	}
	checkPrivate(t, filepath.Dir(want))
}

// readPackedFile returns the content of a compressed file.
func readPackedFile(dir, name string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return unpack(raw, 1<<26)
}

// checkPrivate fails the test where others may read something below dir, or a
// file tells the password.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		files++
		raw, err := os.ReadFile(path)
		if strings.HasSuffix(path, ".zst") && err == nil {
			raw, err = unpack(raw, 1<<26)
		}
		for _, secret := range []string{nodetest.Password, nodetest.User + ":"} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%s tells %q", path, secret)
			}
		}
		return err
	})
	if err != nil || files < 4 {
		t.Errorf("%d files looked through: %v", files, err)
	}
}

// The node calls a branch invalid that is valid: all its blocks are evidence,
// for any of them may be the one that it means.
func TestEvidenceOfARefusedBranch(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	branch := r.btcd.Branch(2, 3, nodetest.Refused)
	rep := r.await(t, "the wrongly refused branch", func(rep *Report) bool { return rep.Verdict.Hash == branch[2] })
	if rep.Outcome != Differ || rep.Evidence == "" {
		t.Fatalf("got %s, evidence %q", rep.Outcome, rep.Evidence)
	}
	b := checkRetrial(t, rep.Evidence)
	if len(b.Blocks) != 3 || b.Blocks[0].Hash != branch[0].String() || b.Outrider.Verdict != "valid" || b.Node.Verdict != "invalid" ||
		len(b.JudgeAgain) != 4 {
		t.Errorf("verdict.json: %+v", b)
	}
	// Nothing is kept of what agrees, or of what is undecided.
	bad := r.btcd.Branch(0, 1, nodetest.Invalid)
	r.await(t, "the invalid branch", func(rep *Report) bool { return rep.Verdict.Hash == bad[0] })
	if s := r.status(t); s.Evidence.Bundles != 1 {
		t.Errorf("status: %+v", s.Evidence)
	}
}

// The node follows a header that breaks a rule: there is no block to judge, and
// the headers are the evidence.
func TestEvidenceOfADivergedChain(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	old := time.Unix(1, 0)
	r.btcd.MineAt(old)
	rep := r.await(t, "the alarm", func(rep *Report) bool { return rep.Outcome == Differ })
	if rep.Verdict.Err.Rule != header.TimeTooOld || rep.Evidence == "" {
		t.Fatalf("got %v, evidence %q", rep.Verdict.Err, rep.Evidence)
	}
	b := checkRetrial(t, rep.Evidence)
	if len(b.Blocks) != 1 || b.Blocks[0].Block != "" || b.Outrider.Rule != string(header.TimeTooOld) || b.Height != 111 {
		t.Errorf("verdict.json: %+v", b)
	}
}

// Evidence that cannot be kept is counted and told of, and stops nothing.
func TestEvidenceThatCannotBeKept(t *testing.T) {
	var logged lockedBuffer
	r := newRider(t, nodetest.BtcdOptions{})
	r.log = slog.New(slog.NewTextHandler(&logged, nil))
	r.btcd.Mine(5)
	if err := os.MkdirAll(filepath.Join(r.cfg.Datadir, "regtest"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.cfg.Datadir, "regtest", "evidence"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	r.awaitTip(t)
	r.btcd.MineOverpaid()
	if rep := r.awaitTip(t); rep.Outcome != Differ || rep.Evidence != "" {
		t.Errorf("got %s, evidence %q", rep.Outcome, rep.Evidence)
	}
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Agree {
		t.Errorf("the next block: %s: %s", rep.Outcome, rep.Reason)
	}
	if s := r.status(t); s.Evidence.Failures != 1 || s.Evidence.Bundles != 0 {
		t.Errorf("status: %+v", s.Evidence)
	}
	if l := logged.String(); !strings.Contains(l, "VERDICT DIFFERS") || !strings.Contains(l, "could not be kept") {
		t.Errorf("the log is\n%s", l)
	}
}

// newEvidence returns a store of evidence in a directory that is not there yet.
func newEvidence(t *testing.T, dir string, bundles int, bytes int64) *evidence {
	t.Helper()
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		t.Fatal(err)
	}
	return &evidence{
		dir: dir, bundles: bundles, bytes: bytes, params: params, metrics: newEvidenceMetrics(new(perfcore.Registry)),
		retrials: newRetrials(nil, slog.New(slog.DiscardHandler)),
		about:    func(context.Context) (bundleVersions, bundleNode) { return thisMachine(), bundleNode{Kind: "btcd"} },
	}
}

// anExhibit returns the report of a difference on a block, which is none, of so
// many bytes that cannot be compressed.
func anExhibit(height uint32, size int) (*Report, []exhibit) {
	raw := make([]byte, size)
	state := uint64(height)*2 + 1
	for i := range raw {
		state = state*6364136223846793005 + 1442695040888963407
		raw[i] = byte(state >> 56)
	}
	tip := node.Tip{Height: height, Hash: chainhash.HashH(raw)}
	return &Report{Verdict: blockval.Verdict{Height: height, Hash: tip.Hash}, Outcome: Differ},
		[]exhibit{{Tip: tip, raw: raw, ancestors: header.Chain{}}}
}

// bundlesIn returns the heights that the names of the bundles tell, and their
// bytes.
func bundlesIn(t *testing.T, dir string) (heights []string, size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		height, _, _ := strings.Cut(e.Name(), "-")
		heights = append(heights, height)
		files, err := os.ReadDir(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
	}
	return heights, size
}

// The bounds hold after every bundle, and the newest is always there.
func TestEvidenceIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	e := newEvidence(t, dir, 3, 4<<20)
	now := time.Now()
	keep := func(height uint32, size int) string {
		t.Helper()
		r, exhibits := anExhibit(height, size)
		path, err := e.keep(t.Context(), r, exhibits)
		if err != nil {
			t.Fatal(err)
		}
		// Files of one moment have no order.
		now = now.Add(time.Second)
		if err := os.Chtimes(filepath.Join(path, verdictFile), now, now); err != nil {
			t.Fatal(err)
		}
		e.tryAgain(t.Context(), <-e.retrials.waiting)
		if info, err := os.Stat(filepath.Join(path, verdictFile)); err != nil || !info.ModTime().Equal(now) {
			t.Errorf("judged again, bundle %d is of %v (%v), want %v", height, info.ModTime(), err, now)
		}
		heights, total := bundlesIn(t, dir)
		if len(heights) > e.bundles || total > e.bytes || !slices.Contains(heights, fmt.Sprint(height)) {
			t.Errorf("after bundle %d: %v, %d bytes", height, heights, total)
		}
		if b, n := e.metrics.bundles.Value(), e.metrics.bytes.Value(); int(b) != len(heights) || int64(n) != total {
			t.Errorf("metrics: %v bundles, %v bytes; there are %v, %d bytes", b, n, heights, total)
		}
		return path
	}
	for height := uint32(9); height <= 13; height++ {
		keep(height, 1000)
	}
	if heights, _ := bundlesIn(t, dir); !slices.Equal(heights, []string{"11", "12", "13"}) {
		t.Errorf("the bundles left are %v", heights)
	}
	// As large as a block can be, it takes the room of all the others.
	large := keep(20, 3_500_000)
	if heights, _ := bundlesIn(t, dir); !slices.Equal(heights, []string{"12", "13", "20"}) {
		t.Errorf("beside a large one are %v", heights)
	}
	keep(21, 1_000_000)
	if heights, _ := bundlesIn(t, dir); !slices.Equal(heights, []string{"21"}) {
		t.Errorf("a large one and one more leave %v", heights)
	}
	if _, err := os.Stat(large); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the large one is there: %v", err)
	}
	// What does not fit at all is left out, and said to be.
	e.bytes = minEvidence
	path := keep(22, 3_000_000)
	b := readVerdict(t, path)
	if block := b.Blocks[0]; block.Block != "" || len(block.LeftOut) != 1 || !strings.Contains(block.LeftOut[0], "room") {
		t.Errorf("block: %+v", block)
	}
	if _, err := JudgeEvidence(t.Context(), path); !errors.Is(err, ErrUnjudged) || !strings.Contains(err.Error(), "left out") {
		t.Errorf("judged again: %v", err)
	}
	keep(23, 1000)
	// Lower bounds hold from the start on, whatever a crash left; what is not
	// Outrider's stays.
	for _, name := range []string{unfinished, "mine"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	e = newEvidence(t, dir, 1, minEvidence)
	if err := e.tidy(); err != nil {
		t.Fatal(err)
	}
	if heights, _ := bundlesIn(t, dir); !slices.Equal(heights, []string{"23", "mine"}) {
		t.Errorf("after a start there are %v", heights)
	}
	if e.metrics.bundles.Value() != 1 {
		t.Errorf("metrics: %v bundles", e.metrics.bundles.Value())
	}
}

// A block is evidence once, and with no bundles allowed never.
func TestEvidenceIsKeptOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	e := newEvidence(t, dir, 2, 1<<30)
	var first string
	for range 2 {
		r, exhibits := anExhibit(7, 1000)
		path, err := e.keep(t.Context(), r, exhibits)
		if err != nil || first != "" && path != first {
			t.Errorf("got %q, %v, want %q", path, err, first)
		}
		first = path
	}
	if n := e.metrics.written.Value(); n != 1 {
		t.Errorf("%d bundles were written", n)
	}
	// One that somebody has taken apart is none, and is the first to make room.
	if err := os.Remove(filepath.Join(first, verdictFile)); err != nil {
		t.Fatal(err)
	}
	for _, height := range []uint32{7, 8} {
		r, exhibits := anExhibit(height, 1000)
		if path, err := e.keep(t.Context(), r, exhibits); err != nil || readVerdict(t, path).Height != height {
			t.Errorf("beside one that was taken apart: %q, %v", path, err)
		}
	}
	if err := os.Remove(filepath.Join(first, verdictFile)); err != nil {
		t.Fatal(err)
	}
	r, exhibits := anExhibit(9, 1000)
	if _, err := e.keep(t.Context(), r, exhibits); err != nil {
		t.Error(err)
	}
	if heights, _ := bundlesIn(t, dir); !slices.Equal(heights, []string{"8", "9"}) {
		t.Errorf("beside one that was taken apart are %v", heights)
	}
	e.bundles = 0
	r, exhibits = anExhibit(8, 1000)
	if path, err := e.keep(t.Context(), r, exhibits); path != "" || err != nil {
		t.Errorf("with no bundles allowed: %q, %v", path, err)
	}
	if err := e.tidy(); err != nil {
		t.Error(err)
	}
	if heights, _ := bundlesIn(t, dir); !slices.Equal(heights, []string{"8", "9"}) {
		t.Errorf("with no bundles allowed are left %v", heights)
	}
}

// A branch as large as is fetched of one, 16 blocks of 4,000,000 bytes, is kept
// within the default bound.
func TestEvidenceOfALargeBranch(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: evidence of 64 MB")
	}
	e := newEvidence(t, filepath.Join(t.TempDir(), "evidence"), 32, DefaultConfig().EvidenceBytes)
	r, exhibits := anExhibit(0, maxBody)
	for height := uint32(1); height < 16; height++ {
		_, more := anExhibit(height, maxBody)
		exhibits = append(exhibits, more...)
	}
	path, err := e.keep(t.Context(), r, exhibits)
	if err != nil {
		t.Fatal(err)
	}
	b := readVerdict(t, path)
	if len(b.Blocks) != 16 || len(b.Blocks[15].LeftOut) != 0 {
		t.Errorf("%d blocks; the last one: %+v", len(b.Blocks), b.Blocks[15])
	}
}
