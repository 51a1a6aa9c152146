package ledger

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// The server has two faces. Behind the gateway of a stack it is reached under
// /api/ledger only; the gateway takes that off and knows no other path.
//
// Bare, it serves API version 2 under /v2 and version 1 under every other first
// segment, which is the name of a ledger there: so /api/ledger/_/info asks version
// 1 about a ledger named "api". Version 1 makes a ledger that it does not know, in
// a bucket of its own, before it looks at the rest of the path.
//
// Source: behaviour of v2.4.12; internal/api/v1/middleware_auto_create_ledger.go.

// spoiledFor is how long the making of a bucket leaves its mark: the migrations
// of a bucket make a temporary table on a pooled connection, and those of the next
// one fail on that connection for as long as it lives. Observed on v2.4.12: 30
// failures in 61 s.
const spoiledFor = time.Minute

// face returns the segments of the path behind the gateway, if there is one, and
// 404 for a path that the gateway does not know.
func (s *Server) face(r *http.Request) (given []string, status int) {
	path := r.URL.EscapedPath()
	if s.gateway {
		rest, ok := strings.CutPrefix(path, gatewayPathPrefix+"/")
		if !ok {
			return nil, http.StatusNotFound
		}
		path = rest
	}
	return segments(path), 0
}

// isVersion1 says whether a path is of API version 1 and names a ledger.
func isVersion1(given []string) bool {
	switch given[0] {
	case "", "v2", "_", "_info", "_healthcheck":
		return false
	}
	return true
}

// version1 answers a call of API version 1 about a ledger. Only the side effect
// is imitated: the ledger is made, in a bucket of its own, whatever is asked, and
// the answer is always 404, as it is for the paths of the gateway.
func (s *Server) version1(ctx context.Context, name string) (status int, err error) {
	_, err = s.open(ctx, name)
	if unknown, ok := errors.AsType[*apiError](err); !ok || unknown.code != codeLedgerNotFound {
		return http.StatusNotFound, err
	}
	if err := checkName(name); err != nil {
		return 0, err
	}
	if err := s.insertLedger(ctx, name, Configuration{Bucket: name}, defaultFeatures()); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoiled = s.clock.Now().Add(spoiledFor)
	return http.StatusNotFound, nil
}

// makeBucket spends the time of making a bucket.
func (s *Server) makeBucket(ctx context.Context, tx pgx.Tx) error {
	s.mu.RLock()
	spoiled := s.clock.Now().Before(s.spoiled)
	s.mu.RUnlock()
	if spoiled {
		return errors.New(`relation "transactions_ids" already exists (SQLSTATE 42P07)`)
	}
	if s.delay == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, "select pg_sleep($1)", s.delay.Seconds()) // the real one is busy there, too
	return err
}
