//go:build race

package hashlane

const raceEnabled = true
