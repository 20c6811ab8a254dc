//go:build !race

package perfcore

const raceEnabled = false
