package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// stopGrace is how long a node may take to shut down before it is killed.
const stopGrace = 20 * time.Second

// A Process is a running child. Its methods are safe for concurrent use.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended and err is set
	err  error
}

// StartProcess starts cmd, whose SysProcAttr it sets. On Linux and FreeBSD the
// child ends with this process, even if that is killed with -9; on other systems
// with Stop or Kill only.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = processAttributes()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel watches the thread that starts the child, not the
		// process: that thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Done returns a channel that is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the child has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop asks the child to end, waits for it, and kills it when ctx ends or after
// 20 seconds; then, and when the child ends badly, it returns an error. The child
// has ended when Stop returns.
func (p *Process) Stop(ctx context.Context) error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		// The child has ended, or the system has no such signal.
		p.Kill()
		return nil
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("the node ended badly: %w", p.err)
		}
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("killed the node: %w", context.Cause(ctx))
	case <-grace.C:
		p.Kill()
		return fmt.Errorf("killed the node: it did not stop within %v", stopGrace)
	}
}

// Kill kills the child and waits for its end.
func (p *Process) Kill() {
	// The only error is that the child has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}
