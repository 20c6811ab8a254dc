package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// A Notifier is what bitcoind publishes of one topic at one address, as
// getzmqnotifications tells it.
type Notifier struct {
	// Topic is one of those of package zmq.
	Topic string
	// Address is tcp://host:port or unix:/path.
	Address string
	// HighWater is how many messages wait for a slow subscriber before more are
	// dropped; 0 is no bound. Of several notifiers at one address the first
	// one's counts, for all of them.
	HighWater int
}

// Notifiers returns what bitcoind publishes by ZeroMQ, in the order in which it
// does; nothing when it was built without ZeroMQ. A notifier of which one
// publication failed is not among them until bitcoind is started anew.
func (b *Bitcoind) Notifiers(ctx context.Context) ([]Notifier, error) {
	var list []struct {
		Type    string `json:"type"`
		Address string `json:"address"`
		HWM     int    `json:"hwm"`
	}
	err := b.rpc.call(ctx, b.m.getZMQNotifications, &list)
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == unknownMethodCode {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	notifiers := make([]Notifier, 0, len(list))
	for _, n := range list {
		topic, ok := strings.CutPrefix(n.Type, "pub")
		if !ok || !slices.Contains(zmq.Topics(), topic) {
			continue // of a later version
		}
		notifiers = append(notifiers, Notifier{Topic: topic, Address: n.Address, HighWater: n.HWM})
	}
	return notifiers, nil
}

// A zmqPlan is what Watch subscribes to: topics by address. Of the topics that
// a node publishes it takes sequence, or else hashblock or rawblock, which only
// say that a poll is due; and rawtx, for the bytes of what sequence names.
type zmqPlan map[string][]string

// topics returns the topics of the plan.
func (p zmqPlan) topics() map[string]string {
	at := make(map[string]string)
	for address, topics := range p {
		for _, topic := range topics {
			at[topic] = address
		}
	}
	return at
}

// equal reports whether both plans are the same.
func (p zmqPlan) equal(q zmqPlan) bool { return maps.EqualFunc(p, q, slices.Equal[[]string]) }

// planFor returns the plan for what a node on host publishes, and the addresses
// that nothing can be connected to.
func planFor(notifiers []Notifier, host string) (zmqPlan, error) {
	plan := make(zmqPlan)
	var errs []error
	take := func(topics ...string) bool {
		for _, topic := range topics {
			var best *Notifier
			for i := range notifiers {
				n := &notifiers[i]
				// The same topic may be published at several addresses: the
				// one that drops least is taken.
				if n.Topic == topic && (best == nil || best.HighWater != 0 && (n.HighWater == 0 || n.HighWater > best.HighWater)) {
					best = n
				}
			}
			if best == nil {
				continue
			}
			address, err := zmq.Reachable(best.Address, host)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s at %s: %w", topic, best.Address, err))
				continue
			}
			plan[address] = append(plan[address], topic)
			return true
		}
		return false
	}
	if take(zmq.TopicSequence) {
		take(zmq.TopicRawTx)
	} else {
		take(zmq.TopicHashBlock, zmq.TopicRawBlock)
	}
	return plan, errors.Join(errs...)
}

// zmqPerf holds the instruments of Watch.
type zmqPerf struct {
	gaps, missed map[string]*perfcore.Counter // by topic
	dead         *perfcore.Counter
	published    *perfcore.Gauge
}

func newZMQPerf(r perfcore.Recorder) zmqPerf {
	p := zmqPerf{gaps: make(map[string]*perfcore.Counter), missed: make(map[string]*perfcore.Counter)}
	for _, topic := range zmq.Topics() {
		p.gaps[topic] = r.Counter(perfcore.Metric{
			Name: "outrider_node_zmq_gaps_total", Labels: []string{"topic", topic},
			Help: "Times when a counter showed that ZeroMQ messages were lost, doubled or reordered.", Panel: "ZeroMQ losses",
		})
		p.missed[topic] = r.Counter(perfcore.Metric{
			Name: "outrider_node_zmq_missed_total", Labels: []string{"topic", topic},
			Help: "ZeroMQ messages that were lost, by their counters.", Panel: "ZeroMQ losses",
		})
	}
	p.dead = r.Counter(perfcore.Metric{
		Name: "outrider_node_zmq_dead_notifiers_total", Help: "Notifiers that bitcoind stopped publishing.",
	})
	p.published = r.Gauge(perfcore.Metric{
		Name: "outrider_node_zmq_subscribed_topics", Help: "ZeroMQ topics that are subscribed to.",
	})
	return p
}

