package postgres

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/xi2/xz"
)

// unpackedMax bounds one unpacked file; the largest of PostgreSQL's is below
// 50 MB.
const unpackedMax = 512 << 20

// unpack extracts the one .txz inside the archive (a jar) to target, which is
// there completely or not at all.
func unpack(archive, target string) (err error) {
	jar, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jar.Close()) }()
	fresh, err := os.MkdirTemp(filepath.Dir(target), "unpack-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := os.Chmod(fresh, 0o755); err != nil { //nolint:gosec // nobody must be able to run what is in it
		return err
	}
	for _, file := range jar.File {
		if !strings.HasSuffix(file.Name, ".txz") {
			continue
		}
		if err := unpackFile(file, fresh); err != nil {
			return err
		}
		// Whatever was there was not usable, or we would not be here.
		if err := os.RemoveAll(target); err != nil {
			return err
		}
		return os.Rename(fresh, target)
	}
	return errors.New("there is no .txz in it")
}

func unpackFile(file *zip.File, target string) (err error) {
	root, err := os.OpenRoot(target) // nothing gets out of it, whatever the archive says
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	compressed, err := file.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compressed.Close()) }()
	uncompressed, err := xz.NewReader(compressed, 0)
	if err != nil {
		return err
	}
	entries := tar.NewReader(uncompressed)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(root, entry, entries); err != nil {
			return fmt.Errorf("%s: %w", entry.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, entry *tar.Header, contents io.Reader) error {
	name := path.Clean(entry.Name)
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	switch entry.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	case tar.TypeSymlink:
		return root.Symlink(entry.Linkname, name)
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if entry.FileInfo().Mode()&0o100 != 0 {
			mode = 0o755
		}
		file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		size, err := io.Copy(file, io.LimitReader(contents, unpackedMax))
		if err == nil && size != entry.Size {
			err = fmt.Errorf("has %d bytes instead of %d", size, entry.Size)
		}
		return errors.Join(err, file.Close())
	}
	return nil // other kinds do not occur in these packages
}
