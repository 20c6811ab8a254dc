package node

import (
	"bytes"
	"errors"
)

// A jsonScan walks through JSON, which encoding/json has found valid, without
// building anything of it: of an answer with megabytes a few fields are of use.
// Of what is not JSON it makes errJSON, or something that it is not. Keys are
// compared as they are written, without escapes.
type jsonScan struct {
	data []byte
	at   int
}

var errJSON = errors.New("not the JSON that is expected")

// space skips white space and returns the byte after it; 0 at the end.
func (d *jsonScan) space() byte {
	for d.at < len(d.data) {
		switch c := d.data[d.at]; c {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return c
		}
	}
	return 0
}

// take skips white space and then c, and reports whether it was there.
func (d *jsonScan) take(c byte) bool {
	if d.space() != c {
		return false
	}
	d.at++
	return true
}

// object calls member with each key of the object that is next; member reads
// its value.
func (d *jsonScan) object(member func(key []byte) error) error {
	if !d.take('{') {
		return errJSON
	}
	if d.take('}') {
		return nil
	}
	for {
		if d.space() != '"' {
			return errJSON
		}
		key, err := d.scalar()
		if err != nil {
			return err
		}
		if !d.take(':') {
			return errJSON
		}
		if err := member(key[1 : len(key)-1]); err != nil {
			return err
		}
		if d.take('}') {
			return nil
		}
		if !d.take(',') {
			return errJSON
		}
	}
}

// array calls element before each element of the array that is next; element
// reads it.
func (d *jsonScan) array(element func() error) error {
	if !d.take('[') {
		return errJSON
	}
	if d.take(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if d.take(']') {
			return nil
		}
		if !d.take(',') {
			return errJSON
		}
	}
}

// scalar returns the string, with its quotes, the number or the literal that is
// next, as it is written.
func (d *jsonScan) scalar() ([]byte, error) {
	first := d.space()
	from := d.at
	switch first {
	case 0, '{', '[', '}', ']', ',', ':':
		return nil, errJSON
	case '"':
		if !d.skipString() {
			return nil, errJSON
		}
		return d.data[from:d.at], nil
	}
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\n', '\r', ',', ']', '}', ':', '"', '{', '[':
			return d.data[from:d.at], nil
		}
		d.at++
	}
	return d.data[from:d.at], nil
}

// skipString skips the string that begins here, and reports whether it ends.
func (d *jsonScan) skipString() bool {
	d.at++
	for {
		i := bytes.IndexByte(d.data[d.at:], '"')
		if i < 0 {
			return false
		}
		end := d.at + i
		escapes := 0
		for escapes < i && d.data[end-1-escapes] == '\\' {
			escapes++
		}
		d.at = end + 1
		if escapes%2 == 0 {
			return true
		}
	}
}

// skip skips the value that is next.
func (d *jsonScan) skip() error {
	if c := d.space(); c != '{' && c != '[' {
		_, err := d.scalar()
		return err
	}
	depth := 0
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case '"':
			if !d.skipString() {
				return errJSON
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		d.at++
		if depth == 0 {
			return nil
		}
	}
	return errJSON
}
