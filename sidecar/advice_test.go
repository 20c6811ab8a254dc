package sidecar

import (
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

func TestAdvise(t *testing.T) {
	const a, b = "tcp://127.0.0.1:28332", "tcp://127.0.0.1:28333"
	on := func(address string, hwm int, topics ...string) (list []node.Notifier) {
		for _, topic := range topics {
			list = append(list, node.Notifier{Topic: topic, Address: address, HighWater: hwm})
		}
		return list
	}
	whole := node.Survey{Version: 319900, REST: true, TxIndex: true, Notifiers: append(on(a, 1000, zmq.TopicSequence), on(b, 1000, zmq.TopicRawTx)...)}
	for _, tt := range []struct {
		name   string
		change func(*node.Survey, *Config)
		want   []string // settings, each with a word of its reason behind a blank
	}{
		{"nothing is missing", func(*node.Survey, *Config) {}, nil},
		{"everything is", func(s *node.Survey, _ *Config) { *s = node.Survey{Version: 319900} },
			[]string{"zmqpubsequence=tcp://127.0.0.1:28332 5s", "rest=1 JSON", "txindex=1 optional"}},
		{"the poll's time is told", func(s *node.Survey, c *Config) { s.Notifiers, c.Poll = nil, 70e9 }, []string{"zmqpubsequence=" + a + " 1m10s"}},
		{"hashblock alone", func(s *node.Survey, _ *Config) { s.Notifiers = on(a, 1000, zmq.TopicHashBlock) },
			[]string{"zmqpubsequence=tcp://127.0.0.1:28342 tips"}}, // the usual port is taken
		{"rawblock alone", func(s *node.Survey, _ *Config) { s.Notifiers = on(b, 1000, zmq.TopicRawBlock) }, []string{"zmqpubsequence=" + a + " tips"}},
		{"one address for both", func(s *node.Survey, _ *Config) { s.Notifiers = on(b, 1000, zmq.TopicRawTx, zmq.TopicSequence) },
			[]string{"zmqpubsequence=" + a + " " + b}},
		{"one address without a bound", func(s *node.Survey, _ *Config) { s.Notifiers = on(b, 0, zmq.TopicRawTx, zmq.TopicSequence) }, nil},
		{"one address for what is not heard", func(s *node.Survey, _ *Config) { s.Notifiers = on(b, 1000, zmq.TopicHashBlock, zmq.TopicSequence) }, nil},
		{"the first notifier's bound counts", func(s *node.Survey, _ *Config) {
			s.Notifiers = append(on(b, 0, zmq.TopicHashTx), on(b, 1000, zmq.TopicRawTx, zmq.TopicSequence)...)
		}, nil},
		{"ZMQ is off", func(s *node.Survey, c *Config) { s.Notifiers, c.Node.NoZMQ = nil, true }, nil},
		{"pruned", func(s *node.Survey, _ *Config) { s.TxIndex, s.Pruned = false, true }, nil}, // the two exclude each other
		{"before v29", func(s *node.Survey, _ *Config) { s.Version = 289900 }, []string{"rpcthreads=16 default"}},
		{"before v29, with threads", func(s *node.Survey, c *Config) { s.Version, c.Node.Threads = 289900, 8 }, nil},
		{"few threads", func(_ *node.Survey, c *Config) { c.Node.Threads = 4 }, []string{"rpcthreads=16 4 threads"}},
		{"an old version", func(s *node.Survey, c *Config) { s.Version, c.Node.Threads = 250100, 16 }, []string{" v25"}},
		{"no version", func(s *node.Survey, _ *Config) { s.Version = 0 }, nil},
		{"a whitelist", func(s *node.Survey, _ *Config) {
			*s = node.Survey{REST: true, Refused: []string{"getnetworkinfo", "getindexinfo", "getzmqnotifications"}}
		}, []string{"rpcwhitelist getnetworkinfo, getindexinfo, getzmqnotifications"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, cfg := whole, DefaultConfig()
			s.Notifiers = slices.Clone(whole.Notifiers)
			tt.change(&s, &cfg)
			got := advise(&s, &cfg)
			if len(got) != len(tt.want) {
				t.Fatalf("got %+v, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				setting, word, _ := strings.Cut(want, " ")
				if got[i].Setting != setting || !strings.Contains(got[i].Reason, word) {
					t.Errorf("got %+v, want %q", got[i], want)
				}
			}
		})
	}
}
