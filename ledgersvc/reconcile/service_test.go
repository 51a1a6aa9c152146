package reconcile

import (
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/smtp"
)

// The fingerprints of requests are kept in rows: a change of one of these needs another fingerprintVersion.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"start": {startFingerprint(day, day.Add(24*time.Hour)), "4a11b0512248297315e069dc8e87ab38a1b01206686bac8273c5452d2cf2da09"},
		"resolve": {
			resolveFingerprint(&ledgerv1.ResolveDifferenceRequest{DifferenceId: "difference00000000001", Reason: "booked by hand"}),
			"39ce522db589f030117d5fab14416f322ee4bf5dbb56fab3ecaacc4d3d5852e4",
		},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestNewRefusesAMailServerWithoutAPort(t *testing.T) {
	t.Parallel()
	_, err := New(Deps{Config: Config{SMTP: smtp.Config{Address: "mail.example.org"}}, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "DAYOF_SMTP_ADDRESS") {
		t.Errorf("got %v", err)
	}
}
