package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/device"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestDevice lives the life of a device with a pass: at two replicas, which are processes of their own where the others
// are, and at a `dayof up`, which is a process here as it is on a developer's machine.
func TestDevice(t *testing.T) {
	t.Parallel()
	t.Run("two replicas", func(t *testing.T) {
		t.Parallel()
		newDeviceLife(t, shared.File).run()
	})
	t.Run("dayof up", func(t *testing.T) {
		t.Parallel()
		newDeviceLife(t, startUp(t)).run()
	})
}

func (d *deviceLife) run() {
	d.registers()
	d.readsCarefully()
	d.opensNothingWithAnotherToken()
	d.hearsOfChanges()
	d.missesNothingWithinASecond()
	d.hearsOfAReschedule()
	d.hearsOfARefund()
	d.leaves()
}

// registers: 201, then 200; everything is listed without a tag, nothing with the tag that came with it.
func (d *deviceLife) registers() {
	d.t.Helper()
	for i, want := range []int{http.StatusCreated, http.StatusOK} {
		answer, err := d.device.Register(d.ctx, d.pass)
		if err != nil || answer.Status != want {
			d.t.Fatalf("register %d: %d, %v", i+1, answer.Status, err)
		}
	}
	if got := d.list(); !slices.Equal(got, []string{d.pass.SerialNumber}) {
		d.t.Errorf("list without tag: %v", got)
	}
	if got := d.list(); len(got) != 0 {
		d.t.Errorf("list with the latest tag: %v", got)
	}
	before := d.pass.Archive
	if !d.fetch() || !bytes.Equal(before, d.pass.Archive) {
		d.t.Error("the first fetch is not what the link led to")
	}
	if d.fetch() {
		d.t.Error("nothing has changed, and the pass is sent again")
	}
}

// readsCarefully: HEAD, percent-encoded serial numbers, conditional requests and strange tags.
func (d *deviceLife) readsCarefully() {
	d.t.Helper()
	full := d.do(http.MethodGet, device.PassPath(d.pass), d.pass.AuthenticationToken)
	head := d.do(http.MethodHead, device.PassPath(d.pass), d.pass.AuthenticationToken)
	if head.Status != http.StatusOK || len(head.Body) > 0 || head.Header.Get("Content-Length") != strconv.Itoa(len(full.Body)) {
		d.t.Errorf("HEAD: %d, %d bytes, %v", head.Status, len(head.Body), head.Header)
	}
	for _, name := range []string{"Etag", "Last-Modified", "Content-Type", "Cache-Control"} {
		if full.Header.Get(name) == "" || full.Header.Get(name) != head.Header.Get(name) {
			d.t.Errorf("%s is %q for GET and %q for HEAD", name, full.Header.Get(name), head.Header.Get(name))
		}
	}
	encoded := d.do(http.MethodGet, "/v1/passes/"+device.Percent(d.pass.PassTypeIdentifier)+"/"+device.Percent(d.pass.SerialNumber), d.pass.AuthenticationToken)
	if encoded.Status != http.StatusOK || !bytes.Equal(encoded.Body, full.Body) {
		d.t.Errorf("a percent-encoded serial number: %d", encoded.Status)
	}
	for name, headers := range map[string][]string{
		"the entity tag": {"If-None-Match", full.Header.Get("Etag")}, "the date": {"If-Modified-Since", full.Header.Get("Last-Modified")},
	} {
		if got := d.do(http.MethodGet, device.PassPath(d.pass), d.pass.AuthenticationToken, headers...); got.Status != http.StatusNotModified || len(got.Body) > 0 {
			d.t.Errorf("fetch with %s: %d", name, got.Status)
		}
	}
	for _, tag := range []string{"no-tag-of-ours", "2026-01-01T00:00:00+00:00", "-1", "99999999999999999999"} {
		d.device.PassesUpdatedSince[d.pass.PassTypeIdentifier] = tag
		if got := d.list(); !slices.Equal(got, []string{d.pass.SerialNumber}) {
			d.t.Errorf("list with tag %s: %v", tag, got)
		}
	}
	if answer, err := d.device.Log(d.ctx, d.pass, "Get pass task (serial "+d.pass.SerialNumber+") encountered error: none"); err != nil || answer.Status != http.StatusOK {
		d.t.Errorf("log: %d, %v", answer.Status, err)
	}
	logs, err := d.client.Passes.ListDeviceLogs(d.ctx, &passv1.ListDeviceLogsRequest{PassSerial: d.pass.SerialNumber})
	if err != nil || len(logs.GetLogs()) != 1 {
		d.t.Errorf("staff see %v, %v", logs, err)
	}
}

