package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/crashpoint"
)

// unwanted begin the names of packages that stand in for external services, fetch programs, or end the process for a test.
var unwanted = []string{
	"github.com/dayof/dayof/devenv", // the crash points' names and what happens there are in devenv/crashpoint
	"github.com/fergusstrange/embedded-postgres",
	"github.com/emersion/go-smtp",
	"testing",
}

// TestPackages wants none of them linked, whatever imports them.
func TestPackages(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 100 {
		t.Fatalf("only %d packages are listed", len(packages))
	}
	for _, p := range packages {
		for _, u := range unwanted {
			if p == u || strings.HasPrefix(p, u+"/") {
				t.Errorf("%s is linked", p)
			}
		}
	}
}

// TestBinary searches for the traces of crash points in the program as `go build` makes it: the setting that arms one, their
// names, and the function without which nothing happens at one.
func TestBinary(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dayof-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(binary))
	for _, text := range append(crashpoint.Names(), crashpoint.Setting, "devenv/") {
		if bytes.Contains(binary, []byte(text)) {
			t.Errorf("the program contains %q", text)
		}
	}
	symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(symbols, []byte("internal/chassis/crash.SetHook")) {
		t.Error("the program contains what gives crash points a hook")
	}
}
