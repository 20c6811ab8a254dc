package snapshot

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A State is what a snapshot keeps of an optimizer: which values were in force,
// who owned them, and what was asked for. It holds verified values only, never
// those of a trial.
type State struct {
	Knobs     []Knob     // ascending by name
	Resources []Resource // ascending by type
	// Regime is the kind of work that the knobs are set for, and Regimes what was in force
	// in others, ascending by name.
	Regime  string
	Regimes []Regime
}

// settings returns what of s can be restored: not the statuses, resources of which nothing
// was asked, and knobs that were neither the engine's nor pinned.
func (s State) settings() State {
	var knobs []Knob
	for _, k := range s.Knobs {
		if k.Mode == Free || k.Mode == Pinned {
			knobs = append(knobs, k)
		}
	}
	s.Knobs = knobs
	var asked []Resource
	for _, r := range s.Resources {
		r.Status = 0
		if r != (Resource{Type: r.Type}) {
			asked = append(asked, r)
		}
	}
	s.Resources = asked
	return s
}

// A Regime is what was in force in one kind of work when it was left.
type Regime struct {
	Name   string
	Values []Value // ascending by knob
}

// A Value is one knob's.
type Value struct {
	Knob  string
	Value int64
}

// A Mode says who owned a knob.
type Mode uint8

// These are the modes.
const (
	// Free: the engine could move it.
	Free Mode = iota + 1
	// Pinned: an operator had set it.
	Pinned
	// Fixed: it is set at start only, or not by experiments.
	Fixed
	// Isolated: nobody moved it any more.
	Isolated
)

// A Knob is the incumbent value of one knob.
type Knob struct {
	Name  string
	Value int64
	Mode  Mode
}

// A Resource is what was asked of one resource, and how far that was. Type and
// Status are perfcore's; a target of 0 is none.
type Resource struct {
	Type                    uint64
	Status                  uint8
	Utilization, Throughput float64
	Latency                 int64 // nanoseconds
	Quantile                float64
}

// These bound a state, so that bytes from a store cannot ask for much memory.
const (
	// MaxName is the longest name of a knob or a regime, in bytes.
	MaxName = 128
	// MaxKnobs, MaxResources and MaxRegimes are how many of them a state holds
	// at most.
	MaxKnobs     = 256
	MaxResources = 256
	MaxRegimes   = 32
)

// maxState is the largest size of a state's canonical bytes.
const maxState = 2 + MaxKnobs*(1+MaxName+8+1) + 2 + MaxResources*(8+1+4*8) + 1 + MaxName +
	2 + MaxRegimes*(1+MaxName+2+MaxKnobs*(1+MaxName+8))

// check returns what is wrong with the state; nil when nothing is.
func (s State) check() error {
	if len(s.Knobs) > MaxKnobs || len(s.Resources) > MaxResources || len(s.Regimes) > MaxRegimes {
		return errors.New("snapshot: a state of " + strconv.Itoa(len(s.Knobs)) + " knobs, " +
			strconv.Itoa(len(s.Resources)) + " resources and " + strconv.Itoa(len(s.Regimes)) + " regimes is too large")
	}
	if len(s.Regime) > MaxName {
		return errors.New("snapshot: a regime's name has " + strconv.Itoa(len(s.Regime)) + " bytes")
	}
	for i, k := range s.Knobs {
		switch {
		case k.Name == "" || len(k.Name) > MaxName:
			return errors.New("snapshot: a knob's name has " + strconv.Itoa(len(k.Name)) + " bytes")
		case k.Mode < Free || k.Mode > Isolated:
			return errors.New("snapshot: knob " + k.Name + ": there is no mode " + strconv.Itoa(int(k.Mode)))
		case i > 0 && s.Knobs[i-1].Name >= k.Name:
			return errors.New("snapshot: knob " + k.Name + ": the names do not ascend")
		}
	}
	for i, r := range s.Resources {
		if i > 0 && s.Resources[i-1].Type >= r.Type {
			return errors.New("snapshot: resource " + strconv.FormatUint(r.Type, 10) + ": the types do not ascend")
		}
	}
	for i, r := range s.Regimes {
		if len(r.Name) > MaxName || len(r.Values) > MaxKnobs || i > 0 && s.Regimes[i-1].Name >= r.Name {
			return errors.New("snapshot: regime " + strconv.Itoa(i) + " is too large, or the names do not ascend")
		}
		for j, v := range r.Values {
			if v.Knob == "" || len(v.Knob) > MaxName || j > 0 && r.Values[j-1].Knob >= v.Knob {
				return errors.New("snapshot: regime " + r.Name + ": value " + strconv.Itoa(j) + " has no name, or the names do not ascend")
			}
		}
	}
	return nil
}

