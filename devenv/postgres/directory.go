package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// temporaryPrefix begins the names of temporary data directories.
	temporaryPrefix = "dayof-postgres-"
	// nobodyBase is where nobody's data lies: no parent of it is closed to it.
	nobodyBase = "/var/tmp"
	// predecessorPatience is how long a dying server of a killed parent may
	// take before it is ended by force.
	predecessorPatience = 5 * time.Second
)

// directory is a data directory that this process has locked:
//
//	lock       held (flock) by the process whose server runs here
//	password   of the superuser
//	cluster/   what Postgres calls its data directory
type directory struct {
	path      string
	major     int // PostgreSQL major version of cluster/; 0 when there is none yet
	identity  identity
	lock      *os.File
	temporary bool
}

// openDirectory makes and locks the directory; "" is a temporary one.
func openDirectory(path string, who identity) (*directory, error) {
	d := &directory{identity: who, temporary: path == ""}
	var err error
	if d.temporary {
		d.path, err = makeTemporary(who)
	} else {
		d.path, err = makePermanent(path, who)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	if d.major, err = readMajor(d.cluster()); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return d, nil
}

func makeTemporary(who identity) (string, error) {
	base := os.TempDir()
	if who == asNobody {
		base = nobodyBase
	}
	removeAbandoned(base)
	path, err := os.MkdirTemp(base, temporaryPrefix)
	if err != nil {
		return "", err
	}
	return path, os.Chmod(path, who.directoryMode())
}

// reachable is the directory of a given name, or one in its place where nobody could not reach it.
func reachable(path string, who identity) (string, error) {
	path, err := filepath.Abs(path)
	if err == nil && who == asNobody && !strings.HasPrefix(path, nobodyBase+"/") {
		sum := sha256.Sum256([]byte(path))
		path = filepath.Join(nobodyBase, "dayof-"+hex.EncodeToString(sum[:8]))
	}
	return path, err
}

func makePermanent(path string, who identity) (string, error) {
	path, err := reachable(path, who)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, who.directoryMode()); err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	// /var/tmp is everybody's: a directory that somebody else put there under
	// our name is not ours to trust.
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s belongs to user %d, not to us", path, owner.Uid)
	}
	return path, os.Chmod(path, who.directoryMode())
}

// directoryMode lets the user nobody traverse the directory, but not list it.
func (i identity) directoryMode() fs.FileMode {
	if i == asNobody {
		return 0o711
	}
	return 0o700
}

// acquire takes the lock. It ends with the process, also with a killed one.
// The file gets its name only when it is locked, so that removeAbandoned never
// meets a living directory with a free lock.
func (d *directory) acquire() error {
	name := filepath.Join(d.path, "lock")
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = os.CreateTemp(d.path, "lock-")
	}
	if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("data directory %s is in use by another running dayof", d.path)
		}
		return fmt.Errorf("lock data directory %s: %w", d.path, err)
	}
	d.lock = file
	if file.Name() == name {
		return nil
	}
	// Two processes may both have made a file: the first link wins.
	err = os.Link(file.Name(), name)
	if removeErr := os.Remove(file.Name()); err == nil {
		err = removeErr
	}
	if errors.Is(err, fs.ErrExist) {
		_ = file.Close()
		return d.acquire()
	}
	return err
}

// release gives the lock back and removes a temporary directory. It may be
// called twice, and on nil.
func (d *directory) release() error {
	if d == nil || d.lock == nil {
		return nil
	}
	var err error
	if d.temporary {
		err = os.RemoveAll(d.path)
	}
	err = errors.Join(err, d.lock.Close())
	d.lock = nil
	return err
}

// removeAbandoned deletes temporary directories whose process was killed: their
// lock is free and no server runs in them. It is a courtesy; what cannot be
// removed stays.
func removeAbandoned(base string) {
	paths, _ := filepath.Glob(filepath.Join(base, temporaryPrefix+"*"))
	for _, path := range paths {
		lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		free := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		if free && postmasterOf(filepath.Join(path, "cluster")) == 0 {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}

func (d *directory) cluster() string      { return filepath.Join(d.path, "cluster") }
func (d *directory) passwordFile() string { return filepath.Join(d.path, "password") }

// password returns the superuser's, made at the first start.
func (d *directory) password() (string, error) {
	contents, err := os.ReadFile(d.passwordFile())
	if err == nil && len(contents) > 0 {
		return strings.TrimSpace(string(contents)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read database password: %w", err)
	}
	if d.major != 0 {
		return "", fmt.Errorf("%s is missing, but %s holds databases that need it", d.passwordFile(), d.cluster())
	}
	password := rand.Text()
	if err := os.WriteFile(d.passwordFile(), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write database password: %w", err)
	}
	return password, d.give(d.passwordFile())
}

// give makes a file the children's, where they are somebody else.
func (d *directory) give(path string) error {
	if d.identity != asNobody {
		return nil
	}
	return os.Chown(path, unprivilegedID, unprivilegedID)
}

// freshCluster makes an empty directory for initdb, without what an earlier
// attempt left behind.
func (d *directory) freshCluster() (string, error) {
	path := filepath.Join(d.path, "initdb")
	if err := os.RemoveAll(path); err != nil {
		return "", fmt.Errorf("remove half-made cluster: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("make cluster directory: %w", err)
	}
	return path, d.give(path)
}

// adopt gives a finished cluster its name.
func (d *directory) adopt(fresh string) error {
	if err := os.Rename(fresh, d.cluster()); err != nil {
		return fmt.Errorf("name cluster directory: %w", err)
	}
	var err error
	d.major, err = readMajor(d.cluster())
	return err
}

// readMajor returns the major version that made a cluster; 0 without a cluster.
func readMajor(cluster string) (int, error) {
	if _, err := os.Stat(cluster); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	contents, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	if err != nil {
		return 0, fmt.Errorf("%s is not a Postgres data directory: %w", cluster, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(contents)))
	if err != nil {
		return 0, fmt.Errorf("%s is not a Postgres data directory: its version is %q", cluster, contents)
	}
	return major, nil
}

// endPredecessor deals with what a killed parent left: a server that is still
// dying is waited for, then ended, and a postmaster.pid of a dead one goes
// away. Postgres itself would take any process that has the old number by now
// for the old server. We hold the lock, so nobody's living server is meant.
func (d *directory) endPredecessor(ctx context.Context) error {
	signals := map[int]syscall.Signal{0: immediateShutdown, 1: syscall.SIGKILL}
	patience, waited := predecessorPatience, 0
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for pid := postmasterOf(d.cluster()); pid != 0; pid = postmasterOf(d.cluster()) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the previous server (process %d) on %s: %w", pid, d.path, ctx.Err())
		case <-deadline.C:
			if signal, ok := signals[waited]; ok {
				_ = syscall.Kill(pid, signal)
			}
			waited++
			deadline.Reset(patience)
		case <-time.After(readyPoll):
		}
	}
	err := os.Remove(filepath.Join(d.cluster(), "postmaster.pid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// postmasterOf returns the process that runs a server in cluster, 0 if none
// does. A process is that server when it is alive and works in that directory;
// where the system does not report that (no /proc), being alive has to do.
func postmasterOf(cluster string) int {
	contents, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(contents), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || syscall.Kill(pid, 0) != nil {
		return 0
	}
	where, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if err == nil && where != cluster {
		return 0
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat("/proc/self"); err == nil {
			return 0 // it ended in between
		}
	}
	return pid
}
