package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// The address of an endpoint is nowhere to be seen, whatever goes wrong.
func TestSecrets(t *testing.T) {
	const key, user, password, token, bearer = "kEy0123456789abcdef", "alice-user", "pa/ss word", "t0ken+value", "bearer-secret"
	echo := func(w http.ResponseWriter, r *http.Request) string {
		return fmt.Sprint(r.URL, r.Header, r.Host, " ", strings.ToUpper(key), " ", user, " ", password, " ", token)
	}
	kinds := make(map[Kind]bool)
	var do atomic.Value
	a := newServer(t, func(w http.ResponseWriter, r *http.Request, c call) bool {
		do.Load().(func(http.ResponseWriter, *http.Request, call))(w, r, c)
		return true
	})
	host := strings.TrimPrefix(a.URL, "http://")
	address := "http://" + user + ":pa%2Fss%20word@" + host + "/v2/" + key + "?token=t0ken%2Bvalue"
	registry := new(perfcore.Registry)
	opts := Options{Layer: "l1", ChainID: 60808, Recorder: registry, Timeout: 20 * time.Millisecond, Endpoints: []Endpoint{{
		Name: "a", URL: address, Headers: map[string]string{"Authorization": "Bearer " + bearer},
	}}}
	p := open(t, opts)
	hurry(p)
	var seen bytes.Buffer
	tell := func(err error) {
		kinds[kindOf(err)] = true
		fmt.Fprintf(&seen, "%v\n%+v\n%s\n%q\n%#v\n", err, err, err, err, err.Error())
		for e := err; e != nil; e = errors.Unwrap(e) {
			fmt.Fprintln(&seen, e)
		}
	}
	for _, f := range []func(w http.ResponseWriter, r *http.Request, c call){
		func(w http.ResponseWriter, r *http.Request, c call) { refuse(w, c, -32602, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) {
			refuse(w, c, 3, "execution reverted "+echo(w, r))
		},
		func(w http.ResponseWriter, r *http.Request, c call) { w.WriteHeader(401); fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { w.WriteHeader(429); fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { w.WriteHeader(502); fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { http.Redirect(w, r, address, http.StatusFound) },
		func(w http.ResponseWriter, r *http.Request, c call) { drop("")(w, r, c) },
		func(w http.ResponseWriter, r *http.Request, c call) {
			drop("HTTP/1.1 200 "+key+"\r\n"+key+"\r\n\r\n")(w, r, c)
		},
		func(w http.ResponseWriter, r *http.Request, c call) { hang(w, r, c) },
	} {
		do.Store(f)
		for _, method := range []string{"eth_call", "eth_sendRawTransaction"} {
			var err error
			for range 1000 { // not at rest
				if _, err = p.Call(t.Context(), method, "0x1"); !errors.Is(err, Resting) {
					break
				}
			}
			tell(err)
		}
	}
	a.Close()
	for range 2 {
		_, err := p.Call(t.Context(), "eth_call", "0x1")
		tell(err)
	}
	for _, k := range []Kind{Refused, Reverted, Unauthorized, RateLimited, Faulty, Malformed, TimedOut, Unreachable, Uncertain} {
		if !kinds[k] {
			t.Errorf("no error of kind %v was made", k)
		}
	}
	for _, s := range registry.Series() {
		fmt.Fprintln(&seen, s.Metric)
	}
	fmt.Fprintf(&seen, "%+v\n%+v\n", p.Status(), p.Knobs())
	text := strings.ToLower(seen.String())
	for _, secret := range []string{key, user, password, "pa%2fss", token, "t0ken%2b", bearer, host} {
		if i := strings.Index(text, strings.ToLower(secret)); i >= 0 {
			t.Errorf("%s is seen: …%s…", secret, text[max(0, i-80):min(len(text), i+80)])
		}
	}
}

func FuzzSecret(f *testing.F) {
	f.Add("dial http://user:secret-pw@host.example/v2/0123456789abcdef?key=abc", "x")
	f.Fuzz(func(t *testing.T, before, after string) {
		const key = "0123456789abcdef"
		u, err := parseURL("a", "https://user:secret-pw@host.example/v2/"+key+"?key=abcdef")
		if err != nil {
			t.Fatal(err)
		}
		hidden := newSecret("a", u, nil).hide(before + key + after)
		if strings.Contains(hidden, key) || len(hidden) > maxMessage+len("…") {
			t.Errorf("%q", hidden)
		}
	})
}
