package passsvc_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/apns"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/passsvc"
)

func TestPush(t *testing.T) {
	t.Parallel()

	t.Run("a change is pushed as Apple wants it", func(t *testing.T) {
		t.Parallel()
		server, useAPNs := newAPNs(t)
		r := newService(t, useAPNs).start(t)
		p, d := r.issue(t, 1)[0], newDevice(1)
		if status := r.register(t, d, p); status != http.StatusCreated {
			t.Fatalf("register: %d", status)
		}
		r.set(t, p.GetSerial(), "gate", "B")
		r.settled(t)
		pushes := server.Pushes()
		if len(pushes) != 1 {
			t.Fatalf("%d pushes", len(pushes))
		}
		got := pushes[0]
		if got.DeviceToken != d.token || got.Topic != passType || string(got.Payload) != "{}" || got.PushType != "background" ||
			got.Priority != "5" || got.Auth != "certificate" || got.Status != http.StatusOK || got.CollapseID != passType {
			t.Errorf("%+v", got)
		}
		if got.Expiration != fmt.Sprint(testNow.Add(24*time.Hour).Unix()) {
			t.Errorf("expiration %s", got.Expiration)
		}
		list := r.pushes(t, p)
		if len(list) != 1 || list[0].GetState() != "sent" || list[0].GetRevision() != 2 || list[0].GetApnsStatus() != 200 ||
			list[0].GetAttemptCount() != 1 || !strings.HasSuffix(d.id, list[0].GetDeviceSuffix()) || len(list[0].GetDeviceSuffix()) != 4 {
			t.Errorf("%v", list)
		}
	})

	t.Run("nothing new, no push; A to B to A, two", func(t *testing.T) {
		t.Parallel()
		server, useAPNs := newAPNs(t)
		r := newService(t, useAPNs).start(t)
		p, d := r.issue(t, 1)[0], newDevice(1)
		r.register(t, d, p)
		r.set(t, p.GetSerial(), "gate", "B")
		r.settled(t)
		if res := r.set(t, p.GetSerial(), "gate", " B "); res.GetChanged() || res.GetPass().GetRevision() != 2 {
			t.Errorf("no change: %v", res)
		}
		r.settled(t)
		if n := len(server.Pushes()); n != 1 {
			t.Errorf("%d pushes after nothing changed", n)
		}
		r.set(t, p.GetSerial(), "gate", "")
		r.settled(t)
		if n := len(server.Pushes()); n != 2 {
			t.Errorf("%d pushes for A, B, A", n)
		}
		got, err := r.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: p.GetSerial()})
		if err != nil || got.GetPass().GetRevision() != 3 || got.GetPass().GetEtag() == p.GetEtag() {
			t.Errorf("%v, %v", got, err)
		}
	})

	t.Run("changes of several passes are one push per device", func(t *testing.T) {
		t.Parallel()
		server, useAPNs := newAPNs(t)
		// Long enough for five changes on a machine that is busy.
		r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = 5 * time.Second }).start(t)
		d := newDevice(1)
		passes := r.issue(t, 5)
		for _, p := range passes {
			r.register(t, d, p)
		}
		for _, p := range passes {
			r.set(t, p.GetSerial(), "gate", "B")
		}
		r.settled(t)
		if n := len(server.Pushes()); n != 1 {
			t.Errorf("%d pushes", n)
		}
		states := map[string]int{}
		for _, p := range passes {
			states[r.pushes(t, p)[0].GetState()]++
		}
		if states["sent"] != 1 || states["coalesced"] != 4 {
			t.Errorf("%v", states)
		}
	})

	t.Run("a device that registers after a change hears of it", func(t *testing.T) {
		t.Parallel()
		server, useAPNs := newAPNs(t)
		r := newService(t, useAPNs).start(t)
		passes, d := r.issue(t, 2), newDevice(1)
		r.register(t, d, passes[1])
		r.set(t, passes[0].GetSerial(), "gate", "B") // before the device has registered for it
		r.set(t, passes[1].GetSerial(), "gate", "B")
		r.settled(t)
		d.tag = r.list(t, d).LastUpdated
		r.register(t, d, passes[0])
		r.settled(t)
		if n := len(server.Pushes()); n != 2 {
			t.Errorf("%d pushes", n)
		}
		if got := r.list(t, d); len(got.SerialNumbers) != 1 || got.SerialNumbers[0] != passes[0].GetSerial() {
			t.Errorf("list: %+v", got)
		}
	})
}

