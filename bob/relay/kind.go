package relay

// A Kind is which contract a relay is.
type Kind string

// These are the kinds.
const (
	KindFull           Kind = "full"
	KindFullWithVerify Kind = "full-verify"
	KindLight          Kind = "light"
)

// Kinds are all kinds.
var Kinds = []Kind{KindFull, KindFullWithVerify, KindLight}
