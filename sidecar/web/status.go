package web

import (
	"time"

	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sidecar/bob"
)

// A Source tells what the sidecar knows. It is asked once for each request and
// must answer quickly, from memory; it is safe for concurrent use.
type Source interface {
	Status() Status
}

// A Status is what /api/v1/status tells and the first page draws. Times are in
// seconds, hashes in display order. Its JSON field names are a contract:
// fields are added, never renamed.
type Status struct {
	// Version is the program's.
	Version string `json:"version"`
	// Started is when the program began to run.
	Started time.Time `json:"started"`
	// Network is the chain's name as Bitcoin Core has it; empty until the node
	// has told it.
	Network string `json:"network"`
	// Node is the node that the sidecar rides beside.
	Node Node `json:"node"`
	// Tip is the last block of the chain that the sidecar has followed and
	// judged; nil until there is one.
	Tip *BlockID `json:"tip"`
	// AtTip says that the sidecar has caught up with the node and follows it
	// block by block. A block that is just being judged does not make it false.
	AtTip bool `json:"at_tip"`
	// Agreement compares the sidecar's verdicts with the node's.
	Agreement Agreement `json:"agreement"`
	// Blocks are the last blocks that joined the best chain, newest first. The
	// page shows at most 20.
	Blocks []Block `json:"blocks"`
	// Mempool is the sidecar's copy of the node's mempool.
	Mempool Mempool `json:"mempool"`
	// Disconnected counts the blocks that left the best chain since the start.
	Disconnected uint64 `json:"disconnected_blocks"`
	// DemoRelay is the Bitcoin relay of the demo; absent elsewhere, and before there
	// is one.
	DemoRelay *DemoRelay `json:"demo_relay,omitempty"`
	// Advice is what to add to the node's configuration, the most useful first.
	// It does not change what the sidecar can tell, but how soon it does, and
	// what that costs the node.
	Advice []Advice `json:"advice"`
	// Signatures says which code verifies signatures.
	Signatures Signatures `json:"signatures"`
	// Evidence says what is kept of verdicts that differed.
	Evidence Evidence `json:"evidence"`
	// UTXO says what is held of the coins.
	UTXO UTXO `json:"utxo"`
	// BOB says where the L2 and its Bitcoin relay are; nil unless they are watched.
	BOB *bob.Status `json:"bob"`
	// BitVM says what is known of the bridges that are watched; nil if none is.
	BitVM *bitvm.Status `json:"bitvm"`
}

// UTXO says what is held of the unspent transaction outputs.
type UTXO struct {
	// Mode is cache or full; empty before there is one.
	Mode string `json:"mode"`
	// Problem says in a sentence why there is no full mode though there is a
	// database; empty when there is nothing to say.
	Problem string `json:"problem"`
	// Coins counts them, in full mode.
	Coins uint64 `json:"coins"`
	// Compared is the last comparison with the node's; nil before the first.
	Compared *Comparison `json:"compared"`
}

// A Comparison is one of the MuHash of all coins with the node's.
type Comparison struct {
	At time.Time `json:"at"`
	// The block as of which they were compared.
	BlockID
	Outcome Outcome `json:"outcome"`
	// MuHash is the sidecar's hash, Node the node's, in display order.
	MuHash string `json:"muhash"`
	Node   string `json:"node_muhash"`
	// First is, if they differ, the first block as of which they do: exactly, or
	// the first of those that are known.
	First   *BlockID `json:"first"`
	Exactly bool     `json:"exactly"`
}

// Evidence says what is kept on disk of verdicts that differed from the node's.
type Evidence struct {
	// Directory is where; empty before there is one.
	Directory string `json:"directory"`
	Bundles   int    `json:"bundles"`
	Bytes     int64  `json:"bytes"`
	// Failures counts the bundles that could not be written since the start.
	Failures uint64 `json:"failures"`
}

// Signatures says which code verifies signatures, and why that.
type Signatures struct {
	// Path is lane, scalar or decred; empty before there was anything to verify.
	Path string `json:"path"`
	// Reason says in a sentence why it is taken.
	Reason string `json:"reason"`
}

// An Advice is a change to the node's configuration that helps the sidecar.
type Advice struct {
	// Setting is a line of the node's configuration file, or the name of a
	// setting to look at; empty when there is nothing to set.
	Setting string `json:"setting"`
	// Reason says in a sentence what it is good for.
	Reason string `json:"reason"`
}

// A DemoRelay is where the demo's Bitcoin relay is beside its network.
type DemoRelay struct {
	// ChainID is of the Ethereum chain that the relay is on, RPC where that answers
	// JSON-RPC, and Address the contract's.
	ChainID uint64 `json:"chain_id"`
	RPC     string `json:"rpc"`
	Address string `json:"address"`
	// BlockID is the best header that the relay has.
	BlockID
	// BitcoinHeight is that of the network's tip, and Behind how many blocks of its
	// chain the relay has not.
	BitcoinHeight uint32 `json:"bitcoin_height"`
	Behind        uint32 `json:"blocks_behind"`
}

// Ready reports whether the sidecar is attached and has caught up; if not, why.
func (s Status) Ready() (ready bool, why string) {
	switch {
	case !s.Node.Attached && s.Node.Problem != "":
		return false, "not attached to the node: " + s.Node.Problem
	case !s.Node.Attached:
		return false, "not attached to the node"
	case !s.AtTip:
		return false, "catching up with the node's chain"
	}
	return true, ""
}

