package devchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// What a question for logs may name, and how many of them are an answer.
const (
	maxLogs        = 10_000
	maxLogTopics   = 4
	maxAlternative = 1000
)

// A logFilter is the argument of eth_getLogs.
type logFilter struct {
	BlockHash *common.Hash     `json:"blockHash"`
	FromBlock *rpc.BlockNumber `json:"fromBlock"`
	ToBlock   *rpc.BlockNumber `json:"toBlock"`
	Address   alternatives     `json:"address"`
	Topics    []alternatives   `json:"topics"`
}

// alternatives are values of which one is to be there, in hexadecimal digits: one, a list,
// or null for any.
type alternatives [][]byte

// UnmarshalJSON decodes a value, a list of at most 1,000, or null.
func (a *alternatives) UnmarshalJSON(data []byte) error {
	var texts []string
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '"' {
		texts = make([]string, 1)
		if err := json.Unmarshal(data, &texts[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &texts); err != nil {
		return err
	}
	if len(texts) > maxAlternative {
		return fmt.Errorf("%d alternatives, at most %d may be", len(texts), maxAlternative)
	}
	*a = nil
	for _, text := range texts {
		value, err := decodeHex(text)
		if err != nil {
			return err
		}
		*a = append(*a, value)
	}
	return nil
}

// match reports whether a value is one of them.
func (a alternatives) match(value []byte) bool {
	return len(a) == 0 || slices.ContainsFunc(a, func(one []byte) bool { return bytes.Equal(one, value) })
}

// check returns what is wrong with a filter.
func (f *logFilter) check() error {
	switch {
	case f.BlockHash != nil && (f.FromBlock != nil || f.ToBlock != nil):
		return errors.New("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
	case len(f.Topics) > maxLogTopics:
		return errors.New("exceed max topics")
	}
	for _, value := range f.Address {
		if len(value) != common.AddressLength {
			return fmt.Errorf("an address of %d bytes", len(value))
		}
	}
	for _, topic := range f.Topics {
		for _, value := range topic {
			if len(value) != common.HashLength {
				return fmt.Errorf("a topic of %d bytes", len(value))
			}
		}
	}
	return nil
}

// match reports whether a log is asked for.
func (f *logFilter) match(l *types.Log) bool {
	if !f.Address.match(l.Address[:]) || len(l.Topics) < len(f.Topics) {
		return false
	}
	for i, topic := range f.Topics {
		if !topic.match(l.Topics[i][:]) {
			return false
		}
	}
	return true
}

// logs returns the logs of the blocks that a filter names. Blocks that are forgotten are
// an error: an answer without their logs would say that there were none.
func (c *Chain) logs(f *logFilter) ([]*types.Log, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	blocks := []*block{nil}
	if f.BlockHash != nil {
		if blocks[0] = c.byHash[*f.BlockHash]; blocks[0] == nil {
			return nil, errors.New("unknown block")
		}
	} else {
		from, to := c.latest(), c.latest()
		if f.FromBlock != nil {
			from = c.resolve(*f.FromBlock)
		}
		if f.ToBlock != nil {
			to = c.resolve(*f.ToBlock)
		}
		if from == nil || to == nil || to.NumberU64() < from.NumberU64() {
			return nil, errors.New("invalid block range params")
		}
		first := c.blocks[0].NumberU64()
		blocks = c.blocks[from.NumberU64()-first : to.NumberU64()-first+1]
	}
	found := []*types.Log{}
	for _, b := range blocks {
		for _, r := range b.receipts {
			for _, l := range r.Logs {
				if !f.match(l) {
					continue
				}
				if len(found) == maxLogs {
					return nil, fmt.Errorf("query returned more than %d results", maxLogs)
				}
				found = append(found, l)
			}
		}
	}
	return found, nil
}
