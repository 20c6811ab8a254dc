package planner

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/devchain"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/testvectors"
)

const (
	fortnight = 14 * 24 * 3600
	// lightProof is how many headers the LightRelay of these tests asks for on either side.
	lightProof = 5
	// lightEpoch is the one that it is begun with.
	lightEpoch = 100
)

// Epochs are a best chain of which the headers around the ends of some epochs are known. They are
// real ones of difficulty 1, for a LightRelay keeps 224 bits of a target, which nothing that a
// test mines has the work for: their heights were others, which no contract can see.
type epochs struct {
	tip   uint32
	known map[uint32]header.Header
	// genesis is a header that may begin the epoch before the first of these ends.
	genesis header.Header
}

func (e *epochs) Tip() headers.Node { return headers.Node{Height: e.tip} }

func (e *epochs) At(height uint32) (headers.Node, bool) {
	h, ok := e.known[height]
	return headers.Node{Header: h, Hash: h.Hash(), Height: height}, ok && height <= e.tip
}

// begins are real heights of headers that, to a contract, may each begin the epoch after that which
// the one before begins: what comes before it is some fortnights and a few seconds later, so that
// the same target, to the bits that headers have, is due again.
var begins = []int{41, 5131, 6654}

func newEpochs(t *testing.T) *epochs {
	t.Helper()
	raw := testvectors.Load(t, "headers/mainnet_0_10236.bin.zst", "that a LightRelay several epochs behind is told of them")
	e := &epochs{known: map[uint32]header.Header{}}
	for k, at := range begins {
		for i := -lightProof; i < lightProof; i++ {
			e.known[uint32((lightEpoch+1+k)*epochLength+i)] = header.Header(raw[(at+i)*header.Size:])
		}
	}
	// Nobody checks the work of the header that a relay is begun with.
	e.genesis = e.known[(lightEpoch+1)*epochLength-1]
	binary.LittleEndian.PutUint32(e.genesis[68:], e.genesis.Time()-fortnight)
	e.known[lightEpoch*epochLength] = e.genesis
	return e
}

// A lightChain is a chain in go-ethereum's EVM with a LightRelay of ours, and a pool that asks it.
type lightChain struct {
	*devchain.Chain
	*endpoint.Pool
	account *devchain.Account
	target  Target
}

