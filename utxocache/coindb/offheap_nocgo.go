//go:build !cgo

package coindb

const offHeap = false
