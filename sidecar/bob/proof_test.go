package bob

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
	"github.com/outrider-project/outrider/bob/spv"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

// recordedBitcoind returns a bitcoind that says what a real one said, and a client of it.
func recordedBitcoind(t *testing.T, o nodetest.BitcoindOptions) (*nodetest.BitcoindRecording, *nodetest.Bitcoind, *node.Bitcoind) {
	t.Helper()
	rec := nodetest.ReadBitcoindRecording(t, func(name string) []byte {
		return testvectors.LoadFixture(t, "bitcoind/"+name, "proofs from a real node's answers")
	})
	fake := nodetest.NewBitcoind(t, rec, o)
	b, err := node.NewBitcoind(node.BitcoindConfig{Address: fake.Addr(), CookieFile: fake.CookieFile()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return rec, fake, b
}

func messageOf(t *testing.T, raw []byte) *wire.MsgBlock {
	t.Helper()
	var msg wire.MsgBlock
	if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	return &msg
}

// verified returns what a report's JSON proves: in a file, to somebody else.
func verified(t *testing.T, r *ProofReport, network string) (*spv.Verified, error) {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "proof.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return VerifyProof(path, network)
}

// Every transaction of a recorded node is proven, by the node's index and without it, by RPC and
// by REST, and the model of the contract accepts the proof with its confirmations and no sooner.
func TestProveFromBitcoind(t *testing.T) {
	rec, fake, b := recordedBitcoind(t, nodetest.BitcoindOptions{})
	_, _, bare := recordedBitcoind(t, nodetest.BitcoindOptions{NoTxIndex: true})
	tip := len(rec.Chain) - 1
	witnesses := 0
	for height, hash := range rec.Chain[1:] {
		height++
		msg := messageOf(t, rec.Blocks[hash])
		for i, tx := range msg.Transactions {
			txid := tx.TxHash()
			q := ProofQuery{Txid: txid, Witness: i > 0 && tx.HasWitness(), Confirmations: 3, Kind: relay.KindFullWithVerify}
			fake.SetREST(height%2 == 0)
			r, err := Prove(t.Context(), b, nil, q)
			if err != nil {
				t.Fatalf("block %d, transaction %d: %v", height, i, err)
			}
			if int(r.Height) != height || int(r.Proof.TxIndexInBlock) != i || r.Txid != spv.ID(txid) || r.BlockHash != spv.ID(hash) || r.Network != "regtest" ||
				int(r.Confirmations) != tip-height || r.Needed != 3 || len(r.Proof.BitcoinHeaders) != 80 || (len(r.Notes) > 0) != (tip-height < 3) || r.Provable != nil || r.Unknown != "" {
				t.Fatalf("block %d, transaction %d: %+v", height, i, r)
			}
			v, err := verified(t, r, "regtest")
			if err != nil || v.Txid != spv.ID(txid) || int(v.Index) != i {
				t.Fatalf("block %d, transaction %d: %+v, %v", height, i, v, err)
			}
			if q.Witness {
				if witnesses++; v.Wtxid == nil || *v.Wtxid != spv.ID(tx.WitnessHash()) {
					t.Fatalf("block %d, transaction %d: with witnesses %v", height, i, v.Wtxid)
				}
			}
			if q.Block = &hash; height > tip-10 {
				again, err := Prove(t.Context(), bare, nil, q)
				if err != nil || again.Txid != r.Txid || !bytes.Equal(again.Proof.MerkleProof, r.Proof.MerkleProof) {
					t.Fatalf("block %d, transaction %d, by its block: %v", height, i, err)
				}
			}
		}
	}
	if witnesses == 0 {
		t.Error("no transaction has witnesses")
	}
	// A relay that knows the last headers.
	first := tip - 9
	h := header.Header(rec.Blocks[rec.Chain[first]][:80])
	model, err := relay.NewFullRelayWithVerify(h[:], uint64(first), rec.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for _, hash := range rec.Chain[first+1:] {
		raw = append(raw, rec.Blocks[hash][:80]...)
	}
	if _, err := model.AddHeaders(h[:], raw); err != nil {
		t.Fatal(err)
	}
	last := header.Header(raw[len(raw)-80:])
	if _, err := model.MarkNewHeaviest(h.Hash(), h[:], last[:], 20); err != nil {
		t.Fatal(err)
	}
	for height := first; height <= tip; height++ {
		txid := messageOf(t, rec.Blocks[rec.Chain[height]]).Transactions[0].TxHash()
		r, err := Prove(t.Context(), b, nil, ProofQuery{Txid: txid, Confirmations: 3, Kind: relay.KindFullWithVerify})
		if err != nil {
			t.Fatal(err)
		}
		_, err = model.VerifyProof(r.Proof.BitcoinHeaders, r.Proof.MerkleProof, chainhash.Hash(r.TxHash), uint64(r.Proof.TxIndexInBlock), 3)
		if (err == nil) != (r.Confirmations >= r.Needed) {
			t.Errorf("block %d with %d of %d headers on top: %v", height, r.Confirmations, r.Needed, err)
		}
	}
}

// What cannot be proven is told with what to do.
func TestProveRefuses(t *testing.T) {
	rec, fake, b := recordedBitcoind(t, nodetest.BitcoindOptions{})
	_, _, bare := recordedBitcoind(t, nodetest.BitcoindOptions{NoTxIndex: true})
	tip := len(rec.Chain) - 1
	txid := messageOf(t, rec.Blocks[rec.Chain[tip-1]]).Transactions[0].TxHash()
	coinbase := messageOf(t, rec.Blocks[rec.Chain[tip]]).Transactions[0].TxHash()
	other := rec.Chain[tip-5]
	var stale chainhash.Hash
	for hash := range rec.Blocks {
		if rec.Chain[rec.Height(hash)] != hash {
			stale = hash
		}
	}
	if stale == (chainhash.Hash{}) {
		t.Fatal("the recording has no branch")
	}
	fake.MoveTo(t, stale)
	fake.MoveTo(t, rec.Chain[tip])
	inStale := messageOf(t, rec.Blocks[stale]).Transactions[0].TxHash()
	unknown := chainhash.Hash{7}
	for _, tt := range []struct {
		name  string
		node  *node.Bitcoind
		query ProofQuery
		want  []string
		is    error
	}{
		{"without an index", bare, ProofQuery{Txid: txid}, []string{"--block HASH", "txindex=1"}, node.ErrNoIndex},
		{"unknown", b, ProofQuery{Txid: unknown}, []string{"does not have it"}, node.ErrNotFound},
		{"an unknown block", b, ProofQuery{Txid: txid, Block: &unknown}, []string{"does not have it"}, node.ErrNotFound},
		{"a block without it", b, ProofQuery{Txid: txid, Block: &other}, []string{"has no transaction " + txid.String()}, nil},
		{"a block that left", b, ProofQuery{Txid: inStale, Block: &stale}, []string{"not in the best chain"}, node.ErrStale},
		{"the coinbase's witness", b, ProofQuery{Txid: coinbase, Witness: true}, []string{"with its witnesses"}, spv.ErrIndex},
	} {
		r, err := Prove(t.Context(), tt.node, nil, tt.query)
		if r != nil || err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: there is no %q in %v", tt.name, want, err)
			}
		}
	}
	fake.MoveTo(t, rec.Chain[tip-2])
	fake.SetMempool([]chainhash.Hash{txid})
	if _, err := Prove(t.Context(), b, nil, ProofQuery{Txid: txid, Confirmations: 6}); !errors.Is(err, node.ErrUnconfirmed) || !strings.Contains(err.Error(), "6 more on top") {
		t.Errorf("in the mempool: %v", err)
	}
	// A node that answers with a block whose transactions are others.
	fake.SetMempool(nil)
	fake.MoveTo(t, rec.Chain[tip])
	fake.SetREST(false)
	fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
		if what == "getblock" {
			at := bytes.Index(a.Body, []byte("ffffffff")) + 20
			a.Body = bytes.Clone(a.Body)
			a.Body[at] = map[bool]byte{true: '1', false: '0'}[a.Body[at] == '0']
		}
		return a
	})
	if _, err := Prove(t.Context(), b, nil, ProofQuery{Txid: txid}); !errors.Is(err, spv.ErrBlock) {
		t.Errorf("another block: %v", err)
	}
}

