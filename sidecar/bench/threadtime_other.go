//go:build !linux

package bench

import "time"

// processStart is the moment that threadTime counts from.
var processStart = time.Now()

// threadTime returns the time since the program began: this system does not say
// how long a thread has run.
func threadTime() time.Duration { return time.Since(processStart) }

// processTime returns the same: nor how long a process has.
func processTime() time.Duration { return time.Since(processStart) }
