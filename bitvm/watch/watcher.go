package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Watcher follows instances through the blocks of a chain. One goroutine feeds it, by
// [Watcher.Sync] or by [Watcher.Connect] and [Watcher.Disconnect]; the other methods are
// safe at any time.
type Watcher struct {
	opt Options

	mu     sync.Mutex // guards what follows
	tracks []*track
	index  index
	roots  map[chainhash.Hash][]root
	// scripts are those by which roots are found whose ids are not known.
	scripts map[string][]root
	failed  error // the journal's; nothing is fed any more
}

// A root is a transaction that a track looks for by its id or by what it pays to: also one
// in the middle of a graph whose id is known, for what is before it may be out of sight.
type root struct {
	track *track
	tx    int
}

// Options says how a Watcher works. The zero value keeps nothing and judges nothing.
type Options struct {
	// Dir is where the journals are; the caller makes the directory, and lets one
	// Watcher at a time use it. Empty keeps everything in memory.
	Dir string
	// Judge verifies claims; nil finds all of them undecided.
	Judge Judge
	// Blocks has the blocks with transactions of claims that are judged later than
	// they came; nil can have those in one block judged only.
	Blocks Blockstore
	// Event hears of every event behind its being kept, in order. It is called by the
	// goroutine that feeds the watcher, and must not call it.
	Event func(Event)
	// Aside hears that a journal was of another instance of that name, and where it
	// was put.
	Aside func(instance, path string)
}

// A Blockstore has blocks, of whatever branch.
type Blockstore interface {
	// Block returns the block with a hash, whose height the caller knows.
	Block(ctx context.Context, tip Tip) (*Block, error)
}

// New returns a Watcher of no instances.
func New(o Options) *Watcher {
	if o.Judge == nil {
		o.Judge = nobody{}
	}
	return &Watcher{opt: o, roots: make(map[chainhash.Hash][]root), scripts: make(map[string][]root)}
}

// Add has the watcher follow an instance too, from where its journal ends. The instance is
// not changed any more. It is incomplete until [Watcher.Sync] has been told what the chain
// is, or blocks were connected on top of where it stands.
func (w *Watcher) Add(in *Instance) error {
	if in.bound == nil {
		if err := in.Bind(); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracks {
		switch {
		case strings.EqualFold(t.instance.Name, in.Name): // their journals may be one file
			return fmt.Errorf("watch: there are two instances %q", in.Name)
		case t.instance.Network != in.Network:
			return fmt.Errorf("watch: instance %q is on network %s, and %q on %s", in.Name, in.Network, t.instance.Name, t.instance.Network)
		}
	}
	t := newTrack(in)
	if w.opt.Dir != "" {
		var aside string
		var err error
		if t, aside, err = open(w.opt.Dir, in); err != nil {
			return fmt.Errorf("watch: journal of %s: %w", in.Name, err)
		}
		if aside != "" && w.opt.Aside != nil {
			w.opt.Aside(in.Name, aside)
		}
	}
	if w.opt.Judge != (nobody{}) {
		t.doubt(w.opt.Judge.Name())
	}
	w.tracks = append(w.tracks, t)
	for hash, tx := range t.bound.byTxid {
		w.roots[hash] = append(w.roots[hash], root{t, tx})
	}
	for script, tx := range t.bound.byRoot {
		w.scripts[script] = append(w.scripts[script], root{t, tx})
	}
	w.index.addTrack(t)
	return nil
}

// Close closes the journals.
func (w *Watcher) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, t := range w.tracks {
		errs = append(errs, t.close())
	}
	w.tracks = nil
	return errors.Join(errs...)
}

// ErrGap says that a block does not follow on what an instance has seen.
var ErrGap = errors.New("watch: blocks are missing")

// Connect takes a block that joined the best chain. Instances that it does not follow on
// stay where they are, and are incomplete, and the error wraps ErrGap: [Watcher.Sync]
// brings them there. Any other error is of a journal or of the block, and ends the
// watcher.
func (w *Watcher) Connect(ctx context.Context, b *Block) error {
	if err := b.check(); err != nil {
		return err
	}
	return w.connect(ctx, b, true, w.opt.Blocks)
}

