package checkoutsvc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/config"
)

// codeKeys has a replica know code keys by their versions, each made of one repeated byte; version 1 is the harness's own.
func codeKeys(versions map[string]byte) option {
	return func(c *checkoutsvc.Config) {
		c.CodeKeys = nil
		for version, b := range versions {
			c.CodeKeys = append(c.CodeKeys, config.NewSecret(version+":"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))))
		}
	}
}

// TestDoorRefuses scans codes that admit nobody: each is refused with its reason, online and in an upload, and changes nothing.
func TestDoorRefuses(t *testing.T) {
	w := newHarness(t)
	w.addReplica(codeKeys(map[string]byte{"1": 0, "2": 2})) // replica 1: after a rotation
	w.addReplica(codeKeys(map[string]byte{"2": 2}))         // replica 2: without the old key
	w.addReplica(codeKeys(map[string]byte{"1": 9}))         // replica 3: somebody else's keys
	issue := make(chan struct{})
	defer close(issue)
	good, other := w.bought("good", 4).GetTickets(), w.tickets(1)[0]
	device := w.enrolled(w.event.GetId(), "north")
	void, suspended, replaced := good[1], w.bought("suspended", 1), good[2]
	w.setState(void, "void")
	w.dispute(suspended, checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE)
	w.exec("update tickets set code_key_version = 2 where id = $1", replaced.GetId())
	reserved := w.reserved(issue)
	forged := good[3].GetCode()
	last := forged[len(forged)-1:]
	forged = strings.TrimSuffix(forged, last) + map[bool]string{true: "A", false: "Q"}[last != "A"]

	scans, stays := "select count(*) from door_scans where counts", "select count(*) from admissions"
	before := w.count("select count(*) from tickets where state = 'used'")
	for name, c := range map[string]struct {
		code    string
		replica int
		want    checkoutv1.Admission
	}{
		"text":                       {"https://example.test/", 0, checkoutv1.Admission_ADMISSION_UNKNOWN_CODE},
		"forged":                     {forged, 0, checkoutv1.Admission_ADMISSION_UNKNOWN_CODE},
		"another ticket's signature": {strings.Replace(good[3].GetCode(), good[3].GetId(), good[0].GetId(), 1), 0, checkoutv1.Admission_ADMISSION_UNKNOWN_CODE},
		"another key, same version":  {good[0].GetCode(), 3, checkoutv1.Admission_ADMISSION_UNKNOWN_CODE},
		"old key of the ticket":      {replaced.GetCode(), 1, checkoutv1.Admission_ADMISSION_OLD_KEY},
		"key that is gone":           {good[0].GetCode(), 2, checkoutv1.Admission_ADMISSION_OLD_KEY},
		"other event":                {other.GetCode(), 0, checkoutv1.Admission_ADMISSION_OTHER_EVENT},
		"void":                       {void.GetCode(), 0, checkoutv1.Admission_ADMISSION_VOID},
		"suspended":                  {suspended.GetTickets()[0].GetCode(), 0, checkoutv1.Admission_ADMISSION_SUSPENDED},
		"reserved":                   {reserved.GetCode(), 0, checkoutv1.Admission_ADMISSION_NOT_VALID_YET},
	} {
		door := device.on(c.replica)
		res, err := door.Admit(w.keyed("refused/"+name), &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_Code{Code: c.code}})
		if err != nil || res.GetAdmission() != c.want || res.GetMessage() == "" || res.GetAdmitTime() != nil {
			t.Errorf("%s: %v, %v; want %v", name, res, err, c.want)
		}
		if name == "other event" && res.GetTicket() != nil {
			t.Errorf("a device learns of another event's ticket: %v", res.GetTicket())
		}
		checked, err := door.CheckTicket(t.Context(), &checkoutv1.CheckTicketRequest{Code: c.code})
		if err != nil || checked.GetAdmission() != c.want {
			t.Errorf("%s: CheckTicket says %v, %v; want %v", name, checked.GetAdmission(), err, c.want)
		}
		up, err := door.UploadScans(w.keyed("upload/"+name), &checkoutv1.UploadScansRequest{Scans: []*checkoutv1.OfflineScan{offlineScan(c.code, 0)}})
		if err != nil || len(up.GetReports()) != 1 || up.GetReports()[0].GetAdmission() != c.want || up.GetConflictCount() != 1 {
			t.Errorf("%s: the upload says %v, %v; want %v", name, up, err, c.want)
		}
	}
	if w.count(scans) != 0 || w.count(stays) != 0 || w.count("select count(*) from tickets where state = 'used'") != before {
		t.Error("a refused code was recorded as an entry")
	}
	if got := w.admit(0, "good", scan(good[0], "north")); got.GetAdmission() != admitted {
		t.Errorf("a good code: %v", got)
	}
	listed, err := device.ListScanConflicts(t.Context(), &checkoutv1.ListScanConflictsRequest{PageSize: 3})
	if err != nil || len(listed.GetReports()) != 3 || listed.GetNextPageToken() == "" {
		t.Errorf("conflicts: %v, %v", listed, err)
	}
}

// setState writes a ticket's state.
func (w *harness) setState(ticket *checkoutv1.TicketInstance, state string) {
	w.t.Helper()
	w.exec("update tickets set state = $2 where id = $1", ticket.GetId(), state)
}

// reserved buys a ticket whose pass is not issued before issue is closed.
func (w *harness) reserved(issue <-chan struct{}) *checkoutv1.TicketInstance {
	w.t.Helper()
	w.passes.mu.Lock()
	w.passes.before = func(ctx context.Context) error {
		select {
		case <-issue:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.passes.mu.Unlock()
	o := w.start("reserved", 1).GetOrder()
	go func() { // it answers once the attempt has ended
		_, _ = w.replicas[0].payments.RecordPayment(w.keyed("paid/reserved"), paid(o))
	}()
	o = w.waitFor(o.GetId(), "paid", func(o *checkoutv1.Order) bool { return len(o.GetTickets()) == 1 })
	return o.GetTickets()[0]
}
