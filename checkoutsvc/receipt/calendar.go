package receipt

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/locale"
)

// calendarFile is the event as a calendar takes it, on the venue's wall clock. Its UID is that of the order and its SEQUENCE the number of
// the schedule, so that a later file replaces an earlier one; that of a canceled event takes it away.
// Source: RFC 5545; RFC 5546, sections 3.2.1 and 3.2.5.
func calendarFile(o *order.Order, sold order.Snapshot, zone *time.Location, now time.Time) smtp.Attachment {
	method, status := "PUBLISH", "CONFIRMED"
	if o.Schedule.Canceled() {
		method, status = "CANCEL", "CANCELLED"
	}
	s := o.Schedule
	var c calendarText
	c.line("BEGIN", "VCALENDAR")
	c.line("VERSION", "2.0")
	c.line("PRODID", "-//dayof//tickets//EN")
	c.line("METHOD", method)
	tzid := ""
	if zone != time.UTC && zone.String() != "UTC" {
		tzid = ";TZID=" + zone.String()
		c.zone(zone, s.StartTime, s.EndTime)
	}
	c.line("BEGIN", "VEVENT")
	c.line("UID", o.ID+"@dayof")
	c.line("DTSTAMP", now.UTC().Format(calendarUTC))
	c.line("SEQUENCE", strconv.Itoa(int(s.Number)))
	c.line("STATUS", status)
	for _, at := range []struct {
		name string
		time time.Time
	}{{"DTSTART", s.StartTime}, {"DTEND", s.EndTime}} {
		if tzid == "" {
			c.line(at.name, at.time.UTC().Format(calendarUTC))
		} else {
			c.line(at.name+tzid, at.time.In(zone).Format(calendarLocal))
		}
	}
	c.line("SUMMARY", calendarValue(sold.EventName))
	if seats := seatsOf(o, "", wordsOf(locale.Nearest(o.Language))); len(seats) > 0 {
		c.line("DESCRIPTION", calendarValue(strings.Join(seats, "\n")))
	}
	place := sold.Venue.Name
	if sold.Venue.Address != "" {
		place += ", " + sold.Venue.Address
	}
	c.line("LOCATION", calendarValue(place))
	if v := sold.Venue; v.Latitude != nil && v.Longitude != nil {
		c.line("GEO", strconv.FormatFloat(*v.Latitude, 'f', 6, 64)+";"+strconv.FormatFloat(*v.Longitude, 'f', 6, 64))
	}
	c.line("ORGANIZER;CN="+calendarParameter(sold.OrganizerName), "invalid:nomail") // required, and there is nobody to answer to
	c.line("END", "VEVENT")
	c.line("END", "VCALENDAR")
	return smtp.Attachment{Name: "event.ics", ContentType: "text/calendar; charset=utf-8; method=" + method, Content: c.text.String()}
}

const (
	calendarUTC   = "20060102T150405Z"
	calendarLocal = "20060102T150405"
	// calendarLineMax is how many bytes a line may have. Source: RFC 5545, section 3.1.
	calendarLineMax = 75
)

// calendarText is a calendar in the making.
type calendarText struct{ text strings.Builder }

// line adds one property, folded where it is too long.
func (c *calendarText) line(name, value string) {
	rest := name + ":" + value
	limit := calendarLineMax
	for len(rest) > limit {
		cut := limit
		for !utf8.RuneStart(rest[cut]) {
			cut--
		}
		c.text.WriteString(rest[:cut] + "\r\n ")
		rest, limit = rest[cut:], calendarLineMax-1 // the space counts
	}
	c.text.WriteString(rest + "\r\n")
}

// zone describes the clock of a place from start to end: a component for each offset that it has in between. Calendars that know the
// zone by its name ignore it.
func (c *calendarText) zone(zone *time.Location, start, end time.Time) {
	c.line("BEGIN", "VTIMEZONE")
	c.line("TZID", zone.String())
	for at := start; ; {
		local := at.In(zone)
		began, until := local.ZoneBounds()
		name, offset := local.Zone()
		from := offset
		onset := "19700101T000000" // this offset has always been
		if !began.IsZero() {
			_, from = began.Add(-time.Second).In(zone).Zone()
			onset = began.UTC().Add(time.Duration(from) * time.Second).Format(calendarLocal) // on the clock before
		}
		kind := "STANDARD"
		if local.IsDST() {
			kind = "DAYLIGHT"
		}
		c.line("BEGIN", kind)
		c.line("DTSTART", onset)
		c.line("TZOFFSETFROM", calendarOffset(from))
		c.line("TZOFFSETTO", calendarOffset(offset))
		c.line("TZNAME", name)
		c.line("END", kind)
		if until.IsZero() || until.After(end) {
			break
		}
		at = until
	}
	c.line("END", "VTIMEZONE")
}

// calendarOffset writes an offset from UTC in seconds, such as +0545.
func calendarOffset(seconds int) string {
	sign := '+'
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	text := fmt.Sprintf("%c%02d%02d", sign, seconds/3600, seconds/60%60)
	if seconds%60 != 0 {
		text += fmt.Sprintf("%02d", seconds%60)
	}
	return text
}

// calendarValue escapes a text. Source: RFC 5545, section 3.3.11.
func calendarValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`, "\r", "").Replace(text)
}

// calendarParameter quotes the value of a parameter, which cannot hold quotes.
func calendarParameter(text string) string {
	return `"` + strings.NewReplacer(`"`, "'", "\r", "", "\n", " ").Replace(text) + `"`
}
