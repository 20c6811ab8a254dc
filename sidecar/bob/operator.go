package bob

import (
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"time"

	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/submit"
	"github.com/outrider-project/outrider/bob/signer"
)

// An Operator is who tells a relay of Bitcoin's headers, and what it may cost. The zero
// value sends nothing.
type Operator struct {
	// Multicall is a Multicall3; zero if there is none.
	Multicall planner.Address
	// MaxFee and DailySpend are in wei; nil if nobody has set them.
	MaxFee, DailySpend *big.Int
	// Keystore is the path of a keystore file, whose passphrase is in the file
	// Passphrase or is read from PassphraseFD; 0 is none.
	Keystore, Passphrase string
	PassphraseFD         uintptr
	// Signer is the address of a remote signer, which signs for Account by
	// SignerMethod. Account is needed with it only.
	Signer, SignerMethod string
	Account              planner.Address
	// Journal is the path of the journal; "" is one below the data directory.
	Journal string
	// Poll is how long to wait between two looks, where no notification comes (0: 1 s).
	Poll time.Duration
}

// mistakes returns what keeps a relay from being planned for, each with the setting's name.
func (c *Config) mistakes() error {
	var errs []error
	if len(c.Execution) == 0 {
		errs = append(errs, errors.New("OUTRIDER_BOB_L2: name the nodes of the chain that the relay is on"))
	}
	if !c.WatchesRelay() {
		errs = append(errs, errors.New("bob-relay: name the relay's address"))
	}
	return errors.Join(errs...)
}

// sender returns the account that pays, zero if it is not known without a passphrase.
func (c *Config) sender() planner.Address { return c.Account }

// openSigner returns what signs. The error names what to set.
func (c *Config) openSigner() (signer.Signer, error) {
	switch {
	case c.Signer != "" && c.Keystore != "":
		return nil, errors.New("bob-keystore, OUTRIDER_BOB_SIGNER: set one of them")
	case c.Signer != "":
		if c.Account == (planner.Address{}) {
			return nil, errors.New("bob-account: name the account that the remote signer signs for")
		}
		return signer.OpenRemote(c.Signer, c.SignerMethod, c.Account)
	case c.Keystore == "":
		return nil, errors.New("bob-keystore: name a keystore file, or a remote signer (OUTRIDER_BOB_SIGNER)")
	case c.Passphrase != "" && c.PassphraseFD != 0:
		return nil, errors.New("bob-passphrase-file, bob-passphrase-fd: set one of them")
	}
	var passphrase []byte
	var err error
	switch {
	case c.Passphrase != "":
		passphrase, err = signer.ReadPassphrase(c.Passphrase)
	case c.PassphraseFD != 0:
		passphrase, err = signer.ReadPassphraseFrom(c.PassphraseFD)
	default:
		err = errors.New("bob-passphrase-file: name a file with the keystore's passphrase, or a descriptor (bob-passphrase-fd)")
	}
	if err != nil {
		return nil, err
	}
	k, err := signer.OpenKeystore(c.Keystore, passphrase)
	if err != nil {
		return nil, err
	}
	if c.Account != (planner.Address{}) && c.Account != k.Address() {
		return nil, fmt.Errorf("bob-account: the keystore is of %v", k.Address())
	}
	return k, nil
}

// limits returns what the operator allows.
func (c *Config) limits() submit.Limits {
	return submit.Limits{ChainID: c.ChainID, MaxFee: c.MaxFee, DailySpend: c.DailySpend}
}

// journal returns the path of an account's journal.
func (c *Config) journal(datadir string, account planner.Address) string {
	if c.Journal != "" {
		return c.Journal
	}
	return filepath.Join(datadir, "bob", fmt.Sprintf("%d-%s.journal", c.chain(), strings.ToLower(account.Hex())))
}
