package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dayof/dayof/internal/server"
)

// process is a replica that runs as `dayof serve` in a process of its own, on the address of its replica. It can be
// killed, stopped and started again, which a replica inside this process cannot.
type process struct {
	service string
	address string
	env     []string
	log     string // file that its output is appended to

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	err  error         // what it ended with
}

// start runs the program. extra are further settings, such as a crash point.
func (p *process) start(ctx context.Context, program string, extra ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(filepath.Clean(p.log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", p.service, err)
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "serve", p.service)
	cmd.Env = append(append([]string{}, p.env...), extra...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.service, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.err = cmd, done, nil
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// signal sends a signal; a process that has ended gets none.
func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.service, err)
	}
	return nil
}

// ended is closed when the process has ended.
func (p *process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// kill ends the process as kill -9 does and waits for its end.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended()
	return nil
}

// lastWords is the end of the process's log.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-lastWordsMax):])
}

// lastWordsMax is how much of a log explains an end, in bytes.
const lastWordsMax = 2000

// terminate ends the process as SIGTERM does: it drains. One that does not end is killed.
func (p *process) terminate() error {
	if err := errors.Join(p.signal(syscall.SIGCONT), p.signal(syscall.SIGTERM)); err != nil {
		return err
	}
	select {
	case <-p.ended():
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s did not drain within %v, see %s", p.service, stopTimeout, p.log), p.kill())
	}
}

// startProcess runs the n-th replica of a service as a process of its own, on the port that was reserved for it.
func (m *Cluster) startProcess(ctx context.Context, service string, n int, listener net.Listener) (*process, error) {
	address := listener.Addr().String()
	if err := listener.Close(); err != nil { // reserved for this process
		return nil, err
	}
	p := &process{
		service: service, address: address, log: m.path(fmt.Sprintf("%s-%d.log", service, n)),
		env: []string{server.SettingPrefix(service) + "LISTEN=" + address, "DAYOF_DRAIN_TIMEOUT=10s"},
	}
	made := m.SettingsOf(n)
	known, err := server.Settings(service, m.config.Getenv)
	if err != nil {
		return nil, err
	}
	for _, s := range known {
		if value, ok := made[s.Name]; ok {
			p.env = append(p.env, s.Name+"="+value)
		}
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "DAYOF_LOG_LEVEL"} {
		if value := m.config.Getenv(name); value != "" {
			p.env = append(p.env, name+"="+value)
		}
	}
	return p, p.start(ctx, m.config.Program)
}

// Kill ends a replica that is a process as kill -9 does.
func (m *Cluster) Kill(service string, n int) error { return m.processes[service][n].kill() }

// Freeze stops a replica that is a process as SIGSTOP does: it keeps its connections and leases and does nothing.
func (m *Cluster) Freeze(service string, n int) error {
	return m.processes[service][n].signal(syscall.SIGSTOP)
}

// Thaw lets a frozen replica go on.
func (m *Cluster) Thaw(service string, n int) error {
	return m.processes[service][n].signal(syscall.SIGCONT)
}

// Stopped reports whether a replica that is a process is frozen, by Freeze or by itself.
func (m *Cluster) Stopped(service string, n int) (bool, error) {
	p := m.processes[service][n]
	p.mu.Lock()
	defer p.mu.Unlock()
	return isStopped(p.cmd.Process.Pid)
}

// Ended is closed when a replica that is a process has ended, by itself or not.
func (m *Cluster) Ended(service string, n int) <-chan struct{} {
	return m.processes[service][n].ended()
}

// Restart starts a replica that has ended once more, and waits until it serves. extra are settings ("NAME=value") for
// this run only.
func (m *Cluster) Restart(ctx context.Context, service string, n int, extra ...string) error {
	p := m.processes[service][n]
	<-p.ended()
	if err := p.start(ctx, m.config.Program, extra...); err != nil {
		return err
	}
	return m.awaitProcess(ctx, service, n)
}

func (m *Cluster) awaitProcess(ctx context.Context, service string, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, healthTimeout, fmt.Errorf("%s does not serve within %v", service, healthTimeout))
	defer cancel()
	p := m.processes[service][n]
	for !healthy(ctx, "http://"+p.address) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.ended():
			return fmt.Errorf("%s ended while it started: %s", service, p.lastWords())
		case <-time.After(healthPoll):
		}
	}
	return nil
}

// startProcesses runs all replicas as processes.
func (m *Cluster) startProcesses(ctx context.Context) error {
	for n := range m.config.Replicas {
		for _, service := range server.Services() {
			p, err := m.startProcess(ctx, service, n, m.listeners[service][n])
			if p != nil {
				m.processes[service] = append(m.processes[service], p)
			}
			if err != nil {
				return err
			}
		}
	}
	for n := range m.config.Replicas {
		for _, service := range server.Services() {
			if err := m.awaitProcess(ctx, service, n); err != nil {
				return err
			}
		}
	}
	return nil
}
