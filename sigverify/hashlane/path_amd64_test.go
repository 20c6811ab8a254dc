//go:build !purego

package hashlane

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whatever is missing, what needs it is not used, and the rest is.
func TestOffered(t *testing.T) {
	const all = 1<<32 - 1
	every := path{avx512: true, avx2: true, shani: true}
	for _, tt := range []struct {
		name                   string
		noLeaf1, noLeaf7, noOS uint32
		want                   path
	}{
		{"nothing", 0, 0, 0, every},
		{"XSAVE", 1 << 27, 0, 0, path{}},
		{"AVX", 1 << 28, 0, 0, path{}},
		{"AVX2", 0, 1 << 5, 0, path{avx512: true}},
		{"SHA", 0, 1 << 29, 0, path{avx512: true, avx2: true}},
		{"BMI2", 0, 1 << 8, 0, path{avx2: true, shani: true}},
		{"AVX-512 F", 0, 1 << 16, 0, path{avx2: true, shani: true}},
		{"AVX-512 BW", 0, 1 << 30, 0, path{avx2: true, shani: true}},
		{"AVX-512 VL", 0, 1 << 31, 0, path{avx2: true, shani: true}},
		{"XMM", 0, 0, 1 << 1, path{}},
		{"YMM", 0, 0, 1 << 2, path{}},
		{"opmasks", 0, 0, 1 << 5, path{avx2: true, shani: true}},
		{"upper halves of ZMM", 0, 0, 1 << 6, path{avx2: true, shani: true}},
		{"ZMM from 16 on", 0, 0, 1 << 7, path{avx2: true, shani: true}},
	} {
		if got := offered(all&^tt.noLeaf1, all&^tt.noLeaf7, all&^tt.noOS); got != tt.want {
			t.Errorf("without %s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The kernels of a path use no instructions but of the sets that offered looks
// for, as the generator counts them.
func TestRequirements(t *testing.T) {
	source, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	kernel := regexp.MustCompile(`(?m)^// Requires: (.*)\nTEXT ·([a-z0-9]+)\(`)
	seen := 0
	for _, m := range kernel.FindAllStringSubmatch(string(source), -1) {
		sets, name := strings.Split(m[1], ", "), m[2]
		var offers []string
		switch {
		case name == "cpuid":
			continue
		case strings.HasSuffix(name, "32"):
			offers = []string{"AVX", "AVX512BW", "AVX512F", "AVX512VL", "BMI2"}
		case strings.HasSuffix(name, "8"):
			offers = []string{"AVX", "AVX2"}
		default:
			offers = []string{"AVX", "AVX2", "SHA"}
		}
		seen++
		for _, set := range sets {
			if !slices.Contains(offers, set) {
				t.Errorf("%s uses %s, which its path does not look for", name, set)
			}
		}
	}
	if want := len(fixedKernels) + 5; seen != want {
		t.Errorf("%d kernels, want %d", seen, want)
	}
}
