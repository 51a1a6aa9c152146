package webhooksvc

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestRejectionAlert has two replicas refuse forged deliveries: one alert for the incident, a new one for the next.
func TestRejectionAlert(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	other, err := New(w.Deps)
	if err != nil {
		t.Fatal(err)
	}
	second := &harness{Service: other, pool: w.pool, clock: w.clock, peers: w.peers}
	second.url = second.serve(t)
	forge := func(count int) {
		t.Helper()
		for i := range count {
			for _, replica := range []*harness{w, second} {
				if answer := replica.deliver(t, "/webhooks/stripe", "whsec_somebody_elses_secret", intentBody(fmt.Sprintf("evt_%d", i))); answer.status != http.StatusBadRequest {
					t.Fatalf("a forged delivery is answered %d", answer.status)
				}
			}
		}
		for range 2 {
			for _, replica := range []*harness{w, second} {
				if err := replica.watchRejections(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	alerts := func(want, wantOpen int) {
		t.Helper()
		all := w.count(t, "SELECT count(*) FROM alerts WHERE kind = 'webhook_signatures_refused' AND subject = 'account'")
		open := w.count(t, "SELECT count(*) FROM alerts WHERE kind = 'webhook_signatures_refused' AND resolved_time IS NULL")
		if all != want || open != wantOpen {
			t.Fatalf("%d alerts, %d open; want %d and %d", all, open, want, wantOpen)
		}
	}
	forge(2) // 4 of 5
	alerts(0, 0)
	forge(1)
	alerts(1, 1)
	forge(3)
	alerts(1, 1)
	w.clock.Advance(rejectionWindow + time.Minute) // fewer come, but it is not over
	forge(1)
	alerts(1, 1)
	w.clock.Advance(rejectionQuiet + time.Minute)
	forge(0)
	alerts(1, 0)
	forge(3)
	alerts(2, 1)
	if n := w.count(t, "SELECT count(*) FROM webhook_events"); n != 0 {
		t.Errorf("%d forged events are stored", n)
	}
}

// TestRejectionsOfOneEndpointStopNoOther has two endpoints under attack, and the alert of one of them cannot be written.
func TestRejectionsOfOneEndpointStopNoOther(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{endpointAccount, endpointConnect} {
		w := newQuietHarness(t, func(c *Config, _ *Deps) { c.ConnectSecrets = secretsOf("whsec_another_secret_of_connect") })
		w.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`)
		w.exec(t, `CREATE TRIGGER refuse BEFORE INSERT ON alerts FOR EACH ROW WHEN (new.subject = '`+bad+`') EXECUTE FUNCTION refuse()`)
		for i := range w.Config.RejectionAlert {
			for _, path := range []string{"/webhooks/stripe", "/webhooks/stripe/connect"} {
				w.deliver(t, path, "whsec_somebody_elses_secret", intentBody(fmt.Sprintf("evt_%d", i)))
			}
		}
		if err := w.watchRejections(t.Context()); err == nil {
			t.Error("an alert that cannot be written is no error")
		}
		if n := w.count(t, "SELECT count(*) FROM alerts WHERE kind = 'webhook_signatures_refused'"); n != 1 {
			t.Errorf("alerts of %s cannot be written: %d of the other endpoint, want 1", bad, n)
		}
	}
}

// TestPurge deletes what ended long ago, and nothing that is still to do or needs a person.
func TestPurge(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	old, young := storyTime.Add(-w.Config.Retention-time.Hour), storyTime.Add(-w.Config.Retention+time.Hour)
	insert := func(id, state string, received, ended time.Time) {
		t.Helper()
		var end *time.Time
		if state != stateReceived && state != stateDeferred {
			end = &ended
		}
		w.exec(t, `INSERT INTO webhook_events (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
			receive_time, delivery_count, state, end_time, queue_time, body) VALUES ('account', $1, 'delivery', 't', '', false, '', '', $2, 1, $3, $4, $2, '')`,
			id, received, state, end)
	}
	for _, state := range []string{stateReceived, stateDeferred, stateApplied, stateIgnored, stateRejected, stateDead} {
		insert("evt_old_"+state, state, old, old)
		insert("evt_late_"+state, state, old, young) // came long ago, was replayed lately
		insert("evt_young_"+state, state, young, young)
	}
	for range 2 {
		if err := w.purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count(t, "SELECT count(*) FROM webhook_events"); n != 15 {
		t.Errorf("%d events are left of 18, want 15", n)
	}
	if n := w.count(t, "SELECT count(*) FROM webhook_events WHERE event_id IN ('evt_old_applied', 'evt_old_ignored', 'evt_old_rejected')"); n != 0 {
		t.Errorf("%d old events are left", n)
	}
}
