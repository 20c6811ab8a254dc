//go:build linux || freebsd

package demo

import "syscall"

// processAttributes makes the kernel kill the node when the thread that started
// it ends, which is when this process ends, however it ends; and gives it a
// process group of its own, so that Ctrl-C in a terminal reaches this process
// alone, which then stops the node in order.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