// A real btcd's transactions are proven, too.
func TestProveFromBtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no real btcd was built, so no proof was built from one")
	}
	real := nodetest.NewRealBtcd(t, nodetest.BuildRealBtcd(t))
	b, err := node.NewBtcd(node.BtcdConfig{
		Address: real.Addr(), Certificate: real.Certificate(), User: nodetest.LimitedUser, Password: nodetest.LimitedPassword,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	real.Mine(105)
	spent := real.Spend(1)
	block := real.Mine(1)[0]
	real.Mine(2)
	txid := spent.TxHash()
	for _, named := range []*chainhash.Hash{nil, &block} {
		for _, kind := range relay.Kinds {
			r, err := Prove(t.Context(), b, nil, ProofQuery{Txid: txid, Block: named, Witness: spent.HasWitness(), Confirmations: 2, Kind: kind})
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			v, err := verified(t, r, "regtest")
			if err != nil || v.Txid != spv.ID(txid) || v.Block != spv.ID(block) || v.Index != 1 || r.Height != 106 || r.Confirmations != 2 || (v.Wtxid != nil) != spent.HasWitness() {
				t.Errorf("%s: %+v, %+v, %v", kind, v, r, err)
			}
		}
	}
	pending := real.Spend(2).TxHash()
	if _, err := Prove(t.Context(), b, nil, ProofQuery{Txid: pending}); !errors.Is(err, node.ErrUnconfirmed) {
		t.Errorf("in the mempool: %v", err)
	}
	real.Reorg(3, 4)
	if _, err := Prove(t.Context(), b, nil, ProofQuery{Txid: txid, Block: &block}); !errors.Is(err, node.ErrStale) {
		t.Errorf("in a block that left: %v", err)
	}
}

// A prover is a world whose Bitcoin node has one block with its transactions: the main network's
// first payment.
type prover struct {
	*world
	block []byte
}

const firstPayment, paymentHeight = "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16", 170

func (p *prover) Network(context.Context) (string, error) { return "main", nil }

func (p *prover) Tip(context.Context) (node.Tip, error) {
	at := len(p.headers) - 1
	return node.Tip{Hash: p.headers[at].Hash(), Height: uint32(at)}, nil
}

func (p *prover) Block(context.Context, chainhash.Hash) ([]byte, error) { return p.block, nil }

func (p *prover) BlockOf(context.Context, chainhash.Hash) (chainhash.Hash, error) {
	return p.headers[paymentHeight].Hash(), nil
}

func (p *prover) HeightOf(context.Context, chainhash.Hash) (uint32, error) { return paymentHeight, nil }

// cut has the best chain end at a height, and the relay at another.
func (w *world) cut(tip, marked int) {
	w.change(func() { w.headers, w.marked, w.stored = w.headers[:tip+1], marked, marked })
}

// When the relay accepts a proof is told with it, by the relay's own best.
func TestProveTellsWhen(t *testing.T) {
	txid, err := ParseHash(firstPayment)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name        string
		kind        relay.Kind
		tip, marked int
		want        monitor.Provability
		table       string
		headers     int
	}{
		{
			"too few blocks", relay.KindFullWithVerify, 173, 172,
			monitor.Provability{Confirmations: 2, RelayBest: 172, AtHeight: 176, WaitsFor: monitor.OnBitcoin, UntilHeight: 426}, "with block 176, about 2009-01-12", 1,
		},
		{
			"a relay that lags", relay.KindFullWithVerify, 180, 172,
			monitor.Provability{Confirmations: 2, RelayBest: 172, AtHeight: 176, WaitsFor: monitor.OnRelay, UntilHeight: 426}, "once the relay knows block 176", 1,
		},
		{
			"it is there", relay.KindFullWithVerify, 180, 178,
			monitor.Provability{Confirmations: 8, RelayBest: 178, Now: true, UntilHeight: 426}, "now: 8 of 6", 1,
		},
		{
			"in the wrap", relay.KindFullWithVerify, 430, 428,
			monitor.Provability{Confirmations: 258, RelayBest: 428, AtHeight: 432, WaitsFor: monitor.OnBitcoin, Outage: monitor.Wrapped, UntilHeight: 682}, "counts 2", 1,
		},
		{
			"a light relay", relay.KindLight, 174, 0,
			monitor.Provability{Confirmations: 4, RelayBest: 2015, AtHeight: 176, WaitsFor: monitor.OnBitcoin, UntilHeight: 4036}, "with block 176", 5,
		},
		{
			"a light relay with all", relay.KindLight, 190, 0,
			monitor.Provability{Confirmations: 20, RelayBest: 2015, Now: true, UntilHeight: 4036}, "now: 20 of 6", 7,
		},
	} {
		w := newWorld(t)
		w.kind = tt.kind
		w.cut(tt.tip, tt.marked)
		p := &prover{w, testvectors.Load(t, "mainnet/170.block.zst", "a proof of a real transaction")}
		r, err := Prove(t.Context(), p, w.watch(nil), ProofQuery{Txid: txid, Confirmations: 6, Kind: tt.kind})
		if err != nil || r.Provable == nil {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
			continue
		}
		got, want := *r.Provable, tt.want
		if got.Expected.IsZero() == (want.WaitsFor == monitor.OnBitcoin) || got.Until.IsZero() {
			t.Errorf("%s: it is expected at %v, until %v", tt.name, got.Expected, got.Until)
		}
		want.Height, want.Needed, want.Expected, want.Until, want.Why = paymentHeight, 6, got.Expected, got.Until, got.Why
		if got != want || len(r.Proof.BitcoinHeaders) != 80*tt.headers || r.Height != paymentHeight {
			t.Errorf("%s: %+v, want\n%+v, %d bytes of headers", tt.name, got, want, len(r.Proof.BitcoinHeaders))
		}
		var b bytes.Buffer
		if err := WriteProof(&b, r); err != nil || !strings.Contains(b.String(), tt.table) || !strings.Contains(b.String(), firstPayment) {
			t.Errorf("%s: for people it is\n%s, %v", tt.name, b.String(), err)
		}
		if tt.kind == relay.KindLight {
			checkFactor(t, r, 7, tt.tip >= 176)
		}
		if _, err := verified(t, r, "mainnet"); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := verified(t, r, "testnet4"); !errors.Is(err, spv.ErrDocument) {
			t.Errorf("%s, on another network: %v", tt.name, err)
		}
		if _, err := verified(t, r, "nowhere"); err == nil {
			t.Errorf("%s, on no network: %v", tt.name, err)
		}
	}
	// A relay that is not known does not take the proof away.
	w := newWorld(t)
	p := &prover{w, testvectors.Load(t, "mainnet/170.block.zst", "a proof of a real transaction")}
	w.change(func() { w.down = true })
	r, err := Prove(t.Context(), p, w.watch(nil), ProofQuery{Txid: txid, Confirmations: 6, Kind: relay.KindFull})
	if err != nil || r.Provable != nil || !strings.Contains(r.Unknown, "is not known") {
		t.Errorf("a relay that is not known: %+v, %v", r, err)
	}
	w.change(func() { w.down = false })
	for kind, other := range map[relay.Kind]relay.Kind{relay.KindFullWithVerify: relay.KindLight, relay.KindLight: relay.KindFull} {
		w.change(func() { w.kind = kind })
		r, err := Prove(t.Context(), p, w.watch(nil), ProofQuery{Txid: txid, Confirmations: 6, Kind: other})
		if err != nil || r.Provable != nil || !strings.Contains(r.Unknown, "is a "+string(kind)+" one") {
			t.Errorf("to a %s relay: %+v, %v", kind, r, err)
		}
	}
	w.change(func() { w.kind = relay.KindFullWithVerify })
	var b bytes.Buffer
	if err := WriteProof(&b, r); err != nil || !strings.Contains(b.String(), "not known: ") {
		t.Errorf("for people: %s, %v", b.String(), err)
	}
	if _, err := w.watch(func(c *Config) { c.Relay, c.Kind = relay.Address{}, "" }).Provable(t.Context(), 1, 1); err == nil {
		t.Error("without a relay something is provable")
	}
	w.change(func() { w.down = false })
	w.cut(paymentHeight-1, paymentHeight-1)
	if _, err := Prove(t.Context(), gone{p}, nil, ProofQuery{Txid: txid}); err == nil || !strings.Contains(err.Error(), "ask again") {
		t.Errorf("a tip that went back: %v", err)
	}
}

