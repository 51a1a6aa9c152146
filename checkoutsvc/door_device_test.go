package checkoutsvc_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// scanner is an enrolled door device, which calls replica 0.
type scanner struct {
	checkoutv1connect.AdmissionServiceClient

	w     *harness
	id    string
	token string
}

// on is the device on another replica.
func (s scanner) on(replica int) checkoutv1connect.AdmissionServiceClient {
	return s.w.doorBy(replica, s.token)
}

// doorBy is AdmissionService as the holder of a token reaches it; without one as anybody.
func (w *harness) doorBy(replica int, token string) checkoutv1connect.AdmissionServiceClient {
	url := w.replicas[replica].url
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: url, Token: config.NewSecret(token), Timeout: patience})
	return checkoutv1connect.NewAdmissionServiceClient(client, url, opts...)
}

// named names a device for a gate and returns it with its code.
func (w *harness) named(eventID, gate string) *checkoutv1.CreateDoorDeviceResponse {
	w.t.Helper()
	res, err := w.replicas[0].door.CreateDoorDevice(w.keyed("device/"+eventID+"/"+gate), &checkoutv1.CreateDoorDeviceRequest{
		EventId: eventID, Gate: gate, Name: "scanner of " + gate,
	})
	if err != nil {
		w.t.Fatalf("create door device: %v", err)
	}
	return res
}

// enrolmentKey is an idempotency key as anybody must choose it: one that nobody guesses.
func enrolmentKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// enrolled returns a device that has enrolled.
func (w *harness) enrolled(eventID, gate string) scanner {
	w.t.Helper()
	code := w.named(eventID, gate).GetEnrolmentCode()
	res, err := w.doorBy(0, "").EnrolDoorDevice(w.keyed(enrolmentKey("once")), &checkoutv1.EnrolDoorDeviceRequest{EnrolmentCode: code})
	if err != nil {
		w.t.Fatalf("enrol: %v", err)
	}
	return scanner{w.doorBy(0, res.GetToken()), w, res.GetDevice().GetId(), res.GetToken()}
}

