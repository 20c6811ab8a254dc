package signer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

const passphrase = "correct horse"

// newFile returns a keystore file with a new key, and its account.
func newFile(t testing.TB) (path string, account common.Address) {
	t.Helper()
	a, err := keystore.StoreKey(t.TempDir(), passphrase, keystore.LightScryptN, keystore.LightScryptP)
	if err != nil {
		t.Fatal(err)
	}
	return a.URL.Path, a.Address
}

// unsigned returns a transaction.
func unsigned() *types.DynamicFeeTx {
	to := common.Address{7}
	return &types.DynamicFeeTx{
		ChainID: big.NewInt(60808), Nonce: 3, GasTipCap: big.NewInt(5), GasFeeCap: big.NewInt(9), Gas: 50_000, To: &to,
		Value: new(big.Int), Data: []byte{1, 2, 3},
	}
}

// TestKeystore signs with a keystore file of go-ethereum's, and refuses what is none.
func TestKeystore(t *testing.T) {
	path, account := newFile(t)
	k, err := OpenKeystore(path, []byte(passphrase))
	if err != nil || k.Address() != account {
		t.Fatalf("%v, %v", k, err)
	}
	signed, err := k.Sign(t.Context(), unsigned())
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(unsigned(), signed, account); err != nil {
		t.Error(err)
	}
	raw := crypto.FromECDSA(k.key)
	secret, decimal := fmt.Sprintf("%x", raw), new(big.Int).SetBytes(raw).String()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, k); strings.Contains(text, secret) || strings.Contains(text, decimal) || !strings.Contains(text, account.Hex()) {
			t.Errorf("%s prints %s", format, text)
		}
	}
	if _, err := OpenKeystore(path, []byte("wrong")); err == nil || !strings.Contains(err.Error(), "passphrase is not the file's") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeystore(path, []byte(passphrase)); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("%v", err)
	}
	if _, err := OpenKeystore(t.TempDir(), nil); err == nil {
		t.Error("a folder is a keystore")
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, maxKeystore+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeystore(large, nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v", err)
	}
}

