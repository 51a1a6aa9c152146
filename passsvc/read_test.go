package passsvc_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/pgtest"
	"github.com/dayof/dayof/internal/sandbox/apns"
	"github.com/dayof/dayof/passsvc"
)

// TestPhonesThatFetchAtOnceSeeTheChange has sandbox APNs fetch each pass at the instant it takes the push, from another
// replica than the one that changed it.
func TestPhonesThatFetchAtOnceSeeTheChange(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = 0 }).start(t)
	reader := newReplica(t, r.pool, r.clock)
	const phones = 10
	passes := r.issue(t, phones)
	for i, p := range passes {
		d := newDevice(i)
		err := server.SetScript(d.token, apns.Script{
			OnPushURL: reader.url + passPath(p), OnPushHeaders: map[string]string{"Authorization": "ApplePass " + p.GetAuthenticationToken()},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.register(t, d, p)
		reader.fetch(t, p) // so that the other replica has it in memory
	}
	rounds := 10 * factor(t)
	for round := range rounds {
		var wait sync.WaitGroup
		for _, p := range passes {
			wait.Go(func() { r.set(t, p.GetSerial(), "gate", fmt.Sprintf("gate %d of %s", round, p.GetTicketId())) })
		}
		wait.Wait()
	}
	r.settled(t)
	pushes := server.Pushes()
	latest := map[string]string{}
	for _, push := range pushes {
		if push.OnPush == nil || push.OnPush.Status != http.StatusOK {
			t.Fatalf("%+v", push)
		}
		shown := readPass(t, string(push.OnPush.Body))["pass.json"]
		latest[push.DeviceToken] = shown
	}
	for i, p := range passes {
		if want := fmt.Sprintf("gate %d of %s", rounds-1, p.GetTicketId()); !strings.Contains(latest[newDevice(i).token], want) {
			t.Errorf("phone %d does not show %q", i, want)
		}
	}
	// What a phone sees at the instant of a push is never older than what the push tells of.
	revisions := map[string]int{}
	rows, err := r.pool.Query(t.Context(), "select id::text, revision from pushes where state = 'sent'")
	if err != nil {
		t.Fatal(err)
	}
	var id string
	var revision int
	if _, err := pgx.ForEachRow(rows, []any{&id, &revision}, func() error {
		revisions[id] = revision
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, push := range pushes {
		if told, saw := revisions[push.APNsID], revisionOf(t, push.OnPush.Headers["Etag"]); told == 0 || saw < told {
			t.Errorf("told of revision %d, the phone saw %d", told, saw)
		}
	}
	if n := r.count(t, "select count(*) from pushes where state in ('sent', 'coalesced')"); n != rounds*phones {
		t.Errorf("%d of %d changes told", n, rounds*phones)
	}
	t.Logf("%d pushes for %d changes", len(pushes), rounds*phones)
}

// TestEachPushShowsItsRevision changes one pass again and again, waiting for each push: what the phone fetches at that
// instant must be the change.
func TestEachPushShowsItsRevision(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = 0 }).start(t)
	reader := newReplica(t, r.pool, r.clock)
	p, d := r.issue(t, 1)[0], newDevice(1)
	err := server.SetScript(d.token, apns.Script{
		OnPushURL: reader.url + passPath(p), OnPushHeaders: map[string]string{"Authorization": "ApplePass " + p.GetAuthenticationToken()},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.register(t, d, p)
	for i := range 40 * factor(t) {
		reader.fetch(t, p)
		want := r.set(t, p.GetSerial(), "gate", fmt.Sprint(i)).GetPass().GetEtag()
		until(t, "push", func() bool { return len(server.Pushes()) == i+1 })
		if got := server.Pushes()[i].OnPush.Headers["Etag"]; got != want {
			t.Fatalf("change %d: the phone got %s, not %s", i, got, want)
		}
	}
}

// TestReplicasGiveEqualBytes compares archives of two replicas, of which one has just started.
func TestReplicasGiveEqualBytes(t *testing.T) {
	t.Parallel()
	r := newService(t)
	passes := r.issue(t, 20)
	for i, p := range passes {
		if i%2 == 0 {
			r.set(t, p.GetSerial(), "seat", fmt.Sprint(i))
		}
	}
	r.clock.Advance(time.Minute)
	other := newReplica(t, r.pool, clock.NewFake(testNow.Add(100*time.Hour)))
	for _, p := range passes {
		a, b := r.fetch(t, p), other.fetch(t, p)
		if a.header.Get("Etag") != b.header.Get("Etag") || a.body != b.body || a.header.Get("Last-Modified") != b.header.Get("Last-Modified") {
			t.Errorf("%s: replicas differ", p.GetSerial())
		}
	}
}

// TestReadingNeverWrites serves everything that only reads under a role that may only select.
func TestReadingNeverWrites(t *testing.T) {
	t.Parallel()
	pool, address := pgtest.NewNamed(t, "passsvc", passsvc.Migrate)
	r := newReplica(t, pool, clock.NewFake(testNow))
	passes, d := r.issue(t, 3), newDevice(1)
	r.register(t, d, passes[0])
	r.set(t, passes[0].GetSerial(), "gate", "B")
	if strings.Contains(address, "?") {
		address += "&"
	} else {
		address += "?"
	}
	readOnly, err := pgdb.Open(t.Context(), address+"default_transaction_read_only=on&role=pg_read_all_data", pgdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(readOnly.Close)
	if _, err := readOnly.Exec(t.Context(), "update passes set revision = revision"); err == nil {
		t.Fatal("the role may write")
	}
	reader := newReplica(t, readOnly, clock.NewFake(testNow))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		if got := reader.do(t, method, passPath(passes[0]), "", applePass(passes[0])...); got.status != http.StatusOK {
			t.Errorf("%s: %d", method, got.status)
		}
	}
	if got := reader.fetch(t, passes[1], "If-None-Match", passes[1].GetEtag()); got.status != http.StatusNotModified {
		t.Errorf("304: %d", got.status)
	}
	if got := reader.list(t, d); len(got.SerialNumbers) != 1 {
		t.Errorf("list: %+v", got)
	}
	order, err := reader.OrderURL(orderID)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{passes[0].GetDownloadUrl(), order, order + "/tickets-1.pkpasses"} {
		if got := reader.do(t, http.MethodGet, strings.TrimPrefix(address, "https://pass.example"), "", "Accept", "text/html"); got.status != http.StatusOK {
			t.Errorf("%s: %d", address, got.status)
		}
	}
	if _, err := reader.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: passes[0].GetSerial()}); err != nil {
		t.Error(err)
	}
}

// TestConcurrentReaders lets 24 readers fetch a pass while it changes: each gets whole archives, tags never run back,
// and equal tags mean equal bytes.
func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	r := newService(t)
	p := r.issue(t, 1)[0]
	var mu sync.Mutex
	bodies := map[string]string{}
	var changes, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 24 {
		readers.Go(func() {
			last := ""
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := r.fetch(t, p)
				tag := got.header.Get("Etag")
				mu.Lock()
				if before, ok := bodies[tag]; ok && before != got.body {
					t.Errorf("%s: other bytes", tag)
				}
				bodies[tag] = got.body
				mu.Unlock()
				if revisionOf(t, tag) < revisionOf(t, last) {
					t.Errorf("%s after %s", tag, last)
				}
				last = tag
			}
		})
	}
	changes.Go(func() {
		for i := range 60 {
			want := r.set(t, p.GetSerial(), "gate", fmt.Sprint(i)).GetPass().GetEtag()
			if got := r.fetch(t, p).header.Get("Etag"); got != want {
				t.Errorf("after the change to %s the same replica serves %s", want, got)
			}
		}
	})
	changes.Wait()
	close(stop)
	readers.Wait()
	t.Logf("%d revisions seen", len(bodies))
}

