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

// A directory on a disk is good enough, and nothing is left in it.
func TestDisk(t *testing.T) {
	for _, parent := range []string{os.TempDir(), "/var/tmp"} {
		dir, err := os.MkdirTemp(parent, "bench-")
		if err != nil {
			continue
		}
		defer os.RemoveAll(dir)
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		switch int64(st.Type) {
		case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
			err := checkDisk(dir)
			if left, _ := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v, and %d files are left", err, len(left))
			}
			return
		}
	}
	t.Log("not checked: that a disk is taken for one, for no directory for temporary files is on ext4 or XFS")
}
