// Package e2e holds tests that start the whole system: the four services on real Postgres, beside the sandbox.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/e2e/e2etest"
)

// shared is one cluster of two replicas for all tests that disturb nobody.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	if shared, err = e2etest.Begin(ctx, e2etest.Config()); err != nil {
		fmt.Fprintln(os.Stderr, "start the cluster:", err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(e2etest.RecordStripeCalls(ctx, shared), shared.Stop(ctx), e2etest.RemoveTemplate()); err != nil {
		fmt.Fprintln(os.Stderr, "stop the cluster:", err)
		return 1
	}
	return code
}
