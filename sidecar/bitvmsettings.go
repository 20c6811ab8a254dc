package sidecar

import (
	"errors"
	"strings"
)

// bitvmSettings are those of bridges to watch.
func bitvmSettings() []Setting {
	return []Setting{
		{Name: "bitvm-instances", Help: "JSON `files`, separated by commas, each of a peg-out of a BitVM bridge to watch: its graph, transaction ids and scripts; off is none (default: off)", set: func(c *Config, v string) error {
			if c.BitVM.Instances = nil; v == "off" {
				return nil
			}
			for path := range strings.SplitSeq(v, ",") {
				if path == "" {
					return errors.New("must be off or paths of files, separated by commas")
				}
				c.BitVM.Instances = append(c.BitVM.Instances, path)
			}
			return nil
		}},
		{Name: "bitvm-key", Help: "`file` of the verifying key of the circuit whose proofs the operators of these bridges commit to, as arkworks or gnark writes it, or as contracts have it; without one claims are told of, and not verified", set: text(func(c *Config) *string { return &c.BitVM.Key })},
	}
}
