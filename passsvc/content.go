package passsvc

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/personal"
	"github.com/dayof/dayof/internal/timezone"
)

// content is what a pass shows. Its canonical form decides whether a change is material: two contents with equal forms
// are the same revision. It is stored as JSON; fields that are added later must mean nothing when they are absent.
type content struct {
	TicketID      string            `json:"ticket_id"`
	OrderID       string            `json:"order_id"`
	Code          string            `json:"code"`
	OrganizerName string            `json:"organizer_name"`
	Event         eventContent      `json:"event"`
	ProductName   string            `json:"product_name"`
	VariantName   string            `json:"variant_name"`
	HolderName    personal.Stored   `json:"holder_name,omitempty"`
	Price         priceContent      `json:"price"`
	Terms         string            `json:"terms,omitempty"`
	Language      string            `json:"language,omitempty"`
	Suspended     bool              `json:"suspended,omitempty"`
	Used          bool              `json:"used,omitempty"`
	Voided        bool              `json:"voided,omitempty"`
	Seat          *seatContent      `json:"seat,omitempty"`
	Staff         map[string]string `json:"staff,omitempty"` // by staffFields
	// HolderNumber counts the changes of HolderName.
	HolderNumber int64 `json:"holder_number,omitempty"`
	// HolderOnly says that the pass is on no page of its order: it is somebody else's.
	HolderOnly bool `json:"holder_only,omitempty"`
}

// LogValue keeps all but the ticket's id from slog, whose JSON would hold what is stored.
func (c content) LogValue() slog.Value { return slog.StringValue(c.TicketID) }

type eventContent struct {
	ID           string      `json:"id"`
	Name         string      `json:"name"`
	VenueName    string      `json:"venue_name"`
	VenueAddress string      `json:"venue_address,omitempty"`
	TimeZone     string      `json:"time_zone"`
	Location     *coordinate `json:"location,omitempty"`
	DoorsTime    *time.Time  `json:"doors_time,omitempty"` // times are in UTC and whole seconds
	StartTime    time.Time   `json:"start_time"`
	EndTime      time.Time   `json:"end_time"`
	// ScheduleNumber is 0 where it is not known.
	ScheduleNumber int64 `json:"schedule_number,omitempty"`
	Canceled       bool  `json:"canceled,omitempty"`
}

type seatContent struct {
	Section string `json:"section"`
	Row     string `json:"row"`
	Label   string `json:"label"`
}

type coordinate struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

type priceContent struct {
	Currency   string `json:"currency"`
	MinorUnits int64  `json:"minor_units"`
}

// staffFields are what UpdatePass may set, in the order in which a pass shows them.
func staffFields() []string { return []string{"gate", "section", "row", "seat", "note"} }

// contentFromProto checks and normalises what a caller wants a ticket's pass to show. path names the message in problems.
func contentFromProto(orderID string, p *passv1.PassContent, path string) (content, error) {
	event, err := eventFromProto(p.GetEvent(), path+".event")
	if err != nil {
		return content{}, err
	}
	return content{
		TicketID:      p.GetTicketId(),
		OrderID:       orderID,
		Code:          p.GetCode(),
		OrganizerName: oneLine(p.GetOrganizerName()),
		Event:         event,
		ProductName:   oneLine(p.GetProductName()),
		VariantName:   oneLine(p.GetVariantName()),
		HolderName:    personal.Stored(oneLine(p.GetHolderName())),
		Price:         priceContent{Currency: p.GetPrice().GetCurrency(), MinorUnits: p.GetPrice().GetMinorUnits()},
		Terms:         manyLines(p.GetTerms()),
		Language:      p.GetLanguage(),
		Voided:        p.GetVoided(),
		Seat:          seatFromProto(p.GetSeat()),
		HolderNumber:  p.GetHolderNumber(),
		HolderOnly:    p.GetHolderOnly(),
	}, nil
}

// seatFromProto normalises a seat; nil for none.
func seatFromProto(s *passv1.PassSeat) *seatContent {
	if s == nil {
		return nil
	}
	return &seatContent{Section: oneLine(s.GetSection()), Row: oneLine(s.GetRow()), Label: oneLine(s.GetLabel())}
}

