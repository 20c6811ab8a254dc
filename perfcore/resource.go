package perfcore

import "fmt"

// A ResourceType is what a knob trades in and what a target is set for. It is
// comparable; its zero value is no resource.
type ResourceType uint64

// These are the resources that every program has.
const (
	CPU ResourceType = iota + 1
	Memory
	Disk
	Network
	Database
	Cache
)

const custom ResourceType = 1 << 32

var resourceNames = [...]string{
	CPU: "cpu", Memory: "memory", Disk: "disk", Network: "network", Database: "database", Cache: "cache",
}

// Custom returns the resource that a component numbers id.
func Custom(id uint32) ResourceType { return custom | ResourceType(id) }

// CustomID returns the number that Custom was given, and whether r is custom.
func (r ResourceType) CustomID() (id uint32, ok bool) { return uint32(r), r>>32 == 1 }

// IsValid reports whether r is one of the constants or custom.
func (r ResourceType) IsValid() bool { return r >= CPU && r <= Cache || r>>32 == 1 }

// String returns the resource's name in lower case; custom(7) for a custom one.
func (r ResourceType) String() string {
	if id, ok := r.CustomID(); ok {
		return fmt.Sprintf("custom(%d)", id)
	}
	if r.IsValid() {
		return resourceNames[r]
	}
	return fmt.Sprintf("resource(%d)", uint64(r))
}

// ParseResourceType returns the resource that String calls s.
func ParseResourceType(s string) (ResourceType, error) {
	for r := CPU; r <= Cache; r++ {
		if s == resourceNames[r] {
			return r, nil
		}
	}
	var id uint32
	if n, err := fmt.Sscanf(s, "custom(%d)", &id); n == 1 && err == nil && Custom(id).String() == s {
		return Custom(id), nil
	}
	return 0, fmt.Errorf("there is no resource %.40q", s)
}
