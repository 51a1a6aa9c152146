package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dev.json")
	want := File{
		CheckoutURL: "http://127.0.0.1:1", OperatorToken: "secret", DatabaseURLs: map[string]string{"pass": "postgres://x"},
		MetricsURLs: map[string]string{}, Sandbox: Sandbox{APNsLogURL: "http://127.0.0.1:2/log"},
	}
	if err := os.WriteFile(path, []byte("left over"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v: others can read the secrets", info.Mode())
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := RemoveFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "dayof up") {
		t.Errorf("a missing file does not say what to do: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
