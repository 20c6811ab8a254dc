//go:build !unix

package signer

import (
	"os"
	"testing"
)

// dupOf returns the descriptor of an open file.
func dupOf(_ *testing.T, f *os.File) uintptr { return f.Fd() }