// Watch implements Node. It subscribes to what bitcoind says that it publishes
// (or what the configuration says), and looks again every SurveyInterval, and
// whenever a connection comes back: then bitcoind may publish something else,
// or a notifier may have died. Without a sequence notifier the hints say no
// more than that a poll is due, and without any Watch only sends a Connected
// hint: the feed follows the node by polling.
func (b *Bitcoind) Watch(ctx context.Context, hints chan<- Hint) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w := &zmqWatch{
		Bitcoind: b, hints: hints,
		events: make(chan zmq.Event), again: make(chan struct{}, 1),
		subs: make(map[string]zmqSubscription), failing: make(map[string]bool),
	}
	defer w.subscribe(ctx, nil)
	surveys := make(chan []Notifier)
	wg.Go(func() { w.survey(ctx, surveys) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case notifiers := <-surveys:
			if err := w.take(ctx, notifiers); err != nil {
				return err
			}
		case ev := <-w.events:
			if err := w.handle(ctx, &ev); err != nil {
				return err
			}
		}
	}
}

// A zmqWatch is a running Watch. All but survey belongs to its goroutine.
type zmqWatch struct {
	*Bitcoind
	hints  chan<- Hint
	events chan zmq.Event
	// again asks for a survey at once.
	again chan struct{}

	plan    zmqPlan // nil until the first survey
	subs    map[string]zmqSubscription
	failing map[string]bool // addresses of which a failure was logged
}

// A zmqSubscription is a running zmq.Run.
type zmqSubscription struct {
	topics []string
	end    func() // and wait
}

