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

// A process is a running child.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended and err is set
	err  error
}

// startProcess starts cmd. The child dies with this process where the system can
// do that (see processAttributes).
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = processAttributes()
	p := &process{cmd: cmd, done: make(chan struct{})}
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

// running reports whether the child has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop asks the child to end, waits for it, and kills it when ctx ends or
// stopGrace is over. The child has ended when stop returns.
func (p *process) stop(ctx context.Context) error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		// The child has ended, or the system has no such signal.
		p.kill()
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
		p.kill()
		return fmt.Errorf("killed the node: %w", context.Cause(ctx))
	case <-grace.C:
		p.kill()
		return fmt.Errorf("killed the node: it did not stop within %v", stopGrace)
	}
}

// kill kills the child and waits for its end.
func (p *process) kill() {
	// The only error is that the child has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}
