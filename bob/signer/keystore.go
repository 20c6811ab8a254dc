package signer

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// A Keystore signs with the key of a keystore file.
type Keystore struct {
	key     *ecdsa.PrivateKey
	address common.Address
}

const (
	maxKeystore   = 64 << 10
	maxPassphrase = 4 << 10
	// maxScrypt bounds the memory that a key file can ask for, in bytes: go-ethereum's
	// own files ask for 256 MiB.
	maxScrypt = 1 << 30
	// maxRounds bounds the rounds of PBKDF2.
	maxRounds = 1 << 24
)

// OpenKeystore decrypts a keystore file of go-ethereum's format, version 3. It takes some
// memory and about a second: that is what keeps others from guessing the passphrase.
func OpenKeystore(path string, passphrase []byte) (*Keystore, error) {
	data, err := readSecret(path, maxKeystore)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return newKeystore(data, passphrase)
}

// newKeystore decrypts what is in a keystore file. Errors have nothing of it.
func newKeystore(data, passphrase []byte) (*Keystore, error) {
	if err := checkCost(data); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	key, err := decrypt(data, string(passphrase))
	switch {
	case errors.Is(err, keystore.ErrDecrypt):
		return nil, errors.New("keystore: the passphrase is not the file's")
	case err != nil:
		return nil, errors.New("keystore: it is no keystore file of version 3")
	}
	return &Keystore{key.PrivateKey, key.Address}, nil
}

// decrypt is keystore.DecryptKey, which panics at files that lack something.
func decrypt(data []byte, passphrase string) (key *keystore.Key, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it lacks something")
		}
	}()
	return keystore.DecryptKey(data, passphrase)
}

// checkCost refuses a file whose decryption would take more memory or time than any that
// a program made.
func checkCost(data []byte) error {
	var file struct {
		Version int
		Crypto  struct {
			KDF       string
			KDFParams struct{ N, R, P, C, DKLen uint64 }
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return errors.New("it is no JSON object")
	}
	p := file.Crypto.KDFParams
	switch {
	case file.Version != 3:
		return fmt.Errorf("its version is %d, not 3", file.Version)
	case file.Crypto.KDF != "scrypt" && file.Crypto.KDF != "pbkdf2":
		return fmt.Errorf("its key derivation is %.20q, neither scrypt nor pbkdf2", file.Crypto.KDF)
	case p.DKLen != 32:
		return fmt.Errorf("its derived key has %d bytes, not 32", p.DKLen)
	case p.N > maxScrypt || p.R > 1<<10 || p.P > 1<<4 || 128*p.N*p.R > maxScrypt || p.C > maxRounds:
		return errors.New("its key derivation asks for more memory or time than is allowed")
	}
	return nil
}

// Address returns the account.
func (k *Keystore) Address() common.Address { return k.address }

// Sign signs a transaction.
func (k *Keystore) Sign(_ context.Context, tx *types.DynamicFeeTx) (*types.Transaction, error) {
	signed, err := types.SignNewTx(k.key, types.LatestSignerForChainID(tx.ChainID), tx)
	if err != nil {
		return nil, err
	}
	return signed, Check(tx, signed, k.address)
}

// String hides the key from those who print a Keystore.
func (k *Keystore) String() string { return "keystore of " + k.address.Hex() }

// GoString hides it too.
func (k *Keystore) GoString() string { return k.String() }

// ReadPassphrase returns the passphrase in a file, without the line's end. On Unix nobody
// but the owner may be able to read the file.
func ReadPassphrase(path string) ([]byte, error) {
	data, err := readSecret(path, maxPassphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return trimLine(data), nil
}

// ReadPassphraseFrom returns what is left to read of a descriptor, which it closes.
func ReadPassphraseFrom(descriptor uintptr) ([]byte, error) {
	f := os.NewFile(descriptor, "passphrase")
	if f == nil {
		return nil, fmt.Errorf("passphrase: %d is no descriptor", descriptor)
	}
	defer f.Close()
	data, err := readAtMost(f, maxPassphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return trimLine(data), nil
}

// trimLine returns a line without its end.
func trimLine(data []byte) []byte {
	if n := len(data); n > 0 && data[n-1] == '\n' {
		data = data[:n-1]
	}
	if n := len(data); n > 0 && data[n-1] == '\r' {
		data = data[:n-1]
	}
	return data
}

// readSecret reads a file that only its owner may be able to read.
func readSecret(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %o): chmod 600", path, mode)
	}
	return readAtMost(f, most)
}

func readAtMost(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("it has more than %d bytes", most)
	}
	return data, nil
}
