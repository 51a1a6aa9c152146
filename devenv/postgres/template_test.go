package postgres_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/postgres"
)

// TestTemplate begins servers as copies of another one: they have its data and password, and go their own ways. One that still runs is
// refused.
func TestTemplate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "template")
	template := start(t, postgres.Options{DataDir: dir})
	createKept(t, template.URL(""))

	_, err := postgres.Start(t.Context(), postgres.Options{Template: dir, Settings: quick(), Getenv: noDatabaseURL})
	if err == nil || !strings.Contains(err.Error(), "a server runs in") {
		t.Errorf("a copy of a running server: %v", err)
	}

	stop(t, template)
	first, second := start(t, postgres.Options{Template: dir}), start(t, postgres.Options{Template: dir})
	query(t, first.URL(""), "WITH gone AS (DELETE FROM kept RETURNING 1) SELECT count(*)::text FROM gone")
	for server, want := range map[*postgres.Server]string{first: "0", second: "1"} {
		if got := query(t, server.URL(""), "SELECT count(*)::text FROM kept"); got != want {
			t.Errorf("%s rows, want %s", got, want)
		}
	}

	stop(t, second)
	again := start(t, postgres.Options{DataDir: dir})
	if got := query(t, again.URL(""), "SELECT count(*)::text FROM kept"); got != "1" {
		t.Errorf("the template has %s rows", got)
	}
}