// A gone prover names the payment's block though its chain ends below.
type gone struct{ *prover }

func (g gone) BlockOf(context.Context, chainhash.Hash) (chainhash.Hash, error) {
	h := header.Header(g.block[:80])
	return h.Hash(), nil
}

// checkFactor fails the test unless a LightRelay that has the headers' difficulty accepts them for
// a factor, as said.
func checkFactor(t *testing.T, r *ProofReport, factor uint64, want bool) {
	t.Helper()
	first := r.Proof.BitcoinHeaders[:80]
	model := relay.NewLightRelay(relay.Address{1})
	if _, err := model.Genesis(relay.Address{1}, first, 2016, 5); err != nil {
		t.Fatal(err)
	}
	if err := model.EvaluateProof(r.Proof.BitcoinHeaders, factor); (err == nil) != want {
		t.Errorf("the model says of %d headers: %v", len(r.Proof.BitcoinHeaders)/80, err)
	}
}

// A slope is a Bitcoin node whose headers have these bits.
type slope []uint32

func (s slope) chain() (list []header.Header) {
	var prev chainhash.Hash
	for _, bits := range s {
		var h header.Header
		copy(h[4:], prev[:])
		binary.LittleEndian.PutUint32(h[72:], bits)
		prev = h.Hash()
		list = append(list, h)
	}
	return list
}

