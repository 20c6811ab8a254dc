package endpoint

import (
	"strings"
	"time"
)

// A class is a group of methods that cost alike. Latency is measured for each.
type class string

// These are the classes.
const (
	classHead  class = "head"  // one small thing about the tip
	classRead  class = "read"  // one thing of a block or a state
	classBlock class = "block" // whole blocks, receipts and proofs
	classLogs  class = "logs"
	classCall  class = "call" // the node executes
	classTrace class = "trace"
	classSend  class = "send"
	classOther class = "other" // what is not known to be a read
)

var classes = []class{classHead, classRead, classBlock, classLogs, classCall, classTrace, classSend, classOther}

// A method is what a call of it may cost, and what its answer means.
type method struct {
	class class
	// read says that a call changes nothing, so that it may be repeated.
	read bool
	// nullable says that null is the answer for a thing that is not there.
	nullable bool
}

// methods are those that are known; a method that is not among them is treated as a send.
var methods = map[string]method{
	"eth_blockNumber":          {classHead, true, false},
	"eth_chainId":              {classHead, true, false},
	"eth_syncing":              {classHead, true, false},
	"eth_gasPrice":             {classHead, true, false},
	"eth_maxPriorityFeePerGas": {classHead, true, false},
	"eth_blobBaseFee":          {classHead, true, false},
	"eth_feeHistory":           {classRead, true, false},
	"eth_config":               {classHead, true, false},
	"net_version":              {classHead, true, false},
	"net_peerCount":            {classHead, true, false},
	"web3_clientVersion":       {classHead, true, false},
	"txpool_status":            {classHead, true, false},
	"optimism_syncStatus":      {classHead, true, false},
	"optimism_version":         {classHead, true, false},
	"optimism_rollupConfig":    {classHead, true, false},

	"optimism_outputAtBlock":     {classRead, true, false},
	"optimism_safeHeadAtL1Block": {classRead, true, false},
	"opp2p_peerStats":            {classRead, true, false},

	"eth_getBalance":                          {classRead, true, false},
	"eth_getCode":                             {classRead, true, false},
	"eth_getStorageAt":                        {classRead, true, false},
	"eth_getTransactionCount":                 {classRead, true, false},
	"eth_getTransactionByHash":                {classRead, true, true},
	"eth_getTransactionReceipt":               {classRead, true, true},
	"eth_getTransactionByBlockHashAndIndex":   {classRead, true, true},
	"eth_getTransactionByBlockNumberAndIndex": {classRead, true, true},
	"eth_getBlockTransactionCountByHash":      {classRead, true, true},
	"eth_getBlockTransactionCountByNumber":    {classRead, true, true},

	"eth_getBlockByHash":    {classBlock, true, true},
	"eth_getBlockByNumber":  {classBlock, true, true},
	"eth_getHeaderByHash":   {classRead, true, true},
	"eth_getHeaderByNumber": {classRead, true, true},
	"eth_getBlockReceipts":  {classBlock, true, true},
	"eth_getProof":          {classBlock, true, false},
	"debug_getRawBlock":     {classBlock, true, false},
	"debug_getRawHeader":    {classRead, true, false},
	"debug_getRawReceipts":  {classBlock, true, false},
	"eth_getLogs":           {classLogs, true, false},

	"eth_call":             {classCall, true, false},
	"eth_estimateGas":      {classCall, true, false},
	"eth_createAccessList": {classCall, true, false},
	"eth_simulateV1":       {classCall, true, false},

	"debug_traceTransaction":   {classTrace, true, false},
	"debug_traceBlockByHash":   {classTrace, true, false},
	"debug_traceBlockByNumber": {classTrace, true, false},
	"debug_traceCall":          {classTrace, true, false},
}

// methodOf returns what is known of a method.
func methodOf(name string) method {
	if m, ok := methods[name]; ok {
		return m
	}
	if strings.HasPrefix(name, "eth_send") {
		return method{class: classSend}
	}
	return method{class: classOther}
}

// limits are the time and the bytes of one call of a class.
func (c class) limits() (timeout time.Duration, bytes int64) {
	switch c {
	case classHead:
		return 5 * time.Second, 1 << 20
	case classBlock:
		return 15 * time.Second, 64 << 20
	case classLogs, classTrace:
		return 30 * time.Second, 128 << 20
	case classCall:
		return 15 * time.Second, 16 << 20
	}
	return 10 * time.Second, 4 << 20
}
