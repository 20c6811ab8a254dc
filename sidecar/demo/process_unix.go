//go:build unix && !linux && !freebsd

package demo

import "syscall"

// processAttributes gives the node a process group of its own, so that Ctrl-C in
// a terminal reaches this process alone, which then stops the node in order.
// These systems cannot tie a child's life to its parent's: a kill -9 of this
// process leaves the node running.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
