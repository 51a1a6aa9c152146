package passsvc_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/apns"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/passsvc"
)

// TestDevicesThatFetchAtOnceGetTheChange has sandbox APNs fetch each pass at the instant it takes the push, from another
// replica than the one that changed it.
func TestDevicesThatFetchAtOnceGetTheChange(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = 0 }).start(t)
	reader := newReplica(t, r.pool, r.clock)
	const devices = 10
	passes := r.issue(t, devices)
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
			t.Errorf("device %d does not show %q", i, want)
		}
	}
	// What a device gets at the instant of a push is never older than what the push announces.
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
		if announced, got := revisions[push.APNsID], revisionOf(t, push.OnPush.Headers["Etag"]); announced == 0 || got < announced {
			t.Errorf("notified of revision %d, the device got %d", announced, got)
		}
	}
	if n := r.count(t, "select count(*) from pushes where state in ('sent', 'coalesced')"); n != rounds*devices {
		t.Errorf("%d of %d changes notified", n, rounds*devices)
	}
	t.Logf("%d pushes for %d changes", len(pushes), rounds*devices)
}

// TestEachPushShowsItsRevision changes passes again and again, waiting for each push. At the instant of the push the
// device does what devices do, with the tag and the date of its last visit, and at another replica than the one that made
// the change: it must be given exactly the change. DAYOF_TEST_SCALE=250 makes 10,000 changes.
func TestEachPushShowsItsRevision(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = 0 }).start(t)
	reader := newReplica(t, r.pool, r.clock)
	const devices = 10
	changes := 4 * factor(t) // of each pass
	var current atomic.Int64
	var wait sync.WaitGroup
	passes := r.issue(t, devices)
	// Somebody else reads all the time, so that the other replica has it all in memory as it was a moment ago.
	ended := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
				reader.fetch(t, passes[n%devices])
			}
		}
	})
	for i, p := range passes {
		fetching := newFetchingDevice(t, reader, p, i)
		if err := server.SetScript(fetching.token, apns.Script{OnPushURL: fetching.url}); err != nil {
			t.Fatal(err)
		}
		r.register(t, fetching.device, p)
		fetching.visit(t)
		wait.Go(func() {
			for n := range changes {
				want := r.set(t, p.GetSerial(), "gate", strconv.Itoa(n)).GetPass().GetEtag()
				select {
				case got := <-fetching.got:
					if got != want {
						t.Errorf("device %d, change %d: it got %q instead of %s", i, n, got, want)
						return
					}
				case <-time.After(20 * time.Second * time.Duration(factor(t))):
					t.Errorf("device %d, change %d: no push", i, n)
					return
				}
				current.Add(1)
			}
		})
	}
	wait.Wait()
	close(ended)
	others.Wait()
	r.settled(t)
	for _, push := range server.Pushes() {
		if push.OnPush == nil || push.OnPush.Status != http.StatusOK {
			t.Fatalf("%+v", push)
		}
	}
	if n := len(server.Pushes()); n != devices*changes {
		t.Errorf("%d pushes for %d changes", n, devices*changes)
	}
	t.Logf("%d of %d changes were there at the instant of their push", current.Load(), devices*changes)
}

// fetchingDevice is a device that fetches changes whenever its URL is called, which the sandbox does when it takes a push.
type fetchingDevice struct {
	*device
	url    string
	reader *replica
	pass   *passv1.Pass
	since  string      // Last-Modified of its latest visit
	got    chan string // entity tag of what each push brought; empty: nothing
}

func newFetchingDevice(tb testing.TB, reader *replica, p *passv1.Pass, number int) *fetchingDevice {
	tb.Helper()
	fetching := &fetchingDevice{device: newDevice(number), reader: reader, pass: p, got: make(chan string, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetching.got <- fetching.visit(tb) }))
	tb.Cleanup(server.Close)
	fetching.url = server.URL
	return fetching
}

// visit asks which passes changed and fetches its own if it is one of them. It returns the entity tag that it was given.
func (p *fetchingDevice) visit(tb testing.TB) string {
	tb.Helper()
	list := p.reader.list(tb, p.device)
	if !slices.Equal(list.SerialNumbers, []string{p.pass.GetSerial()}) {
		return ""
	}
	p.tag = list.LastUpdated
	got := p.reader.fetch(tb, p.pass, "If-Modified-Since", p.since)
	if got.status != http.StatusOK {
		return ""
	}
	p.since = got.header.Get("Last-Modified")
	return got.header.Get("Etag")
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
	readOnly, err := pgdb.Open(t.Context(), address+"default_transaction_read_only=on&target_session_attrs=read-only&role=pg_read_all_data", pgdb.Options{})
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
	t.Logf("%d revisions observed", len(bodies))
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
