package bitvm

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Events and statuses are printed as they come, in words or as lines of JSON.
func TestFollow(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newWatching(t)
			b.source.mine(b.bridge.Tx("peg_out_confirm"))
			ctx, cancel := context.WithCancel(t.Context())
			var out bytes.Buffer
			var following sync.WaitGroup
			var err error
			following.Go(func() { err = Follow(ctx, FollowOptions{Config: b.cfg, JSON: asJSON}, b.source, &out) })
			synctest.Wait()
			b.source.mine(b.bridge.Tx("kick_off_1"))
			<-time.After(time.Minute)
			synctest.Wait()
			cancel()
			following.Wait()
			if err != nil {
				t.Error(err)
			}
			if !asJSON {
				for _, want := range []string{
					"  bridge #1 at 1: peg_out_confirm is in block 1: the operator puts the stake up\n",
					"  bridge #2 at 2: kick_off_1 is in block 2: ", "bridge (bitvm2, regtest) at height 2, complete\n", "challenge           open       from 2   before 6 (take_1)\n",
				} {
					if !strings.Contains(out.String(), want) {
						t.Errorf("there is no %q in\n%s", want, &out)
					}
				}
				return
			}
			events, statuses := 0, 0
			for line := range strings.Lines(out.String()) {
				var one struct {
					Event, Status *json.RawMessage
				}
				if err := json.Unmarshal([]byte(line), &one); err != nil || (one.Event == nil) == (one.Status == nil) {
					t.Fatalf("%v: %s", err, line)
				}
				if one.Event != nil {
					events++
				} else {
					statuses++
				}
			}
			if events < 2 || statuses != 2 {
				t.Errorf("%d events, %d statuses", events, statuses)
			}
		})
	}
}
