package signer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// A Remote asks a program that keeps the key: web3signer (eth_signTransaction), or clef
// (account_signTransaction), by JSON-RPC over HTTP.
type Remote struct {
	url     string
	method  string
	address common.Address
	secrets []string // the parts of url that must not be seen, in lower case
	http    *http.Client
}

// These are the methods that sign.
const (
	Web3Signer = "eth_signTransaction"
	Clef       = "account_signTransaction"
)

const (
	// signTimeout is long: a person may have to confirm.
	signTimeout = 2 * time.Minute
	maxSigned   = 1 << 20
)

// OpenRemote returns the signer at an address, which signs for account by one of the
// methods. The address begins with https, or with http and is on this machine: whoever
// can listen to it could see transactions before they are sent.
func OpenRemote(address, method string, account common.Address) (*Remote, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("remote signer: its address cannot be parsed")
	case u.Scheme != "https" && (u.Scheme != "http" || !onThisMachine(u.Hostname())):
		return nil, errors.New("remote signer: its address must begin with https, or be http on this machine")
	case method != Web3Signer && method != Clef:
		return nil, fmt.Errorf("remote signer: the method is %s or %s", Web3Signer, Clef)
	case account == common.Address{}:
		return nil, errors.New("remote signer: name the account that it signs for")
	}
	return &Remote{u.String(), method, account, secretsOf(u), &http.Client{
		Timeout:       signTimeout,
		Transport:     &http.Transport{Proxy: nil, MaxResponseHeaderBytes: maxSigned},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// secretsOf returns the parts of an address that must not be seen, in lower case. Shorter parts of
// a path are versions and names, not keys.
func secretsOf(u *url.URL) (secrets []string) {
	add := func(part string, least int) {
		if len(part) >= least {
			secrets = append(secrets, strings.ToLower(part))
		}
	}
	add(u.Hostname(), 1)
	for part := range strings.SplitSeq(u.Path, "/") {
		add(part, 8)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		add(u.User.Username(), 3)
		add(password, 3)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			add(v, 3)
		}
	}
	return secrets
}

// told returns a message of the signer's, or that it cannot be told since it has a part of the
// signer's address.
func (r *Remote) told(message string) string {
	lower := strings.ToLower(message)
	for _, part := range r.secrets {
		if strings.Contains(lower, part) {
			return "a message that has its address"
		}
	}
	return fmt.Sprintf("%.200q", message)
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Address returns the account.
func (r *Remote) Address() common.Address { return r.address }

// signRequest is a transaction as eth_signTransaction takes it.
type signRequest struct {
	From     common.Address `json:"from"`
	To       common.Address `json:"to"`
	Gas      hexutil.Uint64 `json:"gas"`
	MaxFee   *hexutil.Big   `json:"maxFeePerGas"`
	Priority *hexutil.Big   `json:"maxPriorityFeePerGas"`
	Value    *hexutil.Big   `json:"value"`
	Nonce    hexutil.Uint64 `json:"nonce"`
	Data     hexutil.Bytes  `json:"data"`
	ChainID  *hexutil.Big   `json:"chainId"`
	Type     hexutil.Uint64 `json:"type"`
}

// Sign has a transaction signed, and checks every field of what comes back. Errors do not
// have the signer's address.
func (r *Remote) Sign(ctx context.Context, tx *types.DynamicFeeTx) (*types.Transaction, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": r.method, "params": []any{signRequest{
		From: r.address, To: *tx.To, Gas: hexutil.Uint64(tx.Gas), MaxFee: (*hexutil.Big)(tx.GasFeeCap),
		Priority: (*hexutil.Big)(tx.GasTipCap), Value: (*hexutil.Big)(tx.Value), Nonce: hexutil.Uint64(tx.Nonce),
		Data: tx.Data, ChainID: (*hexutil.Big)(tx.ChainID), Type: types.DynamicFeeTxType,
	}}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("remote signer: the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("remote signer: %s", unreached(err))
	}
	defer resp.Body.Close()
	data, err := readAtMost(resp.Body, maxSigned)
	if err != nil {
		return nil, fmt.Errorf("remote signer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("remote signer: HTTP status %d", resp.StatusCode)
	}
	signed, err := parseSigned(data)
	if refusal, ok := errors.AsType[*refusal](err); ok {
		return nil, fmt.Errorf("remote signer: it refused (%d): %s", refusal.Code, r.told(refusal.Message))
	}
	if err != nil {
		return nil, fmt.Errorf("remote signer: %w", err)
	}
	return signed, Check(tx, signed, r.address)
}

// unreached says why somebody could not be reached, without saying where.
func unreached(err error) string {
	var timeout interface{ Timeout() bool }
	switch _, unnamed := errors.AsType[*net.DNSError](err); {
	case unnamed:
		return "its name is not known"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused"
	}
	return "the connection failed"
}

// A refusal is an error of the signer's. Its message may have the signer's address.
type refusal struct {
	Code    int
	Message string
}

func (e *refusal) Error() string { return fmt.Sprintf("it refused (%d)", e.Code) }

// parseSigned decodes a response: the raw transaction, or an object that has it as raw. The
// error is a *refusal if the response is one.
func parseSigned(data []byte) (*types.Transaction, error) {
	var response struct {
		Result json.RawMessage
		Error  *refusal
	}
	if err := json.Unmarshal(data, &response); err != nil {
		return nil, errors.New("its answer is no JSON-RPC response")
	}
	if response.Error != nil {
		return nil, response.Error
	}
	var raw hexutil.Bytes
	if json.Unmarshal(response.Result, &raw) != nil {
		var object struct{ Raw hexutil.Bytes }
		if err := json.Unmarshal(response.Result, &object); err != nil {
			return nil, errors.New("its answer has no raw transaction")
		}
		raw = object.Raw
	}
	signed := new(types.Transaction)
	if err := signed.UnmarshalBinary(raw); err != nil {
		return nil, errors.New("its answer is no transaction")
	}
	return signed, nil
}
