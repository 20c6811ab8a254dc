package bench

import (
	"syscall"
	"time"
)

// threadTime returns how long the calling thread has run on a processor. Its
// differences leave out what other programs took meanwhile.
func threadTime() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD, which package syscall does not name
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		panic("getrusage: " + err.Error()) // a kernel older than Go's oldest
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
