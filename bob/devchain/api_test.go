package devchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

// ask calls a method, and returns its result, or the words of its error after "error ".
func ask(t testing.TB, h http.Handler, method string, params string) string {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %s: %v", method, w.Body, err)
	}
	if answer.Error != nil {
		return "error " + answer.Error.Message
	}
	return string(answer.Result)
}

// What a method answers to arguments that go-ethereum's client does not make.
func TestArguments(t *testing.T) {
	c, a := newChain(t, Options{Keep: 3})
	headers := mineHeaders(4)
	at := deployRelay(t, c, a, headers)
	handler, err := c.handler()
	if err != nil {
		t.Fatal(err)
	}
	to := hexutil.Encode(at[:])
	best := hexutil.Encode(digestOf(headers[0]))
	latest := c.latest().Hash().Hex()
	genesis := c.at(0).Hash()
	// The hash of block 0, where there is one, as init code: PUSH1 0 BLOCKHASH PUSH1 0
	// MSTORE PUSH1 32 PUSH1 0 RETURN. And that of the block itself, which nobody knows.
	const zeroth, own = "0x60004060005260206000f3", "0x434060005260206000f3"
	// CALLVALUE instead of the hash.
	const value = "0x3460005260206000f3"
	word := func(n int64) string { return fmt.Sprintf(`"0x%064x"`, n) }
	for _, tt := range []struct{ method, params, want string }{
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973"},"latest"]`, `"` + best + `"`},
		{"eth_call", `[{"to":"` + to + `","input":"0x1910d973"},"pending"]`, `"` + best + `"`},
		{"eth_call", `[{"to":"` + to + `","input":"0x1910d973","data":"0x1910d973","gasPrice":"0x1","maxFeePerGas":"0x1"}]`, `"` + best + `"`},
		{"eth_call", `[{"to":"` + to + `","input":"0x1910d973","data":"0x"}]`, `error both "data" and "input" are set`},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973"},{"blockHash":"` + latest + `"}]`, `"` + best + `"`},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973"},"0x0"]`, `"0x"`},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973"},{"blockHash":"0x` + strings.Repeat("11", 32) + `"}]`, "error header not found"},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973"},"0x7"]`, "error header not found"},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973","gas":"0x5300"}]`, "error out of gas"},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973","gas":"0x1"}]`, "error intrinsic gas too low"},
		{"eth_call", `[{"to":"` + to + `","data":"0x1910d973","gas":"0xffffffffffffffff"}]`, `"` + best + `"`},
		{"eth_call", `[{"from":"` + to + `","to":"` + to + `","value":"0x1"}]`, "error insufficient funds"},
		{"eth_call", `[{"from":"` + a.address.Hex() + `","data":"` + value + `","value":"0x7"}]`, word(7)},
		{"eth_call", `[{"data":"0x6000630100000052","gas":"0xffffffffffff"}]`, "error out of gas"}, // 16 MiB of memory
		{"eth_call", `[{"to":"` + to + `","value":"0x1` + strings.Repeat("0", 64) + `"}]`, "error invalid argument"},
		{"eth_call", `[{"to":"` + to + `"},"latest",{}]`, "error too many arguments"},
		{"eth_call", `[{"data":"` + zeroth + `"}]`, `"` + genesis.Hex() + `"`},
		{"eth_call", `[{"data":"` + zeroth + `"},"0x0"]`, word(0)},
		{"eth_call", `[{"data":"` + own + `"}]`, word(0)},
		{"eth_estimateGas", `[{"to":"` + to + `"},"0x7"]`, "error header not found"},
		{"eth_estimateGas", `[{"to":"0x000000000000000000000000000000000000aaaa"}]`, `"0x5208"`},
		{"eth_estimateGas", `[{"from":"` + a.address.Hex() + `","to":"` + to + `","value":"0x1"}]`, "error execution reverted"},
		{"eth_estimateGas", `[{"to":"` + to + `","data":"0x1910d973","gas":"0x5300"}]`, "error out of gas"},
		{"eth_getStorageAt", `["` + to + `","0x1","latest"]`, `"` + best + `"`},
		{"eth_getStorageAt", `["` + to + `","1","latest"]`, `"` + best + `"`},
		{"eth_getStorageAt", `["` + to + `","0x` + strings.Repeat("00", 33) + `","latest"]`, "error unable to decode"},
		{"eth_getStorageAt", `["` + to + `","0xzz","latest"]`, "error unable to decode"},
		{"eth_getBalance", `["` + to + `","0x7"]`, "error header not found"},
		{"eth_getBalance", `["` + a.address.Hex() + `","0x0"]`, `"0xd3c21bcecceda1000000"`},
		{"eth_getTransactionCount", `["` + a.address.Hex() + `","0x0"]`, `"0x0"`},
		{"eth_getTransactionCount", `["` + a.address.Hex() + `","latest"]`, `"0x1"`},
		{"eth_getBlockByNumber", `["0x7",false]`, "null"},
		{"eth_getBlockByHash", `["0x` + strings.Repeat("11", 32) + `",true]`, "null"},
		{"eth_getBlockReceipts", `["0x7"]`, "null"},
		{"eth_getBlockReceipts", `["0x0"]`, "[]"},
		{"eth_getTransactionByHash", `["0x` + strings.Repeat("11", 32) + `"]`, "null"},
		{"eth_getTransactionReceipt", `["0x` + strings.Repeat("11", 32) + `"]`, "null"},
		{"eth_getLogs", `[{"address":"0x01"}]`, "error an address of 1 bytes"},
		{"eth_getLogs", `[{"address":["01"]}]`, "error invalid argument"},
		{"eth_getLogs", `[{"address":["0x1"]}]`, "error invalid argument"},
		{"eth_getLogs", `[{"address":7}]`, "error invalid argument"},
		{"eth_getLogs", `[{"address":"0x0"}]`, "error invalid argument"},
		{"eth_getLogs", `[{"topics":["0x01"]}]`, "error a topic of 1 bytes"},
		{"eth_getLogs", `[{"topics":[[` + strings.Repeat(`"0x",`, maxAlternative) + `"0x"]]}]`, "error invalid argument"},
		{"eth_getLogs", `[{"blockHash":"` + latest + `","toBlock":"latest"}]`, "error cannot specify both"},
		{"eth_getLogs", `[{"address":null,"topics":[null,[]]}]`, "[]"},
		{"eth_sendRawTransaction", `["0x02"]`, "error "},
		{"eth_sendRawTransaction", `["0x` + strings.Repeat("00", maxTransaction+1) + `"]`, "error a transaction of"},
		{"net_version", `[]`, `"1337"`},
		{"web3_clientVersion", `[]`, `"outrider-devchain"`},
		{"eth_syncing", `[]`, "false"},
	} {
		got := ask(t, handler, tt.method, tt.params)
		if !strings.HasPrefix(got, tt.want) || !strings.HasPrefix(tt.want, "error") && got != tt.want {
			t.Errorf("%s %.150s: %.200s, want %.200s", tt.method, tt.params, got, tt.want)
		}
	}

	// What is forgotten is not "none", and what waits is told as that.
	hash, err := c.Transact(a, at, relay.AddHeadersData(headers[0], slices.Concat(headers[1:]...)), 500_000)
	if err != nil {
		t.Fatal(err)
	}
	if c.Mined(hash) {
		t.Error("it is mined before there is a block")
	}
	var pending map[string]any
	if err := json.Unmarshal([]byte(ask(t, handler, "eth_getTransactionByHash", `["`+hexutil.Encode(hash[:])+`"]`)), &pending); err != nil {
		t.Fatal(err)
	}
	if block, there := pending["blockNumber"]; block != nil || !there || pending["from"] != strings.ToLower(a.address.Hex()) || pending["nonce"] != "0x1" {
		t.Errorf("what waits is %v", pending)
	}
	for range 2 {
		mine(t, c)
	}
	if !c.Mined(hash) {
		t.Error("it is not mined")
	}
	for _, params := range []string{`[{"fromBlock":"0x0"}]`, `[{"fromBlock":"earliest"}]`} {
		if got := ask(t, handler, "eth_getLogs", params); got != "error invalid block range params" {
			t.Errorf("logs from a block that is forgotten: %s", got)
		}
	}
	if got := ask(t, handler, "eth_getLogs", `[{"fromBlock":"0x1"}]`); !strings.Contains(got, `"logIndex":"0x0"`) {
		t.Errorf("logs from the first that is kept: %s", got)
	}
	if got := ask(t, handler, "eth_call", `[{"data":"`+zeroth+`"}]`); got != word(0) {
		t.Errorf("the hash of a block that is forgotten: %s", got)
	}
	var receipt map[string]any
	if err := json.Unmarshal([]byte(ask(t, handler, "eth_getTransactionReceipt", `["`+hexutil.Encode(hash[:])+`"]`)), &receipt); err != nil {
		t.Fatal(err)
	}
	if receipt["to"] != to || receipt["from"] != strings.ToLower(a.address.Hex()) || receipt["contractAddress"] != nil || receipt["transactionIndex"] != "0x0" {
		t.Errorf("receipt %v", receipt)
	}
	if n, ok := new(big.Int).SetString(strings.Trim(ask(t, handler, "eth_gasPrice", `[]`), `"`), 0); !ok || n.Cmp(new(big.Int).Add(c.latest().BaseFee(), big.NewInt(1_000_000_000))) != 0 {
		t.Errorf("price %v", n)
	}
}

