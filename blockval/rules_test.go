package blockval

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

func TestRules(t *testing.T) {
	for _, rc := range ruleCases {
		t.Run(string(rc.rule)+"/"+rc.name, func(t *testing.T) {
			if rc.network == "" {
				rc.network = "regtest"
			}
			if rc.height == 0 {
				rc.height = 120
			}
			for _, spoil := range []bool{false, true} {
				c := newTestChain(t, rc.network, rc.height)
				raw := rc.build(c, spoil)
				got := everyWay(t, c, raw, c.at())
				switch {
				case !spoil && !got.Valid():
					t.Fatalf("the block that breaks nothing: %v", got.Err)
				case spoil && got.Valid():
					t.Fatalf("the block is valid")
				case spoil && (got.Err.Rule != rc.rule || got.Err.Tx != rc.tx || got.Err.Input != rc.input):
					t.Errorf("verdict %q at %d:%d (%v), want %q at %d:%d",
						got.Err.Rule, got.Err.Tx, got.Err.Input, got.Err, rc.rule, rc.tx, rc.input)
				}
				h := header.Header(raw[:header.Size])
				if got.Hash != h.Hash() || got.Height != c.height() {
					t.Errorf("verdict on block %s at height %d, want %s at %d", got.Hash, got.Height, h.Hash(), c.height())
				}
				if len(got.Unchecked) != 0 {
					t.Errorf("unchecked: %v", got.Unchecked)
				}
			}
		})
	}
}

// withoutBlock are the rules that no block can break alone, with the test that
// breaks them instead.
var withoutBlock = map[Rule]string{
	OversizeTx:    "TestOversizeTx",
	FeeOutOfRange: "TestFeeOutOfRange",
}

// TestEveryRuleHasBlock fails for a rule that the source declares, and that has
// no block in ruleCases. Which those are the source alone says: every constant
// of type Rule, here and in header. So that none can hide, a rule is named by
// such a constant wherever one is reported.
func TestEveryRuleHasBlock(t *testing.T) {
	declared, tests := make(map[Rule]string), make(map[string]bool)
	for _, dir := range []string{".", "header"} {
		names, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				for _, decl := range file.Decls {
					if fn, ok := decl.(*ast.FuncDecl); ok {
						tests[fn.Name.Name] = true
					}
				}
				continue
			}
			maps.Copy(declared, declaredRules(t, file))
			for _, hidden := range hiddenRules(file) {
				t.Errorf("%s reports a rule that is no constant's name: %s", name, hidden)
			}
		}
	}
	if len(declared) < 35 {
		t.Fatalf("found only %d rules", len(declared))
	}
	tested := make(map[Rule]bool)
	for _, rc := range ruleCases {
		tested[rc.rule] = true
		if _, ok := declared[rc.rule]; !ok {
			t.Errorf("rule %q is tested and not declared", rc.rule)
		}
	}
	for rule, name := range declared {
		test, without := withoutBlock[rule]
		switch {
		case without && (tested[rule] || !tests[test]):
			t.Errorf("%s (%q) has a block, or no test %s", name, rule, test)
		case !without && !tested[rule]:
			t.Errorf("no block breaks %s (%q)", name, rule)
		}
	}
}

// declaredRules returns the constants of type Rule that a source file declares:
// value to name.
func declaredRules(t *testing.T, file *ast.File) map[Rule]string {
	t.Helper()
	rules := make(map[Rule]string)
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			spec := spec.(*ast.ValueSpec)
			if !isRuleType(spec.Type) {
				continue
			}
			for i, name := range spec.Names {
				value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				if other, ok := rules[Rule(value)]; ok {
					t.Errorf("%s and %s are one rule, %q", name.Name, other, value)
				}
				rules[Rule(value)] = name.Name
			}
		}
	}
	return rules
}

func isRuleType(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Rule"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Rule"
	}
	return false
}

