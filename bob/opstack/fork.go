package opstack

import "fmt"

// A Fork is a network upgrade of the OP Stack. They are ordered: a fork includes those
// before it.
type Fork uint8

// These are the forks whose rules are known here.
const (
	Bedrock Fork = iota
	Regolith
	Canyon
	Delta
	Ecotone
	Fjord
	Granite
	Holocene
	Isthmus
	Jovian
	Karst
	forks
)

var forkNames = [forks]string{
	"bedrock", "regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst",
}

// String returns the fork's name in lower case.
func (f Fork) String() string {
	if f < forks {
		return forkNames[f]
	}
	return fmt.Sprintf("fork(%d)", uint8(f))
}

// A Schedule holds when forks begin: the time of their first block, nil for those that
// are not planned. Bedrock has begun.
type Schedule [forks]*uint64

// At returns the fork whose rules a block with this timestamp follows.
func (s *Schedule) At(time uint64) Fork {
	active := Bedrock
	for f := Regolith; f < forks; f++ {
		if s[f] != nil && *s[f] <= time {
			active = f
		}
	}
	return active
}

// check says what is wrong with a schedule; nil when nothing is.
func (s *Schedule) check() error {
	for f, last := Regolith, Bedrock; f < forks; f++ {
		switch {
		case s[f] == nil:
			continue
		case last != f-1:
			return fmt.Errorf("%v is planned and %v is not", f, f-1)
		case last != Bedrock && *s[f] < *s[last]:
			return fmt.Errorf("%v at %d is before %v at %d", f, *s[f], last, *s[last])
		}
		last = f
	}
	return nil
}
