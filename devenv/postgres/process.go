package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What the signals mean to a postmaster: cut the clients off and checkpoint,
// or end at once without a checkpoint.
const (
	fastShutdown      = syscall.SIGINT
	immediateShutdown = syscall.SIGQUIT
)

// killAfter is how long an immediate shutdown may take; the postmaster itself
// kills its own children after 5 s.
const killAfter = 10 * time.Second

// tailLines is how much of the server's output an error shows.
const tailLines = 20

var errPortTaken = errors.New("the port is taken")

// process is one running child.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone
	err  error         // why it ended; read after done
	read chan struct{} // closed when its output was read to the end

	mu   sync.Mutex
	tail []string // last lines of its output
}

// start runs a child that dies with this process and logs its output.
func start(who identity, logger *slog.Logger, path string, args ...string) (*process, error) {
	//nolint:noctx // a server outlives the call that starts it; stop ends it
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{}), read: make(chan struct{})}
	p.cmd.Dir = "/"
	p.cmd.Env = childEnvironment()
	p.cmd.SysProcAttr = who.attributes()
	output, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = input, input
	started := make(chan error, 1)
	go func() {
		// The kernel signals the child when the thread that started it ends,
		// not the process: this thread stays for as long as the child runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		err = errors.Join(err, input.Close())
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(err, output.Close())
	}
	go p.forward(output, logger)
	return p, nil
}

// run starts a child, waits for it and returns what it printed. The child is
// killed when ctx ends.
func run(ctx context.Context, who identity, path string, args ...string) (string, error) {
	p, err := start(who, slog.New(slog.DiscardHandler), path, args...)
	for tries := 1; errors.Is(err, syscall.ETXTBSY) && tries < busyTries && pause(ctx, busyPause); tries++ {
		p, err = start(who, slog.New(slog.DiscardHandler), path, args...)
	}
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(context.WithoutCancel(ctx), syscall.SIGKILL)
		return p.output(), ctx.Err()
	}
	return p.output(), p.err
}

// A program that was just written is busy while anybody holds it open for writing, such as a child of ours that was forked meanwhile
// and does not execute its own program yet. That is over soon.
//
// Source: Go issue 22315.
const (
	busyPause = 20 * time.Millisecond
	busyTries = 500
)

// pause waits, and says whether it did before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// childEnvironment is ours without what would redirect a Postgres tool (PGDATA,
// PGPORT...) or change the language of its messages.
func childEnvironment() []string {
	var environ []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PG") && !strings.HasPrefix(entry, "LC_") && !strings.HasPrefix(entry, "LANG") {
			environ = append(environ, entry)
		}
	}
	return append(environ, "LC_ALL=C")
}

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop sends the signal and waits until the child is gone. It gets more
// forceful when ctx ends.
func (p *process) stop(ctx context.Context, signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal) // fails only when the child is gone
	if signal == fastShutdown {
		select {
		case <-p.done:
			return
		case <-ctx.Done():
			_ = p.cmd.Process.Signal(immediateShutdown)
		}
	}
	select {
	case <-p.done:
	case <-time.After(killAfter):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// forward logs the child's output line by line and keeps its end. It returns
// when all that hold the pipe (the server's own children too) are gone.
func (p *process) forward(output io.ReadCloser, logger *slog.Logger) {
	defer close(p.read)
	defer func() { _ = output.Close() }()
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.keep(line)
			level := slog.LevelDebug
			fatal := strings.HasPrefix(line, "FATAL:") || strings.HasPrefix(line, "PANIC:")
			if fatal && !strings.HasSuffix(line, "is starting up") { // that answers our own question
				level = slog.LevelInfo
			}
			logger.LogAttrs(context.Background(), level, "postgres says", slog.String("line", line))
		}
		if err != nil {
			return
		}
	}
}

func (p *process) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tail) == tailLines {
		p.tail = p.tail[1:]
	}
	p.tail = append(p.tail, line)
}

// output is the end of what an ended child has printed.
func (p *process) output() string {
	select {
	case <-p.read:
	case <-time.After(killAfter): // a child of the child keeps the pipe open
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// explain says why a server that should run has ended.
func (p *process) explain() error {
	output := p.output()
	if strings.Contains(output, "could not bind IPv4 address") || strings.Contains(output, "could not create any TCP/IP sockets") {
		return fmt.Errorf("%w by another program", errPortTaken)
	}
	return fmt.Errorf("postgres ended: %w\n%s", p.err, output)
}
