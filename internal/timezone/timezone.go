// Package timezone loads time zones by their names from a database of its own, so that a name means the same on every
// host. The standard library asks the machine's files first: "localtime" is a zone there, and rules are as old as the
// machine.
package timezone

import (
	"archive/zip"
	"bytes"
	_ "embed" // the database
	"fmt"
	"io"
	"sync"
	"time"
)

// Version names the embedded release of the IANA time zone database, compiled by and shipped with Go (lib/time of the
// toolchain), in the public domain. Replace zoneinfo.zip and Version together.
const Version = "2025c"

//go:embed zoneinfo.zip
var database []byte

// archive is the database's table of contents, by name.
var archive = sync.OnceValues(func() (map[string]*zip.File, error) {
	r, err := zip.NewReader(bytes.NewReader(database), int64(len(database)))
	if err != nil {
		return nil, err
	}
	files := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		if !f.FileInfo().IsDir() {
			files[f.Name] = f
		}
	}
	return files, nil
})

// loaded keeps zones: some hundreds at most.
var loaded sync.Map // *time.Location by name

// Load returns a zone by its IANA name, such as "Europe/Berlin". Names that are none, "Local", "localtime" and "" among
// them, are errors on every host.
func Load(name string) (*time.Location, error) {
	if known, ok := loaded.Load(name); ok {
		if zone, ok := known.(*time.Location); ok {
			return zone, nil
		}
	}
	files, err := archive()
	if err != nil {
		return nil, fmt.Errorf("open the time zone database: %w", err)
	}
	f, ok := files[name]
	if !ok {
		return nil, fmt.Errorf("the time zone database %s has no zone %q", Version, name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	loaded.Store(name, zone)
	return zone, nil
}
