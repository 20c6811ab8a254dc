package relay

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// These bound a HeadersFile.
const (
	maxFile    = 16 << 20
	maxHeaders = 100_000
)

// A FileHeader is a header in a HeadersFile.
type FileHeader struct {
	// Raw is the serialised header; nil if the file has only its digest.
	Raw    []byte
	Digest chainhash.Hash
	// Height is 0 if the file does not tell.
	Height uint64
}

// UnmarshalJSON reads an object with the header in "hex" or "raw", its digest in
// internal byte order in "digest_le" or "hash", its "height", and perhaps "prevhash"
// and "merkle_root", in that order too. Hexadecimal digits may begin with 0x. What the
// header says itself must agree with the rest.
func (h *FileHeader) UnmarshalJSON(data []byte) error {
	var file struct {
		Hex, Raw, Hash, Prevhash string
		Digest                   string `json:"digest_le"`
		MerkleRoot               string `json:"merkle_root"`
		Height                   uint64
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	digest, err := fileBytes(file.Digest+file.Hash, 32)
	if err != nil {
		return fmt.Errorf("the digest of a header: %w", err)
	}
	raw, err := fileBytes(file.Hex+file.Raw, header.Size)
	if err != nil {
		return fmt.Errorf("a header: %w", err)
	}
	*h = FileHeader{Raw: raw, Height: file.Height}
	switch {
	case raw == nil && digest == nil:
		return fmt.Errorf("a header has neither bytes nor a digest")
	case raw == nil:
		h.Digest = chainhash.Hash(digest)
		return nil
	}
	h.Digest = hash256(raw)
	for _, field := range []struct {
		name, stated string
		is           []byte
	}{
		{"digest", file.Digest + file.Hash, h.Digest[:]},
		{"prevhash", file.Prevhash, raw[4:36]},
		{"merkle_root", file.MerkleRoot, raw[36:68]},
	} {
		stated, err := fileBytes(field.stated, 32)
		if err != nil {
			return fmt.Errorf("the %s of header %s: %w", field.name, h.Digest, err)
		}
		if stated != nil && string(stated) != string(field.is) {
			return fmt.Errorf("the %s of header %s is %x, not %x", field.name, h.Digest, field.is, stated)
		}
	}
	return nil
}

// fileBytes decodes so many bytes in hexadecimal; nil if the text is empty.
func fileBytes(text string, size int) ([]byte, error) {
	text = strings.TrimPrefix(text, "0x")
	if text == "" {
		return nil, nil
	}
	if len(text) != 2*size {
		return nil, fmt.Errorf("%d hexadecimal digits, want %d", len(text), 2*size)
	}
	return hex.DecodeString(text)
}

// A HeadersFile is a chain of headers, and others that a relay is to be shown after
// it: orphans, and what is no header of Bitcoin at all.
type HeadersFile struct {
	// PeriodStart is the first header of the period that Genesis is in.
	PeriodStart FileHeader
	// Genesis is where the relay begins, and Chain what follows it.
	Genesis FileHeader
	Chain   []FileHeader
	// Others are in the order of the file.
	Others []NamedHeader
}

// A NamedHeader is one of a HeadersFile's others.
type NamedHeader struct {
	Name string
	FileHeader
}

// ParseHeadersFile reads a JSON object with the headers "genesis", "chain" (or
// "preRetargetChain" and "postRetargetChain"), "oldPeriodStart" (or
// "fakePeriodStartHeader", or "epochStart") and any others. The headers of the chain
// must have the heights that follow the genesis header's.
func ParseHeadersFile(data []byte) (*HeadersFile, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are read", len(data), maxFile)
	}
	fields, err := orderedFields(data)
	if err != nil {
		return nil, fmt.Errorf("the file is no object of headers: %w", err)
	}
	f := &HeadersFile{}
	for _, field := range fields {
		var err error
		switch field.name {
		case "genesis":
			err = json.Unmarshal(field.value, &f.Genesis)
		case "oldPeriodStart", "fakePeriodStartHeader", "epochStart":
			err = json.Unmarshal(field.value, &f.PeriodStart)
		case "chain", "preRetargetChain", "postRetargetChain":
			var part []FileHeader
			err = json.Unmarshal(field.value, &part)
			f.Chain = append(f.Chain, part...)
		default:
			other := NamedHeader{Name: field.name}
			err = json.Unmarshal(field.value, &other.FileHeader)
			f.Others = append(f.Others, other)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field.name, err)
		}
	}
	return f, f.check()
}

// check reports whether there is a chain, and its heights are consecutive.
func (f *HeadersFile) check() error {
	if f.Genesis.Raw == nil {
		return fmt.Errorf("the file has no genesis header")
	}
	if len(f.Chain) == 0 || len(f.Chain) > maxHeaders {
		return fmt.Errorf("the file has a chain of %d headers, want 1 to %d", len(f.Chain), maxHeaders)
	}
	for i, h := range f.Chain {
		if h.Raw == nil {
			return fmt.Errorf("header %s of the chain has no bytes", h.Digest)
		}
		if want := f.Genesis.Height + 1 + uint64(i); h.Height != want {
			return fmt.Errorf("header %s of the chain has height %d, want %d", h.Digest, h.Height, want)
		}
	}
	for _, other := range f.Others {
		if other.Raw == nil {
			return fmt.Errorf("%s has no bytes", other.Name)
		}
	}
	return nil
}

type field struct {
	name  string
	value json.RawMessage
}

// orderedFields returns the fields of a JSON object as they come.
func orderedFields(data []byte) ([]field, error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("it begins with %v, %w", start, orUnexpected(err))
	}
	var fields []field
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: name.(string)} // a name is a string, or there is an error
		if err := dec.Decode(&f.value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	_, err := dec.Token()
	return fields, err
}

// orUnexpected returns err, or that something else was expected.
func orUnexpected(err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("not with an object")
}
