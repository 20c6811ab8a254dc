package claim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/wots"
	"github.com/outrider-project/outrider/perfcore"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Witnesses as large as a block take no memory but their own, whatever they hold.
func TestLargeWitnesses(t *testing.T) {
	p := newProver(t)
	const size = 3_980_000
	large := make([]byte, size)
	many := make([][]byte, size/2)
	honest := p.signed
	largeDigit := slices.Clone(honest[3])
	largeDigit[1] = large
	largeValues := make([][]byte, assertion.Scheme(3).Digits())
	for i := range largeValues {
		largeValues[i] = large
	}
	for name, stack := range map[string][][]byte{
		"one item": {large}, "many items": many, "a digit": largeDigit, "compact values": largeValues,
	} {
		for _, validated := range []bool{false, true} {
			s := honest.with(3, stack)
			c := p.claim(s)
			c.Validated = validated
			d := newDocket(p.key, 1)
			d.claims[0], d.stacks[0] = c, s
			j := new(judge)
			if bytes := allocated(func() { j.decide(d) }); bytes > 6<<20 {
				t.Errorf("%s, validated %v: %d bytes", name, validated, bytes)
			}
			if d.verdicts[0].Outcome != Refused || len(d.verdicts[0].Refusals[0].Error()) > 200 {
				t.Errorf("%s, validated %v: %+v", name, validated, d.verdicts[0])
			}
		}
	}
}

// Claims that wait have no witnesses in memory.
func TestLoadsInTurn(t *testing.T) {
	p := newProver(t)
	const parallel, chunk = 2, 3
	v := New(Options{Parallel: parallel, Chunk: chunk, Recorder: new(perfcore.Registry)})
	defer v.Close()
	honest := p.signed
	var loaded atomic.Uint64
	claims := func(yield func(*Claim) bool) {
		for range 40 {
			c := p.claim(nil)
			c.Validated = true
			c.Load = func(context.Context) (*Stacks, error) {
				judged := v.in.outcomes[Valid].Value()
				if n := loaded.Add(1) - judged; n > parallel*chunk {
					t.Errorf("the witnesses of %d claims are in memory", n)
				}
				return honest, nil
			}
			if !yield(c) {
				return
			}
		}
	}
	for verdict, err := range v.All(t.Context(), claims) {
		if err != nil || verdict.Outcome != Valid {
			t.Errorf("%+v, %v", verdict, err)
		}
	}
	if loaded.Load() != 40 {
		t.Errorf("%d loads", loaded.Load())
	}
}

// No witness of any commitment makes reading panic, or commits to another message than
// was signed; and of what is list-picked, only hashes tell what was not validated.
func FuzzRead(f *testing.F) {
	var keys assertion.Keys
	messages := make([][]byte, assertion.Commitments)
	join := func(items [][]byte) (b []byte) {
		for _, item := range items {
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(item))), item...)
		}
		return b
	}
	for _, i := range []int{0, 14, 15, 377} {
		scheme, secret := assertion.Scheme(i), []byte{byte(i)}
		keys[i] = scheme.PublicKey(secret)
		messages[i] = bytes.Repeat([]byte{0x3c, byte(i)}, scheme.MessageSize()/2)
		sig := scheme.Sign(secret, messages[i])
		f.Add(uint16(i), join(sig.Witness()))
		f.Add(uint16(i), join(sig.CompactWitness()))
	}
	f.Add(uint16(5), []byte{0, 0, 1, 0, 7})
	f.Add(uint16(377), join(slices.Repeat([][]byte{make([]byte, 20), {9}}, 35)))
	f.Fuzz(func(t *testing.T, at uint16, b []byte) {
		var stack [][]byte
		for len(b) >= 2 && len(stack) < 200 {
			n := min(int(binary.LittleEndian.Uint16(b)), len(b)-2)
			stack, b = append(stack, b[2:2+n]), b[2+n:]
		}
		i := int(at) % assertion.Commitments
		read := func(validated bool) ([]byte, error) {
			d := newDocket(nil, 1)
			d.claims[0] = &Claim{Keys: &keys, Validated: validated}
			d.verdicts[0].Raw = new(assertion.Raw)
			j := new(judge)
			j.sort(d, origin{0, i}, stack)
			j.hash(d)
			if refusals := d.verdicts[0].Refusals; refusals != nil {
				return nil, refusals[0]
			}
			return d.verdicts[0].Raw.Message(i), nil
		}
		full, err := read(false)
		validated, unhashed := read(true)
		switch {
		case err == nil && (!bytes.Equal(full, messages[i]) || !bytes.Equal(validated, full) || unhashed != nil):
			t.Errorf("commitment %d is to %x, without hashes %x, %v", i, full, validated, unhashed)
		case err != nil && unhashed == nil && !errors.Is(err, wots.ErrChain) && keys[i] != nil:
			t.Errorf("commitment %d is refused: %v", i, err)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	p := newProver(b)
	for _, validated := range []bool{false, true} {
		b.Run(fmt.Sprintf("validated=%v", validated), func(b *testing.B) {
			c := p.claim(p.signed)
			c.Validated = validated
			b.ReportAllocs()
			for b.Loop() {
				if v, err := Judge(b.Context(), p.key, c); err != nil || v.Outcome != Valid {
					b.Fatal(v, err)
				}
			}
		})
	}
}