// An estimate is enough where a call inside another must leave gas over (EIP-150), and not
// much more than that.
func TestEstimateOfInnerCalls(t *testing.T) {
	c, a := newChain(t, Options{})
	headers := mineHeaders(30)
	at := deployRelay(t, c, a, headers)
	_, multicall, err := c.Deploy(a, contract.Multicall().Creation, 3_000_000)
	if err != nil {
		t.Fatal(err)
	}
	mine(t, c)
	handler, err := c.handler()
	if err != nil {
		t.Fatal(err)
	}
	data := relay.MulticallData(at, []relay.Call{{Function: "addHeaders", Args: [][]byte{headers[0], slices.Concat(headers[1:]...)}}})
	answer := ask(t, handler, "eth_estimateGas", `[{"to":"`+hexutil.Encode(multicall[:])+`","data":"`+hexutil.Encode(data)+`"}]`)
	gas, err := hexutil.DecodeUint64(strings.Trim(answer, `"`))
	if err != nil {
		t.Fatal(answer, err)
	}
	hash, err := c.Transact(a, multicall, data, gas)
	if err != nil {
		t.Fatal(err)
	}
	mine(t, c)
	receipt, err := c.Await(t.Context(), hash)
	if err != nil || receipt.Status != 1 || receipt.GasUsed >= gas || float64(gas) > 1.03*float64(receipt.GasUsed) {
		t.Errorf("estimated %d gas, receipt %+v, %v", gas, receipt, err)
	}
}

