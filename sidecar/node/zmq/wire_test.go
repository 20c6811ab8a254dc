package zmq

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestReadHeader(t *testing.T) {
	for _, c := range []struct {
		wire string
		want header
		err  string // "" for none
	}{
		{"\x00\x00", header{0, 0}, ""},
		{"\x01\xff", header{flagMore, 255}, ""},
		{"\x04\x05", header{flagCommand, 5}, ""},
		{"\x02\x00\x00\x00\x00\x00\x00\x01\x00", header{flagLong, 256}, ""},
		{"\x03\x00\x00\x00\x00\x00\x00\x00\x01", header{flagLong | flagMore, 1}, ""},
		{"\x06\x7f\xff\xff\xff\xff\xff\xff\xff", header{flagLong | flagCommand, 1<<63 - 1}, ""},
		{"\x02\x80\x00\x00\x00\x00\x00\x00\x00", header{}, "9223372036854775808 bytes"},
		{"\x05\x00", header{}, "several frames"},
		{"\x08\x00", header{}, "reserved"},
		{"\x80\x00", header{}, "reserved"},
		{"\x00", header{}, io.ErrUnexpectedEOF.Error()},
		{"\x02\x00\x00\x00\x00\x00\x00\x00", header{}, io.ErrUnexpectedEOF.Error()},
		{"", header{}, io.EOF.Error()},
	} {
		got, err := readHeader(bufio.NewReader(strings.NewReader(c.wire)))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %+v, %v, want %+v, %q", c.wire, got, err, c.want, c.err)
		}
	}
}

func TestReadBody(t *testing.T) {
	whole := make([]byte, 4*firstPiece+1)
	for i := range whole {
		whole[i] = byte(i * 7)
	}
	for _, size := range []int{0, 1, firstPiece - 1, firstPiece, firstPiece + 1, 2 * firstPiece, len(whole)} {
		got, err := readBody(bytes.NewReader(whole), size)
		if err != nil || !bytes.Equal(got, whole[:size]) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		if size == 0 {
			continue
		}
		if _, err := readBody(bytes.NewReader(whole[:size-1]), size); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes of %d: %v", size-1, size, err)
		}
	}
}

