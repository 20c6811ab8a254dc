package heap

// A resident tells which of the bytes that the process has in no file are not Go's.
type resident struct {
	all int64 // as of the last reading
	gos int64 // of them, Go's at most
}

// late is the part of what Go has released, and has not left the process, that is taken
// for somebody else's with each reading: half of it in a minute and a half of readings
// every two seconds.
const late = 1.0 / 64

// others returns how many of all bytes are not Go's, which has mapped used bytes and not
// released them.
//
// What Go has released is its own until it has left the process, or for minutes: a kernel
// may take pages back later (MADV_FREE), and huge pages put them back. Were it counted as
// others', a limit would fall by what Go gives back for it, have Go give back more, and
// fall again.
func (r *resident) others(all, used int64) int64 {
	r.gos -= max(r.all-all, 0) // what left was Go's, if Go has released anything
	r.gos -= int64(late * float64(max(r.gos-used, 0)))
	r.gos = max(r.gos, used)
	r.all = all
	return max(all-r.gos, 0)
}
