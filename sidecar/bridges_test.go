package sidecar

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// firstCoinbase is an instance whose root is the first coinbase of a fake btcd, which pays
// to anyone.
func firstCoinbase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bridge.json")
	text := fmt.Sprintf(`{"version":1,"name":"coinbase","network":"regtest","start":1,
		"graph":{"version":1,"name":"g","claimant":"operator",
			"connectors":[{"name":"A","leaves":[{"name":"script","by":"operator","csv":{"main":1,"test":5}}]}],
			"transactions":[
				{"name":"root","by":"operator","means":"it begins","outputs":[{"connector":"A"}],"open":true},
				{"name":"end","by":"operator","means":"it ends","inputs":[{"connector":"A","leaf":"script"}]}]},
		"scripts":{"A":["%s"]}}`, hex.EncodeToString(watchtest.Anyone()))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A sidecar that watches a bridge follows it through blocks and a reorganisation, tells of
// it in its status, and goes on behind a restart where it was.
func TestWatchesBridges(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.BitVM = bitvm.Config{Instances: []string{firstCoinbase(t)}}
	r.btcd.Mine(3)
	await := func(what string, done func(*watch.Status) bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
			st := r.s.Status().BitVM
			if st != nil && len(st.Instances) == 1 && done(&st.Instances[0]) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the status stays %+v", what, st)
			}
		}
	}
	atTip := func(st *watch.Status) bool {
		tip, height := r.btcd.Tip()
		return st.Complete && st.Tip.Hash == tip && int(st.Tip.Height) == height
	}
	r.run(t)
	await("the first blocks", func(st *watch.Status) bool {
		root, end := st.Transactions[0], st.Transactions[1]
		return atTip(st) && root.Height == 1 && end.State == watch.Locked && end.Opens == 6
	})
	r.btcd.Mine(2)
	await("two blocks more", func(st *watch.Status) bool { return atTip(st) && st.Transactions[1].State == watch.Open })
	if err := r.stop(); err != nil {
		t.Errorf("the sidecar ended with %v", err)
	}
	r.btcd.Mine(2)
	r.run(t)
	await("a restart", func(st *watch.Status) bool { return atTip(st) && st.Event == 2 })
	if err := r.stop(); err != nil {
		t.Errorf("the sidecar ended with %v", err)
	}
}

// Settings of bridges, and what is wrong with them.
func TestBitvmSettings(t *testing.T) {
	cfg, _, err := LoadWithoutNode(Sources{Environ: []string{"OUTRIDER_BITVM_INSTANCES=a.json,b.json", "OUTRIDER_BITVM_KEY=vk.bin", "OUTRIDER_BITVM_BULK=7"}})
	if err != nil || len(cfg.BitVM.Instances) != 2 || cfg.BitVM.Key != "vk.bin" {
		t.Errorf("%+v, %v", cfg.BitVM, err)
	}
	cfg, _, err = LoadWithoutNode(Sources{Environ: []string{"OUTRIDER_BITVM_INSTANCES=off"}})
	if err != nil || cfg.BitVM.Enabled() {
		t.Errorf("%+v, %v", cfg.BitVM, err)
	}
	for _, tt := range []struct{ env, want string }{
		{"OUTRIDER_BITVM_INSTANCES=a.json,,b.json", "must be off or paths"},
		{"OUTRIDER_BITVM_KEY=vk.bin", "a key and no bridge"},
	} {
		if _, _, err := LoadWithoutNode(Sources{Environ: []string{tt.env}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.env, err, tt.want)
		}
	}
}
