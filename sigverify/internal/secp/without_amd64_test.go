//go:build !purego

package secp

import "testing"

func TestWithoutAssembly(t *testing.T) {
	had := useADX
	defer func() {
		if recover() == nil {
			t.Error("a panic of the function is lost")
		}
		if useADX != had {
			t.Errorf("afterwards the assembly is used: %v, and it was before: %v", useADX, had)
		}
	}()
	WithoutAssembly(func() {
		if useADX {
			t.Error("the assembly is used")
		}
		panic("to see that it is used again all the same")
	})
}
