package passsvc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

type listAnswer struct {
	SerialNumbers []string `json:"serialNumbers"`
	LastUpdated   string   `json:"lastUpdated"`
}

// list asks which passes changed since the device's tag; an empty answer for 204.
func (r *replica) list(tb testing.TB, d *device) listAnswer {
	tb.Helper()
	path := "/v1/devices/" + d.id + "/registrations/" + passType
	if d.tag != "" {
		path += "?passesUpdatedSince=" + url.QueryEscape(d.tag)
	}
	got := r.do(tb, http.MethodGet, path, "")
	var list listAnswer
	switch got.status {
	case http.StatusNoContent:
		if got.body != "" {
			tb.Errorf("204 with a body: %q", got.body)
		}
	case http.StatusOK:
		if err := json.Unmarshal([]byte(got.body), &list); err != nil {
			tb.Fatalf("%v: %s", err, got.body)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
			tb.Errorf("headers %v", got.header)
		}
	default:
		tb.Fatalf("list: %d %s", got.status, got.body)
	}
	return list
}

// TestChangesWithinASecondAreAllReported changes a pass several times in one second and steps the clock back; a device that
// echoes dates gets each change, and no date is in the future.
func TestChangesWithinASecondAreAllReported(t *testing.T) {
	t.Parallel()
	r := newService(t)
	p := r.issue(t, 1)[0]
	since := ""
	for i := range 12 {
		if i == 6 {
			r.clock.Advance(-3 * time.Second)
		}
		if i > 0 {
			r.set(t, p.GetSerial(), "gate", strconv.Itoa(i))
		}
		got := r.fetch(t, p, "If-Modified-Since", since)
		if got.status != http.StatusOK || i > 0 && !strings.Contains(readPass(t, got.body)["pass.json"], `"value":"`+strconv.Itoa(i)+`"`) {
			t.Fatalf("change %d: %d", i, got.status)
		}
		since = got.header.Get("Last-Modified")
		if at, err := http.ParseTime(since); err != nil || at.After(r.clock.Now()) {
			t.Errorf("change %d: Last-Modified %q at %v", i, since, r.clock.Now())
		}
	}
	// Once the clock has caught up, the answer is that nothing is new.
	r.clock.Advance(time.Minute)
	since = r.fetch(t, p).header.Get("Last-Modified")
	if got := r.fetch(t, p, "If-Modified-Since", since); got.status != http.StatusNotModified {
		t.Errorf("after all: %d", got.status)
	}
}

func TestUpdateTags(t *testing.T) {
	t.Parallel()

	t.Run("strange tags get everything", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		p, d := r.issue(t, 1)[0], newDevice(1)
		r.register(t, d, p)
		r.set(t, p.GetSerial(), "gate", "B")
		newest := r.list(t, d).LastUpdated
		for _, tag := range []string{"", "x", "2026-11-03T18:30:00+00:00", "-1", "1.5", "99999999999999999999", "1793730600", " ", "0x1", newest + "9"} {
			d.tag = tag
			if got := r.list(t, d); len(got.SerialNumbers) != 1 || got.LastUpdated != newest {
				t.Errorf("tag %q: %+v", tag, got)
			}
		}
		d.tag = newest
		if got := r.list(t, d); len(got.SerialNumbers) != 0 {
			t.Errorf("newest tag: %+v", got)
		}
	})

	t.Run("a device gets its own passes only", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		passes := r.issue(t, 3)
		a, b := newDevice(1), newDevice(2)
		r.register(t, a, passes[0])
		r.register(t, a, passes[1])
		r.register(t, b, passes[2])
		want := []string{passes[0].GetSerial(), passes[1].GetSerial()}
		slices.Sort(want)
		if got := r.list(t, a); !slices.Equal(got.SerialNumbers, want) {
			t.Errorf("%+v", got)
		}
	})

	t.Run("nothing is lost between concurrent commits", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		passes, d := r.issue(t, 8), newDevice(1)
		for _, p := range passes {
			r.register(t, d, p)
		}
		var changes sync.WaitGroup
		for i, p := range passes {
			changes.Go(func() {
				for n := range 25 {
					r.set(t, p.GetSerial(), "gate", fmt.Sprintf("%d-%d", i, n))
				}
			})
		}
		done := make(chan struct{})
		go func() {
			changes.Wait()
			close(done)
		}()
		// The device asks all the time, fetches what is reported, and remembers what it got.
		held := map[string]string{}
		d.tag = "0"
		for ended := false; ; {
			list := r.list(t, d)
			for _, serial := range list.SerialNumbers {
				i := slices.IndexFunc(passes, func(p *passv1.Pass) bool { return p.GetSerial() == serial })
				held[serial] = r.fetch(t, passes[i]).header.Get("Etag")
			}
			if list.LastUpdated != "" {
				d.tag = list.LastUpdated
			}
			if ended && len(list.SerialNumbers) == 0 {
				break
			}
			select {
			case <-done:
				ended = true
			default:
			}
		}
		for _, p := range passes {
			got, err := r.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: p.GetSerial()})
			if err != nil || got.GetPass().GetEtag() != held[p.GetSerial()] || got.GetPass().GetRevision() != 26 {
				t.Errorf("the device holds %s, the server has %v, %v", held[p.GetSerial()], got.GetPass(), err)
			}
		}
	})

	t.Run("a commit that hangs holds back later tags", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		passes, d := r.issue(t, 2), newDevice(1)
		for _, p := range passes {
			r.register(t, d, p)
		}
		r.set(t, passes[0].GetSerial(), "gate", "A") // makes the counter row
		tx, err := r.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "update update_tags set tag = tag + 1"); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "update passes set update_tag = (select tag from update_tags) where serial = $1", passes[0].GetSerial()); err != nil {
			t.Fatal(err)
		}
		changed := make(chan struct{})
		go func() {
			defer close(changed)
			r.set(t, passes[1].GetSerial(), "gate", "B")
		}()
		until(t, "the second change waits", func() bool {
			return r.count(t, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()") > 0
		})
		d.tag = "1"
		if got := r.list(t, d); len(got.SerialNumbers) != 0 {
			t.Errorf("a later tag overtook: %+v", got)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-changed
		if got := r.list(t, d); len(got.SerialNumbers) != 2 || got.LastUpdated != "3" {
			t.Errorf("%+v", got)
		}
	})
}
