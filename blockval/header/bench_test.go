package header

import "testing"

// BenchmarkCheck verifies the main network's first 10,237 headers, one an
// operation.
func BenchmarkCheck(b *testing.B) {
	chain := loadChain(b, "headers/mainnet_0_10236.bin.zst", "the speed of header verification", 10237)
	p, err := For("main")
	if err != nil {
		b.Fatal(err)
	}
	now := clock(chain[len(chain)-1])
	var a Ancestors = chain
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := p.Check(&chain[i], uint32(i), a, now); err != nil {
			b.Fatal(err)
		}
		i = (i + 1) % len(chain)
	}
}

// BenchmarkNextBitsWalk is the most that NextBits reads: a test network's period
// of nothing but exceptions.
func BenchmarkNextBitsWalk(b *testing.B) {
	p, err := For("testnet4")
	if err != nil {
		b.Fatal(err)
	}
	chain := make(Chain, 2015)
	for i := range chain {
		chain[i].setBits(p.PowLimit.Compact())
	}
	var a Ancestors = chain
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.NextBits(a, 2015, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBlockWork is the work of a block at difficulty 1 and at that of the
// main network in 2025.
func BenchmarkBlockWork(b *testing.B) {
	for name, bits := range map[string]uint32{"1": 0x1d00ffff, "2025": 0x1701e4a3} {
		b.Run(name, func(b *testing.B) {
			var work Work
			for b.Loop() {
				work = work.Add(BlockWork(bits))
			}
		})
	}
}
