package pgdb

import (
	"os"
	"strings"
)

// libpqPrefix is what the names of libpq's variables begin with.
const libpqPrefix = "PG"

// DropEnvironment removes libpq's variables (PGHOST, PGSERVICE, PGOPTIONS,
// PGTARGETSESSIONATTRS...) from the environment of this process and of its
// children. They are set in the shells of people who work with Postgres, and pgx
// lets them complete every URL: a service would connect elsewhere or with other
// settings than its configuration says. Programs call it first; Open does, too.
//
// Idempotent: the second time there is nothing to remove.
func DropEnvironment() {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, libpqPrefix) {
			_ = os.Unsetenv(name) // a name that exists is a valid one
		}
	}
}
