package sidecar

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/web"
)

// newFullRider returns a rider beside a bitcoind, in full mode from the genesis
// block on, that compares its coins all the time.
func newFullRider(t *testing.T, o nodetest.BitcoindOptions, mode CompareMode) *coreRider {
	t.Helper()
	r := newCoreRider(t, nodetest.CoreOptions{BitcoindOptions: o, Publish: [][]string{{"sequence"}}})
	r.cfg.UTXOMode, r.cfg.Compare, r.cfg.CompareEvery = UTXOFull, mode, 20*time.Millisecond
	r.core.Mine(110)
	return r
}

// grow makes the node's chain longer by blocks full of spends.
func (r *coreRider) grow(n int) {
	for range n {
		r.core.AddTxs(4)
		r.core.Mine(1)
	}
}

// awaitCompared waits for a comparison as of the node's tip.
func (r *coreRider) awaitCompared(t *testing.T, outcome web.Outcome) *web.Comparison {
	t.Helper()
	tip, _ := r.core.Tip()
	s := r.awaitStatus(t, "a comparison of the coins", func(s *web.Status) bool {
		c := s.UTXO.Compared
		return c != nil && c.Hash == tip.String() && c.Outcome == outcome
	})
	return s.UTXO.Compared
}

// The MuHash of the coins is the node's, after blocks and reorganisations and a
// restart.
func TestCoinsAreCompared(t *testing.T) {
	for _, tt := range []struct {
		name  string
		index bool
		mode  CompareMode
	}{{"index", true, CompareIndex}, {"scan", false, CompareScan}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newFullRider(t, nodetest.BitcoindOptions{CoinStatsIndex: tt.index}, tt.mode)
			r.run(t)
			r.awaitTip(t)
			if c := r.awaitCompared(t, web.Agree); c.MuHash != c.Node || c.First != nil {
				t.Errorf("%+v", c)
			}
			if s := r.status(t).UTXO; s.Mode != "full" || s.Coins != 110 || s.Problem != "" {
				t.Errorf("the coins: %+v", s)
			}
			if tt.mode == CompareScan {
				if err := r.stop(); err != nil { // before it is asked again
					t.Fatal(err)
				}
				if n := r.core.Bitcoind.Calls("gettxoutsetinfo"); n != 1 {
					t.Errorf("the node scanned its coins %d times, want once", n)
				}
				return
			}
			r.grow(5)
			r.awaitCompared(t, web.Agree)
			r.core.Reorg(4, 6)
			r.grow(2)
			r.awaitCompared(t, web.Agree)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			r.core.Reorg(2, 3)
			r.grow(3)
			r.run(t)
			r.awaitCompared(t, web.Agree)
			r.checkAgreement(t)
		})
	}
}

// A scan that failed is asked for again, until one is done.
func TestFailedScanIsRepeated(t *testing.T) {
	r := newFullRider(t, nodetest.BitcoindOptions{}, CompareScan)
	failures := 2
	r.core.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
		if what == "gettxoutsetinfo" && failures > 0 {
			failures--
			a = nodetest.Answer{Status: http.StatusInternalServerError, Body: []byte(`{"result":null,"error":{"code":-32603,"message":"Unable to read UTXO set"},"id":null}`)}
		}
		return a
	})
	r.run(t)
	r.awaitTip(t)
	r.awaitCompared(t, web.Agree)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.core.Bitcoind.Calls("gettxoutsetinfo"); n != 3 {
		t.Errorf("the node was asked to scan its coins %d times, want 3", n)
	}
}

// A node whose coins differ from some block on is told of, with that block.
func TestCoinsDiffer(t *testing.T) {
	r := newFullRider(t, nodetest.BitcoindOptions{CoinStatsIndex: true}, CompareIndex)
	r.grow(8)
	const from = 114
	height := regexp.MustCompile(`"height":(\d+)`)
	hash := regexp.MustCompile(`"muhash":".`)
	r.core.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
		m := height.FindSubmatch(a.Body)
		if what != "gettxoutsetinfo" || m == nil {
			return a
		}
		if n, err := strconv.Atoi(string(m[1])); err == nil && n >= from {
			a.Body = hash.ReplaceAllFunc(bytes.Clone(a.Body), otherDigit)
		}
		return a
	})
	r.run(t)
	r.awaitTip(t)
	c := r.awaitCompared(t, web.Differ)
	want := r.core.Chain()[from].String()
	if c.First == nil || c.First.Height != from || c.First.Hash != want || !c.Exactly || c.MuHash == c.Node {
		t.Errorf("%+v, %+v; the first block is %d %s", c, c.First, from, want)
	}
	if l := r.logged.String(); !strings.Contains(l, "level=ERROR msg=\"THE COINS DIFFER FROM THE NODE'S\"") || !strings.Contains(l, want) {
		t.Errorf("the log is\n%s", l)
	}
	if _, metrics := r.get(t, "/metrics"); strings.Contains(metrics, `outrider_utxo_comparisons_total{outcome="differ"} 0`) ||
		!strings.Contains(metrics, "outrider_utxo_differs 1\n") {
		t.Error("the metrics do not tell of it")
	}
	if _, page := r.get(t, "/"); !strings.Contains(page, "differ from the node") {
		t.Error("the page does not tell of it")
	}
}

// A difference is told of though the node says nothing of older blocks.
func TestCoinsDifferAndTheFirstBlockIsNotKnown(t *testing.T) {
	r := newFullRider(t, nodetest.BitcoindOptions{CoinStatsIndex: true}, CompareIndex)
	tip := []byte(`"height":110,`)
	hash := regexp.MustCompile(`"muhash":".`)
	r.core.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
		switch {
		case what != "gettxoutsetinfo":
		case bytes.Contains(a.Body, tip):
			a.Body = hash.ReplaceAllFunc(bytes.Clone(a.Body), otherDigit)
		default:
			a = nodetest.Answer{Status: 500}
		}
		return a
	})
	r.run(t)
	r.awaitTip(t)
	r.awaitStatus(t, "the difference", func(s *web.Status) bool {
		c := s.UTXO.Compared
		return c != nil && c.Outcome == web.Differ && c.First != nil && !c.Exactly
	})
}

// otherDigit puts another digit in the place of the last.
func otherDigit(m []byte) []byte {
	if m[len(m)-1] != '0' {
		return append(m[:len(m)-1], '0')
	}
	return append(m[:len(m)-1], '1')
}
