package node

import (
	"encoding/json"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A wsMessage is a message of btcd's websocket: a notification, which has a
// method, or the answer to a command.
type wsMessage struct {
	answer
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// decodeMessage decodes a message.
func decodeMessage(data []byte) (*wsMessage, error) {
	var m wsMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, &malformedError{err}
	}
	if m.Method == "" && m.ID == nil && m.Err == nil {
		return nil, malformed("it is neither an answer nor a notification")
	}
	return &m, nil
}

// hint returns what a notification hints at; ok is false for those that Watch
// has no use for, and for those that it does not know.
func (m *wsMessage) hint(now time.Time) (h Hint, ok bool, err error) {
	h.At = now
	switch m.Method {
	case "blockconnected":
		h.Kind = HintBlockConnected
		h.Tip, err = m.block()
	case "blockdisconnected":
		h.Kind = HintBlockDisconnected
		h.Tip, err = m.block()
	case "txacceptedverbose":
		h.Kind = HintTx
		h.Tx, err = m.tx()
	default:
		return Hint{}, false, nil
	}
	if err != nil {
		return Hint{}, false, err
	}
	return h, true, nil
}

// param decodes the i-th parameter, one of the first two, into v.
func (m *wsMessage) param(i int, v any) error {
	var params [2]json.RawMessage // what follows them is skipped
	if len(m.Params) > 0 {
		if err := json.Unmarshal(m.Params, &params); err != nil {
			return &malformedError{err}
		}
	}
	if err := json.Unmarshal(params[i], v); err != nil {
		return malformed("parameter %d of %s: %w", i+1, m.Method, err)
	}
	return nil
}

// block reads the parameters of blockconnected and blockdisconnected: hash,
// height, time.
func (m *wsMessage) block() (Tip, error) {
	var hash displayHash
	if err := m.param(0, &hash); err != nil {
		return Tip{}, err
	}
	var h height
	if err := m.param(1, &h); err != nil {
		return Tip{}, err
	}
	return Tip{Hash: chainhash.Hash(hash), Height: uint32(h)}, nil
}

// tx reads the parameter of txacceptedverbose, and checks that the transaction
// has the id that comes with it.
func (m *wsMessage) tx() ([]byte, error) {
	var tx struct {
		Hex  hexBytes     `json:"hex"`
		Txid *displayHash `json:"txid"`
	}
	if err := m.param(0, &tx); err != nil {
		return nil, err
	}
	if tx.Txid == nil {
		return nil, malformed("%s lacks the transaction's id", m.Method)
	}
	if _, err := decodeTx(tx.Hex, chainhash.Hash(*tx.Txid)); err != nil {
		return nil, err
	}
	return tx.Hex, nil
}
