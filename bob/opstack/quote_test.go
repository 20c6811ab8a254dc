package opstack

import (
	"bytes"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/endpoint"
)

// What a transaction is said to pay is what the rules of each fork make it, and a deposit
// pays nothing.
func TestQuote(t *testing.T) {
	c := Client{loadRecording(t)}
	for number, want := range map[uint64]struct {
		fork     Fork
		operator uint64
	}{2: {Holocene, 0}, 3: {Isthmus, 15e12}, 4: {Jovian, 15e12 + 50_000*7*100}} {
		b, err := c.BlockByNumber(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		a, err := b.Attributes()
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Fork(); got != want.fork {
			t.Errorf("block %d is of %v by its attributes, want %v", number, got, want.fork)
		}
		for i := range b.Transactions {
			tx, err := b.Transactions[i].MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			f, err := b.Quote(want.fork, tx, 50_000, uint256.NewInt(3))
			if err != nil {
				t.Fatal(err)
			}
			if b.Transactions[i].IsDeposit() {
				if f != (Fees{}) {
					t.Errorf("block %d: a deposit pays %+v", number, f)
				}
				continue
			}
			l1, err := a.L1Fee(want.fork, tx)
			if err != nil || l1.IsZero() {
				t.Fatalf("block %d: %v, %v", number, l1, err)
			}
			if f.Execution.Uint64() != 150_000 || f.L1 != l1 || f.Operator.Uint64() != want.operator {
				t.Errorf("block %d: %+v", number, f)
			}
		}
		if _, err := b.Quote(want.fork, []byte{2}, 1<<63, new(uint256.Int).Lsh(uint256.NewInt(1), 255)); err == nil {
			t.Error("a fee beyond 256 bits is no error")
		}
		b.Transactions = b.Transactions[1:]
		if _, err := b.Quote(want.fork, []byte{2}, 1, uint256.NewInt(1)); err == nil {
			t.Errorf("block %d: without attributes there are fees", number)
		}
	}
	if got := (&Attributes{Form: FormBedrock}).Fork(); got != Delta {
		t.Errorf("of Bedrock's form: %v", got)
	}
}

// A sample is a transaction that the key of nobody signed.
func TestSample(t *testing.T) {
	to, data := [20]byte{1, 2}, []byte{3, 4, 5}
	sample := func() *types.Transaction {
		raw, err := Sample(60808, 7, 99, to, data, uint256.NewInt(5), uint256.NewInt(6))
		if err != nil {
			t.Fatal(err)
		}
		tx := new(types.Transaction)
		if err := tx.UnmarshalBinary(raw); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	a, b := sample(), sample()
	if a.Type() != types.DynamicFeeTxType || a.ChainId().Uint64() != 60808 || a.Nonce() != 7 || a.Gas() != 99 || *a.To() != to ||
		!bytes.Equal(a.Data(), data) || a.GasTipCap().Uint64() != 5 || a.GasFeeCap().Uint64() != 6 {
		t.Errorf("the sample is %+v", a)
	}
	first, err := types.Sender(types.LatestSignerForChainID(a.ChainId()), a)
	second, err2 := types.Sender(types.LatestSignerForChainID(b.ChainId()), b)
	if err != nil || err2 != nil || first == second {
		t.Errorf("the samples are signed by %v and %v, %v, %v", first, second, err, err2)
	}
}

// One round asks every source, and who does not answer says why.
func TestRefresh(t *testing.T) {
	c := newRollup(t)
	w, err := NewWatcher(WatcherConfig{
		Sources: []Source{
			{"node", OpNode, client(t, c.nodeURL, endpoint.OpNode)},
			{"exec", Execution, client(t, c.execURL, endpoint.Execution)},
		},
		Heads: HeadsConfig{MaxLag: [labels]time.Duration{1 << 62, 1 << 62, 1 << 62}},
	})
	if err != nil {
		t.Fatal(err)
	}
	reports, st := w.Refresh(t.Context())
	if len(reports) != 2 || reports[0].Source != "node" || reports[1].Source != "exec" || reports[0].Err != nil || reports[1].Err != nil {
		t.Fatalf("the reports are %+v", reports)
	}
	if h := st.Heads[Unsafe]; h.Sources != 2 || h.Number != c.tip() || w.State() == nil || w.State().Heads[Unsafe] != h {
		t.Errorf("the state is %+v", st)
	}
	c.change(func() { c.limited = true })
	if reports, _ = w.Refresh(t.Context()); reports[1].Err == nil || reports[0].Err != nil {
		t.Errorf("one that does not answer: %+v", reports)
	}
}
