//go:build linux || freebsd

package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helper is the environment variable that makes TestHelperProcess a parent of
// nodes: the btcd program, then the directory.
const helper = "OUTRIDER_DEMO_HELPER"

// TestHelperProcess is no test: it is the process that TestKilledParent kills. It
// starts two nodes, prints where they are, and waits for its end.
func TestHelperProcess(t *testing.T) {
	btcd, dir, ok := strings.Cut(os.Getenv(helper), ",")
	if !ok {
		return
	}
	n, err := StartNetwork(t.Context(), Config{Btcd: btcd, Dir: dir, Nodes: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range n.Nodes {
		fmt.Println("node", node.PID(), node.RPC.Address, node.Peer)
	}
	select {}
}

// TestKilledParent kills a process that started nodes with -9: they have to end
// with it.
func TestKilledParent(t *testing.T) {
	btcd := findBtcd(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), helper+"="+btcd+","+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	var addresses []string
	for lines := bufio.NewScanner(out); len(pids) < 2 && lines.Scan(); {
		var pid int
		var rpc, peer string
		if _, err := fmt.Sscanf(lines.Text(), "node %d %s %s", &pid, &rpc, &peer); err == nil {
			pids, addresses = append(pids, pid), append(addresses, rpc, peer)
		}
	}
	p.Kill()
	if len(pids) != 2 {
		t.Fatal("the helper did not start two nodes")
	}
	deadline := time.After(10 * time.Second)
	for listening(addresses) || alive(pids) {
		select {
		case <-deadline:
			t.Fatalf("10 s after the parent's end, processes %v run or listen at %v", pids, addresses)
		case <-time.After(pollInterval):
		}
	}
}

// TestStopKills stops a process that does not listen.
func TestStopKills(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap '' INT; echo deaf; exec sleep 60")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "deaf\n" {
		t.Errorf("the process says %q, %v", line, err)
	}
	if !p.Running() {
		t.Error("the process does not run")
	}
	if group, err := syscall.Getpgid(p.cmd.Process.Pid); err != nil || group == syscall.Getpgrp() {
		t.Errorf("the process is in group %d, which gets what the terminal sends, %v", group, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped with %v", err)
	}
	if p.Running() || syscall.Kill(p.cmd.Process.Pid, 0) == nil {
		t.Error("the process runs")
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("stopped again with %v", err)
	}
	p.Kill()
}

func listening(addresses []string) bool {
	for _, address := range addresses {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return true
		}
	}
	return false
}

// alive reports whether one of the processes runs. One that nobody has waited
// for yet has ended, but takes signals still.
func alive(pids []int) bool {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		ended := err == nil && strings.HasPrefix(state, "Z")
		if syscall.Kill(pid, 0) == nil && !ended {
			return true
		}
	}
	return false
}
