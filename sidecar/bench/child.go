package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/outrider-project/outrider/sidecar/demo"
	"github.com/outrider-project/outrider/sidecar/web"
)

// A child is the program itself, run as its users run it.
type child struct {
	cmd  *exec.Cmd
	url  string
	logs sync.WaitGroup
}

// startChild starts "outrider run" beside a node of the demo's, from the first
// block on when its data directory is new, and waits for its web server.
func startChild(ctx context.Context, program, datadir string, at demo.Endpoint, flags ...string) (*child, error) {
	return startProgram(ctx, program, []string{"OUTRIDER_NODE_PASSWORD=" + at.Password}, append([]string{"--datadir", datadir, "--start", "0",
		"--node-address", at.Address, "--node-user", at.User, "--node-certificate", at.Certificate}, flags...)...)
}

// startProgram starts "outrider run" with these flags, and these variables beside
// those of this process, and waits for its web server.
func startProgram(ctx context.Context, program string, environ []string, flags ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"run", "--http", "127.0.0.1:0", "--log-format", "json"}, flags...)...)
	cmd.Env = append(os.Environ(), environ...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	c := &child{cmd: cmd}
	var said strings.Builder
	for log := bufio.NewScanner(stderr); log.Scan(); {
		var line struct{ Msg, HTTP string }
		if json.Unmarshal(log.Bytes(), &line) == nil && line.HTTP != "" {
			c.url = line.HTTP
			break
		}
		said.Write(log.Bytes())
	}
	if c.url == "" {
		return nil, errors.Join(fmt.Errorf("%s run ended: %s", program, said.String()), cmd.Wait())
	}
	c.logs.Go(func() { _, _ = io.Copy(io.Discard, stderr) }) // until the child ends
	return c, nil
}

// stop ends the child in an orderly way and waits for it.
func (c *child) stop() error {
	err := c.cmd.Process.Signal(syscall.SIGTERM)
	c.logs.Wait()
	return errors.Join(err, c.cmd.Wait())
}

// status asks the child how it is.
func (c *child) status(ctx context.Context) (web.Status, error) {
	var s web.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/api/v1/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// await waits until the child's tip is hash, and returns its status then.
func (c *child) await(ctx context.Context, hash string) (web.Status, error) {
	for {
		s, err := c.status(ctx)
		if err != nil {
			return s, fmt.Errorf("wait for the sidecar: %w", err)
		}
		if s.Tip != nil && s.Tip.Hash == hash && s.Node.Attached {
			if s.Agreement.Differ+s.Agreement.Undecided > 0 {
				return s, fmt.Errorf("the sidecar does not agree with the node: %+v", s.Agreement.Cases)
			}
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// processorTime returns the processor time that a process has used, user's and
// system's, as /proc/PID/stat counts it (proc(5)): in hundredths of a second.
func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field, the name of the program in brackets, may hold spaces and brackets.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3 // fields have numbers from 1, and two are gone
	var ticks time.Duration
	for _, at := range []int{utime, stime} {
		if at >= len(fields) {
			return 0, fmt.Errorf("processor time of process %d: %q has too few fields", pid, stat)
		}
		n, err := strconv.ParseUint(fields[at], 10, 63)
		if err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100), nil
}

// memory returns what the kernel says of the child's memory, in bytes: its
// resident memory now as VmRSS, the most so far as VmHWM.
func (c *child) memory(field string) (uint64, error) {
	kib, _, _ := strings.Cut(procField(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid), field), " ")
	n, err := strconv.ParseUint(kib, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of the sidecar: %w", err)
	}
	return n << 10, nil
}
