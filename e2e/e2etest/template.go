package e2etest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/dayof/dayof/devenv/cluster"
)

// shared is what the clusters of a test binary begin as copies of: the databases of all services, made and migrated once. It is the
// package's only state: tests cannot hand it to each other in another way.
var shared template

type template struct {
	mu  sync.Mutex
	dir string // "" until the first cluster is wanted
}

// Main runs a package's tests and removes what their clusters had in common. It does not return.
//
// Each package that starts clusters says
//
//	func TestMain(m *testing.M) { e2etest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if err := RemoveTemplate(); err != nil {
		fmt.Fprintln(os.Stderr, "e2etest:", err)
		code = 1
	}
	os.Exit(code)
}

// Begin starts a cluster from the databases that all clusters of the test binary begin with, where they run on a server of their own.
func Begin(ctx context.Context, c cluster.Config) (*cluster.Cluster, error) {
	if c.DataDir == "" && c.Getenv("DAYOF_DATABASE_URL") == "" {
		var err error
		if c.Template, err = shared.directory(ctx); err != nil {
			return nil, fmt.Errorf("make the template: %w", err)
		}
	}
	return cluster.Start(ctx, c)
}

// directory makes the template unless it is there.
func (t *template) directory(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir != "" {
		return t.dir, nil
	}
	dir, err := os.MkdirTemp("", "dayof-template-")
	if err != nil {
		return "", err
	}
	c := Config()
	c.DataDir = dir
	if err := cluster.MakeTemplate(ctx, c); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	t.dir = dir
	return dir, nil
}

// RemoveTemplate removes the template; a test binary with a Main of its own calls it at the end.
func RemoveTemplate() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return os.RemoveAll(shared.dir)
}
