package zmq

// A Gap says that the counter of a topic did not go up by one: notifications
// were lost, doubled or reordered, or the publisher started anew.
type Gap struct {
	Topic string
	// Expected is what would have followed the last notification, Got what
	// came.
	Expected, Got uint32
}

// Missed returns how many notifications are missing if some were lost. If the
// counter went back, by less than half its range, that is not known and ok is
// false.
func (g Gap) Missed() (n uint32, ok bool) {
	n = g.Got - g.Expected
	return n, n < 1<<31
}

// counters follows the counters of the topics of one address. It outlives
// connections, so that what was published in between is found missing.
type counters map[string]uint32 // topic to the expected counter

// follow notes that a notification came, and reports the gap before it. The
// first notification of a topic may have any counter.
func (c counters) follow(n *Notification) (Gap, bool) {
	expected, known := c[n.Topic]
	c[n.Topic] = n.Counter + 1
	return Gap{n.Topic, expected, n.Counter}, known && n.Counter != expected
}
