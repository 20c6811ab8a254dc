package submit

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// A childConfig says what a child process is to do: catch up, once.
type childConfig struct {
	URL, Journal, Headers string
	Key                   string
	Relay, Multicall      common.Address
	DailySpend            string
}

// childVariable names the file with the childConfig to the child process.
const childVariable = "SUBMIT_TEST_CHILD"

// TestMain runs the tests, or is the child process of one.
func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if err := beChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beChild catches up with the headers in a file.
func beChild(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c childConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	raw, err := os.ReadFile(c.Headers)
	if err != nil {
		return err
	}
	all, err := headers.Parse(raw)
	if err != nil {
		return err
	}
	// The file begins with those that the rules need below the first.
	b := relaytest.NewBitcoin(startHeight)
	const below = 11
	tree, err := headers.NewTree(b.Params, headers.Base{Height: startHeight + 1 - below, Work: all[0].Work(), Headers: all[:below]}, headers.DefaultLimits())
	if err != nil {
		return err
	}
	if _, err := tree.Add(all[below:], relaytest.Now); err != nil {
		return err
	}
	key, err := crypto.HexToECDSA(c.Key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool, err := endpoint.Open(ctx, endpoint.Options{
		Layer: "l2", ChainID: relaytest.ChainID, Endpoints: []endpoint.Endpoint{{Name: "a", URL: c.URL, Rate: 1e6}},
	})
	if err != nil {
		return err
	}
	spend, _ := new(big.Int).SetString(c.DailySpend, 10)
	s, err := Open(Options{
		Chain: pool, Tree: tree, Signer: &testSigner{key},
		Target:  planner.Target{Kind: relay.KindFull, Relay: c.Relay, Multicall: c.Multicall, Costs: contract.Costs()},
		Limits:  Limits{ChainID: relaytest.ChainID, MaxFee: big.NewInt(1e9), DailySpend: spend},
		Journal: c.Journal, Poll: 5 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	_, err = s.CatchUp(ctx)
	return errors.Join(err, s.Close())
}

// TestKilledAtAnyMomentItGoesOn kills a process that catches up, at random moments, while
// headers come, until it is in step: no nonce was used twice and none was left out, no
// header was told twice, no transaction failed, and what was spent is within the limit,
// and what the journal says.
func TestKilledAtAnyMomentItGoesOn(t *testing.T) {
	w := newWorld(t, 1950, "that a submitter that is killed goes on, without a double send")
	rng, draw := seeded(t)
	// Some lives end a while after the process first asks for something, and one send in
	// three is its process's last deed: the node hears of it, or does not.
	var mu sync.Mutex
	var child *os.Process
	var life time.Duration // 0: none is drawn
	f := newFront(t, w.URL, func(methods []string) harm {
		mu.Lock()
		defer mu.Unlock()
		p := child
		if p == nil {
			return noHarm
		}
		if life > 0 {
			time.AfterFunc(life, func() { _ = p.Kill() }) // it may have ended
			life = 0
		}
		if slices.Contains(methods, "eth_sendRawTransaction") {
			switch draw.IntN(6) {
			case 0:
				_ = p.Kill()
				return resetBefore
			case 1:
				_ = p.Kill()
				return resetAfter
			}
		}
		return noHarm
	})
	dir := t.TempDir()
	c := childConfig{
		URL: f.URL, Journal: filepath.Join(dir, "journal"), Headers: filepath.Join(dir, "headers"),
		Key: hex.EncodeToString(crypto.FromECDSA(w.account.key)), Relay: w.relay, Multicall: w.multi, DailySpend: "1000000000000000000",
	}
	config := filepath.Join(dir, "config")
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, data)
	tip := w.genesis
	more := func(n int) {
		tip = w.mine(t, tip, n)
		writeFile(t, c.Headers, w.bitcoin.File(t, tip))
	}
	more(3)
	stop := w.MineAlways(t, 15*time.Millisecond)
	defer stop()
	lives, killed := 120, 0
	if testing.Short() {
		lives = 30
	}
	for i := range lives {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+config)
		cmd.Stderr = t.Output()
		mu.Lock()
		err := cmd.Start()
		child, life = cmd.Process, 0
		if i%2 == 0 {
			life = time.Millisecond + time.Duration(rng.IntN(60))*time.Millisecond
		}
		mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		switch exit, ok := errors.AsType[*exec.ExitError](err); {
		case err == nil:
			more(1 + rng.IntN(4))
		case ok && !exit.Exited():
			killed++
			if i%3 == 0 {
				more(1)
			}
		default:
			t.Fatalf("life %d: %v", i, err)
		}
	}
	mu.Lock()
	child = nil
	mu.Unlock()
	t.Logf("%d of %d lives were killed", killed, lives)
	if killed < lives/4 {
		t.Errorf("only %d of %d lives were killed", killed, lives)
	}
	// Left alone, it reaches the tip.
	w.options.Journal = c.Journal
	s := w.open(t)
	w.catchUpHere(t, s)
	stop()
	f.checkSent(t, w.options.Limits)
	w.checkChain(t, s)
}

// catchUpHere catches up while somebody else makes blocks.
func (w *world) catchUpHere(t *testing.T, s *Submitter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	if !w.inStep(t) {
		t.Fatal("the relay is not in step")
	}
}

// checkChain compares the account's transactions in the chain with what may be there, and
// with the journal.
func (w *world) checkChain(t *testing.T, s *Submitter) {
	t.Helper()
	sent := w.SentBy(t, w.account.Address())
	plans := map[common.Hash]uint64{}
	total := new(big.Int)
	relayed := map[chainhash.Hash]int{}
	for i, tx := range sent {
		if uint64(tx.Nonce) != uint64(i) {
			t.Errorf("transaction %d has nonce %d", i, uint64(tx.Nonce))
		}
		plan := planOf(*tx.To, tx.Input)
		if other, twice := plans[plan]; twice {
			t.Errorf("nonces %d and %d do the same", other, uint64(tx.Nonce))
		}
		plans[plan] = uint64(tx.Nonce)
		r := w.Receipt(t, tx.Hash)
		if r.Status != 1 {
			t.Errorf("nonce %d failed", uint64(tx.Nonce))
		}
		total.Add(total, new(big.Int).Mul(big.NewInt(int64(r.GasUsed)), big.NewInt(int64(r.Price))))
		for _, hash := range addedIn(t, tx.Input) {
			if relayed[hash]++; relayed[hash] > 1 {
				t.Errorf("nonce %d tells of header %v again", uint64(tx.Nonce), hash)
			}
		}
	}
	t.Logf("%d transactions, %d headers, %v wei", len(sent), len(relayed), total)
	if n := w.tree.Tip().Height - w.bitcoin.HeightOf(w.genesis); len(relayed) < int(n) {
		t.Errorf("%d headers were told, of at least %d", len(relayed), n)
	}
	if s.Spent().Cmp(total) != 0 {
		t.Errorf("the journal says that %v wei were spent, the chain %v", s.Spent(), total)
	}
	if total.Cmp(w.options.Limits.DailySpend) > 0 {
		t.Errorf("%v wei were spent, the limit is %v", total, w.options.Limits.DailySpend)
	}
}

// addedIn returns the hashes of the headers that a transaction's calls add.
func addedIn(t *testing.T, data []byte) []chainhash.Hash {
	t.Helper()
	multicall, full := parseABI(t, contract.Multicall()), parseABI(t, contract.FullRelay())
	calls := [][]byte{data}
	if m := multicall.Methods["aggregate3"]; bytes.HasPrefix(data, m.ID) {
		values, err := m.Inputs.Unpack(data[4:])
		if err != nil {
			t.Fatal(err)
		}
		calls = nil
		for _, c := range *abi.ConvertType(values[0], new([]struct {
			Target       common.Address
			AllowFailure bool
			CallData     []byte
		})).(*[]struct {
			Target       common.Address
			AllowFailure bool
			CallData     []byte
		}) {
			calls = append(calls, c.CallData)
		}
	}
	var hashes []chainhash.Hash
	for _, call := range calls {
		m, err := full.MethodById(call)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name == "markNewHeaviest" {
			continue
		}
		values, err := m.Inputs.Unpack(call[4:])
		if err != nil {
			t.Fatal(err)
		}
		added, err := headers.Parse(values[len(values)-1].([]byte))
		if err != nil {
			t.Fatal(err)
		}
		for i := range added {
			hashes = append(hashes, added[i].Hash())
		}
	}
	return hashes
}

func parseABI(t *testing.T, c *contract.Contract) *abi.ABI {
	t.Helper()
	a, err := abi.JSON(bytes.NewReader(c.ABI))
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

// seeded returns two generators, by OUTRIDER_SEED or a random seed, which the test prints when
// it fails. What processes and timers do is in no seed.
func seeded(t testing.TB) (first, second *rand.Rand) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("OUTRIDER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("OUTRIDER_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("OUTRIDER_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