// connect is Connect; gaps says that an instance that the block does not follow on lacks
// blocks, and claims whose transactions are in others find them in blocks.
func (w *Watcher) connect(ctx context.Context, b *Block, gaps bool, blocks Blockstore) error {
	// What the last run had not judged yet comes first, as it would have then.
	if err := w.judge(ctx, nil, blocks); err != nil {
		return err
	}
	w.mu.Lock()
	if w.failed != nil {
		w.mu.Unlock()
		return w.failed
	}
	var taking []*track
	var missing []string
	for _, t := range w.tracks {
		switch {
		case t.takes(b):
			taking = append(taking, t)
		case b.Height < t.instance.Start || slices.Contains(t.recent, b.Tip): // it is of no interest, or known
		case gaps:
			t.behind = fmt.Sprintf("block %d was connected, and it has seen blocks up to %d only, or of another branch", b.Height, t.tip.Height)
			missing = append(missing, t.instance.Name)
		}
	}
	seen := w.scan(b, taking)
	var events []Event
	for _, t := range taking {
		some, err := w.take(t, b.Tip, seen[t])
		if err != nil {
			w.failed = err
			w.mu.Unlock()
			return err
		}
		events = append(events, some...)
	}
	w.mu.Unlock()
	w.publish(events)
	if err := w.judge(ctx, b, blocks); err != nil {
		return err
	}
	if missing != nil {
		return fmt.Errorf("%w before block %d: %v", ErrGap, b.Height, missing)
	}
	return nil
}

// take makes a block a track's tip, and keeps and returns the events of it.
func (w *Watcher) take(t *track, tip Tip, seen []Sighting) ([]Event, error) {
	t.advance(tip)
	t.behind = ""
	var events []Event
	for i := range seen {
		events = append(events, t.tellOf(&seen[i]))
	}
	events = append(events, t.heights()...)
	if err := t.write(&frame{Up: &tip, Seen: seen, Events: events}); err != nil {
		return nil, err
	}
	t.remember(events)
	return events, t.tidy()
}

// Disconnect takes back a block that left the best chain, whose parent is prev. Instances
// of which it is not the tip stay where they are.
func (w *Watcher) Disconnect(at Tip, prev chainhash.Hash) error {
	w.mu.Lock()
	if w.failed != nil {
		w.mu.Unlock()
		return w.failed
	}
	var events []Event
	for _, t := range w.tracks {
		if t.tip != at || len(t.recent) == 0 {
			continue
		}
		some, err := w.retreat(t, Tip{at.Height - 1, prev})
		if err != nil {
			w.mu.Unlock()
			return err
		}
		events = append(events, some...)
	}
	w.mu.Unlock()
	w.publish(events)
	return nil
}

// retreat takes a track back, and keeps and returns the events of it.
func (w *Watcher) retreat(t *track, to Tip) ([]Event, error) {
	w.index.removeTrack(t)
	dropped := t.retreat(to)
	w.index.addTrack(t)
	var events []Event
	for i := len(dropped) - 1; i >= 0; i-- {
		s := &dropped[i]
		e := Event{Kind: RolledBack, Txid: &s.Txid, Urgent: true}
		what := "the unknown spend"
		if s.Transaction != unknown {
			e.Transaction = t.bound.graph.Transactions[s.Transaction].Name
			what = e.Transaction
		}
		e.Text = fmt.Sprintf("%s is in the chain no more: block %d left it", what, s.Block.Height)
		events = append(events, t.tell(e))
	}
	if err := t.write(&frame{Down: &to, Events: events}); err != nil {
		w.failed = err
		return nil, err
	}
	t.remember(events)
	return events, nil
}

// publish tells of events that are kept.
func (w *Watcher) publish(events []Event) {
	if w.opt.Event == nil {
		return
	}
	for _, e := range events {
		w.opt.Event(e)
	}
}