// TestEnrolment enrols devices by codes that are right, typed in another way, used, wrong, expired and revoked.
func TestEnrolment(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	anybody := w.doorBy(1, "")
	enrol := func(key, code string) (*checkoutv1.EnrolDoorDeviceResponse, error) {
		return anybody.EnrolDoorDevice(w.keyed(enrolmentKey(key)), &checkoutv1.EnrolDoorDeviceRequest{EnrolmentCode: code})
	}
	refused := func(what, key, code string) {
		t.Helper()
		_, err := enrol(key, code)
		if problem.Reason(err) != "DOOR_CODE_INVALID" || problem.Code(err) != connect.CodeNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	device := w.named(w.event.GetId(), "north")
	if again := w.named(w.event.GetId(), "north"); again.GetEnrolmentCode() != device.GetEnrolmentCode() {
		t.Errorf("a repeat makes another code: %s and %s", device.GetEnrolmentCode(), again.GetEnrolmentCode())
	}
	typed := strings.ToLower(strings.ReplaceAll(device.GetEnrolmentCode(), "-", " "))
	first, err := enrol("first", typed)
	if err != nil || first.GetToken() == "" || first.GetDevice().GetGate() != "north" || first.GetDevice().GetEnrolTime() == nil {
		t.Fatalf("enrol: %v, %v", first, err)
	}
	if again, err := enrol("first", device.GetEnrolmentCode()); err != nil || again.GetToken() != first.GetToken() {
		t.Errorf("a repeat after a lost reply: %v, %v", again, err)
	}
	refused("a used code", "second", device.GetEnrolmentCode())
	refused("no code", "none", "hello")
	refused("an unknown code", "unknown", "0000-0000-0000-0000")

	expired := w.named(w.event.GetId(), "expired")
	w.exec("update door_devices set enrol_expire_time = now() where id = $1", expired.GetDevice().GetId())
	refused("an expired code", "expired", expired.GetEnrolmentCode())

	guessed := w.named(w.event.GetId(), "guessed").GetEnrolmentCode()
	var guesses sync.WaitGroup
	for i := range 12 {
		guesses.Go(func() { refused("a guess", fmt.Sprint("guess", i), guessed[:10]+fmt.Sprintf("%04d-%04d", i, i)) })
	}
	guesses.Wait()
	refused("the right code after ten guesses", "late", guessed)
	if tries := w.count("select enrol_tries from door_devices where gate = 'guessed'"); tries != 10 {
		t.Errorf("%d tries are counted, want 10", tries)
	}

	revoked := w.named(w.event.GetId(), "revoked")
	if _, err := w.replicas[0].door.RevokeDoorDevice(w.keyed("revoke"), &checkoutv1.RevokeDoorDeviceRequest{DeviceId: revoked.GetDevice().GetId()}); err != nil {
		t.Fatal(err)
	}
	refused("the code of a revoked device", "revoked", revoked.GetEnrolmentCode())
	stored := w.count(`select count(*) from idempotency_keys where position($1::bytea in response) > 0 or position($2::bytea in response) > 0`,
		[]byte(first.GetToken()), []byte(device.GetEnrolmentCode()))
	if stored > 0 {
		t.Errorf("%d stored answers hold a code or a token", stored)
	}
}

// TestCodeEnrolsOneDevice has eight devices use one code at once.
func TestCodeEnrolsOneDevice(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	code := w.named(w.event.GetId(), "north").GetEnrolmentCode()
	tokens := make([]string, 8)
	var all sync.WaitGroup
	for i := range tokens {
		all.Go(func() {
			res, err := w.doorBy(i%2, "").EnrolDoorDevice(w.keyed(enrolmentKey(fmt.Sprint(i))), &checkoutv1.EnrolDoorDeviceRequest{EnrolmentCode: code})
			if err != nil && problem.Reason(err) != "DOOR_CODE_INVALID" {
				t.Error(err)
			}
			tokens[i] = res.GetToken()
		})
	}
	all.Wait()
	tokens = slices.DeleteFunc(tokens, func(token string) bool { return token == "" })
	if len(tokens) != 1 {
		t.Errorf("one code enrolled %d devices", len(tokens))
	}
}

// TestDeviceToken has a device call what it may, what only staff may, and what another event's device may; then it is revoked.
func TestDeviceToken(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	device := w.enrolled(w.event.GetId(), "north")
	ticket, other := w.bought("device", 2).GetTickets()[0], w.tickets(1)[0]
	ctx := t.Context()
	if res, err := device.Admit(w.keyed("in"), scan(ticket, "somewhere else")); err != nil || res.GetAdmission() != admitted || res.GetGate() != "north" {
		t.Errorf("admit: %v, %v", res, err)
	}
	if got := w.count("select count(*) from admissions where entry_device_id = $1 and entry_gate = 'north'", device.id); got != 1 {
		t.Errorf("%d stays name the device", got)
	}
	list, err := device.ListAttendees(ctx, &checkoutv1.ListAttendeesRequest{})
	if err != nil || len(list.GetAttendees()) != 2 || list.GetAttendees()[0].GetHolderName() != "Erika Beispiel" ||
		list.GetAttendees()[0].GetHolderEmail() != "" || list.GetAttendees()[0].GetTicket().GetCode() != "" {
		t.Errorf("attendees: %v, %v", list, err)
	}
	for what, call := range map[string]func() error{
		"admit": func() error { _, err := device.Admit(w.keyed("other"), scan(other, "north")); return err },
		"attendees": func() error {
			_, err := device.ListAttendees(ctx, &checkoutv1.ListAttendeesRequest{EventId: other.GetEventId()})
			return err
		},
		"counters": func() error {
			_, err := device.GetDoorCounters(ctx, &checkoutv1.GetDoorCountersRequest{EventId: other.GetEventId()})
			return err
		},
		"package": func() error {
			_, err := device.GetOfflinePackage(ctx, &checkoutv1.GetOfflinePackageRequest{EventId: other.GetEventId()})
			return err
		},
	} {
		if err := call(); problem.Reason(err) != "EVENT_NOT_FOUND" || problem.Code(err) != connect.CodeNotFound {
			t.Errorf("%s of another event: %v", what, err)
		}
	}
	byID, err := device.Admit(w.keyed("id"), &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_TicketId{TicketId: other.GetId()}})
	if err != nil || byID.GetAdmission() != checkoutv1.Admission_ADMISSION_UNKNOWN_CODE || byID.GetTicket() != nil {
		t.Errorf("another event's ticket by its id: %v, %v", byID, err)
	}
	_, err = device.CreateDoorDevice(w.keyed("create"), &checkoutv1.CreateDoorDeviceRequest{EventId: w.event.GetId(), Gate: "g", Name: "n"})
	wantProblem(t, err, connect.CodeUnauthenticated, "UNAUTHENTICATED")
	_, err = device.UploadScans(w.keyed("upload"), &checkoutv1.UploadScansRequest{
		DeviceId: w.enrolled(w.event.GetId(), "south").id, Scans: []*checkoutv1.OfflineScan{offlineScan(ticket.GetCode(), 0)},
	})
	wantProblem(t, err, connect.CodeNotFound, "DOOR_DEVICE_NOT_FOUND")

	if _, err := w.replicas[1].door.RevokeDoorDevice(w.keyed("revoke"), &checkoutv1.RevokeDoorDeviceRequest{DeviceId: device.id}); err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{"revoked": device.token, "wrong": device.token[:len(device.token)-1] + "_", "none": "", "short": "ddt_x"} {
		_, err := w.doorBy(0, token).CheckTicket(ctx, &checkoutv1.CheckTicketRequest{Code: ticket.GetCode()})
		if problem.Code(err) != connect.CodeUnauthenticated {
			t.Errorf("a %s token: %v", what, err)
		}
	}
	devices, err := w.replicas[0].door.ListDoorDevices(ctx, &checkoutv1.ListDoorDevicesRequest{EventId: w.event.GetId()})
	if err != nil || len(devices.GetDevices()) != 2 || devices.GetDevices()[0].GetRevokeTime() == nil {
		t.Errorf("devices: %v, %v", devices, err)
	}
}
