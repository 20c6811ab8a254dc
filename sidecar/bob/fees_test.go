package bob

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
	"github.com/outrider-project/outrider/testvectors"
)

// transactions returns the transactions of the block at a height.
func (w *world) transactions(height int) []opstack.Transaction {
	w.t.Helper()
	return w.block(height).Transactions
}

func number(t *testing.T, text string) *uint256.Int {
	t.Helper()
	n, err := uint256.FromDecimal(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

// checkSums fails the test unless the parts of a report are its sums.
func checkSums(t *testing.T, r *FeeReport) {
	t.Helper()
	all := new(uint256.Int)
	for _, x := range r.Transactions {
		execution := new(uint256.Int).Mul(number(t, x.GasPrice), uint256.NewInt(x.Gas))
		if !x.Deposit && !execution.Eq(number(t, x.Execution)) {
			t.Errorf("%s: execution is %s, %d gas at %s", x.About, x.Execution, x.Gas, x.GasPrice)
		}
		sum := new(uint256.Int).Add(number(t, x.Execution), number(t, x.L1))
		if sum.Add(sum, number(t, x.Operator)); !sum.Eq(number(t, x.Total)) {
			t.Errorf("%s: %s in all, want %s", x.About, x.Total, sum.Dec())
		}
		all.Add(all, sum)
	}
	if !all.Eq(number(t, r.Total)) {
		t.Errorf("all are %s, want %s", r.Total, all.Dec())
	}
}

// What a transaction paid follows from its block, to the wei; a receipt that says less is
// named, and deposits pay nothing.
func TestFeesOf(t *testing.T) {
	w := newWorld(t)
	watch := w.watch(nil)
	for height := 2; height <= 4; height++ {
		for _, tx := range w.transactions(height) {
			r, err := watch.FeesOf(t.Context(), tx.Hash.Hex())
			if err != nil {
				t.Fatal(err)
			}
			checkSums(t, r)
			x := r.Transactions[0]
			if int(r.Block) != height || x.Deposit != tx.IsDeposit() || x.Hash != tx.Hash.Hex() || r.ForkFrom != "the configuration of node" || r.Fork != "isthmus" {
				t.Errorf("block %d: %+v of %+v", height, x, r)
			}
			if tx.IsDeposit() {
				if r.Total != "0" || x.Receipt != "agrees" || len(r.Notes) != 1 {
					t.Errorf("a deposit pays %s: %+v", r.Total, r)
				}
				continue
			}
			raw, err := tx.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			a := w.attributes(height)
			l1, err := a.L1Fee(opstack.Isthmus, raw)
			if err != nil {
				t.Fatal(err)
			}
			operator := a.OperatorFee(opstack.Isthmus, 21_000)
			if x.Gas != 21_000 || x.L1 != l1.Dec() || x.Operator != operator.Dec() || x.Bytes != len(raw) || x.L1 == "0" {
				t.Errorf("block %d: %+v, want %s and %s", height, x, l1.Dec(), operator.Dec())
			}
			if !strings.Contains(x.Receipt, `l1Fee is "", the rules give`) { // anvil has none
				t.Errorf("the receipt: %s", x.Receipt)
			}
			var b bytes.Buffer
			if err := WriteFees(&b, r); err != nil || !strings.Contains(b.String(), x.Total) || !strings.Contains(b.String(), "its receipt: ") {
				t.Errorf("for people: %s, %v", b.String(), err)
			}
		}
	}
	for hash, want := range map[string]string{
		"0x12":                           "is no hash of a transaction",
		"0x" + strings.Repeat("5", 64):   "absent",
		strings.Repeat("5", 64):          "is no hash of a transaction",
		"0x" + strings.Repeat(`"`, 64):   "is no hash of a transaction",
		"0x" + strings.Repeat("5", 1000): "is no hash of a transaction",
	} {
		if _, err := watch.FeesOf(t.Context(), hash); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.20s: %v, want %q", hash, err, want)
		}
	}
	// Without an op-node the fork is that of the attributes.
	r, err := w.watch(func(c *Config) { c.OpNodes = nil }).FeesOf(t.Context(), w.transactions(4)[4].Hash.Hex())
	if err != nil || r.Fork != "jovian" || r.ForkFrom != "the form of the block's attributes" {
		t.Errorf("without an op-node: %+v, %v", r, err)
	}
}

// attributes returns those of the block at a height.
func (w *world) attributes(height int) *opstack.Attributes {
	w.t.Helper()
	a, err := opstack.ParseAttributes(w.transactions(height)[0].Deposit.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// What a signed transaction would pay is its own price, no more than its cap.
func TestFeesFor(t *testing.T) {
	w := newWorld(t)
	watch := w.watch(nil)
	tx := w.transactions(4)[4]
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseRaw(" 0x" + hex.EncodeToString(raw) + "\n")
	if err != nil || !bytes.Equal(parsed, raw) {
		t.Fatalf("%x, %v", parsed, err)
	}
	r, err := watch.FeesFor(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, r)
	base, tip := number(t, r.BaseFee), uint256.MustFromBig(tx.Ethereum.GasTipCap())
	price := new(uint256.Int).Add(base, tip)
	if most := uint256.MustFromBig(tx.Ethereum.GasFeeCap()); price.Cmp(most) > 0 {
		price = most
	}
	if x := r.Transactions[0]; x.Gas != 21_000 || x.GasPrice != price.Dec() || x.Hash != tx.Hash.Hex() || x.L1 == "0" || r.Block != 4 {
		t.Errorf("it pays %+v, want a price of %s", x, price.Dec())
	}
	// It never pays more than its cap, and says when that is too little.
	for _, most := range []*uint256.Int{new(uint256.Int).AddUint64(base, 3), new(uint256.Int).SubUint64(base, 1)} {
		capped, err := opstack.Sample(60808, 0, 21_000, [20]byte{1}, nil, uint256.NewInt(100), most)
		if err != nil {
			t.Fatal(err)
		}
		r, err := watch.FeesFor(t.Context(), capped)
		if err != nil {
			t.Fatal(err)
		}
		low := strings.Contains(strings.Join(r.Notes, " "), "is not included now")
		if x := r.Transactions[0]; x.GasPrice != most.Dec() || low != (most.Cmp(base) < 0) {
			t.Errorf("with a cap of %s it pays %s: %q", most.Dec(), x.GasPrice, r.Notes)
		}
	}
	deposit, err := w.transactions(4)[1].MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := watch.FeesFor(t.Context(), deposit); err != nil || r.Total != "0" || !r.Transactions[0].Deposit {
		t.Errorf("a deposit: %+v, %v", r, err)
	}
	w.change(func() { w.answers["eth_estimateGas"] = refused{3, "execution reverted: no", "0x"} })
	if _, err := watch.FeesFor(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "what gas it uses") {
		t.Errorf("one that reverts: %v", err)
	}
	w.change(func() { w.answers["eth_estimateGas"] = "0x1" + strings.Repeat("0", 20) })
	if _, err := watch.FeesFor(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "is no amount of gas") {
		t.Errorf("too much gas: %v", err)
	}
	for _, text := range []string{"", "0x", "xyz", strings.Repeat("00", maxRaw+1)} {
		if _, err := ParseRaw(text); err == nil {
			t.Errorf("%.10q is a transaction", text)
		}
	}
	if _, err := watch.FeesFor(t.Context(), []byte{0x70, 1}); err == nil {
		t.Error("a type that is not known has a price")
	}
}

// These were signed for BOB by a key that was made for this and is of nobody. Both have two addresses
// and three keys in their access lists; the first offers 2 gwei and has data, and the second
// authorizes a contract.
const (
	withAccessList    = "01f8fe82ed8803847735940082ea609442000000000000000000000000000000000000158083010002f893f859944200000000000000000000000000000000000015f842a00100000000000000000000000000000000000000000000000000000000000000a00000000000000000000000000000000000000000000000000000000000000002f7940700000000000000000000000000000000000000e1a0030000000000000000000000000000000000000000000000000000000000000080a091312fc6c89d2162bff8a92d80d1a2f2574c04febc1d03623ac624ea394743bba063958d1a23157bca33dacfc640afb53ea3ca31bed92ee7cdc47de5e4fb06db82"
	withAuthorization = "04f9015d82ed88030584b2d05e0083015f909442000000000000000000000000000000000000158080f893f859944200000000000000000000000000000000000015f842a00100000000000000000000000000000000000000000000000000000000000000a00000000000000000000000000000000000000000000000000000000000000002f7940700000000000000000000000000000000000000e1a00300000000000000000000000000000000000000000000000000000000000000f85ef85c82ed889442000000000000000000000000000000000000150401a0a6e9a8b6f5ff6f701a5f45c8e7e118e64694212a56e27301329255f5257318a4a071cc7718730826fb72a9703735a6d0914b4fdde22bd4de9c39c1b9202631a5bb80a0d95416cb2cc8b7275125ab4c2668f00fd2efb62411c77738a8958eebda9852a3a06b550e2d187b95534e8dcc4c39251c5e54bc0e6bced4f6df60acc652e9151995"
)

// What a transaction takes for its access list and authorizations is counted, to the wei, and a
// node that does not count it is not believed.
func TestFeesForLists(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string]struct {
		gas uint64
		tip uint64
	}{
		withAccessList:    {21_000 + 2*16 + 4 + 2*2_400 + 3*1_900, 2e9},
		withAuthorization: {21_000 + 2*2_400 + 3*1_900 + 25_000, 5},
	} {
		raw, err := ParseRaw(text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.watch(nil).FeesFor(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, r)
		price := new(uint256.Int).AddUint64(number(t, r.BaseFee), want.tip)
		if want.tip == 2e9 {
			price = uint256.NewInt(2e9) // its price is what it offers
		}
		a := w.attributes(4)
		l1, err := a.L1Fee(opstack.Isthmus, raw)
		if err != nil {
			t.Fatal(err)
		}
		operator := a.OperatorFee(opstack.Isthmus, want.gas)
		total := new(uint256.Int).Mul(price, uint256.NewInt(want.gas))
		total.Add(total, &l1).Add(total, &operator)
		if x := r.Transactions[0]; x.Gas != want.gas || x.GasPrice != price.Dec() || x.Total != total.Dec() || x.Bytes != len(raw) {
			t.Errorf("it pays %+v, want %s for %d gas at %s", x, total.Dec(), want.gas, price.Dec())
		}
		w.change(func() { w.answers["eth_estimateGas"] = "0x5208" })
		if _, err := w.watch(nil).FeesFor(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "does not count them") {
			t.Errorf("a node that counts no lists: %v", err)
		}
		w.change(func() { delete(w.answers, "eth_estimateGas") })
	}
}

// Without a multicall what is added is marked by another transaction, and with another one it is
// that which is called.
func TestFeesByMulticall(t *testing.T) {
	w := newWorld(t)
	one, err := w.watch(nil).FeesToRelay(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.watch(func(c *Config) { c.Multicall = [20]byte{} }).FeesToRelay(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, two)
	about := func(r *FeeReport) (list []string) {
		for _, x := range r.Transactions {
			list = append(list, x.About)
		}
		return list
	}
	if got := about(two); len(got) != 2 || got[0] != "1 headers from 10236" || got[1] != "mark 10236" {
		t.Errorf("without a multicall: %q", got)
	}
	if got := about(one); len(got) != 1 || got[0] != "1 headers from 10236, marked" || one.Transactions[0].Gas >= two.Transactions[0].Gas+two.Transactions[1].Gas {
		t.Errorf("with one: %q, %d gas", got, one.Transactions[0].Gas)
	}
	// The address is among what is paid for.
	other, err := w.watch(func(c *Config) { c.Multicall = [20]byte{9} }).addHeaders(t.Context(), 10_236, 1, w.block(4))
	if err != nil || len(other) != 1 || other[0].to != (relay.Address{9}) {
		t.Errorf("another multicall: %+v, %v", other, err)
	}
	// What a block allows bounds a transaction.
	b := w.block(4)
	b.Header.GasLimit = 700_000
	w.change(func() { w.headers = w.headers[:10_080] })
	list, err := w.watch(nil).addHeaders(t.Context(), 10_079, 20, b)
	if err != nil || len(list) < 2 {
		t.Fatalf("in small blocks: %d transactions, %v", len(list), err)
	}
	for _, s := range list {
		if s.limit > 700_000 {
			t.Errorf("%s may take %d gas", s.about, s.limit)
		}
	}
}

// block returns the block at a height.
func (w *world) block(height int) *opstack.Block {
	w.t.Helper()
	raw, err := json.Marshal(w.blocks[height])
	if err != nil {
		w.t.Fatal(err)
	}
	b := new(opstack.Block)
	if err := b.UnmarshalJSON(raw); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// What it costs to tell a relay: the plan's transactions, each with its data on L1.
func TestFeesToRelay(t *testing.T) {
	w := newWorld(t)
	watch := w.watch(nil)
	one, err := watch.FeesToRelay(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, one)
	x := one.Transactions[0]
	if len(one.Transactions) != 1 || x.About != "1 headers from 10236, marked" || x.Gas < 70_000 || x.Gas > 200_000 || x.L1 == "0" {
		t.Errorf("one header: %+v", one.Transactions)
	}
	if want := new(uint256.Int).AddUint64(number(t, one.BaseFee), 100_000).Dec(); x.GasPrice != want || one.Tip != "100000" {
		t.Errorf("its price is %s, want %s", x.GasPrice, want)
	}
	w.change(func() { // below the retarget at 10080, which no relay can follow: Bitcoin's target had reached its limit
		w.headers, w.marked, w.stored = w.headers[:10_080], 10_079, 10_079
	})
	many, err := w.watch(nil).FeesToRelay(t.Context(), 700)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, many)
	gas := uint64(0)
	for _, x := range many.Transactions {
		gas += x.Gas
	}
	if len(many.Transactions) < 2 || gas < 700*30_000 || gas > 700*36_000 {
		t.Errorf("700 headers take %d gas in %d transactions", gas, len(many.Transactions))
	}
	for _, n := range []int{0, MaxHeaders + 1} {
		if _, err := watch.FeesToRelay(t.Context(), n); err == nil {
			t.Errorf("%d headers have a price", n)
		}
	}

	w.change(func() { w.answers["eth_call"] = refused{-32005, "limit exceeded", ""} })
	if _, err := w.watch(nil).FeesToRelay(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "rate limited") {
		t.Errorf("a relay that is not known: %v", err)
	}
	none := func(c *Config) { c.Relay, c.Kind = [20]byte{}, "" }
	if _, err := w.watch(none).FeesToRelay(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "OUTRIDER_BOB_RELAY") {
		t.Errorf("without a relay: %v", err)
	}
	if _, err := w.watch(func(c *Config) { none(c); c.Execution = nil }).FeesOf(t.Context(), "0x00"); err == nil || !strings.Contains(err.Error(), "OUTRIDER_BOB_L2") {
		t.Errorf("without an execution client: %v", err)
	}
}

// A sparse Bitcoin has some headers only.
type sparse map[uint32]header.Header

func (s sparse) BlockHash(_ context.Context, height uint32) (chainhash.Hash, error) {
	h, ok := s[height]
	if !ok {
		return chainhash.Hash{}, errors.New("not here")
	}
	return h.Hash(), nil
}

func (s sparse) Header(_ context.Context, hash chainhash.Hash) (header.Header, error) {
	for _, h := range s {
		if h.Hash() == hash {
			return h, nil
		}
	}
	return header.Header{}, errors.New("not here")
}

func (s sparse) Headers(_ context.Context, locator []chainhash.Hash) (list []header.Header, err error) {
	for height, h := range s {
		if h.Hash() == locator[0] {
			for next, ok := s[height+1]; ok; next, ok = s[height+1] {
				list = append(list, next)
				height++
			}
		}
	}
	return list, nil
}

// What a light relay is told is the headers around a retarget: a real one.
func TestRetarget(t *testing.T) {
	f, err := relay.ParseHeadersFile(testvectors.Load(t, "relay/headersWithRetarget.json", "what a retarget costs"))
	if err != nil {
		t.Fatal(err)
	}
	node := sparse{554_400 - 2016: header.Header(f.PeriodStart.Raw)}
	for _, h := range append(f.Chain, f.Genesis) {
		node[uint32(h.Height)] = header.Header(h.Raw)
	}
	w := &Watch{cfg: Config{Relay: relay.Address{7}}, bitcoin: node}
	const length = 5
	state := func(tip uint32) *monitor.State {
		return &monitor.State{
			Bitcoin: monitor.Value[monitor.Block]{Known: true, V: &monitor.Block{Height: tip}},
			Relay:   monitor.Value[monitor.Reading]{Known: true, V: &monitor.Reading{Light: &monitor.LightReading{ProofLength: length}}},
		}
	}
	var want []byte
	for height := uint32(554_400 - length); height < 554_400+length; height++ {
		h := node[height]
		want = append(want, h[:]...)
	}
	list, err := w.retarget(t.Context(), state(554_404))
	if err != nil {
		t.Fatal(err)
	}
	if s := list[0]; len(list) != 1 || s.about != "retarget at 554400" || s.to != w.cfg.Relay || !bytes.Equal(s.data, relay.RetargetData(want)) ||
		s.gas < 100_000 || s.gas > 140_000 || s.limit < s.gas {
		t.Errorf("it is %s to %x, of %d gas, %d bytes", s.about, s.to, s.gas, len(s.data))
	}
	// A block before, the last that could be told is the one before.
	if _, err := w.retarget(t.Context(), state(554_403)); err == nil || !strings.Contains(err.Error(), "not here") {
		t.Errorf("too early: %v", err)
	}
	if _, err := w.retarget(t.Context(), state(100)); err == nil || !strings.Contains(err.Error(), "no retarget yet") {
		t.Errorf("in the first period: %v", err)
	}
}