// hiddenRules returns the places of a source file where a rule comes into being
// that is no constant's name: a literal handed to what reports a rule or set in
// a RuleError, and a conversion.
func hiddenRules(file *ast.File) []string {
	var hidden []string
	check := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok {
			hidden = append(hidden, lit.Value)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "broken" || fn.Name == "brokenAt") {
				check(n.Args[0])
			}
			if isRuleType(n.Fun) {
				hidden = append(hidden, "a conversion")
			}
		case *ast.CompositeLit:
			if typ, ok := n.Type.(*ast.Ident); !ok || typ.Name != "RuleError" {
				break
			}
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					e = kv.Value
				}
				check(e)
			}
		}
		return true
	})
	return hidden
}

// What the test above takes for hidden is found in any of its forms.
func TestHiddenRules(t *testing.T) {
	for body, want := range map[string]int{
		`return broken(HighHash, "x")`: 0, `return broken("x", "y")`: 1, `return brokenAt("x", 1, 2, "y")`: 1,
		`return &RuleError{Rule: "x"}`: 1, `return &RuleError{Rule: HighHash, Tx: tx}`: 0, `return Rule("x")`: 1, `return header.Rule(s)`: 1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package p\nfunc f() any { "+body+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := hiddenRules(file); len(got) != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func TestOversizeTx(t *testing.T) {
	tx := pay([]*wire.TxIn{{}}, 1)
	tx.TxIn[0].Witness = wire.TxWitness{make([]byte, 1000)} // does not count
	tx.TxIn[0].SignatureScript = make([]byte, 100_000)
	script := &tx.TxIn[0].SignatureScript
	*script = make([]byte, 1_000_000-tx.SerializeSizeStripped()+len(*script))
	size := tx.SerializeSizeStripped()
	if rule := checkShape(3, tx, size); size != 1_000_000 || rule != nil {
		t.Errorf("transaction of %d bytes: %v", size, rule)
	}
	*script = append(*script, 0)
	if rule := checkShape(3, tx, size+1); rule == nil || rule.Rule != OversizeTx || rule.Tx != 3 || rule.Input != -1 {
		t.Errorf("transaction of 1,000,001 bytes: %v, want %s of transaction 3", rule, OversizeTx)
	}
	if rule := checkShape(4, pay([]*wire.TxIn{{}}, 1), size+1); rule != nil {
		t.Errorf("transaction beside one of 1,000,001 bytes: %v", rule)
	}
}

// TestSixtyFourBytes validates transactions of 64 bytes without witnesses, which look
// like two hashes of the merkle tree. They are valid today; BIP54 would forbid them.
func TestSixtyFourBytes(t *testing.T) {
	for _, witness := range []bool{false, true} {
		c := newTestChain(t, "regtest", 120)
		tx := pay([]*wire.TxIn{c.addCoin(1, p2wsh(anyone))}, 1)
		tx.TxIn[0].Witness = wire.TxWitness{anyone}
		if !witness {
			tx.TxIn[0] = c.addCoin(1, anyone)
		}
		tx.TxOut[0].PkScript = []byte{txscript.OP_TRUE, txscript.OP_NOP, txscript.OP_NOP, txscript.OP_NOP}
		if size := tx.SerializeSizeStripped(); size != 64 || tx.HasWitness() != witness {
			t.Fatalf("transaction of %d bytes without witnesses", size)
		}
		if got := everyWay(t, c, c.draft(tx).seal(), c.at()); !got.Valid() {
			t.Errorf("with witness %v: %v", witness, got.Err)
		}
	}
}

func TestFeeOutOfRange(t *testing.T) {
	if fee, rule := txFee(3, maxMoneyTest, 0); rule != nil || fee != maxMoneyTest {
		t.Errorf("all money as fee: %d, %v", fee, rule)
	}
	if _, rule := txFee(3, maxMoneyTest+1, 0); rule == nil || rule.Rule != FeeOutOfRange || rule.Tx != 3 {
		t.Errorf("more than all money as fee: %v, want %s of transaction 3", rule, FeeOutOfRange)
	}
}

// A block of which there is only a header is neither valid nor intact.
func TestBlockWithoutBody(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	whole, err := Parse(c.draft().seal())
	if err != nil {
		t.Fatal(err)
	}
	b := &Block{Hash: whole.Hash, Header: whole.Header}
	got, err := c.validator(t, Options{}).Check(t.Context(), b, c.at())
	if err != nil || ruleOf(got) != BlockDecode {
		t.Errorf("verdict %+v, %v, want %s", got, err, BlockDecode)
	}
	if err := b.Intact(); !errors.Is(err, BadBlockLength) {
		t.Errorf("intact: %v, want %s", err, BadBlockLength)
	}
}

// A block that was hashed wrong is hashed again before anybody says that it breaks a rule,
// by whom it has come and by who validates it; and one that is broken is broken.
func TestHashedWrong(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	var txs []*wire.MsgTx
	for i := range 5 {
		tx := pay([]*wire.TxIn{c.addCoin(1, p2wsh(anyone))}, 1)
		tx.TxIn[0].Witness = wire.TxWitness{anyone}
		tx.LockTime = uint32(i)
		txs = append(txs, tx)
	}
	raw := c.draft(txs...).seal()
	fault := func(id func(*Block) *chainhash.Hash) func(*Block) { return func(b *Block) { id(b)[7] ^= 1 } }
	for name, spoil := range map[string]func(*Block){
		"a txid":         fault(func(b *Block) *chainhash.Hash { return &b.Txids[3] }),
		"a wtxid":        fault(func(b *Block) *chainhash.Hash { return &b.Wtxids[2] }),
		"equal txids":    func(b *Block) { b.Txids[5] = b.Txids[4] },
		"all that it is": func(b *Block) { clear(b.Txids); clear(b.Wtxids) },
	} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				whole, err := Parse(raw)
				if err != nil {
					t.Fatal(err)
				}
				same := func(b *Block) bool {
					return slices.Equal(b.Txids, whole.Txids) && slices.Equal(b.Wtxids, whole.Wtxids)
				}
				wrong := func() *Block {
					b, err := Parse(raw)
					if err != nil {
						t.Fatal(err)
					}
					spoil(b)
					return b
				}
				b := wrong()
				if err := b.Intact(); err != nil || !same(b) {
					t.Errorf("whoever it comes to: %v; the ids are right: %v", err, same(b))
				}
				var registry perfcore.Registry
				v := c.validator(t, Options{Workers: workers, Recorder: &registry})
				for _, b := range []*Block{b, wrong()} {
					got, err := v.Check(t.Context(), b, c.at())
					if err != nil || !got.Valid() || !same(b) {
						t.Errorf("verdict %+v, %v; the ids are right: %v", got, err, same(b))
					}
				}
				if n := v.metrics.hashedWrong.Value(); n != 2 {
					t.Errorf("%d blocks that were hashed wrong are counted, want 2", n)
				}
			})
		}
	}
	broken := bytes.Clone(raw)
	broken[len(broken)-1] ^= 1 // the last lock time
	b, err := Parse(broken)
	if err != nil {
		t.Fatal(err)
	}
	v := c.validator(t, Options{})
	got, err := v.Check(t.Context(), b, c.at())
	if err != nil || ruleOf(got) != BadMerkleRoot {
		t.Errorf("verdict %+v, %v, want %s", got, err, BadMerkleRoot)
	}
	if err := b.Intact(); !errors.Is(err, BadMerkleRoot) {
		t.Errorf("intact: %v, want %s", err, BadMerkleRoot)
	}
}

// Both ways to a merkle root agree, on whether it is mutated, too.
func TestPlainMerkleRoot(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 70 {
		leaves := make([]chainhash.Hash, n)
		for i := range leaves {
			leaves[i][0] = byte(r.IntN(3)) // some are equal
			if n%2 == 0 {
				leaves[i][1] = byte(i)
			}
		}
		root, mutated := plainMerkleRoot(leaves)
		if other, twice := hashlane.MerkleRoot(slices.Clone(leaves)); root != other || mutated != twice {
			t.Errorf("%d leaves: %v, %v and %v, %v", n, root, mutated, other, twice)
		}
	}
}
