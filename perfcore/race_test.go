//go:build race

package perfcore

const raceEnabled = true