// shownSeat is the seat as the pass shows it: what staff set, and else the ticket's own. It is empty for general admission.
func (c content) shownSeat() seatContent {
	var own seatContent
	if c.Seat != nil {
		own = *c.Seat
	}
	return seatContent{
		Section: cmp.Or(c.Staff["section"], own.Section), Row: cmp.Or(c.Staff["row"], own.Row), Label: cmp.Or(c.Staff["seat"], own.Label),
	}
}

// eventFromProto checks and normalises an event.
func eventFromProto(e *passv1.PassEvent, path string) (eventContent, error) {
	var wrong []problem.Field
	if _, err := timezone.Load(e.GetTimeZone()); err != nil {
		wrong = append(wrong, problem.Field{Path: path + ".time_zone", Description: "must be an IANA time zone such as Europe/Berlin"})
	}
	if (e.Latitude == nil) != (e.Longitude == nil) {
		wrong = append(wrong, problem.Field{Path: path + ".latitude", Description: "must come with the longitude, and the longitude with it"})
	}
	event := eventContent{
		ID:           e.GetId(),
		Name:         oneLine(e.GetName()),
		VenueName:    oneLine(e.GetVenueName()),
		VenueAddress: oneLine(e.GetVenueAddress()),
		TimeZone:     e.GetTimeZone(),
		StartTime:    wholeSecond(e.GetStartTime().AsTime()),
		EndTime:      wholeSecond(e.GetEndTime().AsTime()),

		ScheduleNumber: e.GetScheduleNumber(),
		Canceled:       e.GetCanceled(),
	}
	if e.Latitude != nil && e.Longitude != nil {
		event.Location = &coordinate{Latitude: e.GetLatitude(), Longitude: e.GetLongitude()}
	}
	if e.GetDoorsTime() != nil {
		doors := wholeSecond(e.GetDoorsTime().AsTime())
		event.DoorsTime = &doors
	}
	if event.EndTime.Before(event.StartTime) {
		wrong = append(wrong, problem.Field{Path: path + ".end_time", Description: "must not be before start_time"})
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return eventContent{}, err
	}
	return event, nil
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// oneLine removes what would break a label: control characters and separators of lines become spaces, overrides of the
// text's direction nothing.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) {
			return ' '
		}
		if isDirection(r) {
			return -1
		}
		return r
	}, s))
}

// isDirection says that a character overrides the direction of the text after it, also that of ours.
func isDirection(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// manyLines keeps line breaks and removes other control characters.
func manyLines(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' || isDirection(r) {
			return -1
		}
		return r
	}, s))
}

// withStaff returns c with staff fields set, and those with an empty value removed.
func (c content) withStaff(fields map[string]string) content {
	staff := maps.Clone(c.Staff)
	if staff == nil {
		staff = map[string]string{}
	}
	for name, value := range fields {
		if value = oneLine(value); value == "" {
			delete(staff, name)
		} else {
			staff[name] = value
		}
	}
	c.Staff = staff
	return c
}

// admitsNobody reports whether the pass is shown as one that admits nobody for good: it is void, or its event canceled.
func (c content) admitsNobody() bool { return c.Voided || c.Event.Canceled }

// whyNobody is what the holder reads of a pass that admits nobody for good.
func (c content) whyNobody() phrase {
	if c.Voided {
		return phraseVoid
	}
	return phraseCanceled
}

// onHold reports whether the pass is shown as on hold: to admit nobody for good is more than that.
func (c content) onHold() bool { return c.Suspended && !c.admitsNobody() }

// isUsed reports whether the pass is shown as used: void and on hold are more than that.
func (c content) isUsed() bool { return c.Used && !c.Voided && !c.Suspended }

// checkStaffFields refuses fields that a pass does not have.
func checkStaffFields(fields map[string]string) error {
	var wrong []problem.Field
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(staffFields(), name) {
			wrong = append(wrong, problem.Field{
				Path: "fields[" + strconv.Quote(name) + "]", Description: "is not a field of a pass: use " + strings.Join(staffFields(), ", "),
			})
		}
	}
	return problem.InvalidFields(wrong...)
}

// fact is one path of the canonical form and its value, which is never empty.
type fact struct{ path, value string }