func newLightChain(t *testing.T, e *epochs) *lightChain {
	t.Helper()
	account, err := devchain.NewAccount()
	if err != nil {
		t.Fatal(err)
	}
	c := &lightChain{account: account}
	if c.Chain, err = devchain.New(devchain.Options{Rich: []*devchain.Account{account}}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := c.Serve(ctx, l); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(cancel)
	c.Pool, err = endpoint.Open(t.Context(), endpoint.Options{
		Layer: "l2", ChainID: c.ChainID(), Endpoints: []endpoint.Endpoint{{Name: "a", URL: "http://" + l.Addr().String(), Rate: 1e6, Burst: 1e6}},
	})
	if err != nil {
		t.Fatal(err)
	}
	hash, address, err := c.Deploy(account, contract.LightRelay().Creation, 5_000_000)
	if err != nil {
		t.Fatal(err)
	}
	c.mined(t, hash)
	c.target = Target{Kind: relay.KindLight, Relay: address, Costs: contract.Costs(), Sender: account.Address()}
	c.transact(t, relay.GenesisData(e.genesis[:], lightEpoch*epochLength, lightProof), 1_000_000)
	return c
}

// mined mines a block and returns what gas a transaction of it took.
func (c *lightChain) mined(t *testing.T, hash [32]byte) uint64 {
	t.Helper()
	if _, err := c.Mine(time.Now()); err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Await(t.Context(), hash)
	if err != nil || receipt.Status != 1 {
		t.Fatalf("%+v, %v", receipt, err)
	}
	return receipt.GasUsed
}

func (c *lightChain) transact(t *testing.T, data []byte, gas uint64) uint64 {
	t.Helper()
	hash, err := c.Transact(c.account, c.target.Relay, data, gas)
	if err != nil {
		t.Fatal(err)
	}
	return c.mined(t, hash)
}

func (c *lightChain) situation(t *testing.T, e *epochs) (*LightState, *Situation) {
	t.Helper()
	head, err := ReadHead(t.Context(), c.Pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	state, err := ReadLight(t.Context(), c.Pool, &c.target, head)
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Plan(&c.target, e)
	if err != nil {
		t.Fatal(err)
	}
	return state, s
}

// retargetCall is the call that tells of the epoch that begins at a height.
func (e *epochs) retargetCall(t *testing.T, boundary uint32) []byte {
	t.Helper()
	var proof []byte
	for height := boundary - lightProof; height < boundary+lightProof; height++ {
		h, ok := e.known[height]
		if !ok {
			t.Fatalf("there is no header at %d", height)
		}
		proof = append(proof, h[:]...)
	}
	return relay.RetargetData(proof)
}

// TestLightCatchesUp has a LightRelay that is three epochs behind be told of each, by exactly the
// calls that it needs, and each of them executes in go-ethereum's EVM with the gas that was planned.
func TestLightCatchesUp(t *testing.T) {
	e := newEpochs(t)
	c := newLightChain(t, e)
	last := uint32(lightEpoch+3) * epochLength

	// A block before the last epoch can be told, two are planned.
	e.tip = last + lightProof - 2
	if _, s := c.situation(t, e); s.Verdict != Behind || len(s.Plan.Transactions) != 2 || s.NextHeight != uint64(last)+lightProof-1 || s.Behind != 3 {
		t.Fatalf("a block before: %+v", s)
	}
	e.tip++
	state, s := c.situation(t, e)
	if k := state.Known; !k.Ready || k.ProofLength != lightProof || k.CurrentEpoch != lightEpoch || k.Latest.Time != e.genesis.Time() {
		t.Errorf("the relay is read as %+v", k)
	}
	if s.Verdict != Behind || s.Epoch != lightEpoch || s.Behind != 3 || s.Plan.Headers != 3*2*lightProof || len(s.Plan.Transactions) != 3 ||
		s.NextHeight != uint64(last)+epochLength+lightProof-1 || s.Why != "3 epochs to tell, from 101" {
		t.Fatalf("three epochs behind: %+v", s)
	}
	for i, tx := range s.Plan.Transactions {
		boundary := uint32(lightEpoch+1+i) * epochLength
		if want := e.retargetCall(t, boundary); !bytes.Equal(tx.Data, want) || common.Address(tx.To) != c.target.Relay || tx.FromHeight != uint64(boundary)-lightProof ||
			len(tx.Calls) != 1 || tx.Calls[0].Function != "retarget" || tx.Headers != 2*lightProof {
			t.Errorf("transaction %d is %+v, want the retarget at %d", i, tx, boundary)
		}
		used := c.transact(t, tx.Data, tx.GasLimit)
		if used > tx.GasLimit || used < tx.Gas-tx.Gas/50 || used > tx.Gas+tx.Gas/50 {
			t.Errorf("transaction %d takes %d gas, %d were planned", i, used, tx.Gas)
		}
		// Whoever looks in between plans the rest, and nothing twice.
		state, rest := c.situation(t, e)
		if int(state.Known.CurrentEpoch) != lightEpoch+1+i || state.Known.Latest.Time != timeAt(e, boundary) || rest.Behind != int64(2-i) {
			t.Errorf("after transaction %d the relay is %+v, %+v", i, state.Known, rest)
		}
		if i < 2 && (rest.Verdict != Behind || len(rest.Plan.Transactions) != 2-i || !bytes.Equal(rest.Plan.Transactions[0].Data, s.Plan.Transactions[i+1].Data)) {
			t.Errorf("after transaction %d: %+v", i, rest)
		}
		if i == 2 && (rest.Verdict != InStep || rest.Plan != nil || rest.NextHeight != s.NextHeight) {
			t.Errorf("in the end: %+v", rest)
		}
	}
	// The same call again is not taken.
	if _, err := c.Chain.Call(t.Context(), c.target.Relay, s.Plan.Transactions[2].Data); err == nil {
		t.Error("an epoch is told twice")
	}
}

func timeAt(e *epochs, height uint32) uint32 {
	h := e.known[height]
	return h.Time()
}

// TestLightPlanEnds has more epochs to tell than a plan may have: then that of the first one that
// is left out is the next. What contradicts the relay, or does not reach, gives no plan.
func TestLightPlanEnds(t *testing.T) {
	e := newEpochs(t)
	c := newLightChain(t, e)
	e.tip = (lightEpoch + 4) * epochLength
	head, err := ReadHead(t.Context(), c.Pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	state, err := ReadLight(t.Context(), c.Pool, &c.target, head)
	if err != nil {
		t.Fatal(err)
	}
	for most := 1; most <= 3; most++ {
		s, err := state.plan(&c.target, e, most)
		if err != nil || len(s.Plan.Transactions) != most || s.NextHeight != relay.FirstRetarget(uint64(lightEpoch+most+1), lightProof) {
			t.Errorf("at most %d: %+v, %v", most, s, err)
		}
	}
	e.tip += epochLength
	if _, err := state.Plan(&c.target, e); !errors.Is(err, ErrTooFar) {
		t.Errorf("headers that are not known: %v", err)
	}
	// A header of a proof that is not the one.
	e.tip = (lightEpoch+3)*epochLength + lightProof - 1
	boundary := uint32(lightEpoch+2) * epochLength
	whole := e.known[boundary]
	h := whole
	h[76]++
	e.known[boundary] = h
	if _, err := state.Plan(&c.target, e); err == nil || !isRevert(err) {
		t.Errorf("a header without work: %v", err)
	}
	e.known[boundary] = whole
	// The relay was begun with another time than the chain has.
	h = e.known[lightEpoch*epochLength]
	h[68] ^= 1
	e.known[lightEpoch*epochLength] = h
	if _, err := state.Plan(&c.target, e); !errors.Is(err, ErrDiverged) {
		t.Errorf("another time: %v", err)
	}
}

func isRevert(err error) bool {
	_, ok := errors.AsType[*relay.Revert](err)
	return ok
}
