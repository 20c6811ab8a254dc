package endpoint

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func TestKindOfCode(t *testing.T) {
	for _, tt := range []struct {
		code    int
		message string
		want    Kind
	}{
		{3, "execution reverted: Unknown block", Reverted},
		{-32000, "execution reverted", Reverted},
		{-32015, "VM execution error.", Reverted},
		{-32005, "query returned more than 10000 results", Refused},
		{-32005, "daily request count exceeded, request rate limited", RateLimited},
		{-32000, "Too Many Requests", RateLimited},
		{-32029, "", RateLimited},
		{-32000, "header not found", UnknownBlock},
		{-32000, "safe block not found", UnknownBlock},
		{-32000, "missing trie node 01 (path ) state 0x02 is not available", UnknownBlock},
		{-39001, "Unknown block", UnknownBlock},
		{-32001, "resource not found", UnknownBlock},
		{-32603, "", Faulty},
		{-32700, "parse error", Faulty},
		{-32011, "no backends available for method", Faulty},
		{-32000, "invalid api key", Unauthorized},
		{-32000, "request timed out", TimedOut},
		{-32000, "nonce too low", Refused},
		{-32000, "already known", Refused},
		{-32000, "insufficient funds for gas * price + value", Refused},
		{-32601, "the method eth_config does not exist/is not available", Refused},
		{-32602, "invalid argument 0", Refused},
		{0, "", Refused},
	} {
		if got := kindOfCode(tt.code, strings.ToLower(tt.message)); got != tt.want {
			t.Errorf("%d %q: %v, want %v", tt.code, tt.message, got, tt.want)
		}
	}
}

// An HTTP status says what it says, whatever the body is.
func TestStatusKinds(t *testing.T) {
	const right = `{"jsonrpc":"2.0","id":7,"result":null}`
	const wrong = `{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"execution reverted"}}`
	for _, tt := range []struct {
		status       int
		right, wrong Kind // what the bodies mean with it
	}{
		{200, "", Reverted}, {400, Faulty, Reverted}, {404, Faulty, Reverted}, {500, Faulty, Reverted},
		{401, Unauthorized, Unauthorized}, {402, Unauthorized, Unauthorized}, {403, Unauthorized, Unauthorized},
		{429, RateLimited, RateLimited}, {408, TimedOut, TimedOut}, {504, TimedOut, TimedOut},
		{204, Faulty, Faulty}, {302, Faulty, Faulty}, {502, Faulty, Faulty}, {503, Faulty, Faulty},
	} {
		for body, want := range map[string]Kind{right: tt.right, wrong: tt.wrong} {
			a := decodeAnswers(tt.status, time.Minute, []byte(body), 7, 1, false)[0]
			var got Kind
			if a.err != nil {
				got = a.err.Kind
			}
			if got != want {
				t.Errorf("status %d, %s: %q, want %q", tt.status, body, got, want)
			}
			if held := tt.status == 429 || tt.status == 503; held != (a.err != nil && a.err.RetryAfter > 0) {
				t.Errorf("status %d: %+v", tt.status, a.err)
			}
		}
	}
}

func TestRevertData(t *testing.T) {
	for raw, want := range map[string]string{
		`"0x08c379a0"`:                  "08c379a0",
		`"Reverted 0x08c379a0"`:         "08c379a0",
		`{"data":"0x01"}`:               "01",
		`{"result":"0x02"}`:             "02",
		`"0x"`:                          "",
		`"0x1"`:                         "",
		`null`:                          "",
		`7`:                             "",
		`{"0xdead":{"error":"revert"}}`: "",
	} {
		if got := hex.EncodeToString(revertData([]byte(raw))); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
	if revertData([]byte(`"0x`+strings.Repeat("00", maxRevertData+1)+`"`)) != nil {
		t.Error("data without bounds")
	}
}

// Null is a result only in a whole answer to the very call with a status of success.
func FuzzDecodeAnswers(f *testing.F) {
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":7,"result":null}`, `{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"x","data":"0x01"}}`,
		`[{"id":8,"result":1},{"id":7,"result":null}]`, `[]`, `null`, ``, `{`, `{"id":7}`, `{"id":7,"error":"x"}`,
		`{"id":7,"error":{"code":1e400,"message":"x"}}`, `[{"id":7,"result":1},{"id":7,"result":2}]`,
	} {
		f.Add(200, []byte(body), true)
		f.Add(500, []byte(body), false)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, batch bool) {
		n := 1
		if batch {
			n = 2
		}
		answers := decodeAnswers(status, time.Second, body, 7, n, batch)
		if len(answers) != n {
			t.Fatalf("%d answers to %d calls", len(answers), n)
		}
		for _, a := range answers {
			if (a.err == nil) == (a.result == nil) {
				t.Errorf("%q: an answer has both or neither: %s, %v", body, a.result, a.err)
			}
			if a.err != nil && (a.err.Kind == "" || a.err.Kind == Absent) {
				t.Errorf("%q: an error of kind %q", body, a.err.Kind)
			}
			if a.err == nil && (status != 200 || !bytes.Contains(body, []byte("7")) && !bytes.Contains(body, []byte("8"))) {
				t.Errorf("status %d, %q: a result", status, body)
			}
		}
	})
}
