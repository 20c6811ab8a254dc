package node

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

func TestLoadCertificate(t *testing.T) {
	good := nodetest.NewBtcd(t, nodetest.BtcdOptions{}).Certificate()
	for _, tt := range []struct {
		name    string
		content []byte // nil: there is no file
		want    string // part of the error; "" when there is none
	}{
		{"good", good, ""},
		{"two", append(bytes.Clone(good), good...), ""},
		{"text around", append([]byte("# btcd\n"), good...), ""},
		{"absent", nil, "rpc.cert into its home directory"},
		{"empty", []byte{}, "none in PEM form"},
		{"DER", []byte{0x30, 0x82, 1, 2}, "none in PEM form"},
		{"key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")}), "not rpc.key"},
		{"certificate and key", append(bytes.Clone(good), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})...), "not rpc.key"},
		{"junk in PEM", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "x509"},
		{"huge", make([]byte, maxCertificate+1), "too many for a certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "rpc.cert")
			if tt.content != nil {
				if err := os.WriteFile(path, tt.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := LoadCertificate(path)
			if tt.want == "" && (err != nil || !bytes.Equal(got, tt.content)) {
				t.Errorf("LoadCertificate = %q, %v", got, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path)) {
				t.Errorf("got error %v, want one about %s that says %q", err, path, tt.want)
			}
		})
	}
	if _, err := LoadCertificate(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: got error %v", err)
	}
}
