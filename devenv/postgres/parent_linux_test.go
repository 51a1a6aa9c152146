package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/postgres"
)

func TestKilledParent(t *testing.T) {
	t.Parallel()

	t.Run("the server dies with it and starts again at once", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		h := startHelper(t, testBinary(t), dir, nil)
		createKept(t, h.URL)
		h.kill(t)
		server := start(t, postgres.Options{DataDir: dir}) // while the old one dies
		if got := query(t, server.URL(""), "SELECT x::text FROM kept"); got != "1" {
			t.Errorf("kept %q", got)
		}
		if conn, err := pgx.Connect(t.Context(), h.URL); err == nil {
			t.Error("the old server is still there", conn.Close(t.Context()))
		}
	})

	t.Run("a temporary directory is removed by the next start", func(t *testing.T) {
		t.Parallel()
		binary, base := testBinary(t), "TMPDIR="+t.TempDir()
		h := startHelper(t, binary, "", nil, base)
		h.kill(t)
		deadline := time.After(patience)
		for {
			// The first start may meet the server while it is dying.
			startHelper(t, binary, "", nil, base).stop(t)
			if _, err := os.Stat(filepath.Dir(h.DataDir)); errors.Is(err, os.ErrNotExist) {
				return
			}
			select {
			case <-deadline:
				t.Fatalf("%s is still there", h.DataDir)
			default:
			}
		}
	})
}

// Postgres refuses to run as root; as anybody else it just runs.
func TestUsers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		h := startHelper(t, testBinary(t), t.TempDir(), nil)
		if int(h.Owner) != os.Getuid() {
			t.Errorf("the data belongs to %d", h.Owner)
		}
		h.stop(t)
		return
	}

	t.Run("root", func(t *testing.T) {
		t.Parallel()
		server := start(t, postgres.Options{DataDir: t.TempDir()})
		first, _, _ := strings.Cut(query(t, server.URL(""), "SELECT pg_read_file('postmaster.pid')"), "\n")
		status, err := os.ReadFile("/proc/" + first + "/status")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(status), "CapEff:\t0000000000000000") {
			t.Errorf("the server has root's powers:\n%s", status)
		}
	})

	for name, user := range map[string]uint32{"an ordinary user": 65534, "a user without a name": 54321} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			binary := testBinary(t)
			dir := filepath.Join(filepath.Dir(binary), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, int(user), int(user)); err != nil {
				t.Fatal(err)
			}
			h := startHelper(t, binary, dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}})
			if h.Owner != user || !strings.HasPrefix(h.DataDir, dir) {
				t.Errorf("the data of %d in %s", h.Owner, h.DataDir)
			}
			h.stop(t)
		})
	}

	t.Run("root without user namespaces", func(t *testing.T) {
		t.Parallel()
		// In a user namespace with all ids one can be root and forbid oneself
		// further ones. Where even the first is forbidden, there is nothing to do.
		all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
		own := &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
		}
		forbid := forbidEnv + "=1"
		if probe, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: own}); err != nil {
			t.Logf("user namespaces are forbidden here: %v", err)
			own, forbid = nil, forbidEnv+"="
		} else if _, err := probe.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"", t.TempDir()} {
			h := startHelper(t, testBinary(t), dir, own, forbid)
			if h.Owner != 65534 || !strings.HasPrefix(h.DataDir, "/var/tmp/") {
				t.Errorf("the data of %d in %s", h.Owner, h.DataDir)
			}
			if dir == "" {
				h.stop(t)
				continue
			}
			createKept(t, h.URL)
			h.stop(t)
			again := startHelper(t, testBinary(t), dir, own, forbid)
			if got := query(t, again.URL, "SELECT x::text FROM kept"); got != "1" {
				t.Errorf("kept %q", got)
			}
			again.stop(t)
			if err := os.RemoveAll(filepath.Dir(again.DataDir)); err != nil {
				t.Error(err)
			}
		}
	})
}
