package submit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
)

// planOf names what a transaction does.
func planOf(to common.Address, data []byte) common.Hash { return crypto.Keccak256Hash(to[:], data) }

// callObject is a transaction as eth_call takes it.
func callObject(from, to common.Address, data []byte, gas uint64) map[string]any {
	c := map[string]any{"from": from, "to": to, "data": hexutil.Bytes(data)}
	if gas > 0 {
		c["gas"] = hexutil.Uint64(gas)
	}
	return c
}

// blockID names the state after a block (EIP-1898).
func blockID(h common.Hash) any { return map[string]any{"blockHash": h} }

// try calls what a transaction would, in the state after head. The error is a
// *relay.Revert if it would revert.
func (s *Submitter) try(ctx context.Context, head *planner.Head, to common.Address, data []byte, gas uint64) error {
	_, err := s.o.Chain.Call(ctx, "eth_call", callObject(s.o.Target.Sender, to, data, gas), blockID(head.Hash))
	return reverted(err)
}

// reverted returns the *relay.Revert that an error of a call is, if the contract gave a
// reason, which the relays always do: a node that says so without one is not believed.
func reverted(err error) error {
	if e, ok := errors.AsType[*endpoint.Error](err); ok && e.Kind == endpoint.Reverted && len(e.Data) >= 4 {
		return planner.ParseRevert(e.Data)
	}
	return err
}

// prepare does what must be done before a transaction is signed, all of it at once: its
// preflight, and what to offer for it.
func (s *Submitter) prepare(ctx context.Context, head *planner.Head, tx *relay.Transaction) (limit uint64, fees planner.Fees, err error) {
	var feesErr error
	var asking sync.WaitGroup
	asking.Go(func() { fees, feesErr = s.fees(ctx, head) })
	limit, err = s.preflight(ctx, head, tx)
	asking.Wait()
	return limit, fees, cmp.Or(err, feesErr)
}

// preflight tries a transaction, and returns the gas limit that it needs: the model's or,
// if that is more, what the node estimates and a hundredth. A call of an address without
// a contract works and does nothing: an estimate far below the plan tells. A multicall
// hides why it reverted, so its first call is then tried alone.
func (s *Submitter) preflight(ctx context.Context, head *planner.Head, tx *relay.Transaction) (uint64, error) {
	to := common.Address(tx.To)
	caps := head.Caps()
	most := min(caps.TransactionGas, caps.BlockGas)
	var raw json.RawMessage
	var estimateErr error
	var estimating sync.WaitGroup
	estimating.Go(func() {
		raw, estimateErr = s.o.Chain.Call(ctx, "eth_estimateGas", callObject(s.o.Target.Sender, to, tx.Data, 0), blockID(head.Hash))
	})
	err := s.try(ctx, head, to, tx.Data, most)
	estimating.Wait()
	if err != nil {
		revert, ok := errors.AsType[*relay.Revert](err)
		if !ok {
			return 0, err
		}
		if len(tx.Calls) > 0 && to != s.o.Target.Relay {
			if first, ok := errors.AsType[*relay.Revert](s.try(ctx, head, s.o.Target.Relay, tx.Calls[0].Data(), most)); ok {
				revert = first
			}
		}
		return 0, &Refusal{What: "preflight", Err: revert}
	}
	if err := reverted(estimateErr); err != nil {
		if r, ok := errors.AsType[*relay.Revert](err); ok {
			return 0, &Refusal{What: "preflight", Err: r}
		}
		return 0, err
	}
	var estimate hexutil.Uint64
	if err := json.Unmarshal(raw, &estimate); err != nil {
		return 0, fmt.Errorf("eth_estimateGas: %w", err)
	}
	if uint64(estimate) < tx.Gas/4*3 {
		return 0, refuse("preflight", "the node estimates %d gas, and the plan takes %d: the call does not do what it should; are the addresses of relay and multicall right?",
			uint64(estimate), tx.Gas)
	}
	limit := max(tx.GasLimit, uint64(estimate)+uint64(estimate)/100)
	if limit > most {
		return 0, refuse("preflight", "the node estimates %d gas, the plan %d, and the chain allows %d", uint64(estimate), tx.Gas, most)
	}
	return limit, nil
}

// number asks for a number.
func (s *Submitter) number(ctx context.Context, method string, params ...any) (*big.Int, error) {
	raw, err := s.o.Chain.Call(ctx, method, params...)
	if err != nil {
		return nil, err
	}
	var n hexutil.Big
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return n.ToInt(), nil
}

// fees returns what to offer for a transaction now, within the operator's maximum.
func (s *Submitter) fees(ctx context.Context, head *planner.Head) (planner.Fees, error) {
	tip, err := s.number(ctx, "eth_maxPriorityFeePerGas")
	if err != nil {
		return planner.Fees{}, err
	}
	f, err := head.Fees(tip, s.o.Limits.MaxFee)
	if err != nil {
		return f, &Refusal{What: "maximum fee", Err: err}
	}
	return f, nil
}

// bumped returns x and a tenth more, which is what nodes ask of a replacement.
func bumped(x *big.Int) *big.Int {
	y := new(big.Int).Mul(x, big.NewInt(110))
	return y.Add(y, big.NewInt(99)).Div(y, big.NewInt(100))
}

// replacement returns the fees of what replaces a transaction: a tenth more, or what the
// chain asks for now, if that is more. False if that is above the maximum.
func (s *Submitter) replacement(old *variant, now planner.Fees) (planner.Fees, bool) {
	f := planner.Fees{Base: now.Base, Tip: bumped(old.tx.GasTipCap()), Max: bumped(old.tx.GasFeeCap())}
	if f.Tip.Cmp(now.Tip) < 0 {
		f.Tip.Set(now.Tip)
	}
	if f.Max.Cmp(now.Max) < 0 {
		f.Max.Set(now.Max)
	}
	if f.Max.Cmp(f.Tip) < 0 {
		f.Max.Set(f.Tip)
	}
	return f, f.Max.Cmp(s.o.Limits.MaxFee) <= 0
}
