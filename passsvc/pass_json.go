package passsvc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/money"
)

// passJSON is pass.json of an event ticket. Keys are left out when there is nothing to say: Apple refuses null.
// Source: Apple's "Pass" reference.
type passJSON struct {
	FormatVersion       int           `json:"formatVersion"`
	PassTypeIdentifier  string        `json:"passTypeIdentifier"`
	SerialNumber        string        `json:"serialNumber"`
	TeamIdentifier      string        `json:"teamIdentifier"`
	WebServiceURL       string        `json:"webServiceURL"`
	AuthenticationToken string        `json:"authenticationToken"`
	OrganizationName    string        `json:"organizationName"`
	Description         string        `json:"description"`
	GroupingIdentifier  string        `json:"groupingIdentifier"`
	BackgroundColor     string        `json:"backgroundColor"`
	ForegroundColor     string        `json:"foregroundColor"`
	LabelColor          string        `json:"labelColor"`
	Voided              bool          `json:"voided,omitempty"`
	ExpirationDate      string        `json:"expirationDate"`
	RelevantDate        string        `json:"relevantDate"`  // what iOS 17 and older read
	RelevantDates       []relevance   `json:"relevantDates"` // what iOS 18 and newer read
	Locations           []location    `json:"locations,omitempty"`
	Barcode             *barcode      `json:"barcode,omitempty"` // what other wallets read
	Barcodes            []barcode     `json:"barcodes,omitempty"`
	EventTicket         ticketFields  `json:"eventTicket"`
	Semantics           passSemantics `json:"semantics"`
}

type relevance struct {
	StartDate string `json:"startDate"`
	EndDate   string `json:"endDate"`
}

type location struct {
	Latitude     float64 `json:"latitude"` // 0 is a place
	Longitude    float64 `json:"longitude"`
	RelevantText string  `json:"relevantText"`
}

type barcode struct {
	Format          string `json:"format"`
	Message         string `json:"message"`
	MessageEncoding string `json:"messageEncoding"`
	AltText         string `json:"altText"`
}

type ticketFields struct {
	HeaderFields    []field `json:"headerFields"`
	PrimaryFields   []field `json:"primaryFields"`
	SecondaryFields []field `json:"secondaryFields"`
	AuxiliaryFields []field `json:"auxiliaryFields"`
	BackFields      []field `json:"backFields"`
}

// field is one labelled value. Devices recognise what changed by key, so keys are unique in the pass and never change.
type field struct {
	Key               string   `json:"key"`
	Label             string   `json:"label,omitempty"`
	Value             any      `json:"value"` // string or json.Number
	ChangeMessage     string   `json:"changeMessage,omitempty"`
	DateStyle         string   `json:"dateStyle,omitempty"`
	TimeStyle         string   `json:"timeStyle,omitempty"`
	IgnoresTimeZone   bool     `json:"ignoresTimeZone,omitempty"` // show the venue's wall clock wherever the device is
	CurrencyCode      string   `json:"currencyCode,omitempty"`
	DataDetectorTypes []string `json:"dataDetectorTypes,omitzero"` // empty, not absent: detects nothing
	Row               *int     `json:"row,omitempty"`
}

type passSemantics struct {
	EventName        string             `json:"eventName"`
	EventType        string             `json:"eventType"`
	EventStartDate   string             `json:"eventStartDate"`
	EventEndDate     string             `json:"eventEndDate"`
	VenueName        string             `json:"venueName"`
	VenueLocation    *semanticsLocation `json:"venueLocation,omitempty"`
	VenueDoorsOpen   string             `json:"venueDoorsOpenDate,omitempty"`
	VenueEntrance    string             `json:"venueEntrance,omitempty"`
	Seats            []semanticsSeat    `json:"seats,omitempty"`
	AttendeeName     string             `json:"attendeeName,omitempty"`
	AdmissionLevel   string             `json:"admissionLevel,omitempty"`
	ConfirmationCode string             `json:"confirmationNumber,omitempty"`
}

type semanticsLocation struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

