package bob

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSettingsFile bounds a file of settings, in bytes.
const maxSettingsFile = 1 << 20

// settings are what an operator gave a program: flags by their names without dashes, and
// variables of the environment by theirs, with their values; "" for a flag without one.
type settings map[string]string

// readSettings reads the file in which a program's settings are.
func readSettings(path string) (settings, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := parseSettings(io.LimitReader(f, maxSettingsFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// parseSettings finds settings in a command line, a file of variables, a systemd unit or a
// compose file: words like --flag, --flag=value, --flag value, NAME=value and "NAME: value".
// What it does not know it passes over. Later settings win. Values may be secrets: callers
// show those of rules only.
func parseSettings(r io.Reader) (settings, error) {
	found := make(settings)
	flag, read := "", 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxSettingsFile)
	for lines.Scan() {
		if read += len(lines.Text()) + 1; read > maxSettingsFile {
			return nil, fmt.Errorf("it has more than %d bytes", maxSettingsFile)
		}
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "#") {
			continue
		}
		if name, value, ok := strings.Cut(line, ": "); ok && isVariable(strings.TrimPrefix(name, "- ")) {
			found[strings.TrimPrefix(name, "- ")] = unquoted(strings.TrimSpace(value))
			continue
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' && strings.Contains(line, `"`) }) {
			word = strings.TrimPrefix(word, "Environment=") // of systemd
			word = strings.Trim(unquoted(word), `[]"'`)
			name, value, assigned := strings.Cut(word, "=")
			switch {
			case strings.HasPrefix(name, "--") && len(name) > 2:
				flag = strings.TrimPrefix(name, "--")
				found[flag] = unquoted(value)
				if assigned {
					flag = ""
				}
			case assigned && isVariable(name):
				found[name], flag = unquoted(value), ""
			case flag != "" && word != "" && word != "-" && word != `\`:
				found[flag], flag = word, ""
			}
		}
	}
	return found, lines.Err()
}

// isVariable reports whether name is one that a variable of these programs has.
func isVariable(name string) bool {
	if len(name) < 3 {
		return false
	}
	for _, c := range name {
		if (c < 'A' || c > 'Z') && c != '_' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
