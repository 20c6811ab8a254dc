package hashlane

import "encoding/binary"

// merkle replaces nodes[0] by the root over nodes, of which there is at least
// one, and the others by nothing of use. It reports whether the tree is mutated,
// as MerkleRoot has it.
func merkle(p path, nodes [][32]byte) (mutated bool) {
	for len(nodes) > 1 {
		pairs := len(nodes) / 2
		for i := range pairs {
			// Nearly always the first bytes tell.
			l, r := &nodes[2*i], &nodes[2*i+1]
			if binary.LittleEndian.Uint64(l[:]) == binary.LittleEndian.Uint64(r[:]) && *l == *r {
				mutated = true
			}
		}
		last := nodes[len(nodes)-1]
		p.fixed(double64, bytesOf(nodes[:pairs]), bytesOf(nodes[:2*pairs]))
		if len(nodes)%2 == 0 {
			nodes = nodes[:pairs]
			continue
		}
		var twice [64]byte
		copy(twice[:], last[:])
		copy(twice[32:], last[:])
		nodes = nodes[:pairs+1]
		double64.one(nodes[pairs][:], twice[:])
	}
	return mutated
}
