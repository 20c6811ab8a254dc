// Package bob answers questions about BOB, the hybrid L2: from files, what its Bitcoin relays
// would do with headers; and from its nodes and a Bitcoin node, where relay and heads are,
// what transactions cost, and what is wrong.
package bob

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
)

// maxHeadersFile bounds the file that Replay reads, in bytes.
const maxHeadersFile = 64 << 20

// CheckHeaders verifies the serialised headers in the file at path, 80 bytes each, of
// which the first is that at height from of the named network's chain. What is wrong
// with a header is in the report; an error says that the file could not be read, or
// that there is no such network.
func CheckHeaders(path, network string, from uint32) (*headers.Report, error) {
	params, err := header.For(network)
	if err != nil {
		return nil, err
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return headers.VerifyFile(f, params, from, time.Now())
}

// Replay shows the headers in the file at path, which is as [relay.ParseHeadersFile]
// takes it, to a model of a relay, whose kind is full or light. That it reverts is in
// the report; an error says that the file is of no use.
func Replay(path, kind string) (*relay.ReplayReport, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHeadersFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxHeadersFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxHeadersFile)
	}
	parsed, err := relay.ParseHeadersFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return relay.Replay(kind, parsed)
}

// open opens a file, and unpacks it if its name ends in .zst.
func open(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || !strings.HasSuffix(path, ".zst") {
		return f, err
	}
	d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxHeadersFile))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacked{d, f}, nil
}

// An unpacked is a file that is read unpacked.
type unpacked struct {
	*zstd.Decoder
	file *os.File
}

// Close closes the file.
func (u *unpacked) Close() error {
	u.Decoder.Close()
	return u.file.Close()
}

// CheckNetwork returns an error that names the networks if this is none of them.
func CheckNetwork(name string) error {
	_, err := header.For(name)
	return err
}

// CheckKind returns an error if the model of a relay is of no such kind.
func CheckKind(kind string) error {
	if kind != "full" && kind != "light" {
		return errors.New("must be full or light")
	}
	return nil
}
