//go:build !amd64 || purego

package secp

// WithoutAssembly calls f: there is no assembly in this build.
func WithoutAssembly(f func()) { f() }