// scan finds the transactions of a block that spend what the tracks watch, or that they
// look for, and takes them into their sightings.
func (w *Watcher) scan(b *Block, taking []*track) map[*track][]Sighting {
	if len(taking) == 0 {
		return nil
	}
	seen := make(map[*track][]Sighting)
	note := func(t *track, tx int, why string, i int, spent []Spent) {
		s := Sighting{Transaction: tx, Why: why, Txid: b.Txids[i], Block: b.Tip, Weight: weight(b.Txs[i]), Spent: spent}
		seen[t] = append(seen[t], s)
		t.sightings = append(t.sightings, s)
		t.settle(len(t.sightings) - 1)
		w.index.addOutputs(t, &s)
	}
	var hits []hit
	for i, tx := range b.Txs {
		hits = w.index.find(tx, hits[:0])
		for len(hits) > 0 {
			t := hits[0].track
			var spent []Spent
			rest := hits[:0:0]
			for _, h := range hits {
				if h.track != t {
					rest = append(rest, h)
					continue
				}
				connector, n := t.connectorAt(h.slot)
				spent = append(spent, Spent{Connector: connector, Output: n, Input: h.input})
			}
			hits = rest
			if !slices.Contains(taking, t) {
				continue
			}
			at, why := t.bound.identify(tx, b.Txids[i], spent)
			note(t, at, why, i, spent)
		}
		w.findRoots(b, i, taking, note)
	}
	return seen
}

// findRoots notes the roots that transaction i of a block is.
func (w *Watcher) findRoots(b *Block, i int, taking []*track, note func(*track, int, string, int, []Spent)) {
	for _, r := range w.roots[b.Txids[i]] {
		if slices.Contains(taking, r.track) && r.track.made[r.tx] == 0 {
			note(r.track, r.tx, "", i, nil)
		}
	}
	if len(w.scripts) == 0 {
		return
	}
	for _, out := range b.Txs[i].TxOut {
		for _, r := range w.scripts[string(out.PkScript)] {
			// Another payment to the script is of another peg-out, or a gift.
			if slices.Contains(taking, r.track) && r.track.made[r.tx] == 0 && r.track.bound.paysElse(r.tx, b.Txs[i], 0) == "" {
				note(r.track, r.tx, "", i, nil)
			}
		}
	}
}

// judge has claims judged whose transactions are all in blocks: in b, the last one, if it
// is not nil, or in those of blocks.
func (w *Watcher) judge(ctx context.Context, b *Block, blocks Blockstore) error {
	for _, p := range w.pending() {
		w.mu.Lock()
		c, ids := p.track.committed(p.claim)
		w.mu.Unlock()
		err := fill(ctx, c, b, blocks)
		var j Judgement
		if err == nil {
			j = w.opt.Judge.Judge(ctx, c)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		events, err := w.pronounce(p.track, judged{Claim: p.claim, Txids: ids, By: w.opt.Judge.Name(), Judgement: j}, c, err)
		if err != nil {
			return err
		}
		w.publish(events)
	}
	return nil
}

// A pending is a claim that can be judged and was not, or not by this run's judge.
type pending struct {
	track *track
	claim int
}

func (w *Watcher) pending() []pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []pending
	for _, t := range w.tracks {
		for i := range t.bound.graph.Claims {
			if _, again := t.again[i]; (again || t.found(i) == nil) && t.commits(i) != nil {
				all = append(all, pending{t, i})
			}
		}
	}
	return all
}

// pronounce keeps what was found of a claim, and returns the events. If its transactions
// were not to be had, because of why, they are looked for again at the next block.
func (w *Watcher) pronounce(t *track, v judged, c *Committed, why error) ([]Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if why != nil {
		t.unjudged = fmt.Sprintf("claim %s is not judged yet: %v", c.Claim, why)
		return nil, nil
	}
	t.unjudged = ""
	delete(t.again, v.Claim)
	old := t.found(v.Claim)
	told := old != nil && old.Judgement.same(&v.Judgement) // by an earlier run
	if told && old.By == v.By {
		return nil, nil
	}
	t.find(v)
	var events []Event
	if !told {
		events = append(events, t.tell(judgedEvent(c, &v.Judgement)))
	}
	events = append(events, t.heights()...)
	if err := t.write(&frame{Judged: &v, Events: events}); err != nil {
		w.failed = err
		return nil, err
	}
	t.remember(events)
	return events, nil
}

