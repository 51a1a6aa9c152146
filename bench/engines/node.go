package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// nodeSource is where package.json and the programs are, from the root of this module.
const nodeSource = "node"

// nodePatience is how long a program may take until it serves.
const nodePatience = 30 * time.Second

// nodeProgram is a program of Node in a process of its own.
type nodeProgram struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
}

// installNode installs what the programs need into dir, exactly as package-lock.json says.
func installNode(ctx context.Context, dir string, errOut io.Writer) error {
	for _, name := range []string{"package.json", "package-lock.json", "attempt.js", "server.js"} {
		text, err := os.ReadFile(filepath.Join(nodeSource, name))
		if err != nil {
			return fmt.Errorf("%w; run this from bench/engines", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil { //nolint:gosec // the names are ours
			return err
		}
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir, install.Stdout, install.Stderr = dir, errOut, errOut
	if err := install.Run(); err != nil {
		return fmt.Errorf("npm ci (Debian: apt-get install nodejs npm): %w", err)
	}
	return nil
}

// startNode runs a program of dir and waits until it serves. env are its settings ("NAME=value").
func startNode(ctx context.Context, dir, program string, errOut io.Writer, env ...string) (*nodeProgram, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	n := &nodeProgram{
		url:    fmt.Sprintf("http://127.0.0.1:%d", port),
		client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute}},
		cmd:    exec.CommandContext(context.WithoutCancel(ctx), "node", program), //nolint:gosec // the names are ours
	}
	n.cmd.Dir, n.cmd.Stdout, n.cmd.Stderr = dir, errOut, errOut
	n.cmd.Env = append(append(os.Environ(), "NODE_ENV=production", "PORT="+strconv.Itoa(port), "CONNECTIONS="+strconv.Itoa(poolSize)), env...)
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	if err := n.awaitHealthy(ctx); err != nil {
		return nil, errors.Join(err, n.stop(ctx))
	}
	return n, nil
}

func (n *nodeProgram) awaitHealthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, nodePatience, fmt.Errorf("node does not serve within %v", nodePatience))
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/healthz", nil)
		if err != nil {
			return err
		}
		res, err := n.client.Do(req)
		if err == nil {
			_ = res.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// post sends and reads JSON; a nil answer is not read.
func (n *nodeProgram) post(ctx context.Context, path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: status %d: %s", path, res.StatusCode, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// attempt lets node make a whole attempt. It makes the program an engine.
func (n *nodeProgram) attempt(ctx context.Context, p purchase) error {
	return n.post(ctx, "/attempt", p, nil)
}

func (n *nodeProgram) stop(context.Context) error {
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = n.cmd.Wait() // it was killed
	return nil
}

// freePort finds a port of 127.0.0.1 that nobody uses, below those that Linux gives to connections, which begin at 32768.
func freePort(ctx context.Context) (int, error) {
	for {
		port := 10_000 + rand.N(20_000)
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return port, listener.Close()
	}
}
