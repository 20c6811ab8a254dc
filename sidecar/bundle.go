package sidecar

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/utxocache"
)

// A bundle is the file verdict.json of a bundle of evidence, which
// docs/evidence.md describes. Hashes are in display order. Fields are added,
// and never change their meaning.
type bundle struct {
	Format  int       `json:"format"`
	Written time.Time `json:"written"`
	Network string    `json:"network"`
	// SignetChallenge is the script that the signet's blocks must satisfy, in
	// hexadecimal digits; empty on other networks, and in bundles of the default
	// signet that are older than the field.
	SignetChallenge string `json:"signet_challenge"`
	// Height and Hash are of the block that the difference is about.
	Height uint32 `json:"height"`
	Hash   string `json:"hash"`
	// Reason says in a sentence what the difference is.
	Reason   string        `json:"reason"`
	Node     bundleNode    `json:"node"`
	Outrider bundleVerdict `json:"outrider"`
	// Again is the verdict on this very bundle, once it was written.
	Again    bundleAgain    `json:"again"`
	Versions bundleVersions `json:"versions"`
	// Blocks are the blocks that were judged, in ascending order; the last one
	// judged is the one at Height.
	Blocks []bundleBlock `json:"blocks"`
	// JudgeAgain are commands that judge the bundle again.
	JudgeAgain []string `json:"judge_again"`
}

// bundleFormat is the number of the format.
const bundleFormat = 1

// A bundleNode is the node's side.
type bundleNode struct {
	Kind    string `json:"kind"`
	Agent   string `json:"agent"`
	Verdict string `json:"verdict"`
	// Said is how the node told its verdict. A node gives no reason for it.
	Said string `json:"said"`
}

// A bundleVerdict is a verdict of the sidecar.
type bundleVerdict struct {
	Verdict string `json:"verdict"`
	Rule    string `json:"rule"`
	// Transaction and Input are the place in the block; null where the rule is
	// about none.
	Transaction *int     `json:"transaction"`
	Input       *int     `json:"input"`
	Detail      string   `json:"detail"`
	Prevouts    string   `json:"prevouts"`
	Unchecked   []string `json:"unchecked"`
}

// A bundleAgain is the verdict on a bundle, judged again.
type bundleAgain struct {
	bundleVerdict
	// Same says that it is the one that raised the alarm: verdict, rule and
	// place.
	Same bool `json:"same"`
	// Failure says why there is none, or none yet; empty if there is one.
	Failure string `json:"failure"`
}

