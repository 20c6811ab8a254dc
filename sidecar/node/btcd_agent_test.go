package node

import (
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

func TestBtcdAgent(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	n := newBtcd(t, BtcdConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	for answer, want := range map[string]string{
		"": "/btcd:0.26.2/", `{"version":12034500}`: "/btcd:12.3.45/", `{}`: "", `{"version":-1}`: "", `[]`: "",
	} {
		btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
			if method == "getinfo" && answer != "" {
				a.Body = []byte(`{"jsonrpc":"1.0","result":` + answer + string(a.Body[strings.LastIndex(string(a.Body), `,"error"`):]))
			}
			return a
		})
		got, err := n.Agent(t.Context())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", answer, got, err, want)
		}
	}
}