// Source's methods that are not asked.
type noSource struct{ Source }

type slopeSource struct {
	noSource
	chain []header.Header
}

func (s slopeSource) Headers(_ context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	for i := range s.chain {
		if s.chain[i].Hash() == locator[0] {
			return s.chain[i+1:], nil
		}
	}
	return s.chain[1:], nil
}

// As many headers are brought as have the work that is asked for, which are more where the
// difficulty falls: 6 times 50 are 9 headers where after three of them it falls to 30.
func TestHeadersOnTop(t *testing.T) {
	// Whole difficulties, by the contracts' rule: 0xffff << 208 divided by the target.
	const fifty, thirty, eight, one, half, most = 0x1c051eb3, 0x1c088888, 0x1c1fffe0, 0x1d00ffff, 0x1e00ffff, 0x17053894
	repeat := func(bits uint32, n int) (s slope) {
		for range n {
			s = append(s, bits)
		}
		return s
	}
	for _, tt := range []struct {
		name          string
		chain         slope
		confirmations uint8
		have, needed  int
	}{
		{"as difficult", repeat(fifty, 20), 5, 6, 5},
		{"the difficulty falls", append(repeat(fifty, 2), repeat(thirty, 20)...), 5, 9, 8},
		{"and headers lack", append(repeat(fifty, 2), repeat(thirty, 3)...), 5, 5, 8},
		{"it rises", append(repeat(thirty, 2), repeat(fifty, 20)...), 5, 5, 4},
		{"none is asked for", repeat(fifty, 20), 0, 1, 0},
		{"at the tip", repeat(fifty, 1), 6, 1, 6},
		{"no difficulty", repeat(half, 3), 6, 1, 0},
		{"as many as a proof has", append(repeat(eight, 1), repeat(one, 9)...), 250, 10, 2000},
	} {
		chain := tt.chain.chain()
		list, needed, err := onTop(t.Context(), slopeSource{chain: chain}, chain[0], tt.confirmations)
		if err != nil || len(list) != tt.have || int(needed) != tt.needed {
			t.Errorf("%s: %d headers, %d needed, %v; want %d and %d", tt.name, len(list), needed, err, tt.have, tt.needed)
		}
	}
	chain := slope{one, half}.chain()
	if _, _, err := onTop(t.Context(), slopeSource{chain: chain}, chain[0], 6); err == nil || !strings.Contains(err.Error(), "below 1") {
		t.Errorf("a difficulty that becomes nothing: %v", err)
	}
	for _, tt := range []struct {
		name          string
		chain         slope
		confirmations uint8
		want          string
	}{
		{"more than a proof has", append(repeat(eight, 1), repeat(one, 9)...), 251, "fell so far"},
		{"a testnet's difficulty falls to 1", append(repeat(most, 1), repeat(one, 1)...), 6, "fell so far"},
		{"and there is more than one answer", append(repeat(most, 1), repeat(one, maxAnswer)...), 1, "at once"},
	} {
		chain := tt.chain.chain()
		if list, needed, err := onTop(t.Context(), slopeSource{chain: chain}, chain[0], tt.confirmations); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d headers, %d needed, %v", tt.name, len(list), needed, err)
		}
	}
	if _, _, err := onTop(t.Context(), slopeSource{chain: chain}, header.Header{}, 6); err == nil || !strings.Contains(err.Error(), "ask again") {
		t.Errorf("a block that left: %v", err)
	}
}

func TestParseHash(t *testing.T) {
	for _, text := range []string{"", "12", firstPayment + "0", firstPayment[1:], "0x" + firstPayment[2:], strings.Repeat("g", 64)} {
		if h, err := ParseHash(text); err == nil || len(err.Error()) > 200 {
			t.Errorf("%q is %s, %v", text, h, err)
		}
	}
}
