package sidecar

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/sigverify"
)

// An evidence keeps a bundle for each verdict that differed from the node's: a
// directory by height and hash, with all that it takes to judge the blocks
// again. There are at most bundles of them, of at most bytes together; 0 bundles
// write none. The oldest make room, by the time at which they were written, and
// while one is being written it lies beside them. It belongs to the judge's
// goroutine, but for run, which judges the bundles again.
type evidence struct {
	dir     string
	bundles int
	bytes   int64
	params  *blockval.Params
	// about tells what judges, and beside which node.
	about    func(context.Context) (bundleVersions, bundleNode)
	retrials retrials
	metrics  evidenceMetrics

	mu sync.Mutex // guards the files below dir; held while some are written, and never while one is judged
}

type evidenceMetrics struct {
	bundles, bytes    *perfcore.Gauge
	written, failures *perfcore.Counter
}

func newEvidenceMetrics(rec perfcore.Recorder) evidenceMetrics {
	return evidenceMetrics{
		bundles: rec.Gauge(perfcore.Metric{
			Name: "outrider_evidence_bundles", Help: "Bundles of evidence on disk, one for each verdict that differed.",
		}),
		bytes: rec.Gauge(perfcore.Metric{
			Name: "outrider_evidence_bytes", Help: "Size of the bundles of evidence on disk.",
		}),
		written: rec.Counter(perfcore.Metric{
			Name: "outrider_evidence_written_total", Help: "Bundles of evidence written.",
		}),
		failures: rec.Counter(perfcore.Metric{
			Name: "outrider_evidence_failures_total", Help: "Bundles of evidence that could not be written, or not be made room for.",
			Alert: perfcore.Alert{
				Name: "evidence_lost", Help: "What it takes to judge a block again could not be kept: the log says why.",
				Keep: time.Hour,
			},
		}),
	}
}

const (
	// unfinished is the directory of a bundle that is being written, or the file
	// that will be the verdict.json of one.
	unfinished = "unfinished"
	// minEvidence is the least bound on all bundles. verdictRoom of it is kept
	// free for verdict.json, so that the newest always fits.
	minEvidence = 1 << 20
	verdictRoom = minEvidence / 2
)

// bundleName is what a bundle's directory is called.
var bundleName = regexp.MustCompile(`^[0-9]+-[0-9a-f]{64}$`)

// tidy removes what a crash left, and what is beyond the bounds.
func (e *evidence) tidy() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	root, err := os.OpenRoot(e.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return errors.Join(root.RemoveAll(unfinished), e.makeRoom(root, 0, 0))
}

// A keptBundle is a bundle on disk.
type keptBundle struct {
	name    string
	size    int64
	written time.Time
}

// list returns the bundles in root, the oldest first; before them those that
// somebody has taken verdict.json from. What is none by its name is not looked
// at.
func (e *evidence) list(root *os.Root) (all []keptBundle, size int64, err error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, 0, err
	}
	for _, entry := range entries {
		b := keptBundle{name: entry.Name()}
		if !entry.IsDir() || !bundleName.MatchString(b.name) {
			continue
		}
		if info, err := root.Stat(path.Join(b.name, verdictFile)); err == nil {
			b.written = info.ModTime()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, err
		}
		if b.size, err = sizeOf(root, b.name); err != nil {
			return nil, 0, err
		}
		size += b.size
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b keptBundle) int {
		return cmp.Or(a.written.Compare(b.written), cmp.Compare(a.name, b.name))
	})
	return all, size, nil
}

// makeRoom removes the oldest bundles until there is room for more bundles of
// size bytes, and tells the metrics of what there will be with them. Where none
// are to be written it leaves those that are there.
func (e *evidence) makeRoom(root *os.Root, more int, size int64) error {
	all, total, err := e.list(root)
	if err != nil {
		return err
	}
	total += size
	for e.bundles > 0 && len(all) > 0 && (len(all)+more > e.bundles || total > e.bytes) {
		if err := root.RemoveAll(all[0].name); err != nil {
			return err
		}
		total -= all[0].size
		all = all[1:]
	}
	e.metrics.bundles.Set(float64(len(all) + more))
	e.metrics.bytes.Set(float64(total))
	return nil
}