// appendState appends the canonical bytes of s, which is checked: two states
// have the same bytes if and only if they are equal, not-a-numbers included.
// Integers are big-endian.
func appendState(b []byte, s State) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Knobs)))
	for _, k := range s.Knobs {
		b = append(b, byte(len(k.Name)))
		b = append(b, k.Name...)
		b = binary.BigEndian.AppendUint64(b, uint64(k.Value))
		b = append(b, byte(k.Mode))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Resources)))
	for _, r := range s.Resources {
		b = binary.BigEndian.AppendUint64(b, r.Type)
		b = append(b, r.Status)
		for _, v := range [...]uint64{
			math.Float64bits(r.Utilization), math.Float64bits(r.Throughput), uint64(r.Latency), math.Float64bits(r.Quantile),
		} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	b = append(b, byte(len(s.Regime)))
	b = append(b, s.Regime...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Regimes)))
	for _, r := range s.Regimes {
		b = append(b, byte(len(r.Name)))
		b = append(b, r.Name...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Values)))
		for _, v := range r.Values {
			b = append(b, byte(len(v.Knob)))
			b = append(b, v.Knob...)
			b = binary.BigEndian.AppendUint64(b, uint64(v.Value))
		}
	}
	return b
}

// decodeState returns the state whose canonical bytes are b.
func decodeState(b []byte) (State, error) {
	var s State
	in := reader{b: b}
	for range in.uint16() {
		k := Knob{Name: string(in.bytes(int(in.uint8()))), Value: int64(in.uint64()), Mode: Mode(in.uint8())}
		if in.short {
			break
		}
		s.Knobs = append(s.Knobs, k)
	}
	for range in.uint16() {
		r := Resource{
			Type: in.uint64(), Status: in.uint8(),
			Utilization: math.Float64frombits(in.uint64()), Throughput: math.Float64frombits(in.uint64()),
			Latency: int64(in.uint64()), Quantile: math.Float64frombits(in.uint64()),
		}
		if in.short {
			break
		}
		s.Resources = append(s.Resources, r)
	}
	s.Regime = string(in.bytes(int(in.uint8())))
	for range in.uint16() {
		r := Regime{Name: string(in.bytes(int(in.uint8())))}
		for range in.uint16() {
			v := Value{Knob: string(in.bytes(int(in.uint8()))), Value: int64(in.uint64())}
			if in.short {
				break
			}
			r.Values = append(r.Values, v)
		}
		if in.short {
			break
		}
		s.Regimes = append(s.Regimes, r)
	}
	if in.short || len(in.b) > 0 {
		return State{}, errors.New("snapshot: the state is cut off, or something follows it")
	}
	return s, s.check()
}

// A reader takes integers and bytes off the front of b. Once b was too short
// everything that it returns is zero.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.b, r.short = nil, true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) uint8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// A Ladder is what a knob may be set to today. Values ascend.
type Ladder struct {
	Name   string
	Values []int64
	// Refuse, unless "", is why the knob may not be set whatever the value.
	Refuse string
}

// A Refusal says why a knob of a snapshot is not restored.
type Refusal struct {
	Knob  string
	Value int64
	Why   string
}

// String says it in one sentence.
func (r Refusal) String() string {
	return "knob " + r.Knob + ": " + strconv.FormatInt(r.Value, 10) + " is not restored: " + r.Why
}

// Validate returns the knobs of s that may be set today, in its order, and why
// the others may not. Fixed and isolated ones are in neither: their values were
// not the optimizer's, and are nothing to restore but where somebody has pinned them since.
func (s State) Validate(today []Ladder) (legal []Knob, refused []Refusal) {
	for _, k := range s.Knobs {
		if k.Mode != Free && k.Mode != Pinned {
			continue
		}
		if why := refuse(k.Name, k.Value, today); why != "" {
			refused = append(refused, Refusal{k.Name, k.Value, why})
			continue
		}
		legal = append(legal, k)
	}
	return legal, refused
}

// ValidateRegimes returns the values of s.Regimes that may be set today, and why
// the others may not.
func (s State) ValidateRegimes(today []Ladder) (legal []Regime, refused []Refusal) {
	for _, r := range s.Regimes {
		kept := Regime{Name: r.Name}
		for _, v := range r.Values {
			if why := refuse(v.Knob, v.Value, today); why != "" {
				refused = append(refused, Refusal{v.Knob, v.Value, "in regime " + r.Name + ": " + why})
				continue
			}
			kept.Values = append(kept.Values, v)
		}
		legal = append(legal, kept)
	}
	return legal, refused
}

// refuse says why a knob may not be set to a value today; "" when it may.
func refuse(knob string, value int64, today []Ladder) string {
	i := slices.IndexFunc(today, func(l Ladder) bool { return l.Name == knob })
	switch {
	case i < 0:
		return "there is no such knob any more"
	case today[i].Refuse != "":
		return today[i].Refuse
	case !slices.Contains(today[i].Values, value):
		return "it is not one of " + list(today[i].Values)
	}
	return ""
}

// list returns values as fmt would print them.
func list(values []int64) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = strconv.FormatInt(v, 10)
	}
	return "[" + strings.Join(words, " ") + "]"
}
