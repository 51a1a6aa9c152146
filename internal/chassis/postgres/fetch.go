package postgres

import (
	"context"
	"errors"
)

// fetchedMajor is the major version of the binaries that are fetched.
const fetchedMajor = 18

func (s *Server) fetch(context.Context, []binaries) (binaries, error) {
	return binaries{}, errors.New("no PostgreSQL found on this machine: set DAYOF_DATABASE_URL to a running server, " +
		"or DAYOF_POSTGRES_BIN to a directory with initdb and postgres, or install postgresql")
}
