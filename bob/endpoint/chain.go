package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// proveOnce asks the node for its chain unless it is known to be the right one by the
// time that its turn comes. It returns nil if it is.
func (n *node) proveOnce(ctx context.Context, role Role, chain uint64) *Error {
	q := &question{method: role.method()}
	select {
	case n.proving <- struct{}{}:
		defer func() { <-n.proving }()
	case <-ctx.Done():
		return n.ended(ctx, q, TimedOut)
	}
	if n.chain.Load() == chainRight {
		return nil
	}
	return n.askChain(ctx, role, chain)
}

// prove asks the node for its chain. A node that was of the right one and does not
// answer is still believed to be: it is asked nothing else either while it is silent.
func (n *node) prove(ctx context.Context, role Role, chain uint64) error {
	q := &question{method: role.method()}
	select {
	case n.proving <- struct{}{}:
		defer func() { <-n.proving }()
	case <-ctx.Done():
		return n.ended(ctx, q, TimedOut)
	}
	if err := n.askChain(ctx, role, chain); err != nil {
		return err
	}
	return nil
}

// askChain asks the node for its chain and remembers what it answers.
func (n *node) askChain(ctx context.Context, role Role, chain uint64) *Error {
	name := role.method()
	q := &question{method: name, known: methodOf(name), params: [][]any{nil}}
	answers, err := n.ask(ctx, q, false)
	if err == nil {
		err = answers[0].err
	}
	if err != nil {
		return err
	}
	id, perr := role.parse(answers[0].result)
	if perr != nil {
		return n.err(q, Malformed, perr.Error())
	}
	if id != chain {
		n.told.Store(id) // before others are told by it
		n.chain.Store(chainWrong)
		n.perf.wrong.Set(1)
		n.perf.failed(WrongChain)
		return n.stranger(q, chain)
	}
	n.chain.Store(chainRight)
	n.perf.wrong.Set(0)
	return nil
}

// stranger is the error of a question to a node that is not of the chain.
func (n *node) stranger(q *question, chain uint64) *Error {
	return n.err(q, WrongChain, fmt.Sprintf("it is of chain %d, not of %d", n.told.Load(), chain))
}

// method is what a node of the role is asked for its chain.
func (r Role) method() string {
	if r == OpNode {
		return "optimism_rollupConfig"
	}
	return "eth_chainId"
}

// parse returns the chain id in an answer.
func (r Role) parse(raw json.RawMessage) (uint64, error) {
	if r == OpNode {
		var config struct {
			ChainID *uint64 `json:"l2_chain_id"`
		}
		if err := json.Unmarshal(raw, &config); err != nil || config.ChainID == nil {
			return 0, fmt.Errorf("there is no l2_chain_id")
		}
		return *config.ChainID, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return 0, fmt.Errorf("%.40s is no chain id", raw)
	}
	digits, ok := strings.CutPrefix(text, "0x")
	id, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("%.40q is no chain id", text)
	}
	return id, nil
}
