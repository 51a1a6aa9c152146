package timezone_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/timezone"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 7, 1, 12, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"Europe/Berlin": "14:00 CEST", "America/New_York": "08:00 EDT", "Asia/Tokyo": "21:00 JST", "Asia/Kathmandu": "17:45 +0545",
		"America/Argentina/Buenos_Aires": "09:00 -03", "UTC": "12:00 UTC",
	} {
		for range 2 { // the second time from memory
			zone, err := timezone.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := at.In(zone).Format("15:04 MST"); got != want || zone.String() != name {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	for _, name := range []string{
		"", "Local", "localtime", "posix/Europe/Berlin", "right/Europe/Berlin", "posixrules", "europe/berlin", "Europe", "Europe/", "../etc/localtime", "/etc/localtime",
		"CET-1CEST", "+02:00", "Europe/Berlin\x00", "tzdata.zi", "zone.tab",
	} {
		if zone, err := timezone.Load(name); err == nil {
			t.Errorf("%q is a zone: %v", name, zone)
		}
	}
}

// TestOtherDatabases has the machine's and a user's databases decide nothing.
func TestOtherDatabases(t *testing.T) {
	t.Setenv("ZONEINFO", filepath.Join(t.TempDir(), "none"))
	t.Setenv("TZ", "Asia/Tokyo")
	if _, err := timezone.Load("Pacific/Auckland"); err != nil {
		t.Error(err)
	}
}
