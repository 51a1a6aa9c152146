package locale_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/money"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{"": "en", "de": "de", "de-AT": "de", "nl_BE": "nl", "FR": "fr", "ja": "en", "deu": "en"} {
		if got := locale.Nearest(tag); got != want {
			t.Errorf("%q is read as %s, want %s", tag, got, want)
		}
	}
}

func TestDateTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, time.March, 1, 20, 0, 0, 0, time.FixedZone("CET", 3600))
	for language, want := range map[string]string{
		"de": "Montag, 1. März 2027, 20:00 Uhr (CET)",
		"en": "Monday, 1 March 2027, 20:00 CET",
		"es": "lunes, 1 de marzo de 2027, 20:00 (CET)",
		"fr": "lundi 1er mars 2027 à 20:00 (CET)",
		"it": "lunedì 1 marzo 2027, ore 20:00 (CET)",
		"nl": "maandag 1 maart 2027 om 20:00 uur (CET)",
		"ja": "Monday, 1 March 2027, 20:00 CET",
	} {
		if got := locale.DateTime(at, language); got != want {
			t.Errorf("%s: %q, want %q", language, got, want)
		}
	}
	// Each language names each day and month, and none twice.
	for _, language := range locale.Languages() {
		days := map[string]bool{}
		for day := range 366 {
			text := locale.DateTime(at.AddDate(0, 0, day), language)
			if strings.ContainsAny(text, "{}") {
				t.Fatalf("%s: %q", language, text)
			}
			days[text] = true
		}
		if len(days) != 366 {
			t.Errorf("%s writes 366 days as %d", language, len(days))
		}
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		language, currency string
		minorUnits         int64
		want               string
	}{
		{"en", "EUR", 123456789, "1,234,567.89 EUR"},
		{"de", "EUR", 123456789, "1.234.567,89 EUR"},
		{"it", "EUR", 123450, "1.234,50 EUR"},
		{"nl", "EUR", 8900, "89,00 EUR"},
		{"es", "EUR", 123450, "1234,50 EUR"},
		{"es", "EUR", 1234500, "12.345,00 EUR"},
		{"fr", "EUR", 123450, "1 234,50 EUR"},
		{"fr", "JPY", 500, "500 JPY"},
		{"de", "KWD", -1500, "-1,500 KWD"},
		{"en", "JPY", -123456, "-123,456 JPY"},
		{"ja", "USD", 5, "0.05 USD"},
	} {
		got := locale.Money(money.Money{Currency: tc.currency, MinorUnits: tc.minorUnits}, tc.language)
		if got = strings.ReplaceAll(got, "\u00a0", " "); got != tc.want {
			t.Errorf("%s: %d %s is %q, want %q", tc.language, tc.minorUnits, tc.currency, got, tc.want)
		}
	}
}
