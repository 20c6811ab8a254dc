package sidecar

import (
	"math"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/submit"
	"github.com/outrider-project/outrider/bob/signer"
	"github.com/outrider-project/outrider/sidecar/bob"
)

// bobSettings are those of a relay contract on BOB and of who tells it. No key and no
// passphrase is among them: only where they are.
func bobSettings() []Setting {
	address := func(field func(*bob.Config) *planner.Address) func(*Config, string) error {
		return func(c *Config, v string) (err error) {
			*field(&c.BOB), err = submit.ParseAddress(v)
			return err
		}
	}
	return []Setting{
		{Name: "bob-l2", Secret: true, Help: "`addresses` of BOB's execution clients, separated by commas, http or https, each with a name before it if it is to have one (mine=http://127.0.0.1:8545); with one, or an op-node, the sidecar watches BOB; off is none (default: off)", set: nodesOfBOB("l2", func(c *Config) *[]endpoint.Endpoint { return &c.BOB.Execution })},
		{Name: "bob-op-node", Secret: true, Help: "`addresses` of BOB's op-nodes, likewise, in the order of their execution clients; off is none (default: off)", set: nodesOfBOB("op-node", func(c *Config) *[]endpoint.Endpoint { return &c.BOB.OpNodes })},
		{Name: "bob-l1", Secret: true, Help: "`addresses` of execution clients of Ethereum, likewise: with them the sidecar compares what BOB's blocks say of Ethereum, finality and fees, with Ethereum; off is none (default: off)", set: nodesOfBOB("l1", func(c *Config) *[]endpoint.Endpoint { return &c.BOB.L1 })},
		{Name: "bob-l1-chain-id", Help: "the `number` of the chain that those must be of (default: 1, or 11155111 for BOB Sepolia)", set: number(func(c *Config, n int64) { c.BOB.L1ChainID = uint64(n) }, 1, math.MaxInt64)},
		{Name: "bob-chain-id", Help: "the `number` of the chain that they must be of: 60808 is BOB, 808813 BOB Sepolia (default: 60808, and nothing is sent)", set: number(func(c *Config, n int64) { c.BOB.ChainID = uint64(n) }, 1, math.MaxInt64)},
		{Name: "bob-relay", Help: "`address` of the Bitcoin relay to watch; BOB's light relay is 0x9fe7ef727da3d79e0308ff43f31ea1d077ee9f41; off is none (default: off)", set: func(c *Config, v string) (err error) {
			if c.BOB.Relay = (relay.Address{}); v == "off" {
				return nil
			}
			c.BOB.Relay, err = bob.ParseAddress(v)
			return err
		}},
		{Name: "bob-relay-kind", Help: "the `kind` of that relay: full, full-verify, light", set: func(c *Config, v string) (err error) {
			c.BOB.Kind, err = bob.ParseKind(v)
			return err
		}},
		{Name: "bob-confirmations", Help: "the `number` of headers on top that proofs ask for, for which outages are foreseen (default: 6)", set: number(func(c *Config, n int64) { c.BOB.Confirmations = uint8(n) }, 1, 255)},
		{Name: "bob-multicall", Help: "`address` of Multicall3, so that one transaction adds and marks; off does without (default: 0xcA11bde05977b3631167028862bE2a173976CA11)", set: func(c *Config, v string) (err error) {
			if c.BOB.Multicall = (planner.Address{}); v != "off" {
				c.BOB.Multicall, err = submit.ParseAddress(v)
			}
			return err
		}},
		{Name: "bob-max-fee", Help: "the most that a transaction may offer for each gas, an `amount` of wei such as 5000000 or 0.005gwei; nothing is sent without it", set: func(c *Config, v string) (err error) {
			c.BOB.MaxFee, err = submit.ParseWei(v)
			return err
		}},
		{Name: "bob-daily-spend", Help: "the most that all transactions may cost in any 24 hours, fees of L1 and the operator included, an `amount` of wei such as 0.002ether; nothing is sent without it", set: func(c *Config, v string) (err error) {
			c.BOB.DailySpend, err = submit.ParseWei(v)
			return err
		}},
		{Name: "bob-keystore", Help: "keystore `file` of go-ethereum's format with the key that signs", set: text(func(c *Config) *string { return &c.BOB.Keystore })},
		{Name: "bob-passphrase-file", Help: "`file` that holds the keystore's passphrase, and that nobody else may read", set: text(func(c *Config) *string { return &c.BOB.Passphrase })},
		{Name: "bob-passphrase-fd", Help: "`number` of an open descriptor to read the passphrase from", set: number(func(c *Config, n int64) { c.BOB.PassphraseFD = uintptr(n) }, 3, 1<<20)},
		{Name: "bob-signer", Secret: true, Help: "address of a remote signer that keeps the key, by https, or by http on this machine", set: text(func(c *Config) *string { return &c.BOB.Signer })},
		{Name: "bob-signer-method", Help: "`method` by which it signs: eth_signTransaction (web3signer), account_signTransaction (clef) (default: eth_signTransaction)", set: oneOf(func(c *Config) *string { return &c.BOB.SignerMethod }, signer.Web3Signer, signer.Clef)},
		{Name: "bob-account", Help: "`address` of the account that pays: a remote signer's, or the one that a plan is made for without a key", set: address(func(c *bob.Config) *planner.Address { return &c.Account })},
		{Name: "bob-journal", Help: "`file` of what was sent and spent (default: one for each account below datadir)", set: text(func(c *Config) *string { return &c.BOB.Journal })},
		{Name: "bob-submit-poll", Help: "how often who tells the relay looks, where no block of Bitcoin is notified, a `duration` (default: 1s)", set: interval(func(c *Config) *time.Duration { return &c.BOB.Poll })},
	}
}