// survey asks what the node publishes, until ctx ends.
func (w *zmqWatch) survey(ctx context.Context, surveys chan<- []Notifier) {
	var wait backoff
	for {
		notifiers, err := w.wanted(ctx)
		delay := w.cfg.SurveyInterval
		if err == nil {
			wait = backoff{}
			select {
			case surveys <- notifiers:
			case <-ctx.Done():
				return
			}
		} else {
			delay = min(delay, wait.next())
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-w.again:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// wanted returns the notifiers to choose from.
func (w *zmqWatch) wanted(ctx context.Context) ([]Notifier, error) {
	if w.cfg.NoZMQ {
		return nil, nil
	}
	published, err := w.Notifiers(ctx)
	if errors.Is(err, ErrForbidden) {
		return w.cfg.Notifiers, nil // it may publish, and not tell this user
	}
	if err != nil || len(w.cfg.Notifiers) == 0 {
		return published, err
	}
	// Through a tunnel or a proxy addresses are others. Topics that died are
	// dead there too.
	return slices.DeleteFunc(slices.Clone(w.cfg.Notifiers), func(n Notifier) bool {
		return !slices.ContainsFunc(published, func(p Notifier) bool { return p.Topic == n.Topic })
	}), nil
}

// take makes the subscriptions those that notifiers call for.
func (w *zmqWatch) take(ctx context.Context, notifiers []Notifier) error {
	host, _, _ := net.SplitHostPort(w.cfg.Address) // was validated
	plan, err := planFor(notifiers, host)
	if w.plan != nil && plan.equal(w.plan) {
		return nil
	}
	if err != nil {
		w.cfg.Log.Warn("bitcoind publishes at an address that cannot be connected to", "err", err)
	}
	before, after := w.plan.topics(), plan.topics()
	for _, topic := range slices.Sorted(maps.Keys(before)) {
		if _, still := after[topic]; !still {
			w.zmq.dead.Add(1)
			w.cfg.Log.Error("bitcoind stopped publishing a topic: its notifier died when a publication failed, "+
				"or bitcoind was restarted without it; a restart brings it back", "topic", topic, "address", before[topic])
		}
	}
	first := w.plan == nil
	w.plan = plan
	w.zmq.published.Set(float64(len(after)))
	w.subscribe(ctx, plan)
	if w.primary() == "" {
		return w.send(ctx, Hint{Kind: HintConnected, At: time.Now()})
	}
	if first {
		return nil
	}
	return w.send(ctx, Hint{Kind: HintLost, At: time.Now()}) // until it is connected
}

// subscribe ends the subscriptions that are not in plan and begins those that
// are missing.
func (w *zmqWatch) subscribe(ctx context.Context, plan zmqPlan) {
	for address, sub := range w.subs {
		if !slices.Equal(plan[address], sub.topics) {
			sub.end()
			delete(w.subs, address)
		}
	}
	for _, address := range slices.Sorted(maps.Keys(plan)) {
		if _, ok := w.subs[address]; ok {
			continue
		}
		opts := w.cfg.Subscription
		opts.Address, opts.Topics = address, plan[address]
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := zmq.Run(ctx, opts, w.events); ctx.Err() == nil {
				w.cfg.Log.Error("the subscription cannot be made", "err", err)
			}
		})
		w.subs[address] = zmqSubscription{opts.Topics, func() { cancel(); wg.Wait() }}
	}
}

// primary returns the address that tells of blocks; "" when none does.
func (w *zmqWatch) primary() string {
	at := w.plan.topics()
	for _, topic := range []string{zmq.TopicSequence, zmq.TopicHashBlock, zmq.TopicRawBlock} {
		if address, ok := at[topic]; ok {
			return address
		}
	}
	return ""
}

// sequenced reports whether the hints are steps.
func (w *zmqWatch) sequenced() bool {
	_, ok := w.plan.topics()[zmq.TopicSequence]
	return ok
}

// handle deals with an event of a subscription. One that has been ended may
// still have sent its last.
func (w *zmqWatch) handle(ctx context.Context, ev *zmq.Event) error {
	primary := ev.Address == w.primary()
	switch ev.Kind {
	case zmq.KindConnected:
		w.failing[ev.Address] = false
		w.rpc.opts.perf.connects.Add(1)
		w.cfg.Log.Info("subscribed to bitcoind's notifications", "address", ev.Address, "topics", w.plan[ev.Address])
		w.forgetREST() // it may have been started anew
		w.spent.again()
		w.surveyAgain()
		if primary {
			return w.send(ctx, Hint{Kind: HintConnected, At: ev.At, Sequenced: w.sequenced()})
		}
	case zmq.KindLost:
		w.rpc.opts.perf.losses.Add(1)
		w.complain(ctx, ev)
		w.surveyAgain()
		if primary {
			return w.send(ctx, Hint{Kind: HintLost, At: ev.At})
		}
	case zmq.KindFailed:
		w.complain(ctx, ev)
	case zmq.KindGap:
		return w.gap(ctx, ev)
	case zmq.KindNotification:
		w.rpc.opts.perf.notifications.Add(1)
		w.zmqBytes.Add(uint64(len(ev.Notification.Body)))
		h, ok := hintOf(&ev.Notification, ev.At)
		if !ok {
			w.rpc.opts.perf.junk.Add(1)
			return w.send(ctx, Hint{Kind: HintMissed, At: ev.At, Sequenced: w.sequenced()})
		}
		return w.send(ctx, h)
	}
	return nil
}

// complain logs that there is no connection to an address, once for each time
// that there is none.
func (w *zmqWatch) complain(ctx context.Context, ev *zmq.Event) {
	level := slog.LevelWarn
	if w.failing[ev.Address] {
		level = slog.LevelDebug
	}
	w.failing[ev.Address] = true
	w.cfg.Log.Log(ctx, level, "no notifications from bitcoind", "address", ev.Address, "err", ev.Err)
}

// gap deals with notifications that are missing. Where only the bytes of
// transactions are, nothing has to be compared: they can be asked for.
func (w *zmqWatch) gap(ctx context.Context, ev *zmq.Event) error {
	w.zmq.gaps[ev.Gap.Topic].Add(1)
	missed, lost := ev.Gap.Missed()
	if lost {
		w.zmq.missed[ev.Gap.Topic].Add(uint64(missed))
	}
	w.cfg.Log.Debug("notifications of bitcoind are missing, doubled or out of order",
		"topic", ev.Gap.Topic, "expected", ev.Gap.Expected, "got", ev.Gap.Got)
	if ev.Gap.Topic == zmq.TopicRawTx {
		return nil
	}
	return w.send(ctx, Hint{Kind: HintMissed, At: ev.At, Sequenced: w.sequenced()})
}

// surveyAgain asks for a survey at once.
func (w *zmqWatch) surveyAgain() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

func (w *zmqWatch) send(ctx context.Context, h Hint) error {
	select {
	case w.hints <- h:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hintOf returns what a notification hints at; false when it is none, in spite
// of its form.
func hintOf(n *zmq.Notification, at time.Time) (Hint, bool) {
	h := Hint{At: at}
	switch n.Topic {
	case zmq.TopicSequence:
		s, err := zmq.DecodeSequence(n.Body)
		if err != nil {
			return h, false
		}
		h.Sequenced = true
		switch s.Label {
		case zmq.BlockConnected:
			h.Kind, h.Tip.Hash = HintBlockConnected, s.Hash
		case zmq.BlockDisconnected:
			h.Kind, h.Tip.Hash = HintBlockDisconnected, s.Hash
		case zmq.TxAdded:
			h.Kind, h.Txid, h.Sequence = HintTxAdded, s.Hash, s.MempoolSequence
		case zmq.TxRemoved:
			h.Kind, h.Txid, h.Sequence = HintTxRemoved, s.Hash, s.MempoolSequence
		}
	case zmq.TopicHashBlock:
		hash, err := zmq.DecodeHash(n.Body)
		if err != nil {
			return h, false
		}
		h.Kind, h.Tip.Hash = HintBlockConnected, hash
	case zmq.TopicRawBlock:
		if len(n.Body) <= wire.MaxBlockHeaderPayload {
			return h, false
		}
		h.Kind, h.Tip.Hash = HintBlockConnected, chainhash.DoubleHashH(n.Body[:wire.MaxBlockHeaderPayload])
	case zmq.TopicRawTx:
		var tx wire.MsgTx
		r := bytes.NewReader(n.Body)
		if err := tx.Deserialize(r); err != nil || r.Len() > 0 {
			return h, false
		}
		h.Kind, h.Tx, h.Txid = HintRawTx, n.Body, tx.TxHash()
	}
	return h, h.Kind != 0
}

// MempoolAt implements Sequencer.
func (b *Bitcoind) MempoolAt(ctx context.Context) ([]chainhash.Hash, uint64, error) {
	var snapshot struct {
		Txids []displayHash `json:"txids"`
		Next  *uint64       `json:"mempool_sequence"`
	}
	if err := b.rpc.call(ctx, b.m.getRawMempool, &snapshot, false, true); err != nil {
		return nil, 0, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	if snapshot.Next == nil || snapshot.Txids == nil {
		return nil, 0, fmt.Errorf("bitcoind: getrawmempool: %w", malformed("txids or mempool_sequence is missing"))
	}
	txids := make([]chainhash.Hash, len(snapshot.Txids))
	for i, txid := range snapshot.Txids {
		txids[i] = chainhash.Hash(txid)
	}
	return txids, *snapshot.Next, nil
}

// MempoolSize implements Sequencer.
func (b *Bitcoind) MempoolSize(ctx context.Context) (int, error) {
	var info struct {
		Size *int `json:"size"`
	}
	if err := b.rpc.call(ctx, b.m.getMempoolInfo, &info); err != nil {
		return 0, fmt.Errorf("bitcoind: %w", bitcoindError(err))
	}
	if info.Size == nil || *info.Size < 0 {
		return 0, fmt.Errorf("bitcoind: getmempoolinfo: %w", malformed("size is missing"))
	}
	return *info.Size, nil
}