type semanticsSeat struct {
	Section string `json:"seatSection,omitempty"`
	Row     string `json:"seatRow,omitempty"`
	Number  string `json:"seatNumber,omitempty"`
}

// passIdentity is what pass.json says besides its content.
type passIdentity struct {
	PassType      string
	Team          string
	Serial        string
	Token         string // authenticationToken
	WebServiceURL string // without /v1
}

const (
	// relevantMax is the longest interval that iOS accepts in relevantDates.
	relevantMax = 24 * time.Hour
	// expireAfter is how long after its end an event's pass stays among the current ones.
	expireAfter = 24 * time.Hour
	styleShort  = "PKDateStyleShort"
	styleMedium = "PKDateStyleMedium"
	styleNone   = "PKDateStyleNone"
)

// renderPass returns pass.json, with times in the venue's zone. Equal arguments give equal bytes.
func renderPass(c content, id passIdentity, zone *time.Location) ([]byte, error) {
	language := locale.Nearest(c.Language)
	words := phrasebook(language)
	at := func(t time.Time) string { return t.In(zone).Format(time.RFC3339) }
	opens := c.Event.StartTime
	if c.Event.DoorsTime != nil && c.Event.DoorsTime.Before(opens) {
		opens = *c.Event.DoorsTime
	}
	relevantEnd := c.Event.EndTime
	if relevantEnd.Sub(opens) > relevantMax {
		relevantEnd = opens.Add(relevantMax)
	}
	p := passJSON{
		FormatVersion:       1,
		PassTypeIdentifier:  id.PassType,
		SerialNumber:        id.Serial,
		TeamIdentifier:      id.Team,
		WebServiceURL:       id.WebServiceURL,
		AuthenticationToken: id.Token,
		OrganizationName:    c.OrganizerName,
		Description:         describe(language, c.Event.Name),
		GroupingIdentifier:  c.Event.ID,
		BackgroundColor:     "rgb(23, 18, 43)",
		ForegroundColor:     "rgb(255, 255, 255)",
		LabelColor:          "rgb(255, 173, 138)",
		Voided:              c.admitsNobody(),
		ExpirationDate:      at(c.Event.EndTime.Add(expireAfter)),
		RelevantDate:        at(opens),
		RelevantDates:       []relevance{{StartDate: at(opens), EndDate: at(relevantEnd)}},
		EventTicket:         fields(c, &words, at),
		Semantics:           semantics(c, at),
	}
	if c.Event.Location != nil {
		p.Locations = []location{{c.Event.Location.Latitude, c.Event.Location.Longitude, c.Event.VenueName}}
	}
	if !c.admitsNobody() { // a void pass has nothing to scan
		code := newBarcode(c)
		p.Barcode, p.Barcodes = &code, []barcode{code}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		return nil, fmt.Errorf("marshal pass.json: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func newBarcode(c content) barcode {
	b := barcode{Format: "PKBarcodeFormatQR", Message: c.Code, MessageEncoding: "iso-8859-1", AltText: c.TicketID}
	if strings.ContainsFunc(c.Code, func(r rune) bool { return r > 0xff }) {
		b.MessageEncoding = "utf-8"
	}
	return b
}

// fields lays out the front and the back. Empty values are left out.
func fields(c content, words *[phraseCount]string, at func(time.Time) string) ticketFields {
	text := func(key string, label phrase, value string, changed phrase) field {
		f := field{Key: key, Label: words[label], Value: value}
		if changed != 0 {
			f.ChangeMessage = words[changed]
		}
		return f
	}
	header := field{Key: "doors", Label: words[phraseStarts], Value: at(c.Event.StartTime)}
	if c.Event.DoorsTime != nil {
		header = field{
			Key: "doors", Label: words[phraseDoors], Value: at(*c.Event.DoorsTime),
			ChangeMessage: words[phraseDoorsChanged],
		}
	}
	header.DateStyle, header.TimeStyle, header.IgnoresTimeZone = styleNone, styleShort, true
	starts := text("starts", phraseDate, at(c.Event.StartTime), phraseDateChanged)
	starts.DateStyle, starts.TimeStyle, starts.IgnoresTimeZone = styleMedium, styleShort, true
	upper := row(0,
		text("product", phraseTicket, c.ProductName, 0),
		text("variant", phrasePlace, c.VariantName, phrasePlaceChanged),
		text("holder", phraseHolder, string(c.HolderName), 0))
	seat := c.shownSeat()
	lower := row(1,
		text("gate", phraseGate, c.Staff["gate"], phraseGateChanged),
		text("section", phraseSection, seat.Section, phraseSectionChanged),
		text("row", phraseRow, seat.Row, phraseRowChanged),
		text("seat", phraseSeat, seat.Label, phraseSeatChanged))
	headers := []field{header}
	if c.onHold() { // headers are all that shows of a pass in a stack
		headers = append([]field{text("state", phraseState, words[phraseOnHold], 0)}, headers...)
	} else if c.isUsed() {
		headers = append([]field{text("state", phraseState, words[phraseUsed], 0)}, headers...)
	}
	return ticketFields{
		HeaderFields:    headers,
		PrimaryFields:   []field{{Key: "event", Value: c.Event.Name, ChangeMessage: words[phraseNameChanged]}},
		SecondaryFields: []field{text("venue", phraseVenue, c.Event.VenueName, phraseVenueChanged), starts},
		AuxiliaryFields: append(upper, lower...),
		BackFields:      backFields(c, words, text),
	}
}

// backFields are what one turns the pass round for. Texts of others detect no links.
func backFields(c content, words *[phraseCount]string, text func(string, phrase, string, phrase) field) []field {
	price := money.Money{Currency: c.Price.Currency, MinorUnits: c.Price.MinorUnits}
	amount, _, _ := strings.Cut(price.Format(), " ")
	status := text("status", phraseStatus, "", phraseStatusChanged)
	switch {
	case c.admitsNobody():
		status.Value = words[c.whyNobody()]
	case c.onHold():
		status.Value = words[phraseSuspended]
	case c.isUsed():
		status.Value = words[phraseUsedTicket]
	}
	all := []field{
		status,
		text("note", phraseNote, c.Staff["note"], phraseNoteChanged),
		text("ticket_number", phraseTicketNumber, c.TicketID, 0),
		text("order", phraseOrder, c.OrderID, 0),
		{
			Key: "price", Label: words[phrasePrice], Value: json.Number(amount), CurrencyCode: price.Currency,
		},
		text("address", phraseAddress, c.Event.VenueAddress, 0),
		text("organizer", phraseOrganizer, c.OrganizerName, 0),
		text("terms", phraseTerms, c.Terms, 0),
	}
	all = present(all)
	for i := range all {
		if all[i].Key != "address" {
			all[i].DataDetectorTypes = []string{}
		}
	}
	return all
}

// present leaves out fields without a value.
func present(all []field) []field {
	kept := all[:0]
	for _, f := range all {
		if f.Value != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// row puts fields into a row of the auxiliary fields.
func row(number int, all ...field) []field {
	kept := present(all)
	for i := range kept {
		kept[i].Row = &number
	}
	return kept
}

func semantics(c content, at func(time.Time) string) passSemantics {
	s := passSemantics{
		EventName:        c.Event.Name,
		EventType:        "PKEventTypeGeneric",
		EventStartDate:   at(c.Event.StartTime),
		EventEndDate:     at(c.Event.EndTime),
		VenueName:        c.Event.VenueName,
		VenueEntrance:    c.Staff["gate"],
		AttendeeName:     string(c.HolderName),
		AdmissionLevel:   c.VariantName,
		ConfirmationCode: c.OrderID,
	}
	if c.Event.Location != nil {
		s.VenueLocation = &semanticsLocation{c.Event.Location.Latitude, c.Event.Location.Longitude}
	}
	if c.Event.DoorsTime != nil {
		s.VenueDoorsOpen = at(*c.Event.DoorsTime)
	}
	shown := c.shownSeat()
	seat := semanticsSeat{Section: shown.Section, Row: shown.Row, Number: shown.Label}
	if seat != (semanticsSeat{}) {
		s.Seats = []semanticsSeat{seat}
	}
	return s
}
