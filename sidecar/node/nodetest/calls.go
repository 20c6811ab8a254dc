package nodetest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// maxHeaders is how many headers getheaders returns at most.
const maxHeaders = 2000

// call runs one method and returns its result as btcd does.
func (b *Btcd) call(req *btcjson.Request) (any, *btcjson.RPCError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[req.Method]++
	cmd, err := btcjson.UnmarshalCmd(req)
	if jerr, ok := errors.AsType[btcjson.Error](err); ok && jerr.ErrorCode == btcjson.ErrUnregisteredMethod {
		return nil, btcjson.ErrRPCMethodNotFound
	}
	if err != nil {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidParams.Code, err.Error())
	}
	switch c := cmd.(type) {
	case *btcjson.GetCurrentNetCmd:
		return wire.BitcoinNet(chaincfg.RegressionNetParams.Net), nil
	case *btcjson.GetInfoCmd:
		return btcjson.InfoChainResult{Version: 260200}, nil
	case *btcjson.GetBestBlockCmd:
		return btcjson.GetBestBlockResult{Hash: b.best.hash.String(), Height: b.best.height}, nil
	case *btcjson.GetBlockHashCmd:
		if c.Index < 0 || c.Index > int64(b.best.height) {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCOutOfRange, "Block number out of range")
		}
		return b.best.ancestor(int(int64(b.best.height) - c.Index)).hash.String(), nil
	case *btcjson.GetHeadersCmd:
		return b.getHeaders(c)
	case *btcjson.GetBlockHeaderCmd:
		return b.getBlockHeader(c)
	case *btcjson.GetBlockCmd:
		return b.getBlock(c)
	case *btcjson.GetChainTipsCmd:
		return b.getChainTips(), nil
	case *btcjson.GetRawMempoolCmd:
		txids := []string{}
		for txid := range b.mempool {
			txids = append(txids, txid.String())
		}
		return txids, nil
	case *btcjson.GetRawTransactionCmd:
		return b.getRawTransaction(c)
	case *btcjson.GetTxOutCmd:
		return b.getTxOut(c)
	}
	return nil, btcjson.ErrRPCMethodNotFound
}

func notHex(s string) *btcjson.RPCError {
	return btcjson.NewRPCError(btcjson.ErrRPCDecodeHexString,
		fmt.Sprintf("Argument must be hexadecimal string (not %q)", s))
}

func blockNotFound() *btcjson.RPCError {
	return btcjson.NewRPCError(btcjson.ErrRPCBlockNotFound, "Block not found")
}

func (b *Tree) inBestChain(blk *block) bool {
	if blk == nil || blk.height > b.best.height {
		return false
	}
	return b.best.ancestor(int(b.best.height-blk.height)) == blk
}

func (b *Btcd) getHeaders(c *btcjson.GetHeadersCmd) (any, *btcjson.RPCError) {
	if len(c.BlockLocators) == 0 {
		return []string{}, nil
	}
	var start *block
	for _, s := range c.BlockLocators {
		hash, err := chainhash.NewHashFromStr(s)
		if err != nil {
			return nil, notHex(s)
		}
		if blk := b.blocks[*hash]; start == nil && b.inBestChain(blk) {
			start = blk
		}
	}
	if start == nil {
		start = b.best.ancestor(int(b.best.height))
	}
	headers := []string{}
	last := b.best
	if surplus := int(b.best.height-start.height) - maxHeaders; surplus > 0 {
		last = last.ancestor(surplus)
	}
	for blk := last; blk != start; blk = blk.parent {
		headers = append(headers, headerHex(blk))
	}
	slices.Reverse(headers)
	return headers, nil
}

func headerHex(blk *block) string {
	var buf bytes.Buffer
	if err := blk.msg.Header.Serialize(&buf); err != nil {
		panic(fmt.Sprintf("nodetest: serialize a header: %v", err))
	}
	return hex.EncodeToString(buf.Bytes())
}

