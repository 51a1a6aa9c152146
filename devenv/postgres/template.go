package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyOf begins a directory without a cluster as a copy of another server's, password included. That server must have been stopped: the
// files of a running one fit together only with its log.
func (d *directory) copyOf(template string) error {
	source, err := reachable(template, d.identity)
	if err != nil {
		return fmt.Errorf("copy %s: %w", template, err)
	}
	fresh, err := d.freshCluster()
	if err != nil {
		return err
	}
	password := filepath.Join(source, filepath.Base(d.passwordFile()))
	err = errors.Join(d.copyTree(filepath.Join(source, filepath.Base(d.cluster())), fresh), d.copyFile(password, d.passwordFile()))
	if err != nil {
		return fmt.Errorf("copy %s: %w", source, err)
	}
	return d.adopt(fresh)
}

// copyTree copies the files and directories of source into target, which exists.
func (d *directory) copyTree(source, target string) error {
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == source {
			return err
		}
		below, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, below)
		switch {
		case entry.IsDir():
			return errors.Join(os.Mkdir(to, 0o700), d.give(to))
		case entry.Name() == "postmaster.pid":
			return fmt.Errorf("a server runs in %s", source)
		}
		return d.copyFile(path, to)
	})
}

func (d *directory) copyFile(source, target string) error {
	from, err := os.Open(filepath.Clean(source))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Clean(target), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(), d.give(target))
}
