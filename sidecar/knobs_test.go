package sidecar

import (
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/bob/relay/submit"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/utxocache"
)

// What an optimizer may own is what some part of the program hands over, and nothing else.
func TestRegistrableKnobsExist(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.UTXOMode, r.cfg.BOB = UTXOFull, nobodysBOB()
	r.btcd.Mine(3)
	r.run(t)
	r.awaitTip(t)
	r.s.Claims()
	cache, err := utxocache.New(utxocache.Options{Blocks: 100, Bytes: 4 << 20}) // without one budget
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	handed := make(map[string]bool)
	for _, knobs := range [][]perfcore.Knob{r.s.Knobs(), cache.Knobs(), new(submit.Submitter).Knobs()} {
		for _, k := range knobs {
			handed[k.Name] = true
			if !engine.Registrable(k.Name) {
				t.Errorf("%s cannot be handed to an optimizer", k.Name)
			}
			if k.Hastens && k.Resource == 0 {
				t.Errorf("%s hastens what no target can be set for", k.Name)
			}
		}
	}
	const simulations = "plant."
	for _, name := range engine.RegistrableNames() {
		if !handed[name] && name != simulations {
			t.Errorf("an optimizer may own %s, which no part hands over", name)
		}
		if strings.HasSuffix(name, ".") && name != simulations {
			t.Errorf("an optimizer may own whatever begins with %s", name)
		}
	}
	if !slices.Contains(engine.RegistrableNames(), simulations) {
		t.Error("simulations have no knobs")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
