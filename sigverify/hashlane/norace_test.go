//go:build !race

package hashlane

const raceEnabled = false