func (b *Btcd) getBlockHeader(c *btcjson.GetBlockHeaderCmd) (any, *btcjson.RPCError) {
	hash, err := chainhash.NewHashFromStr(c.Hash)
	if err != nil {
		return nil, notHex(c.Hash)
	}
	blk := b.blocks[*hash]
	switch {
	case blk == nil:
		return nil, blockNotFound()
	case c.Verbose != nil && !*c.Verbose:
		return headerHex(blk), nil
	case !b.inBestChain(blk):
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInternal.Code,
			fmt.Sprintf("block %s is not in the main chain", hash))
	}
	var next string
	if blk != b.best {
		next = b.best.ancestor(int(b.best.height - blk.height - 1)).hash.String()
	}
	h := blk.msg.Header
	return btcjson.GetBlockHeaderVerboseResult{
		Hash:          c.Hash,
		Confirmations: int64(1 + b.best.height - blk.height),
		Height:        blk.height,
		Version:       h.Version,
		VersionHex:    fmt.Sprintf("%08x", h.Version),
		MerkleRoot:    h.MerkleRoot.String(),
		Time:          h.Timestamp.Unix(),
		Nonce:         uint64(h.Nonce),
		Bits:          fmt.Sprintf("%x", h.Bits),
		Difficulty:    1,
		PreviousHash:  h.PrevBlock.String(),
		NextHash:      next,
	}, nil
}

func (b *Btcd) getBlock(c *btcjson.GetBlockCmd) (any, *btcjson.RPCError) {
	hash, err := chainhash.NewHashFromStr(c.Hash)
	if err != nil {
		return nil, notHex(c.Hash)
	}
	blk := b.blocks[*hash]
	if blk == nil || blk.status == HeadersOnly {
		return nil, blockNotFound()
	}
	if c.Verbosity == nil || *c.Verbosity != 0 {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCInternal.Code, "nodetest: getblock knows verbosity 0 only")
	}
	return hex.EncodeToString(blk.raw), nil
}

// getChainTips returns the inactive tips in the order in which the node learnt
// of them, and the best block last.
func (b *Btcd) getChainTips() []btcjson.GetChainTipsResult {
	parents := make(map[*block]bool)
	for _, blk := range b.blocks {
		parents[blk.parent] = true
	}
	var tips []*block
	for _, blk := range b.blocks {
		if !parents[blk] && blk != b.best {
			tips = append(tips, blk)
		}
	}
	slices.SortFunc(tips, func(x, y *block) int { return cmp.Compare(x.seen, y.seen) })
	results := []btcjson.GetChainTipsResult{}
	for _, tip := range tips {
		fork := tip
		for !b.inBestChain(fork) {
			fork = fork.parent
		}
		status := tip.status
		if status == Refused {
			status = Invalid
		}
		results = append(results, btcjson.GetChainTipsResult{
			Height: tip.height, Hash: tip.hash.String(),
			BranchLen: tip.height - fork.height, Status: string(status),
		})
	}
	return append(results, btcjson.GetChainTipsResult{
		Height: b.best.height, Hash: b.best.hash.String(), Status: "active",
	})
}

func (b *Btcd) getRawTransaction(c *btcjson.GetRawTransactionCmd) (any, *btcjson.RPCError) {
	txid, err := chainhash.NewHashFromStr(c.Txid)
	if err != nil {
		return nil, notHex(c.Txid)
	}
	verbose := c.Verbose != nil && *c.Verbose != 0
	if tx := b.mempool[*txid]; tx != nil {
		if !verbose {
			return hex.EncodeToString(serializeTx(tx.msg)), nil
		}
		return rawTx(tx.msg), nil
	}
	if b.opts.NoTxIndex {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCNoTxInfo,
			"The transaction index must be enabled to query the blockchain (specify --txindex)")
	}
	for blk := b.best; blk != nil; blk = blk.parent {
		for i, tx := range blk.msg.Transactions {
			if blk.txid(i) != *txid {
				continue
			}
			if !verbose {
				return hex.EncodeToString(serializeTx(tx)), nil
			}
			result := rawTx(tx)
			result.BlockHash = blk.hash.String()
			result.Confirmations = uint64(1 + b.best.height - blk.height)
			result.Time = blk.msg.Header.Timestamp.Unix()
			result.Blocktime = result.Time
			return result, nil
		}
	}
	return nil, btcjson.NewRPCError(btcjson.ErrRPCNoTxInfo,
		fmt.Sprintf("No information available about transaction %v", txid))
}

