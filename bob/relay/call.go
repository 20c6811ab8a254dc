package relay

import (
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Call is a call that changes a relay.
type Call struct {
	// Function is addHeaders, addHeadersWithRetarget or markNewHeaviest, or a
	// LightRelay's retarget, which Do does not do.
	Function string
	// Args are the arguments that are headers, in the contract's order.
	Args [][]byte
	// Ancestor and Limit are markNewHeaviest's others.
	Ancestor chainhash.Hash
	Limit    uint64
}

// Data returns the data of the call.
func (c *Call) Data() []byte {
	switch c.Function {
	case "addHeaders":
		return AddHeadersData(c.Args[0], c.Args[1])
	case "addHeadersWithRetarget":
		return AddHeadersWithRetargetData(c.Args[0], c.Args[1], c.Args[2])
	case "markNewHeaviest":
		return MarkNewHeaviestData(c.Ancestor, c.Args[0], c.Args[1], c.Limit)
	case "retarget":
		return RetargetData(c.Args[0])
	}
	panic("relay: no such call: " + c.Function)
}

// Do does a call.
func (r *FullRelay) Do(c *Call) (Receipt, error) {
	m := r.costs.call(c.Data())
	events, err := r.do(m, c)
	return m.receipt(events), err
}

func (r *FullRelay) do(m *meter, c *Call) ([]Event, error) {
	switch c.Function {
	case "addHeaders":
		return r.addHeadersAlone(m, c.Args[0], c.Args[1])
	case "addHeadersWithRetarget":
		return r.addHeadersWithRetarget(m, c.Args[0], c.Args[1], c.Args[2])
	case "markNewHeaviest":
		return r.markNewHeaviest(m, c.Ancestor, c.Args[0], c.Args[1], c.Limit)
	}
	return nil, fmt.Errorf("no such call: %q", c.Function)
}

// selectAggregate3 is that of Multicall3's aggregate3((address,bool,bytes)[]).
var selectAggregate3 = Selector{0x82, 0xad, 0x56, 0xcb}

// MulticallData returns the data of a call of Multicall3's aggregate3 that does all
// calls of a relay, or, if one of them reverts, none.
func MulticallData(relay Address, calls []Call) []byte {
	data := append([]byte(nil), selectAggregate3[:]...)
	data = appendWord(data, 32)
	data = appendWord(data, uint64(len(calls)))
	var tails []byte
	for i := range calls {
		data = appendWord(data, uint64(32*len(calls)+len(tails)))
		inner := calls[i].Data()
		tails = append(tails, make([]byte, 12)...)
		tails = append(tails, relay[:]...)
		tails = appendWord(tails, 0) // it must not fail
		tails = appendWord(tails, 96)
		tails = appendWord(tails, uint64(len(inner)))
		tails = append(tails, inner...)
		tails = append(tails, make([]byte, (32-len(inner)%32)%32)...)
	}
	return append(data, tails...)
}

// What the EVM takes for a call of an account (EIP-2929).
const (
	gasColdAccount = 2600
	gasWarmAccount = 100
)

// multicall spends what it takes to pass calls on.
func (m *meter) multicall(calls []Call) {
	m.spend(m.costs.Multicall + gasColdAccount - gasWarmAccount)
	words := uint64(0)
	for i := range calls {
		// Copied into memory, and a result of few words out of it.
		words += uint64(len(calls[i].Data()))/32 + 8
		m.spend(m.costs.MulticallCall + gasWarmAccount)
	}
	m.spend(3*m.costs.MulticallCopies*words + words*words/512)
}
