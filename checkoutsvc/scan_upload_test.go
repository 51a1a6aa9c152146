package checkoutsvc_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/id"
)

// doors is when the offline scans of these tests begin.
var doors = time.Date(2027, 3, 1, 18, 0, 0, 0, time.UTC)

// offlineScan is an entry some seconds after doors.
func offlineScan(code string, seconds int) *checkoutv1.OfflineScan {
	return &checkoutv1.OfflineScan{Id: id.New(), Code: code, ScanTime: timestamppb.New(doors.Add(time.Duration(seconds) * time.Second))}
}

// batch is what one device scanned, and the model of what it should be told.
type batch struct {
	device scanner
	gate   string
	scans  []*checkoutv1.OfflineScan
}

// modelScan is a scan as the model knows it.
type modelScan struct {
	id, ticket, gate string
	time             time.Time
}

// modelReport is what the model expects of a scan: whether it entered, and the gate of the first entry.
type modelReport struct {
	entered   bool
	firstGate string
}

// model says what becomes of entries without re-entry: the earliest of each ticket counts.
func model(scans []modelScan) map[string]modelReport {
	first := map[string]modelScan{}
	for _, s := range scans {
		f, any := first[s.ticket]
		if !any || s.time.Before(f.time) || s.time.Equal(f.time) && s.id < f.id {
			first[s.ticket] = s
		}
	}
	reports := map[string]modelReport{}
	for _, s := range scans {
		reports[s.id] = modelReport{entered: first[s.ticket].id == s.id, firstGate: first[s.ticket].gate}
	}
	return reports
}

// TestUploadsMerge uploads batches of several devices that scanned the same tickets without a connection, at once and on two replicas. What
// the reports say in the end is what a plain model says, whatever came first.
func TestUploadsMerge(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	tickets, size := w.tickets(120), 100
	if n := rounds(t, 0); n > 0 {
		tickets, size = w.tickets(1200), 2000
	}
	var all []modelScan
	var batches []batch
	for gate := range 3 {
		b := batch{device: w.enrolled(tickets[0].GetEventId(), fmt.Sprint("gate", gate)), gate: fmt.Sprint("gate", gate)}
		for range size {
			ticket := tickets[r.IntN(len(tickets))]
			s := offlineScan(ticket.GetCode(), r.IntN(600))
			b.scans = append(b.scans, s)
			all = append(all, modelScan{id: s.GetId(), ticket: ticket.GetId(), gate: b.gate, time: s.GetScanTime().AsTime()})
		}
		batches = append(batches, b)
	}
	var uploads sync.WaitGroup
	for i, b := range batches {
		uploads.Go(func() {
			res, err := b.device.on(i%2).UploadScans(w.keyed("first"), &checkoutv1.UploadScansRequest{Scans: b.scans})
			if err != nil || len(res.GetReports()) != size {
				t.Errorf("upload of %s: %d reports, %v", b.gate, len(res.GetReports()), err)
			}
		})
	}
	uploads.Wait()
	want := model(all)
	entries := 0
	for _, b := range batches { // a repeat with another key changes nothing and says how it stands now
		res, err := b.device.UploadScans(w.keyed("again"), &checkoutv1.UploadScansRequest{Scans: b.scans})
		if err != nil {
			t.Fatal(err)
		}
		conflicts := 0
		for _, report := range res.GetReports() {
			m := want[report.GetScanId()]
			if (report.GetAdmission() == admitted) != m.entered || report.GetFirstGate() != m.firstGate {
				t.Errorf("scan %s: %v at %s, the model says entered %t, first at %s", report.GetScanId(), report.GetAdmission(), report.GetFirstGate(), m.entered, m.firstGate)
			}
			if report.GetAdmission() == admitted {
				entries++
			} else {
				conflicts++
			}
		}
		if int(res.GetConflictCount()) != conflicts {
			t.Errorf("%d conflicts are counted, %d reported", res.GetConflictCount(), conflicts)
		}
	}
	if stays := w.count("select count(*) from admissions where undo_time is null"); stays != entries {
		t.Errorf("%d stays, %d entries", stays, entries)
	}
	if used := w.count("select count(*) from tickets where state = 'used'"); used != entries {
		t.Errorf("%d tickets are used, %d entries", used, entries)
	}
	if listed := w.count("select count(*) from door_scans where outcome = 'already_used'"); listed != len(all)-entries {
		t.Errorf("%d conflicts are kept of %d", listed, len(all)-entries)
	}
}

