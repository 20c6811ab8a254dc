// Package snapshot keeps the last states of an optimizer in memory, so that
// what was verified can be restored: one after every so many accepted changes,
// each with its time by both clocks, chained by SHA-256.
//
// It reads and writes no file, and a test holds that neither it nor what it
// imports can, but for crypto/sha256, which needs the kernel's random numbers
// elsewhere. Whoever embeds it may hand it a [Store].
package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"
)

// A Cause is why a snapshot was taken.
type Cause uint8

// These are the causes.
const (
	// Counted: so many changes had been accepted.
	Counted Cause = iota + 1
	// Asked: somebody wanted it.
	Asked
	// PreRestore: another snapshot was about to be restored.
	PreRestore
	// Restored: another snapshot was restored, and this is what came of it.
	Restored
	// Ended: the program was about to end.
	Ended
)

// String returns the cause in words.
func (c Cause) String() string {
	switch c {
	case Counted:
		return "counted"
	case Asked:
		return "asked"
	case PreRestore:
		return "pre-restore"
	case Restored:
		return "restored"
	case Ended:
		return "ended"
	}
	return "cause(" + strconv.Itoa(int(c)) + ")"
}

// A Snapshot is a state and when it held. It is plain data; whoever receives
// one must not write to State's bytes.
type Snapshot struct {
	// Seq counts snapshots from 1, over restarts too if there is a store. Numbers of
	// what a store kept and nobody could take over are left out.
	Seq uint64
	// Changes is how many changes had been accepted, since the count began.
	Changes uint64
	// Every is after how many changes one was taken then; 0 for never.
	Every uint32
	Cause Cause
	// Wall is the time of day, in UTC. Mono is the monotonic clock's time since
	// Run, which identifies one run of the program by when it began, in
	// nanoseconds since 1970.
	Wall time.Time
	Mono time.Duration
	Run  int64
	// Prev is the Sum of the snapshot before; zero for the first of all.
	Prev [sha256.Size]byte
	// Sum is the SHA-256 of Prev, the fields above and Payload, as Encode
	// writes them.
	Sum [sha256.Size]byte
	// Payload is the state in canonical bytes.
	Payload []byte
}

// magic begins every encoded snapshot, and ends with the version of the format.
var magic = [4]byte{'O', 'P', 'S', 1}

const (
	headerSize = len(magic) + 8 + 8 + 4 + 1 + 8 + 8 + 8
	// MaxEncoded is the largest size of an encoded snapshot, in bytes.
	MaxEncoded = headerSize + 2*sha256.Size + maxState
)

// appendHashed appends what Sum covers.
func (s *Snapshot) appendHashed(b []byte) []byte {
	b = append(b, s.Prev[:]...)
	b = append(b, magic[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Seq)
	b = binary.BigEndian.AppendUint64(b, s.Changes)
	b = binary.BigEndian.AppendUint32(b, s.Every)
	b = append(b, byte(s.Cause))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Wall.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Mono))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Run))
	return append(b, s.Payload...)
}

// sign fills in Sum.
func (s *Snapshot) sign() { s.Sum = sha256.Sum256(s.appendHashed(nil)) }

// Encode returns the snapshot as bytes: Sum, Prev, a header, the payload.
// Integers are big-endian.
func (s *Snapshot) Encode() []byte {
	return s.appendHashed(slices.Clone(s.Sum[:]))
}

// Decode returns the snapshot that Encode turned into b, which it copies from.
// Errors wrap ErrInvalid; one that was damaged is found.
func Decode(b []byte) (Snapshot, error) {
	if len(b) < headerSize+2*sha256.Size || len(b) > MaxEncoded {
		return Snapshot{}, &invalidError{strconv.Itoa(len(b)) + " bytes are no snapshot"}
	}
	var s Snapshot
	in := reader{b: b}
	copy(s.Sum[:], in.bytes(sha256.Size))
	copy(s.Prev[:], in.bytes(sha256.Size))
	if [4]byte(in.bytes(4)) != magic {
		return Snapshot{}, &invalidError{"a snapshot of another version, or none"}
	}
	s.Seq, s.Changes = in.uint64(), in.uint64()
	s.Every = binary.BigEndian.Uint32(in.bytes(4))
	s.Cause = Cause(in.uint8())
	s.Wall = time.Unix(0, int64(in.uint64())).UTC()
	s.Mono, s.Run = time.Duration(in.uint64()), int64(in.uint64())
	s.Payload = slices.Clone(in.b)
	return s, s.checkAlone()
}

// State returns what the snapshot keeps.
func (s *Snapshot) State() (State, error) { return decodeState(s.Payload) }

// checkAlone returns what can be seen to be wrong with s without its
// neighbours.
func (s *Snapshot) checkAlone() error {
	if s.Sum != sha256.Sum256(s.appendHashed(nil)) {
		return s.invalid("its checksum is wrong")
	}
	switch {
	case s.Seq == 0 || s.Mono < 0:
		return s.invalid("its number or its time is none")
	case s.Cause < Counted || s.Cause > Ended:
		return s.invalid("there is no " + s.Cause.String())
	case s.Cause == Counted && (s.Every == 0 || s.Changes%uint64(s.Every) != 0):
		return s.invalid("it was taken after " + strconv.FormatUint(s.Changes, 10) + " changes, which is no multiple of " +
			strconv.FormatUint(uint64(s.Every), 10))
	}
	if _, err := s.State(); err != nil {
		return s.invalid(err.Error())
	}
	return nil
}

// checkAfter returns why s cannot be the snapshot behind before.
func (s *Snapshot) checkAfter(before *Snapshot) error {
	switch {
	case s.Prev != before.Sum:
		return s.invalid("it does not follow the one before by its checksum")
	case s.Seq <= before.Seq:
		return s.invalid("it does not follow " + strconv.FormatUint(before.Seq, 10))
	case s.Changes < before.Changes:
		return s.invalid("changes were taken back")
	case s.Run == before.Run && s.Mono < before.Mono:
		return s.invalid("the monotonic clock went backwards")
	}
	return nil
}

// clockSlack is by how much the time of day may be set back while a program
// runs before its snapshots are said to be from the future.
const clockSlack = time.Minute

func (s *Snapshot) checkTime(now time.Time) error {
	if s.Wall.After(now.Add(clockSlack)) {
		return s.invalid("it was taken in the future, at " + s.Wall.Format(time.RFC3339))
	}
	return nil
}

// ErrInvalid is in the chain of every error that says that a snapshot is not to
// be trusted.
var ErrInvalid = errors.New("snapshot: invalid")

type invalidError struct{ msg string }

func (e *invalidError) Error() string { return e.msg }
func (e *invalidError) Unwrap() error { return ErrInvalid }

func (s *Snapshot) invalid(why string) error {
	return &invalidError{"snapshot " + strconv.FormatUint(s.Seq, 10) + " is invalid: " + why}
}
