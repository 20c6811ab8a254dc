package demo

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeNode starts a TLS server in the place of a node and returns a client of it.
func fakeNode(t *testing.T, answer http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "rpc.cert")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := newClient(Endpoint{
		Address: server.Listener.Addr().String(), User: "user", Password: "password", Certificate: path,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func TestCall(t *testing.T) {
	c := fakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		var req request
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || user != "user" || password != "password" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%d,"result":{"Method":%q,"Params":%d}}`, req.ID, req.Method, len(req.Params))
	})
	var r struct {
		Method string
		Params int
	}
	if err := c.call(t.Context(), &r, "sum", 1, 2); err != nil || r.Method != "sum" || r.Params != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	c.password = "wrong"
	if err := c.call(t.Context(), &r, "sum"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong password: %v", err)
	}
}

func TestCallErrors(t *testing.T) {
	long := `{"id":0,"result":"` + strings.Repeat("x", maxReply) + `"}`
	for _, text := range []string{"", "{", "[]", "{}", `{"id":0,"result":[]}`, long} {
		var r string
		if err := fakeNode(t, say(text)).call(t.Context(), &r, "method"); err == nil {
			t.Errorf("answer %.20q: no error", text)
		}
	}
	err := fakeNode(t, say(`{"id":0,"result":null,"error":{"code":-5,"message":"no such"}}`)).call(t.Context(), nil, "method")
	if rpcErr, ok := errors.AsType[*rpcError](err); !ok || rpcErr.Code != -5 {
		t.Errorf("%v", err)
	}
	c := fakeNode(t, say(""))
	stranger := fakeNode(t, say(`{"id":0,"result":1}`))
	stranger.http = c.http // every httptest server has the same certificate
	if err := stranger.call(t.Context(), nil, "method"); err != nil {
		t.Fatal(err)
	}
	stranger.url = strings.Replace(stranger.url, "127.0.0.1", "localhost", 1)
	if err := stranger.call(t.Context(), nil, "method"); err == nil {
		t.Error("the certificate is not for localhost, but was taken for it")
	}
}

func TestCallEach(t *testing.T) {
	c := fakeNode(t, say(`[{"id":2,"result":"c"},{"id":0,"result":"a"},{"id":1,"result":null,"error":{"code":-26,"message":"no"}}]`))
	errs, err := c.callEach(t.Context(), "method", []any{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("%v", errs)
	}
	for _, text := range []string{
		"", "[]", `{"id":0}`, `[{"id":0,"result":1}]`, `[{"id":0,"result":1},{"id":0,"result":1}]`,
		`[{"id":0,"result":1},{"id":2,"result":1}]`, `[{"id":0,"result":1},{"id":-1,"result":1}]`,
	} {
		if _, err := fakeNode(t, say(text)).callEach(t.Context(), "method", []any{1, 2}); err == nil {
			t.Errorf("answer %q: no error", text)
		}
	}
	if errs, err := fakeNode(t, say("")).callEach(t.Context(), "method", nil); err != nil || errs != nil {
		t.Errorf("no calls: %v, %v", errs, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":0,"result":{"hash":"00"}}`), 1)
	f.Add([]byte(`[{"id":1,"result":1},{"id":0,"error":{"code":-1,"message":"m"}}]`), 2)
	f.Add([]byte(`{"result":null,"error":null}`), 0)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		if r, err := decodeResponse(body); err == nil && r.Error == nil && r.Result == nil {
			t.Error("neither result nor error")
		}
		if n < 0 || n > 1000 {
			return
		}
		if errs, err := decodeBatch(body, n); err == nil && len(errs) != n {
			t.Errorf("%d errors of %d calls", len(errs), n)
		}
	})
}
