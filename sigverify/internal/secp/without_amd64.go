//go:build !purego

package secp

// WithoutAssembly calls f, and until that returns, everything here is Go alone. It
// is there to measure that. Nobody but f may verify meanwhile.
func WithoutAssembly(f func()) {
	had := useADX
	useADX = false
	defer func() { useADX = had }()
	f()
}
