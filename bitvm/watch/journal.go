package watch

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A journal is the file in which an instance's track lies. Each line is the CRC-32C of
// what follows in eight hexadecimal digits, a space, and a frame in JSON. The first frame
// says whose journal it is and where the track stood then; every other one is a block that
// was connected, blocks that were disconnected, or a claim that was judged, with the
// events of it.
//
// A line is written at once, before anybody hears of its events. The end of the process at
// any instant leaves whole lines and at most one torn one, which is cut off. A power
// failure may take the last lines; the blocks are then looked at again, and give the same
// events with the same numbers.
type journal struct {
	file *os.File
	path string
	size int64 // of the whole lines
	// compacted is the size of the first line.
	compacted int64
}

// A frame is one line of a journal.
type frame struct {
	Head   *head      `json:"head,omitempty"`
	Up     *Tip       `json:"up,omitempty"`
	Down   *Tip       `json:"down,omitempty"`
	Seen   []Sighting `json:"seen,omitempty"`
	Judged *judged    `json:"judged,omitempty"`
	Events []Event    `json:"events,omitempty"`
}

// A head is a journal's first frame.
type head struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Digest  string `json:"digest"` // of the instance and its graph
	Tip     Tip    `json:"tip"`
	Number  uint64 `json:"number"`
	Recent  []Tip  `json:"recent,omitempty"`
	// Seen, Judged, Events and Told are the track's. Where Told is null, it is what the
	// events tell.
	Seen   []Sighting `json:"seen,omitempty"`
	Judged []judged   `json:"judged,omitempty"`
	Events []Event    `json:"events,omitempty"`
	Told   []telling  `json:"told"`
}

const (
	journalVersion = 1
	// maxLine bounds a line: a block full of spends of watched outputs has 25,000.
	maxLine = 32 << 20
	// compactAt is how many bytes behind the first line make it worth to be written
	// anew. A quiet block takes 130.
	compactAt = 4 << 20
	crcDigits = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errOther says that a journal is of another instance of that name, or of another graph.
var errOther = errors.New("the journal is of another instance")

// encodeFrame returns a line.
func encodeFrame(f *frame) ([]byte, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if len(body)+crcDigits+2 > maxLine {
		return nil, fmt.Errorf("a line of %d bytes, at most %d are written", len(body), maxLine)
	}
	line := make([]byte, 0, len(body)+crcDigits+2)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(body, castagnoli))
	return append(append(line, body...), '\n'), nil
}

// decodeFrame reads a line.
func decodeFrame(line []byte) (*frame, error) {
	if len(line) < crcDigits+2 || line[crcDigits] != ' ' || line[len(line)-1] != '\n' {
		return nil, errors.New("a line is torn")
	}
	body := line[crcDigits+1 : len(line)-1]
	if fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) != string(line[:crcDigits]) {
		return nil, errors.New("a line has another checksum")
	}
	f := new(frame)
	return f, decodeStrictly(body, f)
}

// load reads the track of an instance from what a journal holds, and returns how many
// bytes of it are good: a line that is torn, or that does not fit what is before it, ends
// it. The error wraps errOther if the journal is not this instance's.
func load(in *Instance, r io.Reader) (t *track, good int64, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	t = newTrack(in)
	for {
		line, err := readLine(lines)
		if err == io.EOF || errors.Is(err, errLong) {
			return t, good, nil
		}
		if err != nil {
			return nil, 0, err
		}
		f, err := decodeFrame(line)
		if err != nil {
			return t, good, nil
		}
		switch first := good == 0; {
		case first != (f.Head != nil):
			return t, good, nil
		case first:
			if f.Head.Version != journalVersion || f.Head.Name != in.Name || f.Head.Digest != digestText(in) {
				return nil, 0, errOther
			}
			if !t.begin(f.Head) {
				return newTrack(in), 0, nil
			}
		case !t.replay(f):
			return t, good, nil
		}
		good += int64(len(line))
	}
}

// digestText returns the digest of an instance and its graph.
func digestText(in *Instance) string { return hex.EncodeToString(in.bound.digest[:]) }

var errLong = errors.New("a line is too long")

// readLine returns the next line with its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, errLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case err == io.EOF && len(line) > 0:
			return line, nil // torn
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// begin takes the first frame. It returns false if it is not one that was written here.
func (t *track) begin(h *head) bool {
	for i := range h.Seen {
		if !t.fits(&h.Seen[i]) {
			return false
		}
	}
	for _, v := range h.Judged {
		if v.Claim < 0 || v.Claim >= len(t.bound.graph.Claims) {
			return false
		}
	}
	t.tip, t.recent, t.sightings, t.verdicts = h.Tip, h.Recent, h.Seen, h.Judged
	t.rebuild()
	t.remember(h.Events)
	if h.Told != nil {
		clear(t.told)
		for _, of := range h.Told {
			t.told[of.moment] = of.At
		}
	}
	t.number = h.Number
	return true
}

