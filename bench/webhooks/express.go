package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// express is the Express handler in a process of its own.
type express struct {
	address string
	cmd     *exec.Cmd
}

// expressSource is where package.json and the handler are, from the root of the module.
const expressSource = "bench/webhooks/express"

// startTimeout is how long a server may take until it serves.
const startTimeout = 30 * time.Second

// startExpress installs what the handler needs into dir, exactly as package-lock.json says, and runs it.
func startExpress(ctx context.Context, dir, database, secret string, connections int, errOut io.Writer) (*express, error) {
	for _, name := range []string{"package.json", "package-lock.json", "server.js"} {
		text, err := os.ReadFile(filepath.Join(expressSource, name))
		if err != nil {
			return nil, fmt.Errorf("%w; run this from the root of the module", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil { //nolint:gosec // the names are ours
			return nil, err
		}
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir, install.Stdout, install.Stderr = dir, errOut, errOut
	if err := install.Run(); err != nil {
		return nil, fmt.Errorf("npm ci (Debian: apt-get install nodejs npm): %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil { // was only to find a free port
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	e := &express{address: address, cmd: exec.CommandContext(context.WithoutCancel(ctx), "node", "server.js")}
	e.cmd.Dir, e.cmd.Stdout, e.cmd.Stderr = dir, errOut, errOut
	e.cmd.Env = append(os.Environ(), "NODE_ENV=production", "PORT="+port, "DATABASE_URL="+database, "SECRET="+secret,
		"CONNECTIONS="+strconv.Itoa(connections))
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	return e, awaitHealthy(ctx, "http://"+address)
}

func (e *express) freeze() error { return e.cmd.Process.Signal(syscall.SIGSTOP) }
func (e *express) thaw() error   { return e.cmd.Process.Signal(syscall.SIGCONT) }

func (e *express) stop() error {
	if err := e.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = e.cmd.Wait() // it was killed
	return nil
}

func awaitHealthy(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s does not serve within %v", url, startTimeout))
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			if err := res.Body.Close(); err != nil {
				return err
			}
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
