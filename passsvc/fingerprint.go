package passsvc

import (
	"maps"
	"slices"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// The fingerprints of requests: what makes two of them the same, over releases. TestFingerprints pins them; the version,
// which is the first argument, is raised when the fields change.

// issueFingerprint leaves the pass type out: it is of no account for tickets that have a pass.
func issueFingerprint(orderID string, wanted []wantedPass) []byte {
	parts := []any{orderID}
	for _, w := range wanted {
		var facts []string
		for _, f := range w.content.facts() {
			facts = append(facts, f.path, f.value)
		}
		parts = append(parts, w.changeNumber, facts)
	}
	return idem.Fingerprint(1, parts...)
}

// updateFingerprint covers all of the request; the order of the fields does not matter.
func updateFingerprint(req *passv1.UpdatePassRequest) []byte {
	parts := []any{req.GetPassSerial()}
	for _, name := range slices.Sorted(maps.Keys(req.GetFields())) {
		parts = append(parts, name, req.GetFields()[name])
	}
	return idem.Fingerprint(1, parts...)
}

func voidFingerprint(req *passv1.VoidPassRequest) []byte {
	return idem.Fingerprint(1, req.GetPassSerial(), req.GetVoidNote())
}

func suspendFingerprint(req *passv1.SetPassSuspendedRequest) []byte {
	fingerprint := idem.Fingerprint(1, req.GetPassSerial(), req.GetSuspended(), req.GetTicketChangeNumber())
	if req.GetUsed() { // later than the others: what older callers send has the fingerprint that it had
		fingerprint = idem.Fingerprint(2, fingerprint, true)
	}
	return fingerprint
}

func batchFingerprint(req *passv1.BatchUpdatePassesRequest, event *eventContent) []byte {
	parts := []any{req.GetEventId()}
	if event != nil {
		event.facts(func(path, value string) { parts = append(parts, path, value) })
	}
	for _, name := range slices.Sorted(maps.Keys(req.GetFields())) {
		parts = append(parts, name, req.GetFields()[name])
	}
	return idem.Fingerprint(1, parts...)
}

func cancelFingerprint(req *passv1.CancelPassBatchRequest) []byte {
	return idem.Fingerprint(1, req.GetPassBatchId())
}