// A Node is the state of the connection to the node.
type Node struct {
	// Kind is btcd or bitcoind.
	Kind string `json:"kind"`
	// Agent is the name and version that the node tells its peers; empty when
	// it did not say.
	Agent string `json:"agent"`
	// Address is where the node's RPC answers, without credentials.
	Address string `json:"address"`
	// Attached says that the node answers and its notifications arrive.
	Attached bool `json:"attached"`
	// Tip is the node's best block as last heard; nil when never heard.
	Tip *BlockID `json:"tip"`
	// Problem says in a sentence why the node is not attached; empty when it
	// is.
	Problem string `json:"problem"`
}

// A BlockID names a block.
type BlockID struct {
	Height uint32 `json:"height"`
	Hash   string `json:"hash"`
}

// An Outcome is how a verdict of the sidecar compares with the node's.
type Outcome string

// These are the outcomes.
const (
	// Agree: both say valid, or both say invalid.
	Agree Outcome = "agree"
	// Differ: one says valid, the other invalid. This is the alarm.
	Differ Outcome = "differ"
	// Undecided: the sidecar could not tell. A branch that the node calls
	// invalid and that is valid with coins the node supplied is undecided,
	// because the node may know of a missing coin that nobody else can see.
	Undecided Outcome = "undecided"
)

// cannotDetect says in a sentence what a verdict on such coins cannot detect.
func cannotDetect(prevouts string) string {
	if prevouts != "node" {
		return ""
	}
	return "The node supplied spent outputs. That such an output does not exist, is spent already, or has another value, " +
		"script or height than the node says, could not be detected."
}

// Agreement counts the verdicts since the start, by outcome.
type Agreement struct {
	Agree     uint64 `json:"agree"`
	Differ    uint64 `json:"differ"`
	Undecided uint64 `json:"undecided"`
	// Cases are the last verdicts that were not in agreement, newest first.
	Cases []Case `json:"cases"`
}

// Outcome returns the worst outcome so far; "" when nothing was judged.
func (a Agreement) Outcome() Outcome {
	switch {
	case a.Differ > 0:
		return Differ
	case a.Undecided > 0:
		return Undecided
	case a.Agree > 0:
		return Agree
	}
	return ""
}

// A Case is one block whose verdict was not in agreement with the node's.
type Case struct {
	BlockID
	// At is when the sidecar judged it.
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	// Node is the node's verdict, valid or invalid.
	Node string `json:"node"`
	// Rule is the rule that the sidecar found broken, by the name that Bitcoin
	// Core gives it; empty when it found the block valid.
	Rule string `json:"rule"`
	// Detail says where and how the rule was broken, or why the case is
	// undecided.
	Detail string `json:"detail"`
	// Prevouts is whose word the spent coins were: own or node.
	Prevouts string `json:"prevouts"`
	// CannotDetect says what that keeps the verdict from detecting; empty when
	// nothing.
	CannotDetect string `json:"cannot_detect"`
	// Evidence is the directory with what it takes to judge the block again;
	// empty where none is kept.
	Evidence string `json:"evidence"`
}

// A Block is a block of the best chain and what its validation found.
type Block struct {
	BlockID
	// At is when the sidecar judged it.
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	// Rule is the rule that the sidecar found broken; empty for a valid block.
	Rule string `json:"rule"`
	// Prevouts is whose word the spent coins were: own or node.
	Prevouts string `json:"prevouts"`
	// CannotDetect says what that keeps the verdict from detecting; empty when
	// nothing.
	CannotDetect string `json:"cannot_detect"`
	// Unchecked lists the rules that could not be decided.
	Unchecked []string `json:"unchecked"`
	// Transactions and Inputs count the block's, the coinbase's input left
	// out; Signatures counts the signatures that the inputs present.
	Transactions int `json:"transactions"`
	Inputs       int `json:"inputs"`
	Signatures   int `json:"signatures"`
	// Verdict is the time from the notification to the verdict; the others are
	// the stages of the validation.
	Verdict float64 `json:"verdict_seconds"`
	Parse   float64 `json:"parse_seconds"`
	Lookup  float64 `json:"lookup_seconds"`
	Rules   float64 `json:"rules_seconds"`
	Scripts float64 `json:"scripts_seconds"`
}

// Mempool is the state of the sidecar's copy of the node's mempool.
type Mempool struct {
	Transactions int `json:"transactions"`
	// Resyncs counts how often the copy was compared with the node's mempool
	// as a whole, the first time left out.
	Resyncs uint64 `json:"resyncs"`
	// Warming is what is done with it before blocks come.
	Warming Warming `json:"warming"`
}

// Warming counts the mempool's transactions whose scripts are verified before their
// block comes.
type Warming struct {
	// Waiting is how many wait for it.
	Waiting int `json:"waiting"`
	// Verified and Refused are how many succeeded and failed since the start.
	Verified uint64 `json:"verified"`
	Refused  uint64 `json:"refused"`
	// Share is how much of the last block's transactions, without the coinbase, had
	// been verified: 0 to 1.
	Share float64 `json:"last_block_share"`
}
