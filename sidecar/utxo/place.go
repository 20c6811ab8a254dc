package utxo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A Place is where a coin database lies: in the folder coins, in one of its
// network, in the data directory.
type Place struct {
	// Datadir is Outrider's data directory.
	Datadir string
	// Network is the chain as CheckNetwork returns it. Empty means the snapshot's
	// for Load, and otherwise the one of which there is a database.
	Network string
}

// A network is a chain and the first bytes of its messages, which a snapshot has
// too.
type network struct {
	name  string
	magic wire.BitcoinNet
}

var networks = []network{
	{"main", wire.MainNet}, {"test", wire.TestNet3}, {"testnet4", wire.TestNet4},
	{"signet", wire.SigNet}, {"regtest", wire.TestNet}, {"simnet", wire.SimNet},
}

// CheckNetwork returns the name of a chain as Bitcoin Core has it. It takes
// mainnet, testnet and testnet3 for main and test, as the settings do.
func CheckNetwork(name string) (string, error) {
	switch name {
	case "mainnet":
		name = "main"
	case "testnet", "testnet3":
		name = "test"
	}
	var names []string
	for _, n := range networks {
		if n.name == name {
			return name, nil
		}
		names = append(names, n.name)
	}
	return "", fmt.Errorf("%q: must be one of %s", name, strings.Join(names, ", "))
}

func nameOf(magic wire.BitcoinNet) (string, error) {
	for _, n := range networks {
		if n.magic == magic {
			return n.name, nil
		}
	}
	return "", fmt.Errorf("the snapshot is of a network that is not known here, with the magic %08x", uint32(magic))
}

// dir returns the folder of the database, Network being set.
func (p Place) dir() string { return filepath.Join(p.Datadir, p.Network, "coins") }

// find sets Network, if it is empty, to the one of which there is a database. It
// returns an error unless there is one.
func (p *Place) find() error {
	if p.Network != "" {
		if _, err := os.Stat(p.dir()); err != nil {
			return p.absent(err)
		}
		return nil
	}
	var there []string
	for _, n := range networks {
		if _, err := os.Stat((Place{p.Datadir, n.name}).dir()); err == nil {
			there = append(there, n.name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch len(there) {
	case 0:
		return p.absent(fs.ErrNotExist)
	case 1:
		p.Network = there[0]
		return nil
	default:
		return fmt.Errorf("%s has coin databases of %s: say with --network which one", p.Datadir, strings.Join(there, " and "))
	}
}

func (p *Place) absent(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	of := ""
	if p.Network != "" {
		of = " of " + p.Network
	}
	return fmt.Errorf("there is no coin database%s in %s: `outrider utxo load --snapshot FILE --datadir %s` makes one from a snapshot", of, p.Datadir, p.Datadir)
}

// Exists reports whether a database lies at p, whose Network is set.
func (p Place) Exists() (bool, error) {
	_, err := os.Stat(p.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Open opens the database at p, whose Network is set, and makes one if there is
// none. The caller closes it. An error of it says what to do, by Advise.
func (p Place) Open(o coindb.Options) (*coindb.DB, error) {
	db, err := coindb.Open(p.dir(), o)
	return db, p.Advise(err)
}

// use opens the database of p, calls f and closes it.
func (p *Place) use(f func(*coindb.DB) error) error {
	if err := p.find(); err != nil {
		return err
	}
	db, err := p.Open(coindb.Options{})
	if err != nil {
		return err
	}
	return p.Advise(errors.Join(f(db), db.Close()))
}

// view calls f with the coins as of the tip.
func view(db *coindb.DB, f func(*coindb.View) error) error {
	v, err := db.View()
	if err != nil {
		return err
	}
	return errors.Join(f(v), v.Close())
}

// Advise returns err, with what to do about it where that is known.
func (p Place) Advise(err error) error {
	var advice string
	at := fmt.Sprintf("--network %s --datadir %s", p.Network, p.Datadir)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, coindb.ErrLocked):
		advice = "another process has the coin database open: stop the sidecar, or the other `outrider utxo`, and try again; a sidecar that runs answers for single coins at /api/v1/coins/TXID:VOUT"
	case errors.Is(err, coindb.ErrLoading):
		advice = "run `outrider utxo load` with the same snapshot again to go on with the load, or with --fresh to begin anew"
	case errors.Is(err, coindb.ErrNoTip):
		advice = "nothing is loaded yet: run `outrider utxo load --snapshot FILE " + at + "`"
	case errors.Is(err, coindb.ErrReload), errors.Is(err, coindb.ErrCorrupt):
		advice = "run `outrider utxo verify --check " + at + "` to see what is damaged, the same with --repair to remove it where that is no coin, " +
			"or load a snapshot again with `outrider utxo load --fresh`"
	case errors.Is(err, coindb.ErrDiskFull):
		advice = "nothing is lost: make room, and run the same command again"
	case errors.Is(err, coindb.ErrNoIndex):
		advice = "run `outrider utxo index build " + at + "`"
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, advice)
}

// remove removes the database of p, which nobody may have open, and what a load
// keeps beside it. It is gone at once, however long its files take.
func (p *Place) remove() error {
	dir := p.dir()
	doomed, err := filepath.Glob(dir + ".removed-*")
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		db, err := coindb.Open(dir, coindb.Options{})
		switch {
		case errors.Is(err, coindb.ErrLocked):
			return p.Advise(err)
		case err == nil:
			if err := db.Close(); err != nil {
				return err
			}
		}
		to, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".removed-")
		if err != nil {
			return err
		}
		if err := os.Rename(dir, filepath.Join(to, "coins")); err != nil {
			return err
		}
		doomed = append(doomed, to)
	}
	if err := os.Remove(p.journalPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range slices.Compact(doomed) {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}

// journalPath is where Load keeps its journal until it has finished.
func (p *Place) journalPath() string { return p.dir() + ".load" }