// opensNothingWithAnotherToken: 401 for a token that is good for another pass only, as for none and for an unknown pass.
func (d *deviceLife) opensNothingWithAnotherToken() {
	d.t.Helper()
	registration := "/v1/devices/" + d.device.DeviceLibraryIdentifier + "/registrations/" + d.pass.PassTypeIdentifier + "/" + d.pass.SerialNumber
	unknown := "/v1/passes/" + d.pass.PassTypeIdentifier + "/AAAAAAAAAAAAAAAAAAAAA"
	for _, tc := range []struct{ method, path, token string }{
		{http.MethodGet, device.PassPath(d.pass), d.other.AuthenticationToken},
		{http.MethodHead, device.PassPath(d.pass), d.other.AuthenticationToken},
		{http.MethodDelete, registration, d.other.AuthenticationToken},
		{http.MethodPost, registration, d.other.AuthenticationToken},
		{http.MethodGet, device.PassPath(d.pass), ""},
		{http.MethodGet, unknown, d.pass.AuthenticationToken},
	} {
		if got := d.do(tc.method, tc.path, tc.token); got.Status != http.StatusUnauthorized || len(got.Body) > 0 {
			d.t.Errorf("%s %s: %d %q", tc.method, tc.path, got.Status, got.Body)
		}
	}
	res, err := d.client.Passes.ListRegistrations(d.ctx, &passv1.ListRegistrationsRequest{PassSerial: d.pass.SerialNumber})
	if err != nil || len(res.GetRegistrations()) != 1 {
		d.t.Errorf("registrations are %v, %v", res, err)
	}
}

// hearsOfChanges: update, push, list, 200, 304; a change that changes nothing is no push.
func (d *deviceLife) hearsOfChanges() {
	d.t.Helper()
	d.set("gate", "B")
	d.updates("New gate: %@", `"value":"B"`)
	d.set("gate", "B")
	d.set("gate", "") // A, B, A
	d.updates()
	if strings.Contains(d.pass.JSON, `"value":"B"`) {
		d.t.Error("the gate is still there")
	}
}

// missesNothingWithinASecond: two updates within one second of the clock, with a fetch between them.
func (d *deviceLife) missesNothingWithinASecond() {
	d.t.Helper()
	second := func() int64 { return clock.System{}.Now().Unix() }
	for try := range 20 {
		began := second()
		first, last := fmt.Sprintf("%d first", try), fmt.Sprintf("%d last", try)
		d.set("seat", first)
		if !d.fetch() || !strings.Contains(d.pass.JSON, first) {
			d.t.Fatal("the first change is not there")
		}
		d.set("seat", last)
		within := began == second()
		if !d.fetch() || !strings.Contains(d.pass.JSON, last) {
			d.t.Fatalf("the second change is not there; within a second: %v", within)
		}
		d.awaitPush()
		if within {
			return
		}
	}
	d.t.Error("this machine never made two updates within a second")
}

// hearsOfAReschedule: the event of all passes moves by a day.
func (d *deviceLife) hearsOfAReschedule() {
	d.t.Helper()
	found, err := d.client.Catalog.GetEvent(d.ctx, &checkoutv1.GetEventRequest{EventId: e2etest.Order(d.t, d.client, d.sale.OrderID).EventID})
	if err != nil {
		d.t.Fatal(err)
	}
	event := found.GetEvent()
	start := event.GetStartTime().AsTime().AddDate(0, 0, 1)
	batch, err := d.client.Passes.BatchUpdatePasses(e2etest.Keyed(d.ctx), &passv1.BatchUpdatePassesRequest{
		EventId: event.GetId(),
		Event: &passv1.PassEvent{
			Id: event.GetId(), Name: event.GetName(), VenueName: event.GetVenue().GetName(), VenueAddress: event.GetVenue().GetAddress(),
			TimeZone: "UTC", StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(2 * time.Hour)),
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for batch.GetBatch().GetState() == passv1.PassBatchState_PASS_BATCH_STATE_RUNNING {
		e2etest.Pause(d.ctx)
		got, err := d.client.Passes.GetPassBatch(d.ctx, &passv1.GetPassBatchRequest{PassBatchId: batch.GetBatch().GetId()})
		if err != nil {
			d.t.Fatal(err)
		}
		batch.Batch = got.GetBatch()
	}
	d.updates(start.UTC().Format(time.RFC3339))
}

// hearsOfARefund: the ticket's money goes back; its pass is void, and still served.
func (d *deviceLife) hearsOfARefund() {
	d.t.Helper()
	_, err := d.client.Orders.RefundOrder(e2etest.Keyed(d.ctx), &checkoutv1.RefundOrderRequest{
		OrderId: d.sale.OrderID, TicketIds: []string{d.sale.Tickets[0].ID}, Note: "device test",
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.updates()
	if !d.pass.Voided || strings.Contains(d.pass.JSON, d.sale.Tickets[0].Code) {
		d.t.Errorf("the pass of a refunded ticket: %s", d.pass.JSON)
	}
}

// leaves: it hears no more after it unregistered, and may fetch all the same.
func (d *deviceLife) leaves() {
	d.t.Helper()
	for range 2 {
		if answer, err := d.device.Unregister(d.ctx, d.pass); err != nil || answer.Status != http.StatusOK {
			d.t.Errorf("unregister: %d, %v", answer.Status, err)
		}
	}
	d.device.PassesUpdatedSince = map[string]string{}
	if got := d.list(); len(got) != 0 {
		d.t.Errorf("list after unregistering: %v", got)
	}
	d.set("note", "For those who look by themselves")
	if !d.fetch() || !strings.Contains(d.pass.JSON, "For those who look by themselves") {
		d.t.Error("a fetch without registration does not bring the change")
	}
	e2etest.AwaitIdle(d.t, d.client, idle.Scope{Orders: []string{d.sale.OrderID}})
	if got := d.received(); got != d.pushes {
		d.t.Errorf("%d pushes after unregistering", got-d.pushes)
	}
}
