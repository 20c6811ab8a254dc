package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/demo"
)

// blockLine is what the demo prints for a block.
var blockLine = regexp.MustCompile(`^block +(\d+) +(\d+) transactions +\d+ inputs +\d+ signatures +[\d.]+ ms +(\w+) `)

// TestDemo starts the demo, watches 20 blocks of traffic, ends it as Ctrl-C
// does, and demands that it leaves nothing behind: no process, no file.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that the demo runs, and ends without leaving anything")
	}
	btcd, err := demo.FindBtcd(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	cmd := exec.Command(buildOutrider(t), "demo", "--btcd", btcd, "--http", "127.0.0.1:0", "--interval", "100ms")
	cmd.Env = append(bareEnviron(t), "TMPDIR="+tmp)
	// A session of its own tells the demo's processes from all others, also
	// when they make process groups of their own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	session := cmd.Process.Pid
	t.Cleanup(func() {
		for _, pid := range processes(t, session) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
		}
	})
	watchdog := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()

	traffic := 0
	var interrupted time.Time
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		m := blockLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if m[3] != "agree" {
			t.Errorf("the demo's node and the sidecar do not agree: %s", lines.Text())
		}
		if m[2] != "1" {
			traffic++
		}
		if traffic == 20 && interrupted.IsZero() {
			if running := processes(t, session); len(running) < 4 {
				t.Errorf("processes %v run, want outrider and three nodes", running)
			}
			interrupted = time.Now()
			watchdog.Reset(30 * time.Second)
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v\n%s", err, &stderr)
	}
	if interrupted.IsZero() {
		t.Fatalf("the demo ended after %d blocks of traffic, want 20\n%s", traffic, &stderr)
	}
	t.Logf("ended %v after the interrupt", time.Since(interrupted).Round(time.Millisecond))
	if left := processes(t, session); len(left) != 0 {
		t.Errorf("the demo left processes %v", left)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("the demo left %v in its temporary directory, %v", left, err)
	}
}

// A demo of so many blocks ends when the last of them is judged.
func TestDemoJudgesItsLastBlock(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that a demo of a few blocks judges them all")
	}
	btcd, err := demo.FindBtcd(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := outrider(t, "demo", "--btcd", btcd, "--http", "127.0.0.1:0", "--interval", "0s", "--blocks", "3")
	var heights []string
	for line := range strings.Lines(stdout) {
		if m := blockLine.FindStringSubmatch(line); m != nil {
			heights = append(heights, m[1])
		}
	}
	// 130 blocks make coins, one spreads them, and three follow.
	if status != statusDone || len(heights) != 134 || heights[len(heights)-1] != "134" || !strings.HasSuffix(stdout, "up to block 134\n") {
		t.Errorf("status %d, %d lines, printed\n%s\n%s", status, len(heights), stdout, stderr)
	}
}

// processes returns the processes of a session that have not ended.
func processes(t *testing.T, session int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (command) state ppid pgrp session …; the command may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 3 && fields[3] == strconv.Itoa(session) && fields[0] != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}
