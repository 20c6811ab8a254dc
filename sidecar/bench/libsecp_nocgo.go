//go:build !cgo || gofuzz

package bench

// libsecp returns nil: the program was built without cgo.
func libsecp() *anchor { return nil }
