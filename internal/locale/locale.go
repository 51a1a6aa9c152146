// Package locale writes dates and amounts in the languages that buyers read.
package locale

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/money"
)

// Default is the language of people whose language we do not speak.
const Default = "en"

// Languages are those that mails, pages and passes are translated to, in the order of the alphabet.
func Languages() []string { return []string{"de", "en", "es", "fr", "it", "nl"} }

// Nearest returns the one of Languages that is nearest to a BCP 47 tag: "de" for "de-AT", Default for "ja" and "".
func Nearest(tag string) string {
	primary, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(tag, "_", "-")), "-")
	if slices.Contains(Languages(), primary) {
		return primary
	}
	return Default
}

// DateTime writes the day and the time of day at t's place, with the abbreviation of its zone: "Monday, 1 March 2027,
// 20:00 CET". The language is one of Languages; others are read as Default.
//
// Source: Unicode CLDR, full dates and short times.
func DateTime(t time.Time, language string) string {
	c := calendarOf(language)
	day := strconv.Itoa(t.Day())
	if language == "fr" && t.Day() == 1 {
		day = "1er"
	}
	return strings.NewReplacer(
		"{weekday}", c.weekdays[t.Weekday()], "{day}", day, "{month}", c.months[t.Month()-1], "{year}", t.Format("2006"),
		"{time}", t.Format("15:04"), "{zone}", t.Format("MST"),
	).Replace(c.layout)
}

// calendar is how a language writes dates.
type calendar struct {
	weekdays [7]string // from Sunday
	months   [12]string
	layout   string
}

func calendarOf(language string) calendar {
	switch language {
	case "de":
		return calendar{
			[7]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"},
			[12]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"},
			"{weekday}, {day}. {month} {year}, {time} Uhr ({zone})",
		}
	case "es":
		return calendar{
			[7]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"},
			[12]string{"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"},
			"{weekday}, {day} de {month} de {year}, {time} ({zone})",
		}
	case "fr":
		return calendar{
			[7]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"},
			[12]string{"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"},
			"{weekday} {day} {month} {year} à {time} ({zone})",
		}
	case "it":
		return calendar{
			[7]string{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"},
			[12]string{"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"},
			"{weekday} {day} {month} {year}, ore {time} ({zone})",
		}
	case "nl":
		return calendar{
			[7]string{"zondag", "maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag"},
			[12]string{"januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november", "december"},
			"{weekday} {day} {month} {year} om {time} uur ({zone})",
		}
	}
	return calendar{
		[7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
		[12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
		"{weekday}, {day} {month} {year}, {time} {zone}",
	}
}

// noBreak keeps what belongs together on one line.
const noBreak = "\u00a0"

// Money writes an amount with the separators of the language and the currency's code, which is the same everywhere:
// "1,234.50 EUR", "1.234,50 EUR". The space before the code does not break.
//
// Source: Unicode CLDR, number symbols and minimumGroupingDigits.
func Money(m money.Money, language string) string {
	whole, fraction, _ := strings.Cut(m.Decimal(), ".")
	sign := ""
	if rest, negative := strings.CutPrefix(whole, "-"); negative {
		sign, whole = "-", rest
	}
	group, point := ".", ","
	switch language {
	case "de", "it", "nl":
	case "es":
		if len(whole) == 4 {
			group = ""
		}
	case "fr":
		group = noBreak
	default:
		group, point = ",", "."
	}
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + group + whole[at:]
	}
	if fraction != "" {
		fraction = point + fraction
	}
	return sign + whole + fraction + noBreak + m.Currency
}
