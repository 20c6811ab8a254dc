package endpoint

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A secret knows the parts of an endpoint's address that must not be seen.
type secret struct {
	parts *regexp.Regexp // whatever the case of ASCII letters
	name  string
}

const (
	// Shorter parts of a path are versions and chain names, not keys.
	minSecretPath = 8
	minSecret     = 3
	maxMessage    = 256
)

// newSecret returns what hides an address and the values of headers behind a name.
func newSecret(name string, u *url.URL, headers map[string]string) secret {
	var parts []string
	add := func(part string, least int) {
		for _, form := range []string{part, url.QueryEscape(part), url.PathEscape(part)} {
			if len(part) >= least {
				parts = append(parts, regexp.QuoteMeta(form))
			}
		}
	}
	add(u.String(), 1)
	add(u.Host, 1)
	add(u.Hostname(), 1)
	for part := range strings.SplitSeq(u.Path, "/") {
		add(part, minSecretPath)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		add(u.User.Username(), minSecret)
		add(password, minSecret)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			add(v, minSecret)
		}
	}
	for _, v := range headers {
		add(v, minSecret)
		for word := range strings.FieldsSeq(v) {
			add(word, minSecretPath)
		}
	}
	// The longest first: what is within another goes with it.
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return secret{regexp.MustCompile("(?i)" + strings.Join(parts, "|")), name}
}

// hide returns text on one line, shortened, with the secret's parts replaced.
func (s secret) hide(text string) string {
	if text == "" {
		return ""
	}
	text = s.parts.ReplaceAllLiteralString(strings.ToValidUTF8(text, "?"), "<"+s.name+">")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// endpointName is what endpoints may be called, for names are values of labels.
var endpointName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// parseURL parses an endpoint's address. Its errors do not have it.
func parseURL(name, address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case !endpointName.MatchString(name):
		return nil, fmt.Errorf("%.40q is no name for an endpoint: 1 to 32 of a-z, 0-9, - and _", name)
	case err != nil:
		return nil, fmt.Errorf("endpoint %s: its address cannot be parsed", name)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("endpoint %s: its address does not begin with http:// or https:// and a host", name)
	}
	u.Fragment = ""
	return u, nil
}

// innermost returns the error below those of net/url, which have the address.
func innermost(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
