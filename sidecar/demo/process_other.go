//go:build !unix

package demo

import "syscall"

// processAttributes returns nil: these systems have no process groups and cannot
// tie a child's life to its parent's. If this process is killed, the node stays.
func processAttributes() *syscall.SysProcAttr { return nil }
