package sidecar

import (
	"fmt"
	"io"
	"strings"
)

// WriteManual writes what can be configured as a Markdown table.
func WriteManual(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Settings\n\nEach is a flag of `outrider run`, an environment variable, or a line `name: value` of `outrider.yaml`.\n" +
		"Flags win over the environment, that over the file, and that over what is found on the machine.\n" +
		"This page is written by `go generate`.\n\n" +
		"| flag | environment | meaning |\n| --- | --- | --- |\n")
	for _, st := range Settings() {
		flag := "`--" + st.Name + "`"
		if st.Secret {
			flag = "none: command lines are readable by others"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", flag, variable(st.Name), st.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
