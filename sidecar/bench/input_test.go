package bench

import (
	"errors"
	"testing"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

func TestFetchBlock(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(110)
	btcd.AddTxs(5)
	btcd.Mine(1)
	n, err := node.NewBtcd(node.BtcdConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		t.Fatal(err)
	}
	in, err := FetchBlock(t.Context(), n, params, 111)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Block(t.Context(), in, BlockOptions{Cores: []int{1}, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Valid || rep.Transactions != 6 || rep.Inputs == 0 {
		t.Errorf("got %+v", rep)
	}
	if _, err := FetchBlock(t.Context(), n, params, 112); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("a block above the tip: %v", err)
	}
}
