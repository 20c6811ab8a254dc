//go:build !amd64 || purego

package secp

import "testing"

// eachPath runs a test once: there is no assembly.
func eachPath(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	test(t)
}