// bundleVersions says what judged.
type bundleVersions struct {
	Outrider string `json:"outrider"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	// Signatures is the path that verified signatures.
	Signatures string `json:"signatures"`
}

// A bundleBlock is a block of a bundle.
type bundleBlock struct {
	Height uint32 `json:"height"`
	Hash   string `json:"hash"`
	Header string `json:"header"`
	// Block and Spent are the files with the body and with what it spends;
	// empty if there is none.
	Block string `json:"block"`
	Spent string `json:"spent"`
	// MedianTimePast is that of the parent, in Unix seconds; null if it is not
	// known.
	MedianTimePast *uint32 `json:"median_time_past"`
	// TimeTaken says that the block's time was held against the clock before.
	TimeTaken   bool     `json:"time_taken"`
	ScriptFlags []string `json:"script_flags"`
	// Repeated are outputs of the block that were unspent before it (BIP30), at
	// most maxRepeated; RepeatedKnown says that there are no others.
	Repeated      []string `json:"repeated"`
	RepeatedKnown bool     `json:"repeated_known"`
	// LeftOut says what is missing of the evidence, and why.
	LeftOut []string `json:"left_out"`
}

// These bound what a bundle holds and what is read of one.
const (
	maxRepeated = 16
	maxDetail   = 2000      // bytes of a sentence
	maxVerdict  = 1 << 20   // of verdict.json
	maxBody     = 4_000_000 // of a block: MAX_BLOCK_SERIALIZED_SIZE
	maxHeaders  = 16 << 20  // of headers.json
	// maxSpent is how much "outrider bench block" reads, too.
	maxSpent = 64 << 20
)

// These are the names of a bundle's files.
const (
	verdictFile = "verdict.json"
	headersFile = "headers.json.zst"
)

func blockFile(height uint32) string { return fmt.Sprintf("%d.block.zst", height) }
func spentFile(height uint32) string { return fmt.Sprintf("%d.spent.json.zst", height) }

// params returns what the rules take from the bundle's network.
func (b *bundle) params() (*blockval.Params, error) {
	p, err := blockval.ParamsFor(b.Network)
	if err != nil || b.SignetChallenge == "" {
		return p, err
	}
	challenge, err := blockval.ParseSignetChallenge(b.SignetChallenge)
	if err != nil {
		return nil, fmt.Errorf("%s: signet_challenge %w", verdictFile, err)
	}
	return p, p.SetSignetChallenge(challenge)
}

// benchCommand returns the command that judges a block of the bundle again by its
// files.
func (b *bundle) benchCommand(bb *bundleBlock) string {
	which := "--network " + b.Network
	if b.SignetChallenge != "" {
		which += " --signet-challenge " + b.SignetChallenge
	}
	return fmt.Sprintf("outrider bench block %s --height %d --block %s --spent %s", which, bb.Height, bb.Block, bb.Spent)
}

// verdictOf returns v in a bundle's form.
func verdictOf(v *blockval.Verdict) bundleVerdict {
	b := bundleVerdict{Verdict: nodeVerdict(v.Valid()), Prevouts: string(v.Prevouts), Unchecked: ruleNames(v.Unchecked)}
	if v.Err != nil {
		b.Rule, b.Detail = string(v.Err.Rule), cut(v.Err.Detail)
		b.Transaction, b.Input = place(v.Err.Tx), place(v.Err.Input)
	}
	return b
}

func place(i int) *int {
	if i < 0 {
		return nil
	}
	return &i
}

// same reports whether two verdicts are one: on validity, rule and place.
func (v *bundleVerdict) same(w *bundleVerdict) bool {
	return v.Verdict == w.Verdict && v.Rule == w.Rule &&
		equal(v.Transaction, w.Transaction) && equal(v.Input, w.Input)
}

func equal(a, b *int) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// cut returns at most maxDetail bytes of s.
func cut(s string) string {
	if len(s) > maxDetail {
		return s[:maxDetail] + "…"
	}
	return s
}

// describe returns an exhibit as verdict.json has it, as far as it is known
// without its files.
func describe(x *exhibit, p *blockval.Params) bundleBlock {
	b := bundleBlock{
		Height: x.Height, Hash: x.Hash.String(), Header: hex.EncodeToString(x.header[:]),
		TimeTaken: x.taken, ScriptFlags: p.ScriptFlags(x.Hash, x.Height).Names(),
		Repeated: []string{}, RepeatedKnown: x.told.knew, LeftOut: []string{},
	}
	if x.Height > 0 {
		if median, err := header.MedianTimePast(x.ancestors, x.Height-1); err == nil {
			b.MedianTimePast = &median
		}
	}
	for _, op := range x.told.unspent[:min(len(x.told.unspent), maxRepeated)] {
		b.Repeated = append(b.Repeated, op.String())
	}
	return b
}

// A spentJSON is an element of a file of spent outputs, in the form that
// "outrider bench block" reads, and more.
type spentJSON struct {
	TxOut    txOutJSON `json:"txout"`
	Coinbase bool      `json:"is_coinbase"`
	Height   uint32    `json:"creation_height"`
	Time     uint32    `json:"creation_time"`
	// OutPoint is the output's; Word whose word it is, own or node, or block
	// for one that the block itself made.
	OutPoint string `json:"outpoint"`
	Word     string `json:"word"`
	// Missing says that there is no such coin. Its value is -1 then, which no
	// coin has.
	Missing bool `json:"missing"`
}

type txOutJSON struct {
	Value  int64  `json:"value"`
	Script string `json:"script_pubkey"`
}

// wordBlock is the word of the block itself.
const wordBlock = "block"

// spentOf returns what the exhibit's block spends as a file has it, or why not,
// if that is too much. It is empty if the block was refused before it was asked.
func spentOf(x *exhibit) (content []byte, why string) {
	list := []spentCoin{}
	if b, err := blockval.Parse(x.raw); err == nil && len(b.Msg.Transactions) > 0 {
		if all, ok := x.told.spends(b); ok {
			list = all
		}
	}
	var buf bytes.Buffer
	buf.WriteString("[\n")
	for i := range list {
		if i > 0 {
			buf.WriteString(",\n")
		}
		line, err := json.Marshal(list[i].json(x))
		if err != nil {
			panic("sidecar: a spent output has no JSON: " + err.Error())
		}
		if buf.Write(line); buf.Len() > maxSpent-4 {
			return nil, fmt.Sprintf("it has more than %d bytes", maxSpent)
		}
	}
	buf.WriteString("\n]\n")
	return buf.Bytes(), ""
}

// json returns what an input of the exhibit spends as a file has it.
func (s *spentCoin) json(x *exhibit) spentJSON {
	coin := &s.answer.Coin
	j := spentJSON{
		TxOut:    txOutJSON{Value: coin.Value, Script: hex.EncodeToString(coin.Script)},
		Coinbase: coin.Coinbase, Height: coin.Height, OutPoint: s.op.String(), Word: string(word(&s.answer)),
		Missing: s.answer.State != utxocache.Unspent,
	}
	switch {
	case s.made:
		j.Word, j.Height, j.Time = wordBlock, x.Height, x.header.Time()
	case j.Missing:
		j.TxOut.Value = -1
	default:
		if hdr, err := x.ancestors.At(j.Height); err == nil {
			j.Time = hdr.Time()
		}
	}
	return j
}

// testimony returns what verdict.json and a file of spent outputs say of a
// block's coins.
func (b *bundleBlock) testimony(spent []byte) (testimony, error) {
	t := testimony{knew: b.RepeatedKnown}
	for _, s := range b.Repeated {
		op, err := wire.NewOutPointFromString(s)
		if err != nil {
			return t, fmt.Errorf("repeated output %.100q: %w", s, err)
		}
		t.unspent = append(t.unspent, *op)
	}
	var list []spentJSON
	if err := decodeJSON(spent, &list); err != nil {
		return t, err
	}
	for i := range list {
		s := &list[i]
		if s.Word == wordBlock {
			continue
		}
		op, err := wire.NewOutPointFromString(s.OutPoint)
		if err != nil {
			return t, fmt.Errorf("spent output %d: outpoint: %w", i, err)
		}
		script, err := hex.DecodeString(s.TxOut.Script)
		if err != nil {
			return t, fmt.Errorf("spent output %d: script_pubkey: %w", i, err)
		}
		a := utxocache.Answer{State: utxocache.Absent, Own: s.Word == string(blockval.Own)}
		if !s.Missing {
			a.State = utxocache.Unspent
			a.Coin = utxocache.Coin{Value: s.TxOut.Value, Script: script, Height: s.Height, Coinbase: s.Coinbase}
		}
		t.ops, t.answers = append(t.ops, *op), append(t.answers, a)
	}
	return t, nil
}

// decodeJSON decodes one JSON value and refuses anything after it.
func decodeJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode JSON: there is more after the value")
	}
	return nil
}

// A headerJSON is an element of headers.json.
type headerJSON struct {
	Height uint32 `json:"height"`
	Header string `json:"header"`
}

// headersOf returns headers as a file has them, by ascending height, or why
// not, if they are too many.
func headersOf(headers keptHeaders) (content []byte, why string) {
	var buf bytes.Buffer
	buf.WriteString("[\n")
	for i, height := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			buf.WriteString(",\n")
		}
		hdr := headers[height]
		buf.WriteString(`{"height": ` + strconv.FormatUint(uint64(height), 10) + `, "header": "` + hex.EncodeToString(hdr[:]) + `"}`)
		if buf.Len() > maxHeaders-4 {
			return nil, fmt.Sprintf("it has more than %d bytes", maxHeaders)
		}
	}
	buf.WriteString("\n]\n")
	return buf.Bytes(), ""
}

// decodeHeaders reads what headersOf wrote.
func decodeHeaders(data []byte) (keptHeaders, error) {
	var list []headerJSON
	if err := decodeJSON(data, &list); err != nil {
		return nil, err
	}
	headers := make(keptHeaders, len(list))
	for _, h := range list {
		hdr, err := decodeHeader(h.Header)
		if err != nil {
			return nil, fmt.Errorf("header %d: %w", h.Height, err)
		}
		headers[h.Height] = hdr
	}
	return headers, nil
}

func decodeHeader(s string) (hdr header.Header, err error) {
	if len(s) != 2*header.Size {
		return hdr, fmt.Errorf("%d digits, want %d", len(s), 2*header.Size)
	}
	_, err = hex.Decode(hdr[:], []byte(s))
	return hdr, err
}

// exhibits returns the blocks of the bundle in root, ready to be judged. Reading many
// takes seconds, and ends with ctx.
func (b *bundle) exhibits(ctx context.Context, root *os.Root) ([]exhibit, error) {
	for i := range b.Blocks {
		if out := b.Blocks[i].LeftOut; len(out) > 0 {
			return nil, fmt.Errorf("block %d: %w: %q is left out", b.Blocks[i].Height, errNotTold, out)
		}
	}
	raw, err := readPacked(root, headersFile, maxHeaders)
	if err != nil {
		return nil, err
	}
	headers, err := decodeHeaders(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", headersFile, err)
	}
	exhibits := make([]exhibit, 0, len(b.Blocks))
	for i := range b.Blocks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bb := &b.Blocks[i]
		x := exhibit{ancestors: headers, taken: bb.TimeTaken}
		x.Height = bb.Height
		hash, err := chainhash.NewHashFromStr(bb.Hash)
		if err != nil {
			return nil, fmt.Errorf("block %d: hash: %w", bb.Height, err)
		}
		x.Hash = *hash
		if x.header, err = decodeHeader(bb.Header); err != nil {
			return nil, fmt.Errorf("block %d: header: %w", bb.Height, err)
		}
		if bb.Block != "" {
			if x.raw, err = readPacked(root, blockFile(x.Height), maxBody); err != nil {
				return nil, err
			}
			spent, err := readPacked(root, spentFile(x.Height), maxSpent)
			if err != nil {
				return nil, err
			}
			if x.told, err = bb.testimony(spent); err != nil {
				return nil, fmt.Errorf("%s: %w", spentFile(x.Height), err)
			}
		}
		exhibits = append(exhibits, x)
	}
	return exhibits, nil
}
