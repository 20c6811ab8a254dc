package bench

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever has contrast measured in a directory that is in memory is told what to do, and at once.
func TestContrastNeedsDisk(t *testing.T) {
	const memory = "/dev/shm"
	var st unix.Statfs_t
	if err := unix.Statfs(memory, &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not in memory: mount a tmpfs there", memory)
		}
		t.Logf("not checked: %s is not in memory", memory)
		return
	}
	o := PerfOptions{Dir: memory, Rounds: 3, Turns: 1}
	if _, err := Perf(t.Context(), o); err == nil || !strings.Contains(err.Error(), "with --dir, or measure the others with --rows cpu,memory,database") {
		t.Errorf("all rows in memory: %v", err)
	}
	o.Rows = []string{"contrast"}
	if _, err := Perf(t.Context(), o); err == nil || !strings.Contains(err.Error(), "with --dir") {
		t.Errorf("contrast in memory: %v", err)
	}
	if err := checkDisk("/proc/none"); err == nil {
		t.Error("a directory that is none is on a disk")
	}
}
