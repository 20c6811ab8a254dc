//go:build !linux

package sidecar

import "errors"

// lowerPriority is for Linux alone; elsewhere the caller runs the program
// under nice(1).
func lowerPriority(nice int) error {
	if nice == 0 {
		return nil
	}
	return errors.New("the priority can be set on Linux only; start the program under nice(1)")
}
