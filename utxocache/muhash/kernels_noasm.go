//go:build !amd64 || purego

package muhash

func mulHalves(z *number, x, y *half) { mulHalvesGo(z, x, y) }

func streamOf(stream *[numberSize]byte, key *[32]byte) { streamGo(stream, key) }
