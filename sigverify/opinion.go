package sigverify

import (
	"encoding/hex"
	"fmt"
)

// An opinion is what one verifier says of a signature.
type opinion uint8

const (
	silent opinion = iota // it was not asked, or could not tell
	no
	yes
)

func of(valid bool) opinion {
	if valid {
		return yes
	}
	return no
}

func (o opinion) String() string { return [...]string{"not asked", "invalid", "valid"}[o] }

// opinions are what was said of one signature.
type opinions struct{ lane, scalar, decred opinion }

// verdict returns what those that were asked say, and whether they agree.
func (o opinions) verdict() (valid, agreed bool) {
	all := [...]opinion{o.lane, o.scalar, o.decred}
	var said [3]bool
	for _, one := range all {
		said[one] = true
	}
	return said[yes], said[yes] != said[no]
}

// settle decides on a signature about which verifiers disagree. All of them are
// asked, and verifyExact has the last word: whoever spoke against it is not asked
// again.
func (v *Verifier) settle(it *Item, said opinions) bool {
	if said.scalar == silent {
		said.scalar = of(v.code.scalar(it))
	}
	if said.decred == silent {
		said.decred = of(v.code.decred(it))
	}
	verdict := v.code.exact(it)
	exact := of(verdict)
	v.log.Error("VERIFIERS DISAGREE ABOUT A SIGNATURE",
		"verdict", exact.String(), "lane", said.lane.String(), "scalar", said.scalar.String(), "decred", said.decred.String(),
		"scheme", int(it.Scheme), "key", hex.EncodeToString(it.Key),
		"signature", hex.EncodeToString(it.Sig[:]), "digest", hex.EncodeToString(it.Digest[:]))
	if said.lane != silent && said.lane != exact {
		v.metrics.mismatch[PathLane].Add(1)
		reason := fmt.Sprintf("the lanes called a signature %v that is %v", said.lane, exact)
		v.code.disableLanes(reason)
		v.distrust(rankScalar, reason)
	}
	if said.scalar != exact {
		v.metrics.mismatch[PathScalar].Add(1)
		v.distrust(rankDecred, fmt.Sprintf("the scalar verifier called a signature %v that is %v", said.scalar, exact))
	}
	if said.decred != exact {
		v.metrics.mismatch[PathDecred].Add(1)
	}
	return verdict
}

// rank returns the rank of the path that is trusted now.
func (v *Verifier) rank() rank {
	if v.trust.now() == rankLane {
		if err := v.code.checkLanes(); err != nil {
			v.distrust(rankScalar, err.Error()) // another Verifier found them wrong
		}
	}
	return v.trust.now()
}

// distrust makes the Verifier take the path of that rank, for the reason given.
// What it had accepted before is forgotten. Who reads the cache's epoch before
// the rank adds nothing to the cache that a path without trust has said.
func (v *Verifier) distrust(to rank, why string) {
	if !v.trust.fall(to, why) {
		return
	}
	v.cache.purge()
	v.metrics.path(paths[v.trust.now()])
	v.log.Error("signatures are verified by another path from now on", "path", string(paths[to]), "why", why)
}
