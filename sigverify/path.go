package sigverify

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/outrider-project/outrider/sigverify/internal/lane"
	"github.com/outrider-project/outrider/sigverify/internal/secp"
)

// A Path is the code that verifies.
type Path string

// These are the paths. Each is trusted no less than the one before.
const (
	// PathLane is eight signatures at a time in the lanes of AVX-512 IFMA; what
	// they do not find valid, and batches too small for them, take PathScalar.
	PathLane Path = "lane"
	// PathScalar is one signature at a time, on every machine.
	PathScalar Path = "scalar"
	// PathDecred is decred's code. It is taken when the scalar verifier was
	// found wrong, and cannot be asked for.
	PathDecred Path = "decred"
)

// paths are all of them, by rank.
var paths = [...]Path{PathLane, PathScalar, PathDecred}

// A rank is an index of paths.
type rank int32

const (
	rankLane rank = iota
	rankScalar
	rankDecred
)

// LaneCheck returns nil if this machine and this build can verify in lanes, and
// else why not. The first call tests the code, which takes some ten
// milliseconds.
func LaneCheck() error { return lane.Check() }

// A laneVerifier gives its verdicts on items, as lane.Scratch does.
type laneVerifier interface {
	Verify(items []lane.Item, verdicts []lane.Verdict)
}

// code is the verifiers that a Verifier asks.
type code struct {
	checkLanes            func() error
	openLanes             func() (laneVerifier, error)
	disableLanes          func(reason string)
	scalar, decred, exact func(*Item) bool
}

// ourCode is what the program runs.
func ourCode() code {
	return code{
		checkLanes: lane.Check,
		openLanes: func() (laneVerifier, error) {
			s, err := lane.NewScratch()
			if err != nil {
				return nil, err // not a nil Scratch in an interface
			}
			return s, nil
		},
		disableLanes: lane.Disable,
		scalar:       verifyScalar,
		decred:       verifyDecred,
		exact:        verifyExact,
	}
}

// verifyScalar reports whether the item's signature is valid, by our own curve.
func verifyScalar(it *Item) bool {
	switch it.Scheme {
	case ECDSA:
		return secp.VerifyECDSA(it.Key, &it.Sig, &it.Digest)
	case BIP340:
		return secp.VerifyBIP340(it.Key, &it.Sig, &it.Digest)
	}
	return false
}

// PureGo calls f, and until that returns, PathScalar is Go alone, as it is on
// machines for which there is no assembly. It is there to measure that: no
// Verifier of this process may be at work meanwhile, but on behalf of f.
func PureGo(f func()) { secp.WithoutAssembly(f) }

// trust is the path that verifies, and why. It only ever falls: to a path of a
// higher rank.
type trust struct {
	rank atomic.Int32

	mu  sync.Mutex // guards why, and orders falls
	why string
}

// now returns the rank.
func (t *trust) now() rank { return rank(t.rank.Load()) }

// fall makes the rank to, unless it is as high already, and reports whether it
// did.
func (t *trust) fall(to rank, why string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now() >= to {
		return false
	}
	t.why = why
	t.rank.Store(int32(to))
	return true
}

// told returns the path and why it is taken.
func (t *trust) told() (Path, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return paths[t.now()], t.why
}

// begin sets the path that wanted asks for: PathLane, PathScalar, or the best
// one if it is empty.
func (t *trust) begin(wanted Path, checkLanes func() error) {
	if wanted == PathScalar {
		t.rank.Store(int32(rankScalar))
		t.why = "it was asked for"
		return
	}
	if err := checkLanes(); err != nil {
		t.rank.Store(int32(rankScalar))
		t.why = err.Error()
		return
	}
	t.why = "the machine has AVX-512 IFMA, and the kernels passed their self-test"
}

// ParsePath returns the path that an operator may ask for by that name; auto is
// the empty one, which is the best that there is.
func ParsePath(name string) (Path, error) {
	switch name {
	case "auto":
		return "", nil
	case string(PathLane), string(PathScalar):
		return Path(name), nil
	}
	return "", errors.New("must be one of auto, lane, scalar")
}

func checkPath(p Path) {
	if p != "" && p != PathLane && p != PathScalar {
		panic(fmt.Sprintf("sigverify: New: no path %q", string(p)))
	}
}