// judgedEvent returns the event of a claim that was judged.
func judgedEvent(c *Committed, j *Judgement) Event {
	e := Event{Kind: Judged, Claim: c.Claim, Judgement: j, Urgent: j.Finding != Valid}
	e.Text = fmt.Sprintf("claim %s is %s", c.Claim, j.Finding)
	if j.Leaf != nil {
		e.Text += fmt.Sprintf(" at leaf %d", *j.Leaf)
	}
	if j.Reason != "" {
		e.Text += ": " + j.Reason
	}
	return e
}

// committed returns a claim that is in blocks, without its transactions' bytes.
func (t *track) committed(claim int) (*Committed, []chainhash.Hash) {
	g := t.bound.graph
	c := &Committed{Instance: t.instance, Claim: g.Claims[claim].Name}
	for _, of := range g.Claims[claim].Commits {
		s := t.seen(g.transaction(of))
		commit := Commit{Name: of, Txid: s.Txid, Block: s.Block}
		for _, sp := range s.Spent {
			commit.Inputs = append(commit.Inputs, sp.Input)
		}
		c.Transactions = append(c.Transactions, commit)
	}
	return c, t.commits(claim)
}

// fill finds the bytes of a claim's transactions in the last block, or in blocks.
func fill(ctx context.Context, c *Committed, last *Block, blocks Blockstore) error {
	for i := range c.Transactions {
		commit, b := &c.Transactions[i], last
		if b == nil || commit.Block != b.Tip {
			if blocks == nil {
				return fmt.Errorf("block %d is not at hand", commit.Block.Height)
			}
			var err error
			if b, err = blocks.Block(ctx, commit.Block); err != nil {
				return fmt.Errorf("block %d: %w", commit.Block.Height, err)
			}
		}
		at := slices.Index(b.Txids, commit.Txid)
		if at < 0 {
			return fmt.Errorf("block %d came without transaction %s", commit.Block.Height, commit.Txid)
		}
		commit.Tx = b.Txs[at]
		for _, in := range commit.Inputs {
			if in < 0 || in >= len(commit.Tx.TxIn) {
				return fmt.Errorf("transaction %s has no input %d", commit.Txid, in)
			}
		}
	}
	return nil
}

// A Hint is a transaction that may never be in a block.
type Hint struct {
	Instance, Transaction string
	// Why is what is wrong with it, if the graph does not have it.
	Why string
}

// Peek tells what an unconfirmed transaction would be, which nothing is concluded from: it
// may be replaced, and the transactions that matter most are too heavy to be relayed.
func (w *Watcher) Peek(tx *wire.MsgTx) []Hint {
	w.mu.Lock()
	defer w.mu.Unlock()
	hits := w.index.find(tx, nil)
	if len(hits) == 0 {
		return nil
	}
	txid := tx.TxHash()
	var hints []Hint
	for _, t := range w.tracks {
		var spent []Spent
		for _, h := range hits {
			if h.track == t {
				connector, n := t.connectorAt(h.slot)
				spent = append(spent, Spent{Connector: connector, Output: n, Input: h.input})
			}
		}
		if spent == nil || t.outputs[t.slot(spent[0].Connector, spent[0].Output)].spentBy != 0 {
			continue
		}
		h := Hint{Instance: t.instance.Name}
		at, why := t.bound.identify(tx, txid, spent)
		if h.Why = why; at != unknown {
			h.Transaction = t.bound.graph.Transactions[at].Name
		}
		hints = append(hints, h)
	}
	return hints
}

// Events returns the events of an instance with numbers above after, of those that are
// remembered: the last thousand at least.
func (w *Watcher) Events(instance string, after uint64) []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracks {
		if t.instance.Name == instance {
			at, _ := slices.BinarySearchFunc(t.events, after+1, func(e Event, n uint64) int {
				return int(int64(e.Number) - int64(n))
			})
			return slices.Clone(t.events[at:])
		}
	}
	return nil
}

// ReadInstance reads the instance in a file.
func ReadInstance(path string) (*Instance, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxInstance {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", path, info.Size(), MaxInstance)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	in, err := DecodeInstance(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return in, nil
}
