package blockval

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
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
				got := checkRaw(t, c.validator(Options{Workers: 2}), raw, c.at())
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

// TestEveryRuleHasBlock fails for a rule that is declared and has no block in
// ruleCases.
func TestEveryRuleHasBlock(t *testing.T) {
	declared := make(map[Rule]string)
	for _, file := range []string{"rule.go", "header/rule.go"} {
		maps.Copy(declared, declaredRules(t, file))
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
		if _, ok := withoutBlock[rule]; !tested[rule] && !ok {
			t.Errorf("no block breaks %s (%q)", name, rule)
		}
	}
}

// declaredRules returns the constants of type Rule in a source file: value to
// name.
func declaredRules(t *testing.T, file string) map[Rule]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	rules := make(map[Rule]string)
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Rule" {
			return true
		}
		for i, name := range spec.Names {
			value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			rules[Rule(value)] = name.Name
		}
		return true
	})
	return rules
}

func TestOversizeTx(t *testing.T) {
	tx := pay([]*wire.TxIn{{}}, 1)
	if rule := checkShape(3, tx, 1_000_000); rule != nil {
		t.Errorf("transaction of a million bytes: %v", rule)
	}
	if rule := checkShape(3, tx, 1_000_001); rule == nil || rule.Rule != OversizeTx || rule.Tx != 3 || rule.Input != -1 {
		t.Errorf("transaction of 1,000,001 bytes: %v, want %s of transaction 3", rule, OversizeTx)
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
