// Package zmq reads the notifications that bitcoind publishes by ZeroMQ
// (-zmqpubhashblock, -zmqpubrawblock, -zmqpubhashtx, -zmqpubrawtx and
// -zmqpubsequence; Core's doc/zmq.md).
//
// Run keeps one address subscribed: it connects, resolving the name afresh each
// time, subscribes, watches over the connection with heartbeats, and says on a
// channel what happens: Connected, Lost, Failed, a Notification, and a Gap where
// a counter shows that notifications are missing. An address of bitcoind is a
// socket of its own, so a program runs one Run for each.
//
// ZeroMQ loses messages by design: a publisher drops what exceeds its high-water
// mark, and what is published while nobody is connected. What this package can
// see, it reports. It cannot see what was lost behind the last notification of a
// topic, nor that a notifier has died: that takes a look at the node now and
// then (getbestblockhash, getzmqnotifications). Between Lost and Connected
// anything may have happened.
//
// It speaks ZMTP 3.1 and 3.0 with the NULL mechanism as a SUB socket
// (https://rfc.zeromq.org/spec/37/ and /spec/23/), and nothing else of ZeroMQ. No
// library is used: libzmq needs cgo, and gozmq, lnd's client for bitcoind, has no
// heartbeats, reconnects after EOF alone, and to the address that it resolved
// first.
package zmq
