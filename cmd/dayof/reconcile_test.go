package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
)

// driveReconcile compares clean books, then books to which somebody posted by hand.
func driveReconcile(t *testing.T, u running) {
	t.Helper()
	if text := must(t, exitDone, "reconcile", "-dev", u.devFile); !strings.HasPrefix(text, "ok ") {
		t.Errorf("reconcile: %s", text)
	}
	postByHand(t, u)
	text := must(t, exitFailed, "reconcile", "-dev", u.devFile)
	if !strings.Contains(text, "DIFFERENCE posting_extra gift-2 order none: ") || !strings.Contains(text, "1 differences; ") {
		t.Errorf("reconcile: %s", text)
	}
	found := decode[struct {
		OK          bool `json:"ok"`
		Differences []foundDifference
	}](t, must(t, exitFailed, "reconcile", "-dev", u.devFile, "-json"))
	if found.OK || len(found.Differences) != 1 || found.Differences[0].Found == nil || found.Differences[0].Found.MinorUnits != 5 {
		t.Errorf("reconcile -json: %+v", found)
	}
	must(t, exitFailed, "check", "-dev", u.devFile) // it counts open differences
	must(t, exitUsage, "reconcile", "-dev", u.devFile, "-day", "yesterday")
	must(t, exitFailed, "reconcile", "-dev", u.devFile, "-day", "2020-01-01") // still open
}

// postByHand posts to the ledger what no service asked for.
func postByHand(t *testing.T, u running) {
	t.Helper()
	file, err := client.ReadFile(filepath.Clean(u.devFile))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"reference": "gift-2", "metadata": map[string]string{},
		"postings": []any{map[string]any{"source": "platform:costs:gifts", "destination": "platform:revenue:gifts", "asset": "EUR/2", "amount": 5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, file.Sandbox.LedgerAPI()+"/transactions?force=true", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: 5 * time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("post by hand: %s", res.Status)
	}
}