func revisionOf(tb testing.TB, etag string) int {
	tb.Helper()
	var n int
	if etag != "" {
		if _, err := fmt.Sscanf(etag, `"%d-`, &n); err != nil {
			tb.Errorf("%s: %v", etag, err)
		}
	}
	return n
}

// TestConcurrentUpdates changes one pass a hundred times at once: each change counts once. Meanwhile other passes change.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	r := newService(t)
	passes := r.issue(t, 2)
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() { r.set(t, passes[0].GetSerial(), "seat", fmt.Sprint(i)) })
		if i%10 == 0 {
			wait.Go(func() { r.set(t, passes[1].GetSerial(), "seat", fmt.Sprint(i)) })
		}
	}
	wait.Wait()
	for i, want := range []int64{101, 11} {
		got, err := r.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: passes[i].GetSerial()})
		if err != nil || got.GetPass().GetRevision() != want {
			t.Errorf("%v, %v, want revision %d", got, err, want)
		}
	}
	list, err := r.client.ListPassRevisions(t.Context(), &passv1.ListPassRevisionsRequest{PassSerial: passes[0].GetSerial()})
	if err != nil {
		t.Fatal(err)
	}
	for i, revision := range list.GetRevisions() {
		if revision.GetRevision() != int64(101-i) {
			t.Fatalf("revision %d at place %d", revision.GetRevision(), i)
		}
		if i < 99 { // each change begins where the one before ended
			before := list.GetRevisions()[i+1].GetChanges()[0].GetNewValue()
			if got := revision.GetChanges()[0].GetOldValue(); got != before {
				t.Errorf("revision %d: from %q, but before it was %q", revision.GetRevision(), got, before)
			}
		}
	}
}
