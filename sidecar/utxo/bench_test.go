package utxo

import "testing"

// BenchmarkLoad loads a snapshot, with both hashes and the journal.
func BenchmarkLoad(b *testing.B) {
	w := newWorld(b, 1, 200_000)
	path := file(b, w.snapshot(b))
	b.ResetTimer()
	for b.Loop() {
		if _, err := Load(b.Context(), LoadOptions{Place: Place{Datadir: b.TempDir()}, Snapshot: path, Height: w.height}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.hashes.coins)*float64(b.N)/b.Elapsed().Seconds(), "coins/s")
}