// TestKeystoreCost refuses files that ask for too much memory or time, before they get it.
func TestKeystoreCost(t *testing.T) {
	file := func(version int, kdf, params string) []byte {
		return fmt.Appendf(nil, `{"version":%d,"address":"00","crypto":{"kdf":%q,"kdfparams":{%s}}}`, version, kdf, params)
	}
	for name, tt := range map[string]struct {
		data []byte
		want string // "" if only the rest is missing
	}{
		"of go-ethereum":     {file(3, "scrypt", `"n":262144,"r":8,"p":1,"dklen":32`), ""},
		"pbkdf2":             {file(3, "pbkdf2", `"c":262144,"prf":"hmac-sha256","dklen":32`), ""},
		"much memory":        {file(3, "scrypt", `"n":2097152,"r":8,"p":1,"dklen":32`), "more memory"},
		"an overflow":        {file(3, "scrypt", `"n":1152921504606846976,"r":16,"p":1,"dklen":32`), "more memory"},
		"many blocks":        {file(3, "scrypt", `"n":2,"r":1048576,"p":1,"dklen":32`), "more memory"},
		"many times":         {file(3, "scrypt", `"n":262144,"r":8,"p":100,"dklen":32`), "more memory"},
		"many rounds":        {file(3, "pbkdf2", `"c":100000000,"prf":"hmac-sha256","dklen":32`), "more memory"},
		"a long key":         {file(3, "scrypt", `"n":2,"r":8,"p":1,"dklen":1000000000`), "derived key"},
		"another version":    {file(1, "scrypt", `"n":2,"r":8,"p":1,"dklen":32`), "version is 1"},
		"another derivation": {file(3, "argon2", `"n":2,"r":8,"p":1,"dklen":32`), "neither scrypt nor pbkdf2"},
		"what is no JSON":    {[]byte("0x00"), "no JSON"},
		"a negative number":  {file(3, "scrypt", `"n":-2,"r":8,"p":1,"dklen":32`), "no JSON"},
	} {
		err := checkCost(tt.data)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestPassphrase reads a passphrase from a file and from a descriptor.
func TestPassphrase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passphrase")
	for in, want := range map[string]string{"a b\n": "a b", "a b\r\n": "a b", "a b": "a b", "": "", " x \n\n": " x \n"} {
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadPassphrase(path); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString(in); err != nil {
			t.Fatal(err)
		}
		w.Close()
		dup := dupOf(t, r)
		if got, err := ReadPassphraseFrom(dup); err != nil || string(got) != want {
			t.Errorf("%q by a descriptor: %q, %v", in, got, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, maxPassphrase+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPassphrase(path); err == nil {
		t.Error("a passphrase of more bytes than there may be")
	}
}

// TestCheck has a signer change each field.
func TestCheck(t *testing.T) {
	path, account := newFile(t)
	k, err := OpenKeystore(path, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	other, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*types.DynamicFeeTx){
		"chain id":     func(tx *types.DynamicFeeTx) { tx.ChainID = big.NewInt(1) },
		"nonce":        func(tx *types.DynamicFeeTx) { tx.Nonce++ },
		"priority fee": func(tx *types.DynamicFeeTx) { tx.GasTipCap = big.NewInt(6) },
		"maximum fee":  func(tx *types.DynamicFeeTx) { tx.GasFeeCap = big.NewInt(10) },
		"gas limit":    func(tx *types.DynamicFeeTx) { tx.Gas++ },
		"value":        func(tx *types.DynamicFeeTx) { tx.Value = big.NewInt(1) },
		"recipient":    func(tx *types.DynamicFeeTx) { tx.To = &common.Address{8} },
		"data":         func(tx *types.DynamicFeeTx) { tx.Data = []byte{1, 2, 4} },
		"access list":  func(tx *types.DynamicFeeTx) { tx.AccessList = types.AccessList{{Address: common.Address{1}}} },
		"account":      func(*types.DynamicFeeTx) {},
		"creation":     func(tx *types.DynamicFeeTx) { tx.To = nil },
	} {
		tx := unsigned()
		change(tx)
		key := k.key
		if field == "account" {
			key = other
		}
		if field == "creation" {
			field = "recipient"
		}
		signed, err := types.SignNewTx(key, types.LatestSignerForChainID(tx.ChainID), tx)
		if err != nil {
			t.Fatal(err)
		}
		err = Check(unsigned(), signed, account)
		if m, ok := errors.AsType[*MismatchError](err); !ok || m.Field != field {
			t.Errorf("another %s: %v", field, err)
		}
	}
	legacy, err := types.SignNewTx(k.key, types.LatestSignerForChainID(big.NewInt(60808)), &types.LegacyTx{To: &common.Address{7}})
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := errors.AsType[*MismatchError](Check(unsigned(), legacy, account)); !ok || m.Field != "type" {
		t.Error("a legacy transaction passes")
	}
	forged := types.NewTx(&types.DynamicFeeTx{
		ChainID: big.NewInt(60808), Nonce: 3, GasTipCap: big.NewInt(5), GasFeeCap: big.NewInt(9), Gas: 50_000, To: &common.Address{7},
		Value: new(big.Int), Data: []byte{1, 2, 3}, V: new(big.Int), R: new(big.Int), S: new(big.Int),
	})
	if Check(unsigned(), forged, account) == nil {
		t.Error("a transaction without a signature passes")
	}
}

// A remoteSigner signs what it is asked to, as web3signer or clef do, and may lie.
func remoteSigner(t *testing.T, k *Keystore, lie func(*types.DynamicFeeTx), answer func(raw string) string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Method string
			Params []signRequest
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Params) != 1 || q.Params[0].From != k.address {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		p := q.Params[0]
		tx := &types.DynamicFeeTx{
			ChainID: p.ChainID.ToInt(), Nonce: uint64(p.Nonce), GasTipCap: p.Priority.ToInt(), GasFeeCap: p.MaxFee.ToInt(), Gas: uint64(p.Gas),
			To: &p.To, Value: p.Value.ToInt(), Data: p.Data,
		}
		lie(tx)
		signed, err := types.SignNewTx(k.key, types.LatestSignerForChainID(tx.ChainID), tx)
		if err != nil {
			t.Error(err)
		}
		raw, err := signed.MarshalBinary()
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, answer(hexutil.Encode(raw)))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestRemote has signers answer as web3signer and as clef do, lie, refuse and fail.
func TestRemote(t *testing.T) {
	path, account := newFile(t)
	k, err := OpenKeystore(path, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	honest := func(*types.DynamicFeeTx) {}
	web3 := func(raw string) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":%q}`, raw) }
	for name, tt := range map[string]struct {
		method string
		lie    func(*types.DynamicFeeTx)
		answer func(string) string
		want   string
	}{
		"web3signer":  {Web3Signer, honest, web3, ""},
		"clef":        {Clef, honest, func(raw string) string { return fmt.Sprintf(`{"result":{"raw":%q,"tx":{"nonce":"0x9"}}}`, raw) }, ""},
		"a liar":      {Web3Signer, func(tx *types.DynamicFeeTx) { tx.To = &common.Address{9} }, web3, "changed the recipient"},
		"one refuses": {Web3Signer, honest, func(string) string { return `{"error":{"code":-32000,"message":"no key"}}` }, "no key"},
		"no answer":   {Web3Signer, honest, func(string) string { return `` }, "no JSON-RPC response"},
		"null":        {Web3Signer, honest, func(string) string { return `{"result":null}` }, "no transaction"},
		"a torn one":  {Web3Signer, honest, func(raw string) string { return web3(raw[:len(raw)-8]) }, "no transaction"},
		"a number":    {Web3Signer, honest, func(string) string { return `{"result":7}` }, "no raw transaction"},
		"too long":    {Web3Signer, honest, func(string) string { return strings.Repeat(" ", maxSigned+1) }, "more than"},
	} {
		r, err := OpenRemote(remoteSigner(t, k, tt.lie, tt.answer), tt.method, account)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := r.Sign(t.Context(), unsigned())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if err == nil && Check(unsigned(), signed, account) != nil {
			t.Errorf("%s: what is signed is another", name)
		}
	}
	for _, tt := range []struct{ url, method string }{
		{"http://192.0.2.1:8550", Web3Signer}, {"ftp://127.0.0.1", Web3Signer}, {"127.0.0.1:8550", Web3Signer}, {"http://127.0.0.1", "eth_sign"},
		{"http://127.0.0.1.example/", Web3Signer},
	} {
		if _, err := OpenRemote(tt.url, tt.method, account); err == nil || strings.Contains(err.Error(), "192.0.2.1") {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := OpenRemote("http://127.0.0.1", Web3Signer, common.Address{}); err == nil {
		t.Error("a signer for no account")
	}
	for _, url := range []string{"https://signer.example/key", "http://localhost:8550", "http://[::1]:8550"} {
		if _, err := OpenRemote(url, Web3Signer, account); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	// One that says where it is, in part or as a whole.
	for part, message := range map[string]string{
		"127.0.0.1": "cannot reach 127.0.0.1:9000", "s3cretKey": "no such key: S3CRETKEY", "pass-phrase": "bad password pass-phrase", "t0ken": "token t0ken is too old",
	} {
		at := remoteSigner(t, k, honest, func(string) string { return fmt.Sprintf(`{"error":{"code":-32000,"message":%q}}`, message) })
		r, err := OpenRemote(strings.Replace(at, "http://", "http://someone:pass-phrase@", 1)+"/s3cretKey?key=t0ken", Web3Signer, account)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Sign(t.Context(), unsigned())
		if err == nil || strings.Contains(strings.ToLower(err.Error()), strings.ToLower(part)) || !strings.Contains(err.Error(), "it refused (-32000)") {
			t.Errorf("%s: %v", part, err)
		}
	}
	// Nobody is there: the error does not have the address.
	r, err := OpenRemote("http://127.0.0.1:1/secret", Web3Signer, account)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sign(t.Context(), unsigned()); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Sign(ctx, unsigned()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func FuzzParseSigned(f *testing.F) {
	f.Add([]byte(`{"result":"0x02"}`))
	f.Add([]byte(`{"result":{"raw":"0x02c0"}}`))
	f.Add([]byte(`{"error":{"code":1,"message":"x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tx, err := parseSigned(data)
		if err != nil {
			return
		}
		raw, err := tx.MarshalBinary()
		if err != nil || len(raw) > len(data) {
			t.Errorf("%d bytes of %d, %v", len(raw), len(data), err)
		}
	})
}

// A keystore file is somebody's: whatever is in it, it is a key or an error, and takes no
// more memory than is allowed.
func FuzzKeystore(f *testing.F) {
	const id = `"id":"aaaa1111-aaaa-1aaa-aaaa-aaaaaaaaaaaa"`
	const cipher = `"cipher":"aes-128-ctr","ciphertext":"00","cipherparams":{"iv":"00"},"mac":"00"`
	for _, data := range []string{
		`{"version":3,"crypto":{"kdf":"scrypt","kdfparams":{"n":2,"r":8,"p":1,"dklen":32}}}`,
		`{"version":3,` + id + `,"crypto":{` + cipher + `,"kdf":"scrypt","kdfparams":{"n":2,"r":8,"p":1,"dklen":32,"salt":"00"}}}`,
		`{"version":3,` + id + `,"crypto":{` + cipher + `,"kdf":"scrypt","kdfparams":{"n":2,"r":8,"p":1,"dklen":32}}}`,
		`{"version":3,` + id + `,"crypto":{` + cipher + `,"kdf":"pbkdf2","kdfparams":{"prf":"hmac-sha256","dklen":32,"salt":"00"}}}`,
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 || numbers.FindString(string(data)) != "" {
			return // what is allowed may still take a second
		}
		if k, err := newKeystore(data, nil); (k == nil) == (err == nil) {
			t.Errorf("%s: %v, %v", data, k, err)
		}
	})
}

// numbers are large ones.
var numbers = regexp.MustCompile(`[0-9]{5}|[0-9][eE]`)