// replay takes a frame behind the first. It returns false if it does not fit.
func (t *track) replay(f *frame) bool {
	for i := range f.Seen {
		if !t.fits(&f.Seen[i]) {
			return false
		}
	}
	switch {
	case f.Up != nil:
		if f.Up.Height != t.tip.Height+1 {
			return false
		}
		t.advance(*f.Up)
		for _, s := range f.Seen {
			t.sightings = append(t.sightings, s)
			t.settle(len(t.sightings) - 1)
		}
	case f.Down != nil:
		if f.Down.Height >= t.tip.Height {
			return false
		}
		t.retreat(*f.Down)
	case f.Judged != nil:
		if f.Judged.Claim < 0 || f.Judged.Claim >= len(t.bound.graph.Claims) {
			return false
		}
		t.find(*f.Judged)
	default:
		return false
	}
	t.remember(f.Events)
	return true
}

// fits reports whether a sighting's places are of the graph.
func (t *track) fits(s *Sighting) bool {
	g := t.bound.graph
	if s.Transaction < unknown || s.Transaction >= len(g.Transactions) || s.Transaction == unknown && len(s.Spent) == 0 {
		return false
	}
	for _, sp := range s.Spent {
		if sp.Connector < 0 || sp.Connector >= len(g.Connectors) {
			return false
		}
		c := &g.Connectors[sp.Connector]
		if sp.Output < 0 || sp.Output >= c.outputs() || sp.Leaf < unknown || sp.Leaf >= len(c.Leaves) {
			return false
		}
	}
	return true
}

// open opens the journal of an instance in a directory, or makes one, and returns its
// track. A journal of another instance of that name is put aside, under the name that
// aside is.
func open(dir string, in *Instance) (t *track, aside string, err error) {
	path := filepath.Join(dir, in.Name+".journal")
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, "", err
	}
	t, good, err := load(in, bytes.NewReader(data))
	if errors.Is(err, errOther) {
		if aside, err = putAside(path); err != nil {
			return nil, "", err
		}
		t, good, err = newTrack(in), 0, nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	t.journal = &journal{path: path, size: good}
	return t, aside, t.compact()
}

// putAside renames a journal to path.old, or path.old.2 and so on: what is there stays.
func putAside(path string) (aside string, err error) {
	aside = path + ".old"
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); os.IsNotExist(err) {
			return aside, os.Rename(path, aside)
		} else if err != nil {
			return "", err
		}
		aside = fmt.Sprintf("%s.old.%d", path, n)
	}
}

// compact writes the journal anew, as one line, in place of what it is.
func (t *track) compact() error {
	line, err := encodeFrame(&frame{Head: &head{
		Version: journalVersion, Name: t.instance.Name, Digest: digestText(t.instance),
		Tip: t.tip, Number: t.number, Recent: last(t.recent, keptTips),
		Seen: t.sightings, Judged: t.verdicts, Events: last(t.events, keptEvents), Told: t.tellings(),
	}})
	if err != nil {
		return err
	}
	j := t.journal
	fresh := j.path + ".new"
	if err := writeSynced(fresh, line); err != nil {
		return err
	}
	if j.file != nil { // some systems do not rename onto an open file
		if err := j.file.Close(); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, j.path); err != nil {
		return err
	}
	if j.file, err = os.OpenFile(j.path, os.O_RDWR, 0o600); err != nil {
		return err
	}
	j.size, j.compacted = int64(len(line)), int64(len(line))
	return syncDir(filepath.Dir(j.path))
}

// writeSynced makes a file that survives a power failure, but for its name.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes a rename last, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system can
	return d.Close()
}

func last[T any](list []T, n int) []T { return slices.Clone(list[max(0, len(list)-n):]) }

// write appends a frame, and makes it last where that matters: a sighting must not be
// forgotten that somebody heard of.
func (t *track) write(f *frame) error {
	j := t.journal
	if j == nil {
		return nil
	}
	line, err := encodeFrame(f)
	if err != nil {
		return t.journalError(err)
	}
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		return t.journalError(err)
	}
	j.size += int64(len(line))
	if len(f.Events) > 0 || len(f.Seen) > 0 {
		if err := j.file.Sync(); err != nil {
			return t.journalError(err)
		}
	}
	return nil
}

func (t *track) journalError(err error) error {
	return fmt.Errorf("%w: %s: %w", ErrJournal, t.instance.Name, err)
}

// tidy compacts a journal that has grown long. It is called between frames.
func (t *track) tidy() error {
	if j := t.journal; j != nil && j.size-j.compacted > compactAt {
		if err := t.compact(); err != nil {
			return t.journalError(err)
		}
	}
	return nil
}

// close closes the journal.
func (t *track) close() error {
	if t.journal == nil {
		return nil
	}
	return errors.Join(t.journal.file.Sync(), t.journal.file.Close())
}
