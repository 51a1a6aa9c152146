package passsvc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/passsvc"
)

func TestRegistrationLimit(t *testing.T) {
	t.Parallel()
	r := newService(t, func(c *passsvc.Config) { c.RegistrationsMax = 3 })
	p := r.issue(t, 1)[0]
	for i := range 5 {
		r.clock.Advance(time.Second)
		r.register(t, newDevice(i), p)
	}
	if n := r.registrations(t, p); n != 3 {
		t.Errorf("%d registrations", n)
	}
	for i := range 5 {
		if got := len(r.list(t, newDevice(i)).SerialNumbers) == 1; got != (i >= 2) {
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
