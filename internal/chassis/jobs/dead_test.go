package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/deadletter"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

var unmarshal = json.Unmarshal

// newReplicas returns registries on one database, whose mail jobs fail while
// broken is true and whose alerts end up in sent.
func newReplicas(t *testing.T, n int, broken *atomic.Bool, sent *received) ([]*jobs.Registry, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t, jobs.Migrate)
	replicas := make([]*jobs.Registry, n)
	for i := range replicas {
		replicas[i] = newRegistry(t, pool, func(config *jobs.Config) {
			config.DeadLetterURL = "http://console/dead-letters/"
			config.SendAlert = func(_ context.Context, a alert.Alert) error {
				sent.add(fmt.Sprintf("%s %v %v %v %s", a.Kind, a.Facts["job_kind"], a.Facts["args"], a.Facts["error"], a.Link))
				return nil
			}
		})
		jobs.Register(replicas[i], quick, func(context.Context, *river.Job[mailArgs]) error {
			if broken.Load() {
				return errors.New("smtp is down")
			}
			return nil
		})
	}
	return replicas, pool
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()

	t.Run("an exhausted job is reported once and can be retried", func(t *testing.T) {
		t.Parallel()
		var broken atomic.Bool
		broken.Store(true)
		var sent received
		replicas, pool := newReplicas(t, 2, &broken, &sent)
		for _, r := range replicas {
			start(t, r)
		}
		r := replicas[0]
		insert(t, r, mailArgs{OrderID: "o1"})
		eventually(t, "the alert is marked as sent", func() bool {
			return count(t, pool, `SELECT count(*) FROM alerts WHERE sent_time IS NOT NULL`) == 1
		})
		letters, err := deadletter.List(t.Context(), pool, deadletter.Filter{Kind: "mail"})
		if err != nil || len(letters) != 1 {
			t.Fatalf("%d letters, %v", len(letters), err)
		}
		letter := letters[0]
		if letter.Reason != "exhausted" || letter.Error != "smtp is down" || letter.Attempts != 3 || letter.DeadTime.IsZero() {
			t.Errorf("letter %+v", letter)
		}
		want := fmt.Sprintf("dead_job mail map[order_id:o1] smtp is down http://console/dead-letters/%d", letter.ID)
		if got := sent.all(); len(got) != 1 || got[0] != want {
			t.Errorf("sent %q, want once %q", got, want)
		}

		broken.Store(false)
		if err := r.Retry(t.Context(), letter.ID); err != nil {
			t.Fatal(err)
		}
		if err := replicas[1].Retry(t.Context(), letter.ID); !errors.Is(err, deadletter.ErrClosed) {
			t.Errorf("second retry: %v", err)
		}
		eventually(t, "the new job is done", func() bool {
			return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 1 AND max_attempts = 3`) == 1
		})
		if open, err := alert.ListOpen(t.Context(), pool, 10); err != nil || len(open) != 0 {
			t.Errorf("open alerts %v, %v", open, err)
		}
		if letters, err = deadletter.List(t.Context(), pool, deadletter.Filter{}); err != nil || len(letters) != 0 {
			t.Errorf("open letters %v, %v", letters, err)
		}
		letters, err = deadletter.List(t.Context(), pool, deadletter.Filter{ID: letter.ID, Closed: true})
		if err != nil || len(letters) != 1 || letters[0].RetriedTime == nil || *letters[0].RetriedJobID == letter.JobID {
			t.Errorf("closed letters %+v, %v", letters, err)
		}
	})

	t.Run("a tool that knows no kinds puts a job back", func(t *testing.T) {
		t.Parallel()
		var broken atomic.Bool
		broken.Store(true)
		var sent received
		replicas, pool := newReplicas(t, 1, &broken, &sent)
		start(t, replicas[0])
		insert(t, replicas[0], mailArgs{OrderID: "o1"})
		eventually(t, "the job is a dead letter", func() bool { return count(t, pool, `SELECT count(*) FROM dead_letters`) == 1 })
		broken.Store(false)
		tool := newRegistry(t, pool)
		letters, err := deadletter.List(t.Context(), pool, deadletter.Filter{})
		if err != nil || len(letters) != 1 {
			t.Fatalf("%d letters, %v", len(letters), err)
		}
		if err := tool.Retry(t.Context(), letters[0].ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new job is done", func() bool {
			return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed' AND max_attempts = 3`) == 1
		})
	})

	t.Run("a job that died with its process and had no attempts left", func(t *testing.T) {
		t.Parallel()
		var broken atomic.Bool
		var sent received
		replicas, pool := newReplicas(t, 1, &broken, &sent)
		r := replicas[0]
		insert(t, r, mailArgs{OrderID: "spent"}, mailArgs{OrderID: "has more"})
		_, err := pool.Exec(t.Context(), `
			UPDATE river_job SET state = 'running', attempted_at = now() - interval '1 day', attempted_by = '{gone}',
				attempt = CASE args ->> 'order_id' WHEN 'spent' THEN 3 ELSE 1 END`)
		if err != nil {
			t.Fatal(err)
		}
		start(t, r)
		eventually(t, "its alert is sent", func() bool { return len(sent.all()) == 1 })
		eventually(t, "the other one is done", func() bool {
			return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed' AND args ->> 'order_id' = 'has more'`) == 1
		})
		if n := count(t, pool, `SELECT count(*) FROM dead_letters WHERE args ->> 'order_id' = 'spent'`); n != 1 {
			t.Errorf("%d letters, want 1", n)
		}
	})

	t.Run("dismissed", func(t *testing.T) {
		t.Parallel()
		var broken atomic.Bool
		broken.Store(true)
		var sent received
		replicas, pool := newReplicas(t, 1, &broken, &sent)
		r := replicas[0]
		start(t, r)
		insert(t, r, mailArgs{OrderID: "o1"}, mailArgs{OrderID: "o2"})
		eventually(t, "both are dead", func() bool { return count(t, pool, `SELECT count(*) FROM dead_letters`) == 2 })
		letters, err := deadletter.List(t.Context(), pool, deadletter.Filter{Limit: 1})
		if err != nil || len(letters) != 1 {
			t.Fatalf("first page %v, %v", letters, err)
		}
		if err := deadletter.Dismiss(t.Context(), pool, letters[0].ID, "the buyer was called"); err != nil {
			t.Fatal(err)
		}
		if err := r.Retry(t.Context(), letters[0].ID); !errors.Is(err, deadletter.ErrClosed) {
			t.Errorf("retry of a dismissed letter: %v", err)
		}
		if err := r.Retry(t.Context(), 999); !errors.Is(err, deadletter.ErrNotFound) {
			t.Errorf("retry of no letter: %v", err)
		}
		rest, err := deadletter.List(t.Context(), pool, deadletter.Filter{AfterID: letters[0].ID})
		if err != nil || len(rest) != 1 {
			t.Errorf("second page %v, %v", rest, err)
		}
		old, err := deadletter.List(t.Context(), pool, deadletter.Filter{Until: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil || len(old) != 0 {
			t.Errorf("letters of long ago %v, %v", old, err)
		}
	})
}
