package postgres_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/postgres"
)

// TestProgramThatIsStillOpen starts a server whose program somebody holds open for writing, as a child that was forked while it was
// unpacked does for an instant.
func TestProgramThatIsStillOpen(t *testing.T) {
	t.Parallel()
	bin, dir := binaries(t), t.TempDir()
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\nexec " + filepath.Join(bin, name) + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.OpenFile(filepath.Join(dir, "postgres"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = held.Close() })
	start(t, postgres.Options{Getenv: environment(map[string]string{"DAYOF_POSTGRES_BIN": dir, "HOME": t.TempDir()})})
}
