//go:build !race

package utxocache

const raceEnabled = false
