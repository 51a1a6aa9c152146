package passsvc

import (
	"encoding/hex"
	"testing"
	"time"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// TestFingerprints pins what makes two requests the same, over releases: a repeat of yesterday's call must be known.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	start := time.Date(2027, 6, 18, 18, 30, 0, 0, time.UTC)
	c := content{
		TicketID: "T", OrderID: "O", Code: "C", OrganizerName: "N", ProductName: "P", VariantName: "V", HolderName: "H",
		Event: eventContent{
			ID: "E", Name: "Night", VenueName: "G", VenueAddress: "A", TimeZone: "Europe/Berlin", DoorsTime: &start, StartTime: start,
			EndTime: start.Add(time.Hour), Location: &coordinate{Latitude: 52.5, Longitude: 0},
		},
		Price: priceContent{Currency: "EUR", MinorUnits: 8900}, Terms: "None", Language: "de", Voided: true, Staff: map[string]string{"gate": "B"},
	}
	for name, tc := range map[string]struct{ got, want string }{
		"content": {hex.EncodeToString(c.hash()), "126f38c937b8c29ae55978a2f3aa92534f1e3ce58060953281caa5be27d47928"},
		"issue":   {hex.EncodeToString(issueFingerprint("O", []wantedPass{{content: c, changeNumber: 3}})), "086da9aa1f1f91464c946761338a4e1194b5f7183b6877155e961f61684680a0"},
		"batch": {hex.EncodeToString(batchFingerprint(&passv1.BatchUpdatePassesRequest{
			EventId: "E", Fields: map[string]string{"gate": "B", "note": "n"},
		}, &c.Event)), "3e8ace572e17e9a4053b66206358d4b9d0f19517bd77c907127b4123f019d70c"},
		"update": {hex.EncodeToString(updateFingerprint(&passv1.UpdatePassRequest{
			PassSerial: "S", Fields: map[string]string{"gate": "B", "note": "n"},
		})), "dccfbd94776a39e9680007ab39a14484757e0dff91419dbfc95dd09bfafc8fa8"},
		"void": {hex.EncodeToString(voidFingerprint(&passv1.VoidPassRequest{PassSerial: "S", VoidNote: "n"})), "7584cb12437a875b9414bf7761c3d1ad3082a6db177139b275215edbdbb1bc16"},
		"suspend": {hex.EncodeToString(suspendFingerprint(&passv1.SetPassSuspendedRequest{
			PassSerial: "S", Suspended: true, TicketChangeNumber: 3,
		})), "5e06c7bf7ac8fa2a3ab1a17bfbe18e0a28ff82a9c119b262f6091bcc8113bd88"},
		"cancel": {hex.EncodeToString(cancelFingerprint(&passv1.CancelPassBatchRequest{PassBatchId: "B"})), "6155d8f84479363329fb312e10e5109e775658c972a5e048ded0d5dd31f4db08"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %s, want %s", name, tc.got, tc.want)
		}
	}
}