// getTxOut answers for a coin of the best chain, which the mempool may spend.
func (b *Btcd) getTxOut(c *btcjson.GetTxOutCmd) (any, *btcjson.RPCError) {
	txid, err := chainhash.NewHashFromStr(c.Txid)
	if err != nil {
		return nil, notHex(c.Txid)
	}
	if c.IncludeMempool == nil || *c.IncludeMempool {
		return nil, btcjson.NewRPCError(btcjson.ErrRPCMisc, "nodetest: gettxout is answered without the mempool only")
	}
	op := wire.OutPoint{Hash: *txid, Index: c.Vout}
	for blk := b.best; blk.parent != nil; blk = blk.parent {
		for _, tx := range blk.msg.Transactions {
			if slices.ContainsFunc(tx.TxIn, func(in *wire.TxIn) bool { return in.PreviousOutPoint == op }) {
				return nil, nil
			}
		}
		for i, tx := range blk.msg.Transactions {
			if blk.txid(i) != op.Hash || op.Index >= uint32(len(tx.TxOut)) {
				continue
			}
			out := tx.TxOut[op.Index]
			if txscript.IsUnspendable(out.PkScript) {
				return nil, nil
			}
			return btcjson.GetTxOutResult{
				BestBlock:     b.best.hash.String(),
				Confirmations: int64(1 + b.best.height - blk.height),
				Value:         btcutil.Amount(out.Value).ToBTC(),
				ScriptPubKey:  btcjson.ScriptPubKeyResult{Hex: hex.EncodeToString(out.PkScript)},
				Coinbase:      i == 0,
			}, nil
		}
	}
	return nil, nil
}

// rawTx describes a transaction as getrawtransaction and txacceptedverbose do.
func rawTx(tx *wire.MsgTx) btcjson.TxRawResult {
	util := btcutil.NewTx(tx)
	weight := blockchain.GetTransactionWeight(util)
	return btcjson.TxRawResult{
		Hex:      hex.EncodeToString(serializeTx(tx)),
		Txid:     tx.TxHash().String(),
		Hash:     tx.WitnessHash().String(),
		Size:     int32(tx.SerializeSize()),
		Vsize:    int32((weight + 3) / 4),
		Weight:   int32(weight),
		Version:  uint32(tx.Version),
		LockTime: tx.LockTime,
		Vin:      vins(tx),
		Vout:     vouts(tx),
	}
}

func vins(tx *wire.MsgTx) []btcjson.Vin {
	list := make([]btcjson.Vin, len(tx.TxIn))
	for i, in := range tx.TxIn {
		list[i] = btcjson.Vin{Sequence: in.Sequence, Witness: in.Witness.ToHexStrings()}
		if blockchain.IsCoinBaseTx(tx) {
			list[i].Coinbase = hex.EncodeToString(in.SignatureScript)
			continue
		}
		disassembly, _ := txscript.DisasmString(in.SignatureScript) // marks errors in the text
		list[i].Txid = in.PreviousOutPoint.Hash.String()
		list[i].Vout = in.PreviousOutPoint.Index
		list[i].ScriptSig = &btcjson.ScriptSig{Asm: disassembly, Hex: hex.EncodeToString(in.SignatureScript)}
	}
	return list
}

func vouts(tx *wire.MsgTx) []btcjson.Vout {
	list := make([]btcjson.Vout, len(tx.TxOut))
	for i, out := range tx.TxOut {
		disassembly, _ := txscript.DisasmString(out.PkScript) // marks errors in the text
		class, addrs, sigs, err := txscript.ExtractPkScriptAddrs(out.PkScript, &chaincfg.RegressionNetParams)
		if err != nil {
			class = txscript.NonStandardTy
		}
		spk := btcjson.ScriptPubKeyResult{
			Asm: disassembly, Hex: hex.EncodeToString(out.PkScript), ReqSigs: int32(sigs), Type: class.String(),
		}
		for _, a := range addrs {
			spk.Addresses = append(spk.Addresses, a.EncodeAddress())
		}
		if len(spk.Addresses) == 1 && sigs <= 1 {
			spk.Address = spk.Addresses[0]
		}
		list[i] = btcjson.Vout{Value: btcutil.Amount(out.Value).ToBTC(), N: uint32(i), ScriptPubKey: spk}
	}
	return list
}
