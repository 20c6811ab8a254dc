package sidecar

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// lowerPriority sets the nice value of every thread of the process. Linux
// keeps it for each thread, and a new thread inherits it from the one that
// made it.
func lowerPriority(nice int) error {
	// The second pass finds the threads that were made during the first.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("lower priority: %w", err)
		}
		for _, t := range tasks {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("lower priority: thread %q: %w", t.Name(), err)
			}
			// A thread that has ended meanwhile needs none.
			if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("lower priority to %d: %w", nice, err)
			}
		}
	}
	return nil
}
