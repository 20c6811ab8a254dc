package dryrun

import (
	"context"
	"errors"
	"strings"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// consensus are the rules of a block today; policy are those that a relaying node adds
// to them.
const (
	consensus = txscript.ScriptBip16 | txscript.ScriptVerifyDERSignatures | txscript.ScriptStrictMultiSig |
		txscript.ScriptVerifyCheckLockTimeVerify | txscript.ScriptVerifyCheckSequenceVerify |
		txscript.ScriptVerifyWitness | txscript.ScriptVerifyTaproot
	policy = txscript.StandardVerifyFlags
)

// A Failure says where a script failed, and why.
type Failure struct {
	// Script is which script it was: "scriptSig", "scriptPubKey", "redeemScript",
	// "witnessScript" or "tapscript", as in Bitcoin Core and the BIPs; "witness" if
	// what failed is what comes before a script, such as its hash or a control block,
	// a signature of the key path, or the length of what is left on the stack.
	Script string `json:"script"`
	// Opcode is the position of the opcode in the script, counted in opcodes from 0 as
	// BIP342 does, and Name what it is called; nil and "" where there is none.
	Opcode *int   `json:"opcode"`
	Name   string `json:"name,omitempty"`
	// Code is the engine's name for what is wrong, and Reason its sentence.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason"`
}

// A part is a script that an engine runs, and what it is called.
type part struct {
	name    string
	script  []byte
	program bool // a witness program, in whose place another script is run
}

// pace is how many opcodes are run between two looks at the context. Most take 0.2 µs, and
// the worst, OP_CHECKMULTISIG of 20 keys in a legacy script, 20 hashes of a transaction of
// up to 1 MB.
const pace = 16

// step runs an input opcode by opcode. It returns how many opcodes were run, and the
// failure if there is one. The error is ctx's.
func step(ctx context.Context, s *Spend, input int, flags txscript.ScriptFlags, midstate *txscript.TxSigHashes, outputs txscript.PrevOutputFetcher) (ran int, failure *Failure, err error) {
	out, in := s.Prevouts[input], s.Tx.TxIn[input]
	vm, err := txscript.NewEngine(out.PkScript, s.Tx, input, flags, nil, midstate, out.Value, outputs)
	if err != nil {
		return 0, failed("witness", nil, "", err), nil
	}
	at := newPosition(parts(in, out.PkScript))
	for done := false; !done; ran++ {
		if ran%pace == 0 {
			if err := ctx.Err(); err != nil {
				return ran, nil, err
			}
		}
		at.next()
		if done, err = vm.Step(); err != nil {
			return ran, at.failed(err), nil
		}
	}
	if err := vm.CheckErrorCondition(true); err != nil {
		return ran, failed(at.name(), nil, "", err), nil
	}
	return ran, nil, nil
}

// failed makes a failure of an engine's error.
func failed(script string, opcode *int, name string, err error) *Failure {
	f := &Failure{Script: script, Opcode: opcode, Name: name, Reason: err.Error()}
	if e, ok := errors.AsType[txscript.Error](err); ok {
		f.Code = strings.TrimPrefix(e.ErrorCode.String(), "Err")
	}
	return f
}

// parts returns the scripts that an engine runs for an input, in order; the last one may
// be one that it does not come to. An empty script is no part.
func parts(in *wire.TxIn, pkScript []byte) (all []part) {
	add := func(name string, script []byte) {
		if len(script) > 0 {
			outer := name == "scriptPubKey" || name == "redeemScript"
			all = append(all, part{name, script, outer && txscript.IsWitnessProgram(script)})
		}
	}
	add("scriptSig", in.SignatureScript)
	add("scriptPubKey", pkScript)
	program, p2sh := innerProgram(in, pkScript)
	if p2sh {
		add("redeemScript", program)
	}
	version, data, err := txscript.ExtractWitnessProgramInfo(program)
	items := in.Witness
	switch {
	case err != nil:
	case version == 0 && len(data) == 20:
		add("witnessScript", keyHashScript(data))
	case version == 0 && len(data) == 32 && len(items) > 0:
		add("witnessScript", items[len(items)-1])
	case isTaproot(program) && !p2sh:
		if items, _ = withoutAnnex(items); len(items) > 1 {
			add("tapscript", items[len(items)-2])
		}
	}
	return all
}

// innerProgram returns the script that says what an output is: its own, or the one whose
// hash it has, if that is so (BIP16).
func innerProgram(in *wire.TxIn, pkScript []byte) (program []byte, p2sh bool) {
	if !txscript.IsPayToScriptHash(pkScript) {
		return pkScript, false
	}
	return lastPush(in.SignatureScript), true
}

// keyHashScript is the script that a witness program of 20 bytes stands for (BIP143).
func keyHashScript(hash []byte) []byte {
	script := append([]byte{txscript.OP_DUP, txscript.OP_HASH160, txscript.OP_DATA_20}, hash...)
	return append(script, txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
}

// lastPush returns the data of the last push of a script, nil if it ends with no push.
func lastPush(script []byte) (data []byte) {
	t := txscript.MakeScriptTokenizer(0, script)
	for t.Next() {
		data = t.Data()
	}
	if t.Err() != nil {
		return nil
	}
	return data
}

func isTaproot(script []byte) bool { return txscript.IsPayToTaproot(script) }

// withoutAnnex returns a witness without its annex (BIP341), and whether it has one.
func withoutAnnex(items [][]byte) ([][]byte, bool) {
	n := len(items)
	if n < 2 || len(items[n-1]) == 0 || items[n-1][0] != txscript.TaprootAnnexTag {
		return items, false
	}
	return items[:n-1], true
}

// A position follows an engine through its scripts, which does not tell where it is.
type position struct {
	parts  []part
	at     int // of the part
	tokens txscript.ScriptTokenizer
	opcode int
}

func newPosition(parts []part) *position {
	p := &position{parts: parts, at: -1}
	p.enter()
	return p
}

// enter goes to the next part.
func (p *position) enter() {
	p.at++
	p.opcode = -1
	if p.at < len(p.parts) {
		p.tokens = txscript.MakeScriptTokenizer(0, p.parts[p.at].script)
	}
}

// next goes to the opcode that the engine is about to run.
func (p *position) next() {
	if p.at < len(p.parts) && p.tokens.Done() {
		p.enter()
	}
	if p.at < len(p.parts) && p.tokens.Next() {
		p.opcode++
	}
}

// name returns what the script is called.
func (p *position) name() string {
	if p.at < len(p.parts) {
		return p.parts[p.at].name
	}
	return "witness"
}

// failed makes a failure of an engine's error at the position. With the last opcode of a
// script an engine also looks at the result and prepares what comes next, and an error may
// be of that.
func (p *position) failed(err error) *Failure {
	if p.at >= len(p.parts) || p.opcode < 0 {
		return failed("witness", nil, "", err)
	}
	at := &p.parts[p.at]
	if p.tokens.Done() {
		switch {
		case at.program: // pushes, which cannot fail
			return failed("witness", nil, "", err)
		case txscript.IsErrorCode(err, txscript.ErrUnbalancedConditional),
			txscript.IsErrorCode(err, txscript.ErrEvalFalse), txscript.IsErrorCode(err, txscript.ErrEmptyStack):
			return failed(at.name, nil, "", err)
		}
	}
	opcode := p.opcode
	return failed(at.name, &opcode, opcodeName(p.tokens.Opcode()), err)
}

// opcodeName returns what an opcode is called, without the data that it pushes.
func opcodeName(op byte) string {
	for name, value := range txscript.OpcodeByName {
		if value == op && !aliases[name] {
			return name
		}
	}
	return "OP_UNKNOWN"
}

// aliases are second names of opcodes.
var aliases = map[string]bool{"OP_FALSE": true, "OP_TRUE": true, "OP_NOP2": true, "OP_NOP3": true}
