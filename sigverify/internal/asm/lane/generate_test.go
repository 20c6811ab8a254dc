package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What the generator writes is what lies in package lane, and it writes the same
// every time.
func TestGeneratedFilesAreFresh(t *testing.T) {
	names := []string{"kernels_amd64.s", "stubs_amd64.go", "layout.go"}
	for range 2 {
		out := t.TempDir()
		if err := generate(out); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			got, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("..", "..", "lane", name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is stale: run go generate in package lane", name)
			}
		}
	}
}

// A schedule has every value once, after what it is computed from, and reads a
// place before it is stored to.
func TestSchedule(t *testing.T) {
	for _, limit := range []int{0, 12, 26, 40, 1000} {
		b := newBlock("test")
		for i := range 2 {
			b.nextVector()
			p := b.loadJacobian(input(3 * i))
			x, y := b.unpackSemi(b.words(input(8))), b.unpackSemi(b.words(input(9)))
			b.storeJacobian(input(3*i), b.addAffine(b.double(p), p.z, x, y, b.loadMask(input(10))))
		}
		place := map[*value]int{}
		for i, v := range b.schedule(limit) {
			if _, ok := place[v]; ok {
				t.Fatalf("limit %d: a value twice", limit)
			}
			place[v] = i
		}
		for _, v := range b.values {
			at, ok := place[v]
			if ok == v.isHome() {
				t.Fatalf("limit %d: value %d scheduled: %v", limit, v.id, ok)
			}
			for _, in := range v.inputs() {
				if !in.isHome() && place[in] >= at {
					t.Fatalf("limit %d: value %d before its input %d", limit, v.id, in.id)
				}
				for _, s := range b.values {
					if s.op == opStore && in.op == opLoad && s.at == in.at && s != v && place[s] < at {
						t.Fatalf("limit %d: a place is read after it is stored to", limit)
					}
				}
			}
		}
	}
}