// TestReadBodyBelievesNothing announces much and sends little.
func TestReadBodyBelievesNothing(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readBody(strings.NewReader("little"), 1<<30); err != io.ErrUnexpectedEOF {
		t.Errorf("error %v", err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 2*firstPiece {
		t.Errorf("%d bytes were allocated for 6", used)
	}
}

func TestReadGreeting(t *testing.T) {
	good := string(appendGreeting(nil))
	if len(good) != greetingSize {
		t.Fatalf("our greeting has %d bytes", len(good))
	}
	with := func(at int, s string) string { return good[:at] + s + good[at+len(s):] }
	for _, c := range []struct {
		name, wire string
		want       version
		err        string
	}{
		{"ours", good, version{3, 1}, ""},
		{"3.0", with(11, "\x00"), version{3, 0}, ""},
		{"padding of libzmq", with(1, "\x00\x00\x00\x00\x00\x00\x00\x01"), version{3, 1}, ""},
		{"to come", with(10, "\x04\x00"), version{4, 0}, ""},
		{"filler", with(63, "x"), version{3, 1}, ""},
		{"2.0", with(10, "\x01\x02")[:12], version{}, "older than 3.0"},
		{"PLAIN", with(12, "PLAIN"), version{}, "PLAIN"},
		{"NULLX", with(12, "NULLX"), version{}, "NULLX"},
		{"CURVE", with(12, "CURVE"), version{}, "CURVE"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", version{}, "does not greet"},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", version{}, "does not greet"},
		{"end of signature", with(9, "\x00"), version{}, "does not greet"},
	} {
		got, err := readGreeting(strings.NewReader(c.wire))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %v, want %v, %q", c.name, got, err, c.want, c.err)
		}
	}
	for n := range greetingSize {
		if _, err := readGreeting(strings.NewReader(good[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if (version{3, 0}).commands() || !(version{3, 1}).commands() || !(version{4, 0}).commands() {
		t.Error("the versions that know commands are wrong")
	}
}

func TestCheckHandshake(t *testing.T) {
	property := func(name, value string) string {
		b := append([]byte{byte(len(name))}, name...)
		return string(append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...))
	}
	for _, c := range []struct {
		name, body, err string
	}{
		{"PUB", "\x05READY" + property("Socket-Type", "PUB"), ""},
		{"XPUB, and more", "\x05READY" + property("Identity", "") + property("socket-type", "XPUB") + property("X-a", "b"), ""},
		{"no properties", "\x05READY", ""},
		{"a subscriber", "\x05READY" + property("Socket-Type", "SUB"), `"SUB"`},
		{"nameless property", "\x05READY\x00\x00\x00\x00\x00", "malformed property"},
		{"no size", "\x05READY\x01a\x00\x00\x00", "malformed property"},
		{"no value", "\x05READY\x01a\x00\x00\x00\x01", "malformed property"},
		{"vast value", "\x05READY\x01a\xff\xff\xff\xffb", "malformed property"},
		{"refusal", "\x05ERROR\x0aInvalid \"\x01", errRefused.Error() + `: "Invalid \"\x01"`},
		{"bad refusal", "\x05ERROR\x0bInvalid", "malformed ERROR"},
		{"empty refusal", "\x05ERROR", "malformed ERROR"},
		{"other", "\x05HELLO", `"HELLO" in place of READY`},
		{"none", "", "without a name"},
		{"nameless", "\x00READY", "without a name"},
		{"cut", "\x06READY", "without a name"},
	} {
		err := checkHandshake([]byte(c.body))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}

// TestEncodings compares what we say with the bytes of the specification.
func TestEncodings(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ got, want string }{
		{string(appendReady(nil)), "\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"},
		{string(appendSubscribe(nil, version{3, 1}, "rawtx")), "\x04\x0f\x09SUBSCRIBErawtx"},
		{string(appendSubscribe(nil, version{3, 0}, "rawtx")), "\x00\x06\x01rawtx"},
		{string(appendPing(nil, 15*time.Second)), "\x04\x07\x04PING\x00\x96"},
		{string(appendPing(nil, time.Hour)), "\x04\x07\x04PING\x02\x8a"},
		{string(appendCommand(nil, "PONG", []byte("context"))), "\x04\x0c\x04PONGcontext"},
		{string(appendFrame(nil, flagMore, []byte(long))), "\x03\x00\x00\x00\x00\x00\x00\x01\x00" + long},
		{string(appendFrame(nil, 0, []byte(long[1:]))), "\x00\xff" + long[1:]},
	} {
		if c.got != c.want {
			t.Errorf("% x, want % x", c.got, c.want)
		}
	}
}

// streams are what publishers say after the handshake: the seeds of FuzzStream.
var streams = map[string]string{
	"rawtx":        "\x01\x05rawtx\x01\x03abc\x00\x04\x01\x00\x00\x00",
	"long frames":  "\x03\x00\x00\x00\x00\x00\x00\x00\x05rawtx\x03\x00\x00\x00\x00\x00\x00\x00\x01a\x02\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00",
	"ping within":  "\x01\x05rawtx\x04\x0a\x04PING\x00\x00abc\x01\x00\x04\x05\x04PONG\x00\x04\x01\x00\x00\x00",
	"other topic":  "\x01\x06rawtx2\x01\x01a\x00\x00",
	"skipped":      "\x01\x06rawtx2\x01\x01a\x00\x04\x01\x00\x00\x00\x01\x05rawtx\x01\x00\x00\x04\xff\xff\xff\xff",
	"huge":         "\x01\x05rawtx\x03\x00\x00\x00\x00\x7f\xff\xff\xffabc",
	"four parts":   "\x01\x05rawtx\x01\x01a\x01\x04\x01\x00\x00\x00\x00\x00",
	"refusal":      "\x04\x09\x05ERROR\x02no",
	"bad sequence": "\x01\x08sequence\x01\x01a\x00\x04\x01\x00\x00\x00",
}

// FuzzStream reads what may come after the handshake. Nothing may panic or use
// more memory than came, and what is taken for a notification must be one: it
// occurs in the stream, in three frames.
func FuzzStream(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s))
	}
	o, err := Options{Address: "tcp://127.0.0.1:1", Topics: Topics(), MaxBody: 1 << 20}.complete()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		conn := &memConn{wire: bytes.NewReader(stream)}
		c := newConn(conn, &o)
		for {
			n, err := c.receive()
			if err != nil {
				break
			}
			if err := n.check(); err != nil {
				t.Errorf("notification %+v: %v", n, err)
			}
			counter := binary.LittleEndian.AppendUint32(nil, n.Counter)
			for _, part := range [][]byte{[]byte(n.Topic), n.Body, counter} {
				if !bytes.Contains(stream, part) {
					t.Errorf("% x was not sent", part)
				}
			}
		}
		if conn.written.Len() > len(stream) {
			t.Errorf("%d bytes were said to %d", conn.written.Len(), len(stream))
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add(appendGreeting(nil))
	f.Add([]byte("HTTP/1.1 400 Bad Request"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		v, err := readGreeting(bytes.NewReader(wire))
		if err == nil && (v.major < 3 || len(wire) < greetingSize || wire[0] != 0xff) {
			t.Errorf("% x is taken for a greeting", wire)
		}
	})
}

func FuzzHandshakeCommand(f *testing.F) {
	f.Add([]byte("\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"))
	f.Add([]byte("\x05ERROR\x02no"))
	f.Add([]byte("\x04PING\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkHandshake(body) == nil && !bytes.HasPrefix(body, []byte("\x05READY")) {
			t.Errorf("% x is taken for READY", body)
		}
		name, data, err := splitCommand(body)
		if err == nil && !bytes.Equal(body, append(append([]byte{byte(len(name))}, name...), data...)) {
			t.Errorf("% x is split into %q and % x", body, name, data)
		}
		if context, err := pingContext(data); err == nil && len(context) > maxContext {
			t.Errorf("a context of %d bytes is accepted", len(context))
		}
	})
}
