package blockval

// A skimmer passes over a block's transactions. It finds what is malformed, where
// each transaction lies and how much it holds, and decodes nothing: a decoding then
// knows what memory it takes, needs look for no failure, and can begin anywhere.
type skimmer struct {
	decoder
	// parts counts what was passed over.
	parts parts
}

// parts counts what transactions consist of.
type parts struct{ ins, outs, items int }

// A layout says where the parts of a transaction's serialisation lie.
type layout struct {
	// start and end bound the whole; body and bodyEnd the inputs and outputs
	// with their counts. What precedes the body is the version, and a marker
	// and a flag if there is a witness; what follows are the witnesses, if
	// any, and the lock time.
	start, body, bodyEnd, end uint32
}

// strippedSize returns the size of the serialisation without witnesses.
func (l layout) strippedSize() int { return int(4 + l.bodyEnd - l.body + 4) }

// hasWitness reports whether the serialisation holds witnesses.
func (l layout) hasWitness() bool { return l.strippedSize() != int(l.end-l.start) }

// tx passes over a transaction, which must be as UnserializeTransaction in Bitcoin
// Core wants it with witnesses allowed.
func (s *skimmer) tx() layout {
	l := layout{start: uint32(s.pos)}
	s.skip(4) // the version
	l.body = uint32(s.pos)
	ins := s.inputs()
	var flags byte
	if ins > 0 {
		s.outputs()
	} else if flags = s.byte(); flags != 0 {
		// The empty list of inputs was the marker of the extended format.
		l.body = uint32(s.pos)
		ins = s.inputs()
		s.outputs()
	}
	l.bodyEnd = uint32(s.pos)
	if flags&1 != 0 {
		flags ^= 1
		s.witnesses(ins)
	}
	if flags != 0 {
		s.fail("transaction has unknown optional data %#02x", flags)
	}
	s.skip(4) // the lock time
	l.end = uint32(s.pos)
	return l
}

// inputs passes over the inputs, and returns how many there are.
func (s *skimmer) inputs() int {
	n := s.count(minTxIn)
	s.parts.ins += n
	for range n {
		s.skip(36) // the outpoint
		s.skip(s.length())
		s.skip(4) // the sequence
		if s.err != nil {
			break
		}
	}
	return n
}

func (s *skimmer) outputs() {
	n := s.count(minTxOut)
	s.parts.outs += n
	for range n {
		s.skip(8) // the value
		s.skip(s.length())
		if s.err != nil {
			break
		}
	}
}

// witnesses passes over a witness for each of ins inputs, of which one must not be
// empty.
func (s *skimmer) witnesses(ins int) {
	before := s.parts.items
	for range ins {
		n := s.count(minWitnessItem)
		s.parts.items += n
		for range n {
			s.skip(s.length())
			if s.err != nil {
				return
			}
		}
	}
	if s.parts.items == before {
		s.fail("superfluous witness record")
	}
}
