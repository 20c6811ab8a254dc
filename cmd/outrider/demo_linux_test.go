package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/demo"
	"github.com/outrider-project/outrider/sidecar/web"
)

// blockLine is what the demo prints for a block.
var blockLine = regexp.MustCompile(`^block +(\d+) +(\d+) transactions +\d+ inputs +\d+ signatures +[\d.]+ ms +(\w+) `)

// relayLine is what it prints when the relay has moved.
var relayLine = regexp.MustCompile(`^relay +(\d+) +(\d+) headers +\d+ gas +[\d.]+ ms after its block, in block \d+ of chain 1337; Bitcoin is at (\d+), (\d+) ahead$`)

// demoAt is where the dashboard and the relay's chain are.
var demoAt = regexp.MustCompile(`dashboard at (http://[\d.:]+); .* chain at (http://[\d.:]+);`)

// checkRelayShown demands that the dashboard tells of the relay, and that its chain
// answers.
func checkRelayShown(t *testing.T, dashboard, chain string) {
	resp, err := http.Get(dashboard + "/api/v1/status")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	var s web.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.DemoRelay == nil {
		t.Errorf("the dashboard does not tell of the relay: %v", err)
		return
	}
	if r := s.DemoRelay; r.RPC != chain || r.ChainID != 1337 || r.Height < 130 || r.BitcoinHeight < r.Height || r.Behind > r.BitcoinHeight-130 {
		t.Errorf("the dashboard tells of the relay %+v", r)
	}
	call := `{"jsonrpc":"2.0","id":1,"method":"eth_getCode","params":["` + s.DemoRelay.Address + `","latest"]}`
	answer, err := http.Post(chain, "application/json", strings.NewReader(call))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	var code struct{ Result string }
	if err := json.NewDecoder(answer.Body).Decode(&code); err != nil || len(code.Result) < 1000 {
		t.Errorf("the relay's code is %.100q, %v", code.Result, err)
	}
}

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

	traffic, relayed := 0, 0
	var at []string
	var interrupted time.Time
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if m := demoAt.FindStringSubmatch(lines.Text()); m != nil {
			at = m
		}
		if relayLine.MatchString(lines.Text()) {
			relayed++
		}
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
		// The relay's chain has a block every two seconds.
		if traffic >= 20 && relayed > 0 && interrupted.IsZero() {
			if at == nil {
				t.Error("the demo did not say where it is")
			} else {
				checkRelayShown(t, at[1], at[2])
			}
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
		t.Fatalf("the demo ended after %d blocks of traffic, want 20, and told the relay %d times\n%s", traffic, relayed, &stderr)
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
	var relayed []string
	for line := range strings.Lines(stdout) {
		if m := blockLine.FindStringSubmatch(line); m != nil {
			heights = append(heights, m[1])
		}
		if m := relayLine.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			relayed = m
		}
	}
	// 130 blocks make coins, one spreads them, and three follow.
	if status != statusDone || len(heights) != 134 || heights[len(heights)-1] != "134" || !strings.HasSuffix(stdout, "up to block 134\n") {
		t.Errorf("status %d, %d lines, printed\n%s\n%s", status, len(heights), stdout, stderr)
	}
	if relayed == nil || relayed[1] != "134" || relayed[3] != "134" || relayed[4] != "0" {
		t.Errorf("the relay's last line is %q, printed\n%s", relayed, stdout)
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
