package passsvc_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

type listAnswer struct {
	SerialNumbers []string `json:"serialNumbers"`
	LastUpdated   string   `json:"lastUpdated"`
}

// list asks which passes changed since the device's tag; an empty answer for 204.
func (r *replica) list(t testing.TB, d *device) listAnswer {
	t.Helper()
	path := "/v1/devices/" + d.id + "/registrations/" + passType
	if d.tag != "" {
		path += "?passesUpdatedSince=" + d.tag
	}
	got := r.do(t, http.MethodGet, path, "")
	var list listAnswer
	switch got.status {
	case http.StatusNoContent:
	case http.StatusOK:
		if err := json.Unmarshal([]byte(got.body), &list); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("list: %d %s", got.status, got.body)
	}
	return list
}