// There are no more logs in an answer than are told of.
func TestManyLogs(t *testing.T) {
	c, a := newChain(t, Options{})
	// Init code that logs 2,000 times, without topics or data: PUSH2 2000, then JUMPDEST
	// PUSH1 0 PUSH1 0 LOG0, one less, and again unless that is 0.
	code := []byte{0x61, 0x07, 0xd0, 0x5b, 0x60, 0x00, 0x60, 0x00, 0xa0, 0x60, 0x01, 0x90, 0x03, 0x80, 0x60, 0x03, 0x57, 0x00}
	for n := range 6 {
		if n == 5 {
			if logs, err := c.logs(&logFilter{FromBlock: new(rpc.BlockNumber)}); err != nil || len(logs) != maxLogs {
				t.Fatalf("%d logs, %v, want %d", len(logs), err, maxLogs)
			}
		}
		hash, _, err := c.Deploy(a, code, 2_000_000)
		if err != nil {
			t.Fatal(err)
		}
		mine(t, c)
		if r, err := c.Await(t.Context(), hash); err != nil || r.Status != 1 || len(r.Logs) != 2000 {
			t.Fatalf("%d logs, %v", len(r.Logs), err)
		}
	}
	if logs, err := c.logs(&logFilter{FromBlock: new(rpc.BlockNumber)}); err == nil {
		t.Errorf("%d logs are an answer", len(logs))
	}
}

// TestGivenUp gives up a call that would run for centuries.
func TestGivenUp(t *testing.T) {
	c, _ := newChain(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	loop := newMessage(common.Address{}, nil, new(uint256.Int), common.FromHex("0x5b600056"), 1<<60)
	if _, err := c.call(ctx, c.latest(), loop); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was given up: %v, want %v", err, context.Canceled)
	}
}
