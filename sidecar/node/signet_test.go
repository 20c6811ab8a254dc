package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

func TestBitcoindSignetChallenge(t *testing.T) {
	for _, tt := range []struct {
		name, said string // in JSON
		want       []byte
		err        string
	}{
		{"before v29", "", nil, ""},
		{"of OP_TRUE", `"51"`, []byte{0x51}, ""},
		{"null", "null", nil, ""},
		{"empty", `""`, nil, "must not be empty"},
		{"no digits", `"OP_TRUE"`, nil, "hexadecimal digits"},
		{"half a byte", `"5"`, nil, "hexadecimal digits"},
		{"too long", `"` + strings.Repeat("51", 10_001) + `"`, nil, "10000 bytes"},
		{"a number", "51", nil, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, nodetest.SignetRecording(t, tt.said), nodetest.BitcoindOptions{})
			got, err := newBitcoind(t, bitcoindConfig(fake)).SignetChallenge(t.Context())
			if !bytes.Equal(got, tt.want) || (err == nil) != (tt.err == "") {
				t.Fatalf("SignetChallenge() = %x, %v, want %x", got, err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the error is %v, want %q in it", err, tt.err)
			}
		})
	}
}

// On regtest a real bitcoind tells no challenge.
func TestBitcoindWithoutAChallenge(t *testing.T) {
	fake := nodetest.NewBitcoind(t, bitcoindRecording(t), nodetest.BitcoindOptions{})
	if got, err := newBitcoind(t, bitcoindConfig(fake)).SignetChallenge(t.Context()); got != nil || err != nil {
		t.Errorf("SignetChallenge() = %x, %v", got, err)
	}
}

// A btcd tells its signet by the magic, which is a hash of the challenge.
func TestBtcdSignetChallenge(t *testing.T) {
	ours, other := []byte{0x51}, []byte{0x52}
	magic := func(challenge []byte) uint32 { return uint32(chaincfg.CustomSignetParams(challenge, nil).Net) }
	for _, tt := range []struct {
		name       string
		magic      uint32
		configured []byte
		network    string // empty is an error
		want       []byte
	}{
		{"default", magic(chaincfg.DefaultSignetChallenge), nil, "signet", chaincfg.DefaultSignetChallenge},
		{"default beside another", magic(chaincfg.DefaultSignetChallenge), ours, "signet", chaincfg.DefaultSignetChallenge},
		{"as configured", magic(ours), ours, "signet", ours},
		{"not as configured", magic(other), ours, "", nil},
		{"not configured", magic(other), nil, "", nil},
		{"regtest", uint32(chaincfg.RegressionNetParams.Net), ours, "regtest", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
			fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
				var id struct{ ID uint64 }
				if err := json.Unmarshal(a.Body, &id); err != nil {
					t.Error(err)
				}
				a.Body = fmt.Appendf(nil, `{"result":%d,"error":null,"id":%d}`, tt.magic, id.ID)
				return a
			})
			cfg := fakeConfig(fake)
			cfg.SignetChallenge = tt.configured
			b := newBtcd(t, cfg)
			network, err := b.Network(t.Context())
			if network != tt.network || (err == nil) != (tt.network != "") {
				t.Errorf("Network() = %q, %v, want %q", network, err, tt.network)
			}
			if err != nil && !strings.Contains(err.Error(), "signet-challenge") {
				t.Errorf("the error does not say what to set: %v", err)
			}
			if got, err := b.SignetChallenge(t.Context()); err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("SignetChallenge() = %x, %v, want %x", got, err, tt.want)
			}
		})
	}
}
