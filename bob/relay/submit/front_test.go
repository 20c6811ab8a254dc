package submit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// A front stands before a node, passes on what it is asked, and may do harm.
type front struct {
	*httptest.Server
	node string
	http http.Client
	// harm says what to do to an exchange; nil does no harm.
	harm func(methods []string) harm

	mu sync.Mutex // guards what follows
	// alter returns what is answered in the place of a result of the node's, to a call
	// that comes alone; nil alters none.
	alter func(method string, result json.RawMessage) json.RawMessage
	sent  []*types.Transaction // that reached the node, or may have, each once
	done  map[harm]int         // how often each harm was done
	// answered is how many sends the node has answered.
	answered int
}

// A harm is what becomes of an exchange.
type harm int

const (
	noHarm harm = iota
	resetBefore
	resetAfter // the node did what it was asked, and nobody hears of it
	status500
	status429
	internalError
	headerNotFound
	rateLimited
	nullResult
	truncated
	otherID
	emptyBody
	tooLate
	revertedWithoutData
	harms
)

func newFront(t testing.TB, node string, do func([]string) harm) *front {
	f := &front{node: node, harm: do, done: map[harm]int{}}
	f.http.Timeout = 30 * time.Second
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// request is a call on the wire.
type request struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left
	}
	var calls []request
	batch := json.Unmarshal(body, &calls) == nil
	if !batch {
		calls = make([]request, 1)
		if err := json.Unmarshal(body, &calls[0]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	var methods []string
	for _, c := range calls {
		methods = append(methods, c.Method)
	}
	h := noHarm
	if f.harm != nil {
		h = f.harm(methods)
	}
	f.mu.Lock()
	f.done[h]++
	f.mu.Unlock()
	reset := func() { panic(http.ErrAbortHandler) }
	each := func(what string) {
		var parts []string
		for _, c := range calls {
			parts = append(parts, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, c.ID, what))
		}
		if batch {
			fmt.Fprintf(w, "[%s]", strings.Join(parts, ","))
			return
		}
		fmt.Fprint(w, parts[0])
	}
	switch h {
	case resetBefore:
		reset()
	case status500:
		http.Error(w, "<html>no", http.StatusInternalServerError)
		return
	case status429:
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case internalError:
		each(`"error":{"code":-32603,"message":"internal error"}`)
		return
	case headerNotFound:
		each(`"error":{"code":-32000,"message":"header not found"}`)
		return
	case rateLimited:
		each(`"error":{"code":-32005,"message":"too many requests"}`)
		return
	case nullResult:
		each(`"result":null`)
		return
	case revertedWithoutData:
		each(`"error":{"code":3,"message":"execution reverted"}`)
		return
	case emptyBody:
		return
	case otherID:
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":424242,"result":"0x1"}`)
		return
	}
	f.note(calls)
	resp, err := f.http.Post(f.node, "application/json", bytes.NewReader(body))
	if err != nil {
		http.Error(w, "no node", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		reset()
	}
	if slices.Contains(methods, "eth_sendRawTransaction") {
		f.mu.Lock()
		f.answered++
		f.mu.Unlock()
	}
	switch h {
	case resetAfter:
		reset()
	case truncated:
		data = data[:len(data)/2]
	case tooLate:
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
		return
	}
	if !batch {
		data = f.altered(calls[0].Method, data)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(data) // the client may have left
}

// altered returns an answer with the result that alter makes of its own.
func (f *front) altered(method string, data []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var answer map[string]json.RawMessage
	if f.alter == nil || json.Unmarshal(data, &answer) != nil || answer["result"] == nil {
		return data
	}
	answer["result"] = f.alter(method, answer["result"])
	if other, err := json.Marshal(answer); err == nil {
		return other
	}
	return data
}

// set changes what alter does.
func (f *front) set(alter func(method string, result json.RawMessage) json.RawMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alter = alter
}

// count returns how many different transactions reached the node, or may have.
func (f *front) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// reached returns how many sends the node has answered: it has what they brought.
func (f *front) reached() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered
}

// note remembers the transactions in calls.
func (f *front) note(calls []request) {
	for _, c := range calls {
		if c.Method != "eth_sendRawTransaction" || len(c.Params) == 0 {
			continue
		}
		var raw hexutil.Bytes
		tx := new(types.Transaction)
		if json.Unmarshal(c.Params[0], &raw) != nil || tx.UnmarshalBinary(raw) != nil {
			continue
		}
		f.mu.Lock()
		if !slices.ContainsFunc(f.sent, func(s *types.Transaction) bool { return s.Hash() == tx.Hash() }) {
			f.sent = append(f.sent, tx)
		}
		f.mu.Unlock()
	}
}

// checkSent fails the test if what was sent breaks a rule: of the transactions with one nonce
// each offers a tenth more than the one before, no two nonces do the same, and none offers
// more than the maximum.
func (f *front) checkSent(t *testing.T, l Limits) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	last := map[uint64]*types.Transaction{}
	plans := map[common.Hash]uint64{}
	replaced := 0
	for _, tx := range f.sent {
		if tx.ChainId().Uint64() != l.ChainID || tx.GasFeeCap().Cmp(l.MaxFee) > 0 || tx.GasTipCap().Cmp(tx.GasFeeCap()) > 0 {
			t.Errorf("nonce %d: chain %v, fees %v and %v", tx.Nonce(), tx.ChainId(), tx.GasFeeCap(), tx.GasTipCap())
		}
		if old := last[tx.Nonce()]; old != nil {
			replaced++
			for what, fee := range map[string][2]*big.Int{"tip": {old.GasTipCap(), tx.GasTipCap()}, "fee": {old.GasFeeCap(), tx.GasFeeCap()}} {
				if tenth := new(big.Int).Div(new(big.Int).Mul(fee[0], big.NewInt(11)), big.NewInt(10)); fee[1].Cmp(tenth) < 0 {
					t.Errorf("nonce %d is replaced with a %s of %v after %v", tx.Nonce(), what, fee[1], fee[0])
				}
			}
		}
		last[tx.Nonce()] = tx
		plan := planOf(*tx.To(), tx.Data())
		if nonce, ok := plans[plan]; ok && nonce != tx.Nonce() {
			t.Errorf("nonces %d and %d do the same", nonce, tx.Nonce())
		}
		plans[plan] = tx.Nonce()
	}
	t.Logf("%d transactions were sent, %d of them as replacements", len(f.sent), replaced)
}

// faults returns how often harm was done.
func (f *front) faults() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for h, times := range f.done {
		if h != noHarm {
			n += times
		}
	}
	return n
}

// randomHarm does harm to some exchanges in a hundred.
func randomHarm(rng *rand.Rand, percent int) func([]string) harm {
	var mu sync.Mutex
	return func([]string) harm {
		mu.Lock()
		defer mu.Unlock()
		if rng.IntN(100) >= percent {
			return noHarm
		}
		// What makes the pool pause for a second is rare.
		switch h := 1 + harm(rng.IntN(int(harms)-1)); h {
		case status429, rateLimited, tooLate:
			if rng.IntN(20) != 0 {
				return resetAfter
			}
			return h
		default:
			return h
		}
	}
}
