package blockval

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// A check that can wait does so behind each few hundred signatures, and comes to the same
// verdict; it ends when it is told to.
func TestPace(t *testing.T) {
	m := generate(t, testvectors.Generation{Seed: 7, Transactions: 1500})
	b, err := Parse(m.raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 4} {
		var pieces, took atomic.Int64
		v := newValidator(t, "regtest", Options{Workers: workers, Pace: func(ctx context.Context, d time.Duration) error {
			pieces.Add(1)
			took.Add(int64(d))
			return ctx.Err()
		}})
		began := time.Now()
		got, err := v.Check(t.Context(), b, m.at)
		elapsed := time.Since(began)
		if err != nil || !got.Valid() {
			t.Fatalf("on %d workers: %+v, %v", workers, got, err)
		}
		if n := int(pieces.Load()); n < got.Signatures/(pacedSize+2*chunk) || n < 2*workers || n > got.Signatures/pacedSize+workers {
			t.Errorf("on %d workers %d signatures are %d pieces", workers, got.Signatures, n)
		}
		if d := time.Duration(took.Load()); d > elapsed*time.Duration(workers) || d < got.Stages.Scripts/2 {
			t.Errorf("on %d workers pieces took %v, all scripts %v, and the check %v", workers, d, got.Stages.Scripts, elapsed)
		}
		enough := errors.New("enough")
		v = newValidator(t, "regtest", Options{Workers: workers, Pace: func(context.Context, time.Duration) error { return enough }})
		if got, err := v.Check(t.Context(), b, m.at); !errors.Is(err, enough) {
			t.Errorf("on %d workers, told to end: %+v, %v", workers, got, err)
		}
	}
}

// Scripts that only an exact run decides are pieces of some milliseconds.
func TestPaceOfScripts(t *testing.T) {
	const inputs = 1500
	c := newTestChain(t, "regtest", 120)
	form, key := spendForms()[0], testKey(1)
	b := txscript.NewScriptBuilder().AddData(make([]byte, 520))
	for range 60 {
		b.AddOps([]byte{txscript.OP_DUP, txscript.OP_HASH256, txscript.OP_DROP})
	}
	// The signature is none of this transaction's, so that all of it holds.
	slow, err := b.AddOp(txscript.OP_DROP).AddData(serialise(key, true)).AddOps([]byte{txscript.OP_CHECKSIG, txscript.OP_NOT}).Script()
	if err != nil {
		t.Fatal(err)
	}
	signed := twoInputs(form, 1)
	if err := form.sign(signed, 0, txscript.SigHashAll, key); err != nil {
		t.Fatal(err)
	}
	pushes, err := txscript.PushedData(signed.tx.TxIn[0].SignatureScript)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := txscript.NewScriptBuilder().AddData(pushes[0]).Script()
	if err != nil {
		t.Fatal(err)
	}
	tx := pay(nil, 1)
	for range inputs {
		in := c.addCoin(1, slow)
		in.SignatureScript = signature
		tx.TxIn = append(tx.TxIn, in)
	}
	raw := c.draft(tx).seal()
	var pieces int
	var enough error
	pace := func(_ context.Context, took time.Duration) error {
		if pieces++; pieces > 1 && took < pacedTime {
			t.Errorf("a piece took %v", took)
		}
		if pieces == 3 {
			return enough
		}
		return nil
	}
	v := c.validator(t, Options{Workers: 1, Pace: pace})
	if got := checkRaw(t, v, raw, c.at()); !got.Valid() {
		t.Fatalf("verdict %v", got.Err)
	}
	// The first one is the collecting, which leaves all to the exact run.
	if pieces < 4 || pieces > inputs/10 {
		t.Errorf("%d scripts that are run one by one are %d pieces", inputs, pieces)
	}
	pieces, enough = 0, errors.New("enough")
	block, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Check(t.Context(), block, c.at()); !errors.Is(err, enough) {
		t.Errorf("told to end: %+v, %v", got, err)
	}
}
