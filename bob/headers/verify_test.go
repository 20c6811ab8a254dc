package headers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

const unchecked = "the rules on real headers of the main network and signet"

// realChains returns the real chains among the vectors, by network.
func realChains(t testing.TB) map[string][]header.Header {
	t.Helper()
	return map[string][]header.Header{
		"main":   load(t, "headers/mainnet_0_10236.bin.zst", unchecked),
		"signet": load(t, "headers/signet_0_2015.bin.zst", unchecked),
	}
}

// TestVerify verifies the real chains in pieces of every size around a batch's.
func TestVerify(t *testing.T) {
	for network, chain := range realChains(t) {
		p := params(t, network)
		want := hashes(chain)
		for _, size := range []int{1, 2, batch - 1, batch, batch + 1, 1000, len(chain)} {
			run := p.NewRun(0)
			got := make([]chainhash.Hash, len(chain))
			for from := 0; from < len(chain); from += size {
				to := min(from+size, len(chain))
				n, left, err := Verify(&run, chain[from:to], got[from:to], latest())
				if n != to-from || left != 0 || err != nil {
					t.Fatalf("%s: headers %d to %d: %d valid, left out %b, %v", network, from, to, n, left, err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: hashes are wrong in pieces of %d", network, size)
			}
		}
	}
}

// TestVerifyStops breaks one header of a valid chain, and expects that those before
// it are taken, and that the run goes on from there with the right one.
func TestVerifyStops(t *testing.T) {
	p := small(t, "main")
	chain := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 200, 600, 0)...)
	for _, at := range []int{1, 19, 20, 63, 64, 65, 127, 128, 200} {
		for _, tt := range []struct {
			name  string
			spoil func(h *header.Header)
			want  header.Rule
		}{
			{"no target", func(h *header.Header) { copy(h[72:], "\x00\x00\x00\x00") }, header.HighHash},
			{"negative target", func(h *header.Header) { copy(h[72:], "\xff\xff\x80\x20") }, header.HighHash},
			{"an easier target", func(h *header.Header) { copy(h[72:], "\x00\x00\x01\x21") }, header.HighHash},
			{"another parent", func(h *header.Header) { h[4] ^= 1; mine(t, p, h) }, header.BadPrevBlock},
			{"a harder target", func(h *header.Header) { copy(h[72:], "\xff\xff\x3f\x20"); mine(t, p, h) }, header.BadDiffBits},
			{"an old time", func(h *header.Header) { clear(h[68:72]); mine(t, p, h) }, header.TimeTooOld},
			{"a new time", func(h *header.Header) { h[71] = 0xff; mine(t, p, h) }, header.TimeTooNew},
		} {
			spoilt := slices.Clone(chain)
			tt.spoil(&spoilt[at])
			run := p.NewRun(0)
			now := clock(chain[len(chain)-1])
			n, left, err := Verify(&run, spoilt, nil, now)
			if n != at || left != 0 || ruleOf(t, err) != tt.want {
				t.Fatalf("header %d has %s: %d valid, left out %b, %v; want %s", at, tt.name, n, left, err, tt.want)
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Height != uint32(at) || e.Hash != spoilt[at].Hash() {
				t.Errorf("header %d has %s: the error tells of another: %v", at, tt.name, err)
			}
			if n, _, err := Verify(&run, chain[at:], nil, now); n != len(chain)-at || err != nil {
				t.Errorf("after header %d had %s, the right ones are not taken: %d, %v", at, tt.name, n, err)
			}
		}
	}
}

func TestVerifyAllocatesNothing(t *testing.T) {
	chain := load(t, "headers/mainnet_0_10236.bin.zst", "that verifying headers allocates nothing")
	p := params(t, "main")
	now := latest()
	allocs := testing.AllocsPerRun(5, func() {
		run := p.NewRun(0)
		if _, _, err := Verify(&run, chain, nil, now); err != nil {
			t.Fatal(err)
		}
	})
	// hashlane's own memory is pooled, and may be taken away: a batch's at most.
	if allocs > float64(len(chain)/batch) {
		t.Errorf("%v allocations for %d headers", allocs, len(chain))
	}
}

func TestParse(t *testing.T) {
	for n := range 200 {
		headers, err := Parse(make([]byte, n))
		if (err == nil) != (n%header.Size == 0) || err == nil && len(headers) != n/header.Size {
			t.Errorf("%d bytes: %d headers, %v", n, len(headers), err)
		}
	}
}

// report returns what VerifyFile says of data.
func report(t testing.TB, network string, from uint32, data []byte) *Report {
	t.Helper()
	rep, err := VerifyFile(bytes.NewReader(data), params(t, network), from, latest())
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// raw returns headers as a file has them.
func raw(headers []header.Header) []byte {
	var data []byte
	for i := range headers {
		data = append(data, headers[i][:]...)
	}
	return data
}

func TestVerifyFile(t *testing.T) {
	chain := load(t, "headers/mainnet_0_10236.bin.zst", "reports of header files")
	spoilt := slices.Clone(chain)
	spoilt[7000][40] ^= 1
	testnet := params(t, "testnet4").Genesis
	median := func(height uint32) string {
		time, err := header.MedianTimePast(header.Chain(chain), height)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`"median_time":%d`, time)
	}
	for _, tt := range []struct {
		name, network string
		from          uint32
		data          []byte
		want          string
	}{
		{"whole", "main", 0, raw(chain), `{"valid":true,"network":"main","from_height":0,"headers":10237,` +
			`"tip_height":10236,"tip_hash":"` + chain[10236].Hash().String() + `",` + median(10236) + `,` +
			`"chainwork":"000000000000000000000000000000000000000000000000000027fd27fd27fd"}`},
		{"the genesis block", "mainnet", 0, chain[0][:], `{"valid":true,"network":"main","from_height":0,"headers":1,` +
			`"tip_height":0,"tip_hash":"000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f","median_time":1231006505,` +
			`"chainwork":"0000000000000000000000000000000000000000000000000000000100010001"}`},
		{"an end", "main", 10230, raw(chain[10230:]), `{"valid":true,"network":"main","from_height":10230,"headers":7,` +
			`"tip_height":10236,"tip_hash":"` + chain[10236].Hash().String() + `",` +
			`"chainwork":"0000000000000000000000000000000000000000000000000000000700070007",` +
			`"not_checked":["bad-prevblk","bad-diffbits","time-too-old"]}`},
		{"spoilt", "main", 0, raw(spoilt), `{"valid":false,"network":"main","from_height":0,"headers":7000,` +
			`"tip_height":6999,"tip_hash":"` + chain[6999].Hash().String() + `",` + median(6999) + `,` +
			`"chainwork":"00000000000000000000000000000000000000000000000000001b581b581b58",` +
			`"error":"high-hash: hash ` + spoilt[7000].Hash().String() + ` is above target ` +
			`00000000ffff0000000000000000000000000000000000000000000000000000","rule":"high-hash","error_height":7000}`},
		{"torn", "main", 0, raw(chain)[:161], `{"valid":false,"network":"main","from_height":0,"headers":2,` +
			`"tip_height":1,"tip_hash":"` + chain[1].Hash().String() + `","median_time":1231469665,` +
			`"chainwork":"0000000000000000000000000000000000000000000000000000000200020002",` +
			`"error":"the file ends in 1 bytes, a header has 80","error_height":2}`},
		{"empty", "main", 5, nil, `{"valid":false,"network":"main","from_height":5,"headers":0,` +
			`"chainwork":"` + strings.Repeat("0", 64) + `","error":"there are no headers","error_height":5}`},
		{"another network", "main", 0, testnet[:], `{"valid":false,"network":"main","from_height":0,"headers":0,` +
			`"chainwork":"` + strings.Repeat("0", 64) + `","error":"bad-prevblk: ` + testnet.Hash().String() +
			` is not the genesis block of network main","rule":"bad-prevblk","error_height":0}`},
	} {
		got, err := json.Marshal(report(t, tt.network, tt.from, tt.data))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// A file that cannot be read is not an invalid one.
func TestVerifyFileThatFails(t *testing.T) {
	broken := errors.New("disk on fire")
	rep, err := VerifyFile(iotest.ErrReader(broken), params(t, "main"), 0, time.Now())
	if !errors.Is(err, broken) || rep != nil {
		t.Errorf("got %+v, %v", rep, err)
	}
}

// A later file reaches far enough back once it has eleven headers and a period.
func TestVerifyFileReachesBack(t *testing.T) {
	p := small(t, "main")
	chain := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 90, 600, 0)...)
	// The retarget at 60 needs the header at 40: a file from 30 on has it, and
	// a wrong target there is found.
	chain[60][72] ^= 1
	mine(t, p, &chain[60])
	for from, want := range map[uint32]uint32{0: 60, 30: 60, 40: 60, 41: 61} {
		rep, err := VerifyFile(bytes.NewReader(raw(chain[from:])), p, from, latest())
		if err != nil {
			t.Fatal(err)
		}
		if rep.Valid || *rep.ErrorHeight != want {
			t.Errorf("from %d: %+v, want an error at height %d", from, rep, want)
		}
	}
}

// FuzzVerifyFile has any bytes verified as headers from any height on: no panic,
// and from the genesis block on what Params.Check says of every one.
func FuzzVerifyFile(f *testing.F) {
	p := small(f, "testnet4")
	chain := append([]header.Header{p.Genesis}, extend(f, p, []header.Header{p.Genesis}, 25, 600, 0)...)
	f.Add(uint32(0), raw(chain[:5]))
	f.Add(uint32(17), raw(chain[17:22]))
	f.Add(uint32(1<<32-1), raw(chain[:3]))
	f.Add(uint32(0), []byte("short"))
	f.Fuzz(func(t *testing.T, from uint32, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		rep, err := VerifyFile(bytes.NewReader(data), p, from, latest())
		if err != nil {
			t.Fatal(err)
		}
		if from != 0 {
			return
		}
		headers, _ := Parse(data[:len(data)/header.Size*header.Size])
		valid := 0
		for valid < len(headers) && p.Check(&headers[valid], uint32(valid), header.Chain(headers), latest()) == nil {
			valid++
		}
		if rep.Headers != valid || rep.Valid != (valid > 0 && valid*header.Size == len(data)) {
			t.Errorf("got %+v, want %d valid headers", rep, valid)
		}
	})
}

// A wrong hash is set right once.
func TestMend(t *testing.T) {
	var h header.Header
	h[3] = 7
	hash := h.Hash()
	hash[31] ^= 1
	if !mend(&hash, &h) || hash != h.Hash() {
		t.Errorf("a wrong hash became %v, want %v", hash, h.Hash())
	}
	if mend(&hash, &h) || hash != h.Hash() {
		t.Errorf("the right hash was mended to %v", hash)
	}
}