// TestUploadMeetsTheDoor merges scans of before and after what the door recorded meanwhile.
func TestUploadMeetsTheDoor(t *testing.T) {
	w := newHarness(t)
	tickets := w.tickets(4)
	south := w.enrolled(tickets[0].GetEventId(), "south")
	in := w.admit(0, "online", scan(tickets[0], "north"))
	if got := w.admit(0, "offline later", scan(tickets[1], "north")); got.GetAdmission() != admitted {
		t.Fatal(got)
	}
	early, late := offlineScan(tickets[0].GetCode(), 0), offlineScan(tickets[1].GetCode(), 0)
	early.ScanTime = timestamppb.New(in.GetAdmitTime().AsTime().Add(-time.Minute))
	late.ScanTime = timestamppb.New(in.GetAdmitTime().AsTime().Add(time.Minute))
	void := offlineScan(tickets[2].GetCode(), 0)
	w.setState(tickets[2], "void")
	scans := []*checkoutv1.OfflineScan{early, late, void}
	res, err := south.UploadScans(w.keyed("merge"), &checkoutv1.UploadScansRequest{Scans: scans})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		admission checkoutv1.Admission
		gate      string
	}{{admitted, "south"}, {alreadyUsed, "north"}, {checkoutv1.Admission_ADMISSION_VOID, ""}} {
		if got := res.GetReports()[i]; got.GetAdmission() != want.admission || got.GetFirstGate() != want.gate {
			t.Errorf("scan %d: %v, want %v", i, got, want)
		}
	}
	if got := w.state(tickets[2].GetId()); got != "void" {
		t.Errorf("a void ticket became %s by an upload", got)
	}
	if got := w.admit(0, "third", scan(tickets[0], "north")); got.GetAdmission() != alreadyUsed || got.GetFirstGate() != "south" {
		t.Errorf("after the merge the door says %v", got)
	}
	listed, err := south.ListScanConflicts(t.Context(), &checkoutv1.ListScanConflictsRequest{})
	if err != nil || len(listed.GetReports()) != 3 { // the online entry that came second, the late one, and the void one
		t.Errorf("conflicts: %v, %v", listed, err)
	}

	// All or nothing: one scan that reuses an id, of another ticket, and nothing is recorded.
	before := w.count("select count(*) from door_scans")
	reused := proto.CloneOf(early)
	reused.Code = tickets[3].GetCode()
	_, err = south.UploadScans(w.keyed("reused"), &checkoutv1.UploadScansRequest{Scans: []*checkoutv1.OfflineScan{offlineScan(tickets[3].GetCode(), 0), reused}})
	wantProblem(t, err, connect.CodeAlreadyExists, "SCAN_ID_REUSED")
	if after := w.count("select count(*) from door_scans"); after != before || w.state(tickets[3].GetId()) != "valid" {
		t.Errorf("a refused upload recorded %d scans", after-before)
	}
	other := w.enrolled(tickets[0].GetEventId(), "west")
	_, err = other.UploadScans(w.keyed("other device"), &checkoutv1.UploadScansRequest{Scans: scans[:1]})
	wantProblem(t, err, connect.CodeAlreadyExists, "SCAN_ID_REUSED")

	// Staff upload for a device that cannot any more.
	if _, err := w.replicas[0].door.RevokeDoorDevice(w.keyed("revoke"), &checkoutv1.RevokeDoorDeviceRequest{DeviceId: south.id}); err != nil {
		t.Fatal(err)
	}
	byStaff, err := w.replicas[0].door.UploadScans(w.keyed("staff"), &checkoutv1.UploadScansRequest{
		DeviceId: south.id, Scans: []*checkoutv1.OfflineScan{offlineScan(tickets[3].GetCode(), 0)},
	})
	if err != nil || byStaff.GetReports()[0].GetAdmission() != admitted || byStaff.GetReports()[0].GetGate() != "south" {
		t.Errorf("by staff: %v, %v", byStaff, err)
	}
}

// TestUploadWithReentry uploads the ins and outs of one holder in two halves, the later one first.
func TestUploadWithReentry(t *testing.T) {
	w := newHarness(t)
	ticket := w.tickets(1)[0]
	_, err := w.replicas[0].door.SetDoorPolicy(w.keyed("policy"), &checkoutv1.SetDoorPolicyRequest{
		EventId: ticket.GetEventId(), Policy: &checkoutv1.DoorPolicy{Reentry: checkoutv1.Reentry_REENTRY_AFTER_EXIT},
	})
	if err != nil {
		t.Fatal(err)
	}
	device := w.enrolled(ticket.GetEventId(), "north")
	at := func(seconds int, leaves bool) *checkoutv1.OfflineScan {
		s := offlineScan(ticket.GetCode(), seconds)
		if leaves {
			s.Direction = checkoutv1.Direction_DIRECTION_OUT
		}
		return s
	}
	all := []*checkoutv1.OfflineScan{at(0, false), at(10, true), at(20, false), at(25, false), at(30, true), at(35, true)}
	for _, half := range [][]*checkoutv1.OfflineScan{all[3:], all[:3]} {
		slices.Reverse(half)
		if _, err := device.UploadScans(w.keyed(half[0].GetId()), &checkoutv1.UploadScansRequest{Scans: half}); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(half)
	}
	res, err := device.UploadScans(w.keyed("how it stands"), &checkoutv1.UploadScansRequest{Scans: all})
	if err != nil {
		t.Fatal(err)
	}
	left := checkoutv1.Admission_ADMISSION_EXIT
	want := []checkoutv1.Admission{admitted, left, admitted, alreadyUsed, left, checkoutv1.Admission_ADMISSION_NOT_INSIDE}
	for i, report := range res.GetReports() {
		if report.GetAdmission() != want[i] {
			t.Errorf("scan %d: %v, want %v", i, report.GetAdmission(), want[i])
		}
	}
	if n := w.count("select count(*) from admissions where exit_time is not null and entry_number in (1, 2)"); n != 2 {
		t.Errorf("%d ended stays, want 2", n)
	}
}
