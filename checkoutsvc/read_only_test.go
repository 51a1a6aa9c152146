package checkoutsvc_test

import (
	"fmt"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestDatabaseThatCannotWrite makes the database one that reads and does not write, as a primary that was demoted. Calls are
// told to come back, the service says that it does not serve, and both end by themselves when the database writes again.
func TestDatabaseThatCannotWrite(t *testing.T) {
	w := newHarness(t)
	w.start("before", 1)
	database := w.pool.Config().ConnConfig.Database
	demoteConnections := func() { // but for those that are in use
		for _, conn := range w.pool.AcquireAllIdle(t.Context()) {
			if _, err := conn.Exec(t.Context(), "set default_transaction_read_only = on"); err != nil {
				t.Fatal(err)
			}
			conn.Release()
		}
	}
	demoteConnections()
	admin := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), w.pool.Config().ConnString()) // the pool's own refuse such a database
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		for _, statement := range []string{"set default_transaction_read_only = off", sql} {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	admin("alter database " + pgx.Identifier{database}.Sanitize() + " set default_transaction_read_only = on")
	healthy := func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.replicas[0].url+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	w.waitUntil("the service does not serve", func() bool {
		demoteConnections()
		return !healthy()
	})
	refused := 0
	for n := 0; refused < 3; n++ { // each tried three times by the client, a second apart
		demoteConnections()
		_, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprintf("during/%d", n)), w.cart(1))
		switch {
		case problem.Code(err) == connect.CodeUnavailable:
			refused++
		case err != nil || n > 50: // one that succeeds had a connection that was in use whenever the others were demoted
			t.Fatalf("call %d gets %v", n, err)
		}
	}
	admin("alter database " + pgx.Identifier{database}.Sanitize() + " reset default_transaction_read_only")
	w.waitUntil("the service serves again", healthy)
	w.waitUntil("calls succeed again", func() bool {
		_, err := w.replicas[0].checkout.StartCheckout(w.keyed("after"), w.cart(1))
		return err == nil
	})
}
