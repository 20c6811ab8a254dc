package node

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// maxCertificate bounds the file that LoadCertificate reads.
const maxCertificate = 1 << 20

// LoadCertificate reads the certificate of btcd's RPC server, the file rpc.cert
// in btcd's home directory, and returns it in PEM for [BtcdConfig].
func LoadCertificate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no certificate at %s: btcd writes rpc.cert into its home directory at its first start; give the path of that file", path)
	case err != nil:
		return nil, fmt.Errorf("certificate: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("certificate: %s is a directory: give the path of the file rpc.cert", path)
	case info.Size() > maxCertificate:
		return nil, fmt.Errorf("certificate: %s has %d bytes, too many for a certificate", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("certificate: %w: let the sidecar's user read it, or give it a copy: rpc.cert is not secret", err)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if _, err := certPool(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// certPool returns the certificates in data as the only roots to trust.
func certPool(data []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, errors.New("certificate: this is the private key: give rpc.cert, not rpc.key")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("certificate: there is none in PEM form: give btcd's rpc.cert as it is")
	}
	return pool, nil
}