func TestPushRefusals(t *testing.T) {
	t.Parallel()
	// refused sets up a device whose pushes are scripted.
	refused := func(t *testing.T, script apns.Script, edit ...func(*passsvc.Config)) (*apns.Server, *replica, *passv1.Pass, *device) {
		t.Helper()
		server, useAPNs := newAPNs(t)
		r := newService(t, append(edit, useAPNs)...).start(t)
		p, d := r.issue(t, 1)[0], newDevice(1)
		if err := server.SetScript(d.token, script); err != nil {
			t.Fatal(err)
		}
		r.register(t, d, p)
		return server, r, p, d
	}

	for _, reason := range []string{"Unregistered", "ExpiredToken", "BadDeviceToken", "DeviceTokenNotForTopic"} {
		t.Run(reason+" forgets the device", func(t *testing.T) {
			t.Parallel()
			server, r, p, _ := refused(t, apns.Script{Reason: reason})
			r.set(t, p.GetSerial(), "gate", "B")
			r.settled(t)
			if n := r.registrations(t, p); n != 0 {
				t.Errorf("%d registrations", n)
			}
			list := r.pushes(t, p)
			if list[0].GetState() != "gone" || list[0].GetApnsReason() != reason || len(server.Pushes()) != 1 {
				t.Errorf("%v", list)
			}
		})
	}

	t.Run("410 spares a device that registered after its timestamp", func(t *testing.T) {
		t.Parallel()
		_, r, p, _ := refused(t, apns.Script{Reason: "Unregistered", TimestampMS: testNow.Add(-time.Second).UnixMilli()})
		r.set(t, p.GetSerial(), "gate", "B")
		r.settled(t)
		if n := r.registrations(t, p); n != 1 {
			t.Errorf("%d registrations", n)
		}
	})

	t.Run("a new token gets the push that the old one did not", func(t *testing.T) {
		t.Parallel()
		server, r, p, d := refused(t, apns.Script{Reason: "Unregistered", TimestampMS: testNow.Add(-time.Hour).UnixMilli()})
		r.set(t, p.GetSerial(), "gate", "B")
		r.settled(t)
		d.token = newDevice(2).token
		if status := r.register(t, d, p); status != http.StatusOK {
			t.Errorf("register again: %d", status)
		}
		r.settled(t)
		pushes := server.Pushes()
		if last := pushes[len(pushes)-1]; last.DeviceToken != d.token || last.Status != http.StatusOK {
			t.Errorf("%+v", last)
		}
	})

	t.Run("503 and a lost connection are tried again", func(t *testing.T) {
		t.Parallel()
		server, r, p, _ := refused(t, apns.Script{Reason: "ServiceUnavailable", Count: 3})
		r.set(t, p.GetSerial(), "gate", "B")
		r.settled(t)
		list := r.pushes(t, p)
		if list[0].GetState() != "sent" || list[0].GetAttemptCount() != 4 || len(server.Pushes()) != 4 {
			t.Errorf("%v", list)
		}
	})

	t.Run("429 waits for a minute at least", func(t *testing.T) {
		t.Parallel()
		server, r, p, _ := refused(t, apns.Script{Reason: "TooManyRequests"})
		r.set(t, p.GetSerial(), "gate", "B")
		until(t, "push is postponed", func() bool {
			return r.count(t, "select count(*) from pushes where state = 'pending' and attempt_count = 1 and apns_status = 429 and due_time > now() + interval '25 seconds'") == 1
		})
		if n := len(server.Pushes()); n != 1 {
			t.Errorf("%d pushes", n)
		}
	})

	t.Run("Retry-After is respected", func(t *testing.T) {
		t.Parallel()
		_, r, p, _ := refused(t, apns.Script{Reason: "ServiceUnavailable", RetryAfterSeconds: 500})
		r.set(t, p.GetSerial(), "gate", "B")
		until(t, "push is postponed", func() bool {
			return r.count(t, "select count(*) from pushes where state = 'pending' and due_time > now() + interval '400 seconds'") == 1
		})
	})

	for _, reason := range []string{"BadCertificate", "Forbidden", "TopicDisallowed", "InvalidPushType", "PayloadTooLarge", "BadPath"} {
		t.Run(reason+" stops the sender, keeps everything and calls somebody once", func(t *testing.T) {
			t.Parallel()
			server, r, p, d := refused(t, apns.Script{Reason: reason})
			r.set(t, p.GetSerial(), "gate", "B")
			until(t, "alert", func() bool {
				return r.count(t, "select count(*) from alerts where kind = 'pass_pushes_refused' and resolved_time is null") == 1
			})
			r.set(t, p.GetSerial(), "gate", "C")
			r.clock.Advance(31 * time.Second) // one probe
			until(t, "probe", func() bool { return len(server.Pushes()) == 2 })
			if n := r.registrations(t, p); n != 1 {
				t.Errorf("%d registrations", n)
			}
			if err := server.SetScript(d.token, apns.Script{}); err != nil {
				t.Fatal(err)
			}
			r.clock.Advance(31 * time.Second)
			r.settled(t)
			if n := r.count(t, "select count(*) from alerts where kind = 'pass_pushes_refused'"); n != 1 {
				t.Errorf("%d alerts", n)
			}
			if n := r.count(t, "select count(*) from alerts where resolved_time is null"); n != 0 {
				t.Errorf("%d open alerts", n)
			}
		})
	}

	for _, reason := range []string{"DeviceTokenNotForTopic", "BadDeviceToken"} {
		t.Run("all tokens "+reason+" is our mistake: nobody is forgotten", func(t *testing.T) {
			t.Parallel()
			server, useAPNs := newAPNs(t)
			r := newService(t, useAPNs).start(t)
			p := r.issue(t, 1)[0]
			const devices = 40
			for i := range devices {
				r.register(t, newDevice(i), p)
			}
			if err := server.SetScript("*", apns.Script{Reason: reason}); err != nil {
				t.Fatal(err)
			}
			r.set(t, p.GetSerial(), "gate", "B")
			until(t, "alert", func() bool {
				return r.count(t, "select count(*) from alerts where kind = 'pass_pushes_refused'") == 1
			})
			if n := r.registrations(t, p); n != devices {
				t.Errorf("%d registrations left of %d", n, devices)
			}
		})
	}

	t.Run("bad tokens of one pass do not stop others", func(t *testing.T) {
		t.Parallel()
		server, useAPNs := newAPNs(t)
		r := newService(t, useAPNs).start(t)
		passes := r.issue(t, 2)
		r.register(t, newDevice(1000), passes[1])
		r.set(t, passes[1].GetSerial(), "gate", "B") // proves that we ask rightly
		r.settled(t)
		for i := range 40 {
			d := newDevice(i)
			r.register(t, d, passes[0])
			if err := server.SetScript(d.token, apns.Script{Reason: "BadDeviceToken"}); err != nil {
				t.Fatal(err)
			}
		}
		r.set(t, passes[0].GetSerial(), "gate", "B")
		r.set(t, passes[1].GetSerial(), "gate", "C")
		r.settled(t)
		if n := r.registrations(t, passes[0]); n != 0 {
			t.Errorf("%d bad registrations left", n)
		}
		if n := accepted(server); n != 2 {
			t.Errorf("%d pushes accepted", n)
		}
	})

	for _, reason := range []string{"BadPath", "PayloadTooLarge", "BadMessageId"} {
		t.Run(reason+" of one device does not stop others", func(t *testing.T) {
			t.Parallel()
			server, useAPNs := newAPNs(t)
			r := newService(t, useAPNs).start(t)
			p, odd := r.issue(t, 1)[0], newDevice(1000)
			r.register(t, newDevice(0), p)
			r.set(t, p.GetSerial(), "gate", "B") // proves that topic, certificate and payload are right
			r.settled(t)
			if err := server.SetScript(odd.token, apns.Script{Reason: reason}); err != nil {
				t.Fatal(err)
			}
			r.register(t, odd, p)
			until(t, "the odd one is tried", func() bool { return len(server.Pushes()) >= 2 })
			for i := range 20 {
				r.register(t, newDevice(i+1), p)
			}
			r.set(t, p.GetSerial(), "gate", "C")
			until(t, "the others are notified", func() bool {
				return r.count(t, "select count(distinct device_id) from pushes where state in ('sent', 'coalesced') and revision = 3") == 21
			})
			if n := r.registrations(t, p); n != 22 {
				t.Errorf("%d registrations left of 22", n)
			}
			if n := r.count(t, "select count(*) from alerts where kind = 'pass_pushes_refused'"); n != 0 {
				t.Errorf("%d alerts", n)
			}
		})
	}

	t.Run("an outage spends no attempts of those who wait", func(t *testing.T) {
		t.Parallel()
		faults := fault.New(1)
		server, useAPNs := newAPNs(t, func(c *apns.Config) { c.Faults = faults })
		r := newService(t, useAPNs).start(t)
		p := r.issue(t, 1)[0]
		for i := range 50 {
			r.register(t, newDevice(i), p)
		}
		if err := faults.Set(fault.APNs, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
			t.Fatal(err)
		}
		r.set(t, p.GetSerial(), "gate", "B")
		until(t, "attempts", func() bool { return r.count(t, "select count(*) from pushes where attempt_count > 0") >= 10 })
		faults.ClearAll()
		until(t, "pushes settle", func() bool {
			r.clock.Advance(time.Second)
			return r.count(t, "select count(*) from pushes where state = 'pending'") == 0
		})
		if n := accepted(server); n != 50 {
			t.Errorf("%d of 50 devices notified", n)
		}
	})
}
