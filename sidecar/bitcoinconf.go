package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxBitcoinConf bounds a bitcoin.conf and a settings.json. Bitcoin Core's
	// example of all settings with their explanations has 30 KB.
	maxBitcoinConf = 1 << 20
	// maxIncludes bounds the files that a bitcoin.conf includes.
	maxIncludes = 64
)

// A coreValue is one value of a setting. The zero value is the empty text.
type coreValue struct {
	// text is the value; a double negative (nofoo=0) has the text 1.
	text string
	// negated says that the setting was switched off (nofoo=1).
	negated bool
}

// coreValues are the values of a setting that one source gives, in order.
type coreValues []coreValue

// live returns the values after the last negated one, which undoes all that
// stand before it.
func (v coreValues) live() coreValues {
	for i := len(v); i > 0; i-- {
		if v[i-1].negated {
			return v[i:]
		}
	}
	return v
}

// switchedOff reports whether the last value is a negated one.
func (v coreValues) switchedOff() bool { return len(v) > 0 && v[len(v)-1].negated }

// A bitcoinConf is what a bitcoin.conf says, with the files that it includes.
// It answers as Bitcoin Core's ArgsManager does (common/config.cpp, args.cpp and
// settings.cpp), where the command line says nothing.
type bitcoinConf struct {
	// sections holds the values by section and name; the section "" is what
	// stands before the first heading.
	sections map[string]map[string]coreValues
	// dynamic holds what settings.json says, which wins.
	dynamic map[string]coreValues
}

// readBitcoinConf reads the bitcoin.conf at path, and what it includes, from
// dir if the path there is relative: the data directory that bitcoind has before
// it reads the file. An error names file and line, and never quotes the file:
// what cannot be read may be a password.
func readBitcoinConf(path, dir string) (*bitcoinConf, error) {
	c := &bitcoinConf{sections: make(map[string]map[string]coreValues)}
	if err := c.readFile(path); err != nil {
		return nil, err
	}
	chain, _, err := c.chain()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var includes coreValues
	for _, section := range []string{chain, ""} {
		includes = append(includes, c.sections[section]["includeconf"].live()...)
	}
	if len(includes) > maxIncludes {
		return nil, fmt.Errorf("%s: it includes more than %d files", path, maxIncludes)
	}
	for _, include := range includes {
		name := include.text
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := c.readFile(name); err != nil {
			return nil, fmt.Errorf("%s: includeconf: %w", path, err)
		}
	}
	if _, _, err := c.chain(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readFile adds the settings of one file.
func (c *bitcoinConf) readFile(path string) error {
	content, err := readBounded(path)
	if err != nil {
		return err
	}
	return c.readText(path, content)
}

// readText adds the settings that stand in content, which is the file path's.
func (c *bitcoinConf) readText(path string, content []byte) error {
	section, n := "", 0
	for line := range bytes.Lines(content) {
		n++
		if err := c.readLine(string(line), &section); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return nil
}

// blanks are what Bitcoin Core takes for space.
const blanks = " \t\r\n"

// readLine adds what one line says. section is the heading that it stands under,
// with a dot behind it, and changes when the line is a heading.
func (c *bitcoinConf) readLine(line string, section *string) error {
	line, _, commented := strings.Cut(line, "#")
	line = strings.Trim(line, blanks)
	switch {
	case line == "":
		return nil
	case line[0] == '[' && line[len(line)-1] == ']':
		*section = line[1:len(line)-1] + "."
		return nil
	case line[0] == '-':
		return errors.New("a setting in a file has no - in front")
	}
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return errors.New("the line is neither name=value nor [section]; a setting that is switched off is noname=1")
	}
	name = *section + strings.Trim(name, blanks)
	value = strings.Trim(value, blanks)
	if commented && strings.Contains(name, "rpcpassword") {
		return errors.New("a # in rpcpassword begins a comment; choose a password without one")
	}
	in, name, headed := strings.Cut(name, ".")
	if !headed {
		in, name = "", in
	}
	v := coreValue{text: value}
	if rest, ok := strings.CutPrefix(name, "no"); ok {
		name = rest
		if coreBool(value) {
			v = coreValue{negated: true}
		} else {
			v.text = "1"
		}
	}
	if name == "conf" {
		return errors.New("conf cannot stand in the file itself; use includeconf")
	}
	if c.sections[in] == nil {
		c.sections[in] = make(map[string]coreValues)
	}
	c.sections[in][name] = append(c.sections[in][name], v)
	return nil
}

// readDynamic reads the settings.json at path, in which bitcoind keeps what was
// changed while it ran (common/settings.cpp, ReadSettings). A file that is not
// there, or that only bitcoind's user may read, says nothing.
func (c *bitcoinConf) readDynamic(path string) error {
	content, err := readBounded(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.readJSON(content); err != nil {
		return fmt.Errorf("%s: it does not hold one JSON object; bitcoind would not start with it", path)
	}
	return nil
}

// readJSON makes the settings of a settings.json the dynamic ones.
func (c *bitcoinConf) readJSON(content []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(content, &values); err != nil {
		return err
	}
	c.dynamic = make(map[string]coreValues, len(values))
	for name, raw := range values {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			list = []json.RawMessage{raw}
		}
		for _, raw := range list {
			if v, ok := dynamicValue(raw); ok {
				c.dynamic[name] = append(c.dynamic[name], v)
			}
		}
	}
	return nil
}

// dynamicValue returns a value of settings.json; ok is false for one that no
// setting has.
func dynamicValue(raw json.RawMessage) (v coreValue, ok bool) {
	var text string
	switch {
	case json.Unmarshal(raw, &text) == nil && string(raw) != "null":
		return coreValue{text: text}, true
	case string(raw) == "true":
		return coreValue{text: "1"}, true
	case string(raw) == "false":
		return coreValue{negated: true}, true
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return coreValue{text: string(raw)}, true
	}
	return coreValue{}, false
}

// readBounded reads a file that must not be longer than maxBitcoinConf.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxBitcoinConf+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxBitcoinConf {
		return nil, fmt.Errorf("%s: it is longer than %d bytes", path, maxBitcoinConf)
	}
	return content, nil
}

