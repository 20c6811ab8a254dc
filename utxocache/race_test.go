//go:build race

package utxocache

const raceEnabled = true
