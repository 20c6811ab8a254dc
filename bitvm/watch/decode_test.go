package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// What is built in is read again as it is written.
func TestGraphsAreData(t *testing.T) {
	for _, g := range []*Graph{BitVM2(), garbled(t, 3)} {
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeGraph(text)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(second, text) {
			t.Errorf("%s is another behind its reading: %v", g.Name, err)
		}
	}
	if n := len(BitVM2().Transactions); n != 19 {
		t.Errorf("BitVM2 has %d transactions", n)
	}
}

// Each mistake in a description is named.
func TestGraphMistakes(t *testing.T) {
	const good = `{"version":1,"name":"g","claimant":"operator",
		"connectors":[{"name":"A","leaves":[{"name":"0","by":"operator"}]},{"name":"B","leaves":[{"name":"0","by":"operator"}]}],
		"transactions":[
			{"name":"t","by":"operator","outputs":[{"connector":"A"}]},
			{"name":"u","by":"operator","inputs":[{"connector":"A","leaf":"0"}],"outputs":[{"connector":"B"},{"to":"burn"}]},
			{"name":"v","by":"operator","inputs":[{"connector":"B","leaf":"0"}]}],
		"claims":[{"name":"c","commits":["u"],"answers":["v"]}]}`
	if _, err := DecodeGraph([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`"version":1`, `"version":2`, "version 2, only 1 is known"},
		{`"name":"g"`, `"name":"g g"`, "is no name"},
		{`"claimant"`, `"claimer"`, "unknown field"},
		{`]}]}`, `]}]} {}`, "something follows its end"},
		{`{"name":"B","leaves"`, `{"name":"A","leaves"`, "connector A is there twice"},
		{`[{"name":"0","by":"operator"}]}]`, `[{"name":"0","by":"operator"},{"name":"0","by":"x"}]}]`, "leaf 0 is there twice"},
		{`{"name":"A",`, `{"name":"A","count":5000,`, "has 5000 outputs"},
		{`"name":"u"`, `"name":"t"`, "transaction t is there twice"},
		{`"connector":"A","leaf":"0"`, `"connector":"A","leaf":"1"`, "which is not there"},
		{`"connector":"A","leaf":"0"}`, `"connector":"A","leaf":"0"},{"connector":"A","leaf":"0"}`, "spends A twice"},
		{`[{"connector":"B"},`, `[{"connector":"A"},`, "makes connector A, which t makes"},
		{`[{"connector":"B"},`, `[{"connector":"C"},`, "makes connector C, which is not there"},
		{`[{"connector":"B"},`, `[{"connector":"B","to":"x"},`, "and ends at x"},
		{`"outputs":[{"connector":"A"}]`, `"inputs":[{"connector":"B","leaf":"0"}],"outputs":[{"connector":"A"}]`, "in a circle"},
		{`"commits":["u"]`, `"commits":["w"]`, `transaction "w", which is not there`},
		{`"commits":["u"]`, `"commits":[]`, "0 commits"},
		{`{"name":"v",`, `{"name":"v","outcome":"lost",`, "no outcome"},
		{`{"name":"v",`, `{"name":"v","weight":-1,`, "weight -1"},
		{`{"name":"0","by":"operator"}]},`, `{"name":"0","by":"operator","key":true,"csv":{"main":1,"test":1}}]},`, "the key path has neither"},
	} {
		if !strings.Contains(good, tt.old) {
			t.Fatalf("%s is not in the description", tt.old)
		}
		_, err := DecodeGraph([]byte(strings.Replace(good, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s for %s: %v, want %q", tt.new, tt.old, err, tt.want)
		}
	}
	if _, err := DecodeGraph(make([]byte, MaxGraph+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too much: %v", err)
	}
}

var someID = strings.Repeat("ab", 32)

// An instance of BitVM2 with one of everything.
func instanceText() string {
	return `{"version":1,"name":"peg-out-7","network":"main","builtin":"bitvm2","start":800000,
		"outpoints":{"0":{"outpoint":"` + someID + `:1","height":799999,"script":"51"}},
		"txids":{"kick_off_1":"` + strings.Repeat("cd", 32) + `"},
		"scripts":{"6":["5120` + someID + `"]},
		"leaves":{"A":{"0":["` + someID + `"],"1":["` + strings.Repeat("cd", 32) + `"]}},"react":144}`
}

func TestInstanceMistakes(t *testing.T) {
	good := instanceText()
	in, err := DecodeInstance([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if in.Describes().Name != "bitvm2" || in.react() != 144 {
		t.Errorf("%+v", in)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`"version":1`, `"version":3`, "version 3"},
		{`"peg-out-7"`, `"../../etc"`, "it has no name"},
		{`"network":"main"`, `"network":"mainnet"`, `network "mainnet"`},
		{`"builtin":"bitvm2"`, `"builtin":"bitvm3"`, "bitvm2 and garbled are built in"},
		{`"builtin":"bitvm2",`, ``, "either graph or builtin"},
		{`"start":800000`, `"start":0`, "start: must be 1 or more"},
		{`"height":799999`, `"height":800000`, "blocks are looked at from 800000 on"},
		{someID + `:1"`, someID + `"`, "must be txid:index"},
		{someID + `:1"`, someID[1:] + `:1"`, "63 digits, must be 64"},
		{someID + `:1"`, someID + `:-1"`, "must be txid:index"},
		{`"kick_off_1":`, `"kick_off_9":`, "no transaction"},
		{`"6":["5120`, `"6":["51zz`, "output script in hexadecimal"},
		{`"6":["5120` + someID + `"]`, `"6":[]`, "must be 1 or 1"},
		{`"6":[`, `"99":[`, "no connector"},
		{`"6":[`, `"0":["52"],"6":[`, "outpoints: 0 has another script than scripts has"},
		{`"1":["` + strings.Repeat("cd", 32), `"1":["` + strings.Repeat("ab", 32), "a script that another leaf has"},
		{`,"1":["` + strings.Repeat("cd", 32) + `"]`, ``, "A:1 has 0 hashes"},
		{`{"A":{`, `{"C":{`, "no script leaf"},
		{`"0":["` + someID, `"0":["ab`, "32 bytes in hexadecimal"},
		{`"0":{"outpoint"`, `"E1":{"outpoint"`, "is a row of outputs"},
		{`"react"`, `"reaction"`, "unknown field"},
	} {
		if !strings.Contains(good, tt.old) {
			t.Fatalf("%s is not in the instance", tt.old)
		}
		_, err := DecodeInstance([]byte(strings.Replace(good, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s for %s: %v, want %q", tt.new, tt.old, err, tt.want)
		}
	}
	// Deposit and stake of one key: their roots cannot be told by what they pay to.
	_, err = DecodeInstance([]byte(`{"version":1,"name":"a","network":"main","builtin":"garbled","watchtowers":1,"start":1,"scripts":{"deposit":["51"],"stake":["51"]}}`))
	if err == nil || !strings.Contains(err.Error(), "pay to the same script") {
		t.Error(err)
	}
}

func FuzzDecodeGraph(f *testing.F) {
	f.Add(bitvm2)
	f.Add([]byte(`{"version":1,"name":"g","claimant":"o","connectors":[],"transactions":[{"name":"t","by":"o"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := DecodeGraph(data)
		if err != nil {
			return
		}
		for _, network := range []string{"main", "regtest"} {
			g.Lint(network, 0)
		}
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) <= MaxGraph {
			if _, err := DecodeGraph(text); err != nil {
				t.Errorf("what was read is refused when it is written: %v", err)
			}
		}
	})
}

func FuzzDecodeInstance(f *testing.F) {
	f.Add([]byte(instanceText()))
	f.Add([]byte(`{"version":1,"name":"a","network":"regtest","builtin":"garbled","watchtowers":2,"start":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := DecodeInstance(data)
		if err != nil {
			return
		}
		w := New(Options{})
		if err := w.Add(in); err != nil {
			t.Fatal(err)
		}
		if n := len(w.Status()); n != 1 {
			t.Errorf("%d instances", n)
		}
	})
}

// FuzzJournal: whatever lies in a journal's file, what is read of it can be gone on with.
func FuzzJournal(f *testing.F) {
	in, err := DecodeInstance([]byte(instanceText()))
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	written, _, err := open(dir, in)
	if err != nil {
		f.Fatal(err)
	}
	lines, err := encodeFrame(&frame{Head: &head{Version: journalVersion, Name: in.Name, Digest: digestText(in), Tip: written.tip}})
	if err != nil {
		f.Fatal(err)
	}
	if err := written.close(); err != nil {
		f.Fatal(err)
	}
	for _, fr := range []frame{
		{Up: &Tip{Height: 800000}, Seen: []Sighting{{Transaction: 5, Spent: []Spent{{Connector: 2}}}}, Events: []Event{{Number: 1, Kind: Seen}}},
		{Up: &Tip{Height: 800001}},
		{Down: &Tip{Height: 800000}},
		{Judged: &judged{Judgement: Judgement{Finding: Valid}}},
	} {
		line, err := encodeFrame(&fr)
		if err != nil {
			f.Fatal(err)
		}
		lines = append(lines, line...)
	}
	f.Add(lines)
	f.Add(lines[:len(lines)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		track, good, err := load(in, bytes.NewReader(reseal(data)))
		if err != nil {
			return
		}
		if good < 0 || good > int64(len(reseal(data))) {
			t.Errorf("%d bytes are good of %d", good, len(data))
		}
		track.status()
		track.advance(Tip{Height: track.tip.Height + 1})
		track.retreat(Tip{Height: in.Start})
		track.status()
	})
}

// reseal gives each line the checksum that it should have, so that what is behind it is
// tried.
func reseal(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		if len(line) > crcDigits+2 && line[len(line)-1] == '\n' {
			f := new(frame)
			if decodeStrictly(line[crcDigits+1:len(line)-1], f) == nil {
				if sealed, err := encodeFrame(f); err == nil {
					line = sealed
				}
			}
		}
		out = append(out, line...)
	}
	return out
}

// FuzzWitness: no witness is too odd to be read.
func FuzzWitness(f *testing.F) {
	in, err := DecodeInstance([]byte(instanceText()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{1}, []byte{0x50}, uint8(3))
	f.Add(make([]byte, 64), make([]byte, 33), uint8(1))
	f.Fuzz(func(t *testing.T, a, b []byte, n uint8) {
		var witness wire.TxWitness
		for i := range n % 5 {
			witness = append(witness, [][]byte{a, b}[i%2])
		}
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{}, nil, witness))
		spent := []Spent{{Connector: 3}}
		in.bound.identify(tx, chainhash.Hash{}, spent)
		if l := spent[0].Leaf; l < unknown || l > 1 {
			t.Errorf("leaf %d", l)
		}
	})
}

// A journal that has grown long is written anew, and says the same.
func TestCompact(t *testing.T) {
	in, err := DecodeInstance([]byte(instanceText()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := New(Options{Dir: dir})
	if err := w.Add(in); err != nil {
		t.Fatal(err)
	}
	tr := w.tracks[0]
	tr.journal.compacted = -compactAt // as if it were that long
	prev := chainhash.Hash{}
	for i := range byte(32) {
		b := &Block{Tip: Tip{in.Start + uint32(i), chainhash.Hash{1, i}}, Prev: prev}
		if err := w.Connect(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		prev = b.Hash
	}
	if tr.journal.compacted <= 0 || tr.journal.size == tr.journal.compacted {
		t.Errorf("%d bytes, %d of them the first line", tr.journal.size, tr.journal.compacted)
	}
	want := tr.status()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again, _, err := open(dir, in)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.status(); got.Tip != want.Tip || got.Event != want.Event || len(again.recent) != len(tr.recent) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
}

// An error is found however much else there is to say.
func TestLintOfMuch(t *testing.T) {
	g := &Graph{Version: GraphVersion, Name: "much", Claimant: "a"}
	for i := range maxNodes {
		name := fmt.Sprintf("c%d", i)
		g.Connectors = append(g.Connectors, Connector{Name: name, Leaves: []Leaf{{Name: "0", By: "a"}, {Name: "1", By: "a"}}})
		g.Transactions = append(g.Transactions, Transaction{Name: name, By: "a", Inputs: []Input{{name, "0"}}})
	}
	g.Transactions[maxNodes-1].Outcome = Paid // nothing excludes it
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	if got := g.Lint("main", 0); Sound(got) || got[0].Rule != Undefended || len(got) != maxFindings+1 {
		t.Errorf("%d findings, sound: %v", len(got), Sound(got))
	}
}
