package endpoint

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// BenchmarkCall is a call on the loopback; its anchor is the same exchange by net/http
// alone, and a batch of 20 counts as 20 calls.
func BenchmarkCall(b *testing.B) {
	a := newServer(b, nil)
	p := open(b, options(a))
	b.Run("net-http", func(b *testing.B) {
		body := []byte(`{"jsonrpc":"2.0","id":7,"method":"eth_getTransactionReceipt","params":["0x1"]}`)
		for b.Loop() {
			resp, err := http.Post(a.URL, "application/json", bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
	b.Run("call", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Call(b.Context(), "eth_getTransactionReceipt", "0x1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("batch", func(b *testing.B) {
		params := make([][]any, 20)
		for i := range params {
			params[i] = []any{fmt.Sprintf("0x%x", i)}
		}
		for n := 0; b.Loop(); n++ {
			if n%len(params) != 0 {
				continue
			}
			for _, r := range p.Batch(b.Context(), "eth_getTransactionReceipt", params) {
				if r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		}
	})
}
