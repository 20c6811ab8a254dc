package sidecar

import (
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// besideSignet returns a rider beside a bitcoind whose chain is signet's genesis
// block and one without a solution, which says so much of its challenge, in JSON,
// and the log of the rider, with signet-challenge set to set unless that is empty.
func besideSignet(t *testing.T, said, set string) (*rider, *lockedBuffer) {
	t.Helper()
	core := nodetest.NewBitcoind(t, nodetest.SignetRecording(t, said), nodetest.BitcoindOptions{})
	flags := map[string]string{
		"node-kind": "bitcoind", "node-address": core.Addr(), "node-cookie": core.CookieFile(), "zmq": "off",
		"datadir": t.TempDir(), "http": "127.0.0.1:0", "start": "0", "nice": "0", "poll": "20ms", "resync": "50ms", "branches": "20ms",
		"bitcoin-dir": t.TempDir(),
	}
	if set != "" {
		flags["signet-challenge"] = set
	}
	cfg, err := LoadConfig(Sources{File: write(t, "outrider.yaml", ""), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	logged := new(lockedBuffer)
	return &rider{cfg: cfg, changed: make(chan struct{}), log: slog.New(slog.NewTextHandler(logged, nil))}, logged
}

// A block of a signet is held against that signet's challenge: the node's, or the
// one that is set where the node does not tell. A block without a solution is valid
// where the challenge is OP_TRUE, and else breaks it, so that it is the alarm.
func TestSidecarOnASignetOfItsOwn(t *testing.T) {
	usual := hex.EncodeToString(chaincfg.DefaultSignetChallenge)
	hash := chainhash.DoubleHashH(nodetest.SignetBlock()[:header.Size])
	for _, tt := range []struct {
		name, said, set string
		challenge       string // by which the block is judged
		valid           bool
	}{
		{"told", `"51"`, "", "51", true},
		{"told and set", `"51"`, "51", "51", true},
		{"set", "", "51", "51", true},
		{"told the default", `"` + usual + `"`, "", usual, false},
		{"told another", `"00"`, "", "00", false},
		{"set another", "", "00", "00", false},
		{"neither", "", "", usual, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, logged := besideSignet(t, tt.said, tt.set)
			r.run(t)
			rep := r.await(t, "the verdict", func(rep *Report) bool { return rep.Verdict.Hash == hash })
			dir := filepath.Join(r.cfg.Datadir, "signet", "evidence", "1-"+hash.String())
			if !tt.valid {
				awaitRetrial(t, dir)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			l := logged.String()
			if !strings.Contains(l, "signet_challenge="+tt.challenge+"\n") {
				t.Errorf("the log does not name the challenge:\n%s", l)
			}
			if warned := strings.Count(l, "does not tell which signet"); warned > 1 || (warned == 1) != (tt.name == "neither") {
				t.Errorf("the log warns %d times that it is a guess:\n%s", warned, l)
			}
			if tt.valid {
				if rep.Outcome != Agree || !rep.Verdict.Valid() {
					t.Errorf("%s, %v", rep.Outcome, rep.Verdict.Err)
				}
				return
			}
			if rep.Outcome != Differ || rep.Verdict.Valid() || rep.Verdict.Err.Rule != blockval.BadSignetSolution {
				t.Fatalf("%s, %v", rep.Outcome, rep.Verdict.Err)
			}
			b := checkRetrial(t, dir)
			if b.SignetChallenge != tt.challenge || !slices.ContainsFunc(b.JudgeAgain, func(command string) bool {
				return strings.Contains(command, "bench block --network signet --signet-challenge "+tt.challenge+" ")
			}) {
				t.Errorf("the evidence is of the challenge %q, to be judged again by %q", b.SignetChallenge, b.JudgeAgain)
			}
			// It is the bundle's challenge by which the block is judged again.
			b.SignetChallenge = "51"
			changed, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, verdictFile), changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if again, err := JudgeEvidence(t.Context(), dir); err != nil || !again.Valid || again.Same {
				t.Errorf("judged again by OP_TRUE: %+v (%v)", again, err)
			}
		})
	}
}

// A bundle that is older than the field has the default signet's challenge.
func TestBundleParams(t *testing.T) {
	for _, tt := range []struct{ network, challenge, want string }{
		{"signet", "", hex.EncodeToString(chaincfg.DefaultSignetChallenge)},
		{"signet", "51", "51"},
		{"regtest", "", ""},
	} {
		p, err := (&bundle{Network: tt.network, SignetChallenge: tt.challenge}).params()
		if err != nil || hex.EncodeToString(p.SignetChallenge) != tt.want {
			t.Errorf("%s with %q: %v", tt.network, tt.challenge, err)
		}
	}
	for _, b := range []bundle{{Network: "signet", SignetChallenge: "5"}, {Network: "regtest", SignetChallenge: "51"}, {Network: "liquid"}} {
		if _, err := b.params(); err == nil {
			t.Errorf("%s with %q is no error", b.Network, b.SignetChallenge)
		}
	}
}

// A challenge that the node contradicts ends the sidecar, and the error says what
// to do.
func TestSidecarRefusesAnotherSignet(t *testing.T) {
	for _, tt := range []struct{ name, said, set, want string }{
		{"another signet", `"51"`, "52", "signet-challenge is 52, and that of the node at"},
		{"the default signet", `"` + hex.EncodeToString(chaincfg.DefaultSignetChallenge) + `"`, "51", "remove the setting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := besideSignet(t, tt.said, tt.set)
			r.run(t)
			if err := r.wait(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("no signet", func(t *testing.T) {
		r := newRider(t, nodetest.BtcdOptions{})
		r.cfg.Node.SignetChallenge = []byte{0x51}
		r.run(t)
		if err := r.wait(); err == nil || !strings.Contains(err.Error(), "regtest: remove the setting") {
			t.Errorf("got %v", err)
		}
	})
}
