//go:build unix

package sidecar

import "syscall"

// writable reports whether this process may make files in a directory.
func writable(dir string) bool {
	const write = 2 // W_OK of unistd.h
	return syscall.Access(dir, write) == nil
}