// keep writes a bundle on the difference that r reports and returns its path;
// empty if none is to be kept. A block that has one already keeps that. The bundle
// is on the disk then, also where ctx has ended, and waits for run to judge it again.
func (e *evidence) keep(ctx context.Context, r *Report, exhibits []exhibit) (string, error) {
	if e.bundles == 0 {
		return "", nil
	}
	name := fmt.Sprintf("%d-%s", r.Verdict.Height, r.Verdict.Hash)
	final := filepath.Join(e.dir, name)
	if _, err := os.Stat(filepath.Join(final, verdictFile)); err == nil {
		return final, nil
	}
	if err := e.write(ctx, name, r, exhibits); err != nil {
		e.metrics.failures.Add(1)
		return "", fmt.Errorf("keep evidence %s: %w", name, err)
	}
	e.metrics.written.Add(1)
	e.retrials.add(name)
	return final, nil
}

// write writes the bundle name: its files first, and the name last.
func (e *evidence) write(ctx context.Context, name string, r *Report, exhibits []exhibit) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	parent, err := os.OpenRoot(e.dir)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := errors.Join(parent.RemoveAll(unfinished), parent.Mkdir(unfinished, 0o700)); err != nil {
		return err
	}
	root, err := parent.OpenRoot(unfinished)
	if err != nil {
		return err
	}
	err = e.fill(ctx, root, r, exhibits)
	if err = errors.Join(err, syncDir(root, "."), root.Close()); err != nil {
		return errors.Join(err, parent.RemoveAll(unfinished))
	}
	size, err := sizeOf(parent, unfinished)
	if err == nil {
		// What has the name is no bundle: it has no verdict.json.
		err = errors.Join(parent.RemoveAll(name), e.makeRoom(parent, 1, size))
	}
	if err != nil {
		return err
	}
	return errors.Join(parent.Rename(unfinished, name), syncDir(parent, "."))
}

// fill writes a bundle's files into root.
func (e *evidence) fill(ctx context.Context, root *os.Root, r *Report, exhibits []exhibit) error {
	now := time.Now().UTC()
	b := bundle{
		Format: bundleFormat, Written: now, Network: e.params.Name, SignetChallenge: hex.EncodeToString(e.params.SignetChallenge),
		Height: r.Verdict.Height, Hash: r.Verdict.Hash.String(), Reason: cut(r.Reason), Outrider: verdictOf(&r.Verdict),
		Again: e.retrials.due(), JudgeAgain: []string{"outrider evidence --bundle ."},
	}
	b.Versions, b.Node = e.about(ctx)
	b.Node.Verdict, b.Node.Said = nodeVerdict(r.NodeValid), "the block is in its best chain"
	if !r.NodeValid {
		b.Node.Said = "getchaintips calls the branch invalid"
	}
	headers := make(keptHeaders)
	for i := range exhibits {
		exhibits[i].ancestors = &seenHeaders{chain: exhibits[i].ancestors, seen: headers}
		b.Blocks = append(b.Blocks, describe(&exhibits[i], e.params))
	}
	b.consult(ctx, e.params, exhibits)
	w := bundleWriter{root, e.bytes - verdictRoom}
	for i := range exhibits {
		if err := b.Blocks[i].write(&w, &exhibits[i]); err != nil {
			return err
		}
		if bb := &b.Blocks[i]; bb.Block != "" && bb.Spent != "" {
			b.JudgeAgain = append(b.JudgeAgain, b.benchCommand(bb))
		}
	}
	content, why := headersOf(headers)
	if why == "" {
		var err error
		if why, err = w.put(headersFile, content); err != nil {
			return err
		}
	}
	if why != "" {
		b.Blocks[0].leave(headersFile, why)
	}
	return b.write(root, verdictFile)
}

