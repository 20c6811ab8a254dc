package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns how long the calling thread has run on a processor. Its
// differences leave out what other programs took meanwhile.
func threadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// processTime returns how long all threads of the process have run on processors.
func processTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// clock reads a clock of the kernel's, exact to the moment; what getrusage tells is as of
// the last tick.
func clock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic("clock_gettime: " + err.Error()) // a kernel older than Go's oldest
	}
	return time.Duration(t.Nano())
}