// chain returns the name of the chain that the file selects; chosen is false
// when it selects none, which means main.
func (c *bitcoinConf) chain() (name string, chosen bool, err error) {
	name = "main"
	selected := 0
	for flag, chain := range map[string]string{"regtest": "regtest", "signet": "signet", "testnet": "test", "testnet4": "testnet4"} {
		// Here the last value counts, unlike everywhere else.
		values := c.sections[""][flag]
		if len(values) > 0 && !values.switchedOff() && coreBool(values[len(values)-1].text) {
			name = chain
			selected++
		}
	}
	if value, state := c.get("", "chain"); state != unset {
		name = value
		selected++
		if _, ok := coreNetworks()[name]; !ok {
			return "", false, errors.New("chain names no chain: it must be one of main, test, testnet4, signet, regtest")
		}
	}
	if selected > 1 {
		return "", false, errors.New("more than one of chain, testnet, testnet4, signet and regtest is set; bitcoind would not start with it")
	}
	return name, selected > 0, nil
}

// A settingState says whether a setting is there.
type settingState uint8

const (
	unset settingState = iota
	negated
	set
)

// networkOnly reports whether a setting counts on chains other than main only
// where it stands in their section (NETWORK_ONLY in init.cpp). Of these settings
// there are more, which nobody asks for here.
func networkOnly(name string) bool { return name == "rpcport" || name == "rpcbind" }

// get returns the value of a setting on a chain (common/settings.cpp,
// GetSetting). Of several values the first counts.
func (c *bitcoinConf) get(chain, name string) (value string, state settingState) {
	sources := []coreValues{c.dynamic[name], c.sections[chain][name], c.sections[""][name]}
	if chain == "" {
		sources = sources[2:]
	}
	for i, values := range sources {
		skipped := i == len(sources)-1 && networkOnly(name) && chain != "main"
		switch live := values.live(); {
		case values.switchedOff():
			// Switched off in the default section, it is so for every chain.
			return "", negated
		case len(live) > 0 && !skipped:
			return live[0].text, set
		}
	}
	return "", unset
}

// list returns all the values of a setting on a chain (common/settings.cpp,
// GetSettingsList).
func (c *bitcoinConf) list(chain, name string) []string {
	var all []string
	done, nothing := false, false
	sources := []coreValues{c.dynamic[name], c.sections[chain][name], c.sections[""][name]}
	if networkOnly(name) && chain != "main" {
		sources = sources[:2]
	}
	for i, values := range sources {
		live := values.live()
		// What a higher source switched off and then set again lets the lower
		// ones add theirs.
		if !done || i > 0 && !nothing {
			for _, v := range live {
				all = append(all, v.text)
			}
		}
		done = done || len(live) < len(values)
		nothing = nothing || values.switchedOff() && len(all) == 0
	}
	return all
}

// path returns a setting that is a path, cleaned; "" when it is not set or
// empty.
func (c *bitcoinConf) path(chain, name string) (path string, state settingState) {
	path, state = c.get(chain, name)
	switch {
	case state != set:
		return "", state
	case path == "":
		return "", unset
	}
	return filepath.Clean(path), set
}

// coreBool returns what Bitcoin Core takes a value for (common/args.cpp,
// InterpretBool): an empty one for true, any other for the number that it begins
// with, so that "true" is false.
func coreBool(value string) bool {
	if value == "" {
		return true
	}
	digits := strings.TrimLeft(value, " \f\n\r\t\v")
	if rest, ok := strings.CutPrefix(digits, "+"); ok && !strings.HasPrefix(rest, "-") {
		digits = rest
	}
	digits = strings.TrimLeft(strings.TrimPrefix(digits, "-"), "0")
	return digits != "" && digits[0] >= '1' && digits[0] <= '9'
}
