package node

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

func TestBitcoindHeaders(t *testing.T) {
	rec := bitcoindRecording(t)
	_, lost, after := moments(t, rec)
	chain := rec.Chain
	for _, noREST := range []bool{false, true} {
		t.Run(fmt.Sprintf("noREST=%v", noREST), func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: noREST})
			fake.MoveTo(t, lost)
			fake.MoveTo(t, after)
			fake.MoveTo(t, chain[120])
			b := newBitcoind(t, bitcoindConfig(fake))
			for _, tt := range []struct {
				name    string
				locator []chainhash.Hash
				first   int
			}{
				{"none", nil, 1},
				{"unknown", []chainhash.Hash{{1}, {2}}, 1},
				{"genesis", chain[:1], 1},
				{"middle", []chainhash.Hash{chain[60]}, 61},
				{"first known wins", []chainhash.Hash{{1}, chain[7], chain[60]}, 8},
				{"stale", []chainhash.Hash{lost}, 1},
				{"stale, then its fork", []chainhash.Hash{lost, chain[115]}, 116},
				{"below the tip", []chainhash.Hash{chain[119]}, 120},
				{"tip", []chainhash.Hash{chain[120]}, 121},
			} {
				got, err := b.Headers(t.Context(), tt.locator)
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
					continue
				}
				var hashes []chainhash.Hash
				for _, h := range got {
					hashes = append(hashes, h.Hash())
				}
				if !slices.Equal(hashes, chain[tt.first:]) {
					t.Errorf("%s: %d headers, want those of the chain from %d on", tt.name, len(got), tt.first)
				}
			}
		})
	}
}

// TestBitcoindHeadersWhileMoving moves the chain between the calls that read
// headers without REST: what comes back is one chain that was the best.
func TestBitcoindHeadersWhileMoving(t *testing.T) {
	rec := bitcoindRecording(t)
	before, lost, after := moments(t, rec)
	for _, tt := range []struct {
		name    string
		locator chainhash.Hash
		at      string // the answer after which the chain moves from lost
		to      chainhash.Hash
		n       int
		last    chainhash.Hash
	}{
		{"the fork leaves the chain", lost, "getblockheader", after, 119, after},
		{"the chain grows shorter", rec.Chain[100], "getblockchaininfo", before, 15, before},
		{"the chain is another", rec.Chain[100], "getblockchaininfo", after, 17, rec.Chain[117]},
		{"after the hashes", rec.Chain[100], "batch", after, 17, lost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: true})
			b := newBitcoind(t, bitcoindConfig(fake))
			fake.MoveTo(t, lost)
			var move sync.Once
			fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
				if what == tt.at {
					move.Do(func() { fake.MoveTo(t, tt.to) })
				}
				return a
			})
			got, err := b.Headers(t.Context(), []chainhash.Hash{tt.locator})
			if err != nil || len(got) != tt.n || got[len(got)-1].Hash() != tt.last || linked(got) != nil {
				t.Fatalf("%d headers, %v, want %d that end with %s", len(got), err, tt.n, tt.last)
			}
		})
	}
	t.Run("always", func(t *testing.T) {
		fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: true})
		b := newBitcoind(t, bitcoindConfig(fake))
		fake.MoveTo(t, lost)
		fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
			switch what {
			case "getblockchaininfo":
				fake.MoveTo(t, before)
			case "batch":
				fake.MoveTo(t, lost)
			}
			return a
		})
		if _, err := b.Headers(t.Context(), []chainhash.Hash{rec.Chain[100]}); !errors.Is(err, errMoved) {
			t.Errorf("%v, want errMoved", err)
		}
		if got := fake.Calls("getblockchaininfo"); got != headerRounds {
			t.Errorf("%d rounds, want %d", got, headerRounds)
		}
	})
}

func TestBitcoindRESTGone(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	for _, on := range []bool{true, false} {
		fake.SetREST(on)
		if got, err := b.Headers(t.Context(), nil); err != nil || len(got) != 120 {
			t.Errorf("REST %v: %d headers, %v", on, len(got), err)
		}
		if _, err := b.Block(t.Context(), rec.Chain[5]); err != nil {
			t.Errorf("REST %v: %v", on, err)
		}
	}
	probes := fake.Calls("/rest/")
	if _, err := b.Block(t.Context(), rec.Chain[6]); err != nil || fake.Calls("/rest/") != probes {
		t.Errorf("REST is asked although it is known to be off (%v)", err)
	}
}

func TestBitcoindMalformedREST(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	ctx := t.Context()
	change := func(f func([]byte) []byte) {
		fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
			if strings.HasPrefix(what, "/rest/headers/") || strings.HasPrefix(what, "/rest/block/") {
				a.Body = f(bytes.Clone(a.Body))
			}
			return a
		})
	}
	for name, f := range map[string]func([]byte) []byte{
		"short":     func(b []byte) []byte { return b[:len(b)-1] },
		"odd start": func(b []byte) []byte { b[0] ^= 1; return b },
		"unlinked":  func(b []byte) []byte { b[len(b)-80+4] ^= 1; return b },
		"too long":  func(b []byte) []byte { return append(b, make([]byte, 200_000)...) },
	} {
		change(f)
		if got, err := b.Headers(ctx, []chainhash.Hash{rec.Chain[3]}); err == nil {
			t.Errorf("%s: %d headers", name, len(got))
		}
	}
	for name, f := range map[string]func([]byte) []byte{
		"empty":      func([]byte) []byte { return nil },
		"header":     func(b []byte) []byte { return b[:80] },
		"other":      func([]byte) []byte { return bytes.Clone(rec.Blocks[rec.Chain[4]]) },
		"oversized":  func(b []byte) []byte { return append(b, make([]byte, maxBlockSize)...) },
		"corrupted":  func(b []byte) []byte { b[70] ^= 1; return b },
		"hex digits": func(b []byte) []byte { return fmt.Appendf(nil, "%x", b) },
	} {
		change(f)
		if _, err := b.Block(ctx, rec.Chain[3]); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeHeaders(f *testing.F) {
	genesis := bytes.Repeat([]byte{7}, header.Size)
	first := header.Header(genesis)
	hash := first.Hash()
	next := bytes.Clone(genesis)
	copy(next[4:], hash[:])
	f.Add(genesis)
	f.Add(append(bytes.Clone(genesis), next...))
	f.Add(append(bytes.Clone(genesis), genesis...))
	f.Add([]byte{})
	f.Add(genesis[:79])
	f.Fuzz(func(t *testing.T, raw []byte) {
		headers, err := decodeHeaders(raw, hash)
		if err != nil {
			return
		}
		var back []byte
		last := chainhash.Hash(genesis[4:36])
		for _, h := range headers {
			if h.Prev() != last {
				t.Fatalf("%x does not follow %s", h, last)
			}
			last = h.Hash()
			back = append(back, h[:]...)
		}
		if !bytes.Equal(back, raw) || len(headers) > 0 && headers[0].Hash() != hash {
			t.Fatalf("%x becomes %x", raw, back)
		}
	})
}