// facts is the canonical form of c: absent and empty are the same and left out.
func (c content) facts() []fact {
	var out []fact
	add := func(path, value string) {
		if value != "" {
			out = append(out, fact{path, value})
		}
	}
	add("ticket_id", c.TicketID)
	add("order_id", c.OrderID)
	add("code", c.Code)
	add("organizer_name", c.OrganizerName)
	c.Event.facts(add)
	add("product_name", c.ProductName)
	add("variant_name", c.VariantName)
	add("holder_name", string(c.HolderName))
	if c.HolderNumber > 0 { // as the tickets were issued, none was named
		add("holder_number", strconv.FormatInt(c.HolderNumber, 10))
	}
	add("price", c.Price.Currency+" "+strconv.FormatInt(c.Price.MinorUnits, 10))
	if c.Seat != nil {
		add("seat.section", c.Seat.Section)
		add("seat.row", c.Seat.Row)
		add("seat.label", c.Seat.Label)
	}
	add("terms", c.Terms)
	add("language", c.Language)
	if c.onHold() {
		add("suspended", "true")
	}
	if c.isUsed() {
		add("used", "true")
	}
	if c.Voided {
		add("voided", "true")
	}
	for _, name := range staffFields() {
		add("staff."+name, c.Staff[name])
	}
	if c.HolderOnly {
		add("holder_only", "true")
	}
	return out
}

// withHolderOf returns c with the holder's name of next, if that is the newer one.
func (c content) withHolderOf(next content) content {
	if next.HolderNumber > c.HolderNumber {
		c.HolderName, c.HolderNumber = next.HolderName, next.HolderNumber
	}
	return c
}

func (e eventContent) facts(add func(path, value string)) {
	add("event.id", e.ID)
	add("event.name", e.Name)
	add("event.venue_name", e.VenueName)
	add("event.venue_address", e.VenueAddress)
	add("event.time_zone", e.TimeZone)
	if e.Location != nil {
		add("event.latitude", strconv.FormatFloat(e.Location.Latitude, 'g', -1, 64))
		add("event.longitude", strconv.FormatFloat(e.Location.Longitude, 'g', -1, 64))
	}
	if e.DoorsTime != nil {
		add("event.doors_time", e.DoorsTime.Format(time.RFC3339))
	}
	add("event.start_time", e.StartTime.Format(time.RFC3339))
	add("event.end_time", e.EndTime.Format(time.RFC3339))
	if e.ScheduleNumber > 1 { // passes of before there were numbers are of the first schedule
		add("event.schedule_number", strconv.FormatInt(e.ScheduleNumber, 10))
	}
	if e.Canceled {
		add("event.canceled", "true")
	}
}

// replacedBy returns the event that a pass shows which showed e and shall show next. An older schedule never replaces a newer one,
// however late it comes; an event without a number leaves the number, and what is canceled stays so.
func (e eventContent) replacedBy(next eventContent) eventContent {
	switch {
	case next.ScheduleNumber == 0:
		next.ScheduleNumber, next.Canceled = e.ScheduleNumber, e.Canceled
	case next.ScheduleNumber < e.ScheduleNumber:
		return e
	}
	return next
}

// hash is the SHA-256 of the canonical form.
func (c content) hash() []byte {
	h := sha256.New()
	var length [8]byte
	for _, f := range c.facts() {
		for _, s := range []string{f.path, f.value} {
			binary.BigEndian.PutUint64(length[:], uint64(len(s)))
			h.Write(length[:])
			h.Write([]byte(s))
		}
	}
	return h.Sum(nil)
}

// change is one difference between two contents.
type change struct {
	Path string `json:"path"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// changes lists what differs from before to c, in the order of the canonical form, removed paths last.
func (c content) changes(before content) []change {
	old := map[string]string{}
	for _, f := range before.facts() {
		old[f.path] = f.value
	}
	var out []change
	for _, f := range c.facts() {
		if old[f.path] != f.value {
			out = append(out, change{Path: f.path, Old: old[f.path], New: f.value})
		}
		delete(old, f.path)
	}
	for _, path := range slices.Sorted(maps.Keys(old)) {
		out = append(out, change{Path: path, Old: old[path]})
	}
	return out
}
