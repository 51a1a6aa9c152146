package passsvc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/passsvc"
)

// TestRegistrationLimit makes up more devices than a pass may have. Those that registered before stay, those too that
// have renewed their token or that APNs knows; a newcomer gets in.
func TestRegistrationLimit(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.RegistrationsMax = 5 }).start(t)
	p := r.issue(t, 1)[0]
	old, known := newDevice(1), newDevice(2)
	r.register(t, old, p)
	r.clock.Advance(time.Second)
	r.register(t, known, p)
	r.set(t, p.GetSerial(), "gate", "B")
	r.settled(t)
	if n := len(server.Pushes()); n != 2 {
		t.Fatalf("%d pushes", n)
	}
	r.clock.Advance(time.Second)
	r.register(t, old, p) // its token again
	for i := range 60 {
		r.clock.Advance(time.Second)
		r.register(t, newDevice(100+i), p)
	}
	if n := r.registrations(t, p); n != 5 {
		t.Errorf("%d registrations", n)
	}
	newcomer := newDevice(3)
	if got := r.register(t, newcomer, p); got != http.StatusCreated {
		t.Errorf("the newcomer: %d", got)
	}
	for name, d := range map[string]*device{"old": old, "known": known, "new": newcomer} {
		if len(r.list(t, d).SerialNumbers) != 1 {
			t.Errorf("the %s device is displaced", name)
		}
	}
}

// TestRegistrationLimitWithoutPushes is the same before any push told the devices apart.
func TestRegistrationLimitWithoutPushes(t *testing.T) {
	t.Parallel()
	r := newService(t, func(c *passsvc.Config) { c.RegistrationsMax = 3 })
	p := r.issue(t, 1)[0]
	for i := range 60 {
		r.clock.Advance(time.Second)
		r.register(t, newDevice(i), p)
	}
	for i := range 60 {
		if got := len(r.list(t, newDevice(i)).SerialNumbers) == 1; got != (i < 2 || i == 59) {
			t.Errorf("device %d is registered: %v", i, got)
		}
	}
}

func TestDeviceLogs(t *testing.T) {
	t.Parallel()
	r := newService(t)
	serial := r.issue(t, 1)[0].GetSerial()
	lines := []string{
		"Get pass task (pass type x, serial " + serial + ") encountered error: no\x1b[2Jthing",
		"line\nbreak \u202egnihtyna", strings.Repeat("ü", 2000), "", "\x00", "plain",
	}
	for i := range 30 {
		lines = append(lines, fmt.Sprint("more ", i))
	}
	body, err := json.Marshal(map[string]any{"logs": lines})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.do(t, http.MethodPost, "/v1/log", string(body)); got.status != http.StatusOK {
		t.Fatalf("%d", got.status)
	}
	all, err := r.client.ListDeviceLogs(t.Context(), &passv1.ListDeviceLogsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all.GetLogs()); n != 18 { // 20 of the request, 2 of which are nothing
		t.Errorf("%d lines", n)
	}
	for _, l := range all.GetLogs() {
		if len([]rune(l.GetLine())) > 1000 || strings.ContainsAny(l.GetLine(), "\x1b\n\x00\u202e") {
			t.Errorf("%q", l.GetLine())
		}
	}
	one, err := r.client.ListDeviceLogs(t.Context(), &passv1.ListDeviceLogsRequest{PassSerial: serial})
	if err != nil || len(one.GetLogs()) != 1 || !strings.Contains(one.GetLogs()[0].GetLine(), "no [2Jthing") {
		t.Errorf("%v, %v", one, err)
	}
	for range 200 {
		r.do(t, http.MethodPost, "/v1/log", string(body))
	}
	if n := r.count(t, "select count(*) from device_logs"); n > 600 {
		t.Errorf("%d lines within a minute", n)
	}
}

// TestLogsOfStrangersLeaveRoom has strangers send more lines than are kept: devices that name a pass are heard, each pass
// within a limit of its own.
func TestLogsOfStrangersLeaveRoom(t *testing.T) {
	t.Parallel()
	r := newService(t)
	passes := r.issue(t, 2)
	post := func(line string, count int) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"logs": slices.Repeat([]string{line}, count)})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.do(t, http.MethodPost, "/v1/log", string(body)); got.status != http.StatusOK {
			t.Fatalf("%d", got.status)
		}
	}
	for i := range 100 {
		post(fmt.Sprintf("made up %d of serial madeup%015d", i, i), 20)
	}
	for range 10 {
		post("Get pass task (serial number "+passes[0].GetSerial()+") failed", 20)
	}
	post("Get pass task (serial number "+passes[1].GetSerial()+") failed", 1)
	lines := func(text string) int {
		return r.count(t, "select count(*) from device_logs where position($1 in line) > 0", text)
	}
	if n := lines("made up"); n == 0 || n > 600 {
		t.Errorf("%d lines of strangers", n)
	}
	if n := lines(passes[0].GetSerial()); n == 0 || n > 60 {
		t.Errorf("%d lines of one pass", n)
	}
	if n := lines(passes[1].GetSerial()); n != 1 {
		t.Errorf("%d lines of the other pass", n)
	}
}
