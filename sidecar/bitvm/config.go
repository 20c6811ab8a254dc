package bitvm

import (
	"context"
	"errors"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/watch"
)

// A Config says which bridges are watched.
type Config struct {
	// Instances are files of instances; none watches nothing.
	Instances []string
	// Key is the file of the verifying key of their circuit, in any form that
	// "outrider bitvm assertion" takes; empty leaves claims undecided.
	Key string
	// Claims judges claims by that key, as a [claim.Verifier] does, which several may
	// share; nil judges them on the goroutine that watches.
	Claims func(context.Context, *claim.Claim) (claim.Verdict, error)
}

// Enabled reports whether there is something to watch.
func (c *Config) Enabled() bool { return len(c.Instances) > 0 }

// Check returns every mistake that only the whole shows.
func (c *Config) Check() error {
	if c.Key != "" && !c.Enabled() {
		return errors.New("bitvm-key: there is a key and no bridge to watch; set bitvm-instances")
	}
	return nil
}

// load reads the instances, which must be on one network, and the judge.
func (c *Config) load() ([]*watch.Instance, watch.Judge, error) {
	var list []*watch.Instance
	var errs []error
	for _, path := range c.Instances {
		data, err := read(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		in, err := watch.DecodeInstance(data)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		}
		if list = append(list, in); in.Network != list[0].Network {
			errs = append(errs, fmt.Errorf("%s is on network %s, and %s on %s", path, in.Network, c.Instances[0], list[0].Network))
		}
	}
	key, err := c.judge()
	return list, key, errors.Join(append(errs, err)...)
}

// judge returns who judges claims; nil if there is no key.
func (c *Config) judge() (watch.Judge, error) {
	if c.Key == "" {
		return nil, nil
	}
	data, err := read(c.Key)
	if err != nil {
		return nil, err
	}
	vk, err := decodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Key, err)
	}
	key, err := assertion.Prepare(vk)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Key, err)
	}
	j := judge{vk, c.Claims}
	if j.verify == nil {
		j.verify = func(ctx context.Context, cl *claim.Claim) (claim.Verdict, error) { return claim.Judge(ctx, key, cl) }
	}
	return j, nil
}
