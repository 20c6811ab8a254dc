package nodetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
)

// serve starts the HTTP server.
func (b *Btcd) serve(tb testing.TB) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", b.serveHTTP)
	mux.HandleFunc("/ws", b.serveWebsocket)
	b.server = &http.Server{
		Handler:     mux,
		ReadTimeout: 10 * time.Second,
		ErrorLog:    log.New(io.Discard, "", 0), // broken handshakes are the tests' business
	}
	var l net.Listener = b.listener
	if !b.opts.NoTLS {
		cert, certPEM := selfSigned(tb)
		b.cert = certPEM
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	b.done.Go(func() {
		if err := b.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("nodetest: serve: %v", err)
		}
	})
}

// selfSigned makes a certificate for loopback, as btcd does at its first start.
func selfSigned(tb testing.TB) (tls.Certificate, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	template := x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{"nodetest"}},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// authorized reports whether the request has the right credentials, or none.
func authorized(r *http.Request) (ok, none bool) {
	user, password, has := r.BasicAuth()
	return has && user == User && password == Password, !has
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Add("WWW-Authenticate", `Basic realm="btcd RPC"`)
	http.Error(w, "401 Unauthorized.", http.StatusUnauthorized)
}

// serveHTTP answers a call or a batch as btcd does: one to a connection, and
// the end of the connection ends the answer.
func (b *Btcd) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !b.enter() {
		return
	}
	defer b.done.Done()
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	b.mu.Lock()
	busy := b.open >= b.opts.MaxClients
	if !busy {
		b.open++
	}
	b.mu.Unlock()
	if busy {
		http.Error(w, "503 Too busy.  Try again later.", http.StatusServiceUnavailable)
		return
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open--
	}()
	if ok, _ := authorized(r); !ok {
		unauthorized(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, fmt.Sprintf("400 error reading JSON message: %v", err), http.StatusBadRequest)
		return
	}
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	method, result := b.answer(body)
	if result == nil {
		return
	}
	a := b.rewritten(method, result)
	fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	if w.Header().Write(buf) != nil {
		return
	}
	buf.WriteString("\r\n")
	buf.Write(a.Body)
	buf.WriteString("\n")
	buf.Flush()
}

// rewritten passes an answer through the test's function, if it set one.
func (b *Btcd) rewritten(method string, body []byte) Answer {
	a := Answer{Status: http.StatusOK, Body: body}
	b.mu.Lock()
	rewrite := b.rewrite
	b.mu.Unlock()
	if rewrite != nil {
		a = rewrite(method, a)
	}
	return a
}

// answer answers the body of a request, and says which method it called. To
// what is not JSON and to a call without an id btcd answers nothing at all.
func (b *Btcd) answer(body []byte) (method string, answer []byte) {
	if !bytes.HasPrefix(body, []byte("[")) {
		var req btcjson.Request
		if err := json.Unmarshal(body, &req); err != nil || req.ID == nil {
			return "", nil
		}
		return req.Method, b.reply(&req)
	}
	var reqs []btcjson.Request
	if err := json.Unmarshal(body, &reqs); err != nil {
		return "batch", reply(btcjson.RpcVersion2, nil, nil,
			btcjson.NewRPCError(btcjson.ErrRPCParse.Code, fmt.Sprintf("Failed to parse request: %v", err)))
	}
	if len(reqs) == 0 {
		return "batch", reply(btcjson.RpcVersion2, nil, nil,
			btcjson.NewRPCError(btcjson.ErrRPCInvalidRequest.Code, "Invalid request: empty batch"))
	}
	answers := make([][]byte, 0, len(reqs))
	for i := range reqs {
		if a := b.reply(&reqs[i]); a != nil {
			answers = append(answers, a)
		}
	}
	return "batch", append(append([]byte("["), bytes.Join(answers, []byte(","))...), ']')
}

// reply runs one request; nil for a notification.
func (b *Btcd) reply(req *btcjson.Request) []byte {
	if req.Method == "" || req.Params == nil {
		return reply(req.Jsonrpc, req.ID, nil,
			btcjson.NewRPCError(btcjson.ErrRPCInvalidRequest.Code, "Invalid request: malformed"))
	}
	if req.ID == nil {
		return nil
	}
	result, rpcErr := b.call(req)
	return reply(req.Jsonrpc, req.ID, result, rpcErr)
}

// reply marshals an answer; nil when the call does not say which JSON-RPC it is
// of, which btcd cannot answer.
func reply(version btcjson.RPCVersion, id, result any, rpcErr *btcjson.RPCError) []byte {
	if !version.IsValid() {
		return nil
	}
	msg, err := btcjson.MarshalResponse(version, id, result, rpcErr)
	if err != nil {
		panic(fmt.Sprintf("nodetest: marshal an answer: %v", err))
	}
	return msg
}