// consult has the headers read that the verdict on the exhibits needs: it judges all
// but the scripts, which need none. That takes moments, and nobody is waited for, so
// that it is done to the end also where ctx has ended. What cannot be read is noted.
func (b *bundle) consult(ctx context.Context, p *blockval.Params, exhibits []exhibit) {
	verifier := sigverify.New(sigverify.Options{Workers: 1, Path: sigverify.PathScalar, CacheBytes: -1})
	defer verifier.Close()
	v := blockval.New(p, blockval.Options{Verifier: verifier, Now: func() time.Time { return b.Written }})
	begin := func(ctx context.Context, block *blockval.Block, at blockval.At) (*blockval.Verdict, error) {
		_, err := v.Begin(ctx, block, at)
		return new(blockval.Verdict), err
	}
	for i := range exhibits {
		if _, err := exhibits[i].judge(context.WithoutCancel(ctx), begin, p, b.Written); err != nil {
			b.Blocks[i].leave(headersFile, cut(err.Error()))
		}
	}
}

// write writes the bundle's verdict.json to a new file of root.
func (b *bundle) write(root *os.Root, name string) error {
	verdict, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(root, name, append(verdict, '\n'))
}

// A bundleWriter writes the files of one bundle.
type bundleWriter struct {
	root *os.Root
	room int64 // bytes that are left
}

// put writes content as a compressed file. It returns why it did not, if there
// is no room for it.
func (w *bundleWriter) put(name string, content []byte) (why string, err error) {
	packed, err := pack(content)
	if err != nil {
		return "", err
	}
	if int64(len(packed)) > w.room {
		return fmt.Sprintf("its %d bytes are more than there is room for", len(packed)), nil
	}
	w.room -= int64(len(packed))
	return "", writeNew(w.root, name, packed)
}

// leave notes that a file is left out, and why.
func (b *bundleBlock) leave(name, why string) { b.LeftOut = append(b.LeftOut, name+": "+why) }

// write writes the files of a block, and notes those that it leaves out.
func (b *bundleBlock) write(w *bundleWriter, x *exhibit) error {
	if x.raw == nil {
		return nil
	}
	spent, tooLarge := spentOf(x)
	for _, f := range []struct {
		name, tooLarge string
		content        []byte
		into           *string
	}{
		{blockFile(x.Height), "", x.raw, &b.Block},
		{spentFile(x.Height), tooLarge, spent, &b.Spent},
	} {
		why := f.tooLarge
		if why == "" {
			var err error
			if why, err = w.put(f.name, f.content); err != nil {
				return err
			}
		}
		if why != "" {
			b.leave(f.name, why)
			continue
		}
		*f.into = f.name
	}
	return nil
}

// keepEvidence keeps the evidence of the difference that r reports, and names it
// in r and in the log.
func (j *judge) keepEvidence(ctx context.Context, r *Report, exhibits []exhibit) {
	attrs := []any{slog.Uint64("height", uint64(r.Verdict.Height)), slog.String("hash", r.Verdict.Hash.String())}
	path, err := j.evidence.keep(ctx, r, exhibits)
	if err != nil {
		j.log.Error("the evidence of the difference could not be kept", append(attrs, slog.Any("err", err))...)
		return
	}
	if r.Evidence = path; path != "" {
		j.log.Error("the evidence of the difference is kept", append(attrs,
			slog.String("path", path), slog.String("judge_again", "outrider evidence --bundle "+path))...)
	}
}

// state tells of the evidence in the status. It is safe to call beside every
// other method.
func (e *evidence) state() web.Evidence {
	return web.Evidence{
		Directory: e.dir, Bundles: int(e.metrics.bundles.Value()), Bytes: int64(e.metrics.bytes.Value()),
		Failures: e.metrics.failures.Value(),
	}
}

// thisMachine returns what judges here, but for how signatures are verified.
func thisMachine() bundleVersions {
	return bundleVersions{Outrider: Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
}
