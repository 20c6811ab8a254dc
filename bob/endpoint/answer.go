package endpoint

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An answer is a response to one call of an exchange.
type answer struct {
	result json.RawMessage // nil unless there is one; "null" is one
	err    *Error          // without the endpoint's and the method's name
}

// response is a response on the wire. Pointers tell what is null from what is missing.
type response struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// wireError is the error of a response.
type wireError struct {
	Code    json.Number     `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// decodeAnswers decodes the body that came with an HTTP status for n calls whose ids are
// first and those after it, and returns their answers in order. A call that the server
// passed over has an answer of kind Malformed.
func decodeAnswers(status int, retryAfter time.Duration, body []byte, first uint64, n int, batch bool) []answer {
	all := func(e *Error) []answer {
		answers := make([]answer, n)
		for i := range answers {
			answers[i].err = e
		}
		return answers
	}
	if e := statusError(status, retryAfter); e != nil {
		e.Message = string(body[:min(len(body), 4*maxMessage)])
		return all(e)
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '[' || !batch {
		var r response
		if len(trimmed) == 0 || trimmed[0] != '{' || json.Unmarshal(body, &r) != nil {
			return all(unreadable(status, body))
		}
		a := decodeResponse(status, &r)
		// To a batch that it refuses a server answers with one error.
		if batch && a.err == nil || !batch && a.err == nil && !hasID(&r, first) {
			return all(&Error{Kind: Malformed, Message: "the answer is to another call"})
		}
		if batch {
			return all(a.err)
		}
		return []answer{a}
	}
	var responses []response
	if json.Unmarshal(body, &responses) != nil || len(responses) > n {
		return all(unreadable(status, body))
	}
	answers := all(&Error{Kind: Malformed, Message: "the answer has none to this call"})
	seen := make([]bool, n)
	for i := range responses {
		id, err := strconv.ParseUint(string(responses[i].ID), 10, 64)
		if err != nil || id < first || id-first >= uint64(n) || seen[id-first] {
			return all(&Error{Kind: Malformed, Message: "an answer is to another call"})
		}
		seen[id-first] = true
		answers[id-first] = decodeResponse(status, &responses[i])
	}
	return answers
}

// unreadable is the error of a body that is no response.
func unreadable(status int, body []byte) *Error {
	kind := Malformed
	if status != http.StatusOK {
		kind = Faulty
	}
	return &Error{Kind: kind, Code: status, Message: string(body[:min(len(body), 4*maxMessage)])}
}

// hasID reports whether a response is to the call with an id.
func hasID(r *response, id uint64) bool { return string(r.ID) == strconv.FormatUint(id, 10) }

// statusError returns the error that an HTTP status is, nil for one whose body decides.
func statusError(status int, retryAfter time.Duration) *Error {
	switch status {
	case http.StatusTooManyRequests:
		return &Error{Kind: RateLimited, Code: status, RetryAfter: retryAfter}
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusProxyAuthRequired:
		return &Error{Kind: Unauthorized, Code: status}
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return &Error{Kind: TimedOut, Code: status}
	case http.StatusServiceUnavailable:
		return &Error{Kind: Faulty, Code: status, RetryAfter: retryAfter}
	case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusInternalServerError:
		return nil
	}
	return &Error{Kind: Faulty, Code: status}
}

// decodeResponse decodes one response.
func decodeResponse(status int, r *response) answer {
	if len(r.Error) > 0 && string(r.Error) != "null" {
		return answer{err: decodeError(r.Error)}
	}
	switch {
	case status != http.StatusOK:
		return answer{err: &Error{Kind: Faulty, Code: status, Message: "a result with an HTTP status of failure"}}
	case len(r.Result) == 0:
		return answer{err: &Error{Kind: Malformed, Message: "there is neither a result nor an error"}}
	}
	return answer{result: r.Result}
}

// maxRevertData bounds what a reverted call returns.
const maxRevertData = 64 << 10

// decodeError returns what an error of a node means.
func decodeError(raw json.RawMessage) *Error {
	var w wireError
	if json.Unmarshal(raw, &w) != nil {
		return &Error{Kind: Malformed, Message: string(raw[:min(len(raw), 4*maxMessage)])}
	}
	// Some servers write a code of 53 bits and more, or a fraction: it is then none.
	code, _ := strconv.Atoi(w.Code.String())
	e := &Error{Code: code, Message: w.Message}
	e.Kind = kindOfCode(code, strings.ToLower(w.Message))
	if e.Kind == Reverted {
		e.Data = revertData(w.Data)
	}
	return e
}

// kindOfCode returns what a code and a message, in lower case, mean. Codes are those of
// EIP-1474, of the execution APIs, and of the servers that are met in practice, which
// give one code to many things: the message is looked at first.
func kindOfCode(code int, message string) Kind {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(message, w) {
				return true
			}
		}
		return false
	}
	switch {
	case code == 3 || has("execution reverted", "vm execution error", "reverted with", "transaction reverted"):
		return Reverted
	case has("returned more than", "too many results", "block range", "range is too large", "response size"):
		return Refused // of logs: the question is too large
	case code == 429 || code == -32005 || code == -32016 || code == -32029 || code == -32090 || code == -32097 ||
		has("rate limit", "too many requests", "request limit", "requests per second", "compute units", "quota", "throttl", "exceeded the limit"):
		return RateLimited
	case code == -32001 || code == -39001 ||
		has("header not found", "unknown block", "block not found", "could not find block", "missing trie node", "state not available",
			"historical state", "pruned"):
		return UnknownBlock
	case has("unauthorized", "invalid api key", "api key", "forbidden", "invalid project"):
		return Unauthorized
	case has("timeout", "timed out", "deadline"):
		return TimedOut
	case code == -32700 || code == -32603 || code == -32002 || code == -32011 ||
		has("internal error", "no backend", "backend", "upstream", "unavailable", "try again", "busy", "overloaded"):
		return Faulty
	}
	return Refused
}

// revertData returns the bytes of an error's data: a string, or an object that has one.
func revertData(raw json.RawMessage) []byte {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var object struct {
			Data   string `json:"data"`
			Result string `json:"result"`
		}
		if json.Unmarshal(raw, &object) != nil {
			return nil
		}
		if text = object.Data; text == "" {
			text = object.Result
		}
	}
	if i := strings.Index(text, "0x"); i >= 0 {
		text = text[i+2:] // Parity writes "Reverted 0x…"
	}
	if len(text) > 2*maxRevertData {
		return nil
	}
	data, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return data
}

// parseRetryAfter returns how long a Retry-After header asks for, at most an hour.
func parseRetryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 16); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), time.Hour)
}
