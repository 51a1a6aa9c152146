package passsvc

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/locale"
)

// googleLinkMax is the longest link that browsers and Google pass on safely.
const googleLinkMax = 1800

// googleWallet makes links that save a ticket to Google Wallet: a signed statement of the event (class) and the ticket
// (object). Nil makes none.
type googleWallet struct {
	issuerID string
	email    string
	key      *rsa.PrivateKey
	origin   string
	clock    clock.Clock
}

// newGoogleWallet returns nil when no service account is set.
func newGoogleWallet(c GoogleConfig, origin string, clk clock.Clock) (*googleWallet, error) {
	if !c.ServiceAccount.IsSet() {
		return nil, nil //nolint:nilnil // nil is a wallet that makes no links
	}
	var account struct {
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
	}
	if json.Unmarshal([]byte(c.ServiceAccount.Reveal()), &account) != nil || account.Email == "" || c.IssuerID == "" {
		return nil, errors.New("google wallet: needs the JSON of a service account and DAYOF_PASS_GOOGLE_ISSUER_ID")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(account.Key))
	if err != nil {
		return nil, fmt.Errorf("google wallet: the private key of the service account: %w", err)
	}
	return &googleWallet{issuerID: c.IssuerID, email: account.Email, key: key, origin: origin, clock: clk}, nil
}

type googleText struct {
	DefaultValue googleTranslation `json:"defaultValue"`
}

type googleTranslation struct {
	Language string `json:"language"`
	Value    string `json:"value"`
}

type googleClass struct {
	ID           string       `json:"id"`
	IssuerName   string       `json:"issuerName"`
	EventName    googleText   `json:"eventName"`
	ReviewStatus string       `json:"reviewStatus"`
	Venue        *googleVenue `json:"venue,omitempty"`
	DateTime     *googleTimes `json:"dateTime,omitempty"`
}

type googleVenue struct {
	Name    googleText `json:"name"`
	Address googleText `json:"address"`
}

type googleTimes struct {
	DoorsOpen string `json:"doorsOpen,omitempty"`
	Start     string `json:"start"`
	End       string `json:"end"`
}

type googleObject struct {
	ID         string        `json:"id"`
	ClassID    string        `json:"classId"`
	State      string        `json:"state"`
	Barcode    googleBarcode `json:"barcode"`
	Number     string        `json:"ticketNumber"`
	HolderName string        `json:"ticketHolderName,omitempty"`
	TicketType *googleText   `json:"ticketType,omitempty"`
	SeatInfo   *googleSeat   `json:"seatInfo,omitempty"`
}

type googleBarcode struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type googleSeat struct {
	Seat    *googleText `json:"seat,omitempty"`
	Row     *googleText `json:"row,omitempty"`
	Section *googleText `json:"section,omitempty"`
	Gate    *googleText `json:"gate,omitempty"`
}

// saveLink returns the link for a ticket, or "" when there is none: no service account is set, or not even the shortest
// statement fits into a link.
func (g *googleWallet) saveLink(serial string, c content) (string, error) {
	if g == nil {
		return "", nil
	}
	class, object := g.statement(serial, c)
	// What is wanted but not needed is left out when the link gets too long.
	shorten := []func(){
		func() {},
		func() { object.TicketType, object.HolderName = nil, "" },
		func() { class.Venue = nil },
		func() { object.SeatInfo, class.DateTime = nil, nil },
	}
	for _, step := range shorten {
		step()
		token, err := g.sign(class, object)
		if err != nil {
			return "", err
		}
		if link := "https://pay.google.com/gp/v/save/" + token; len(link) <= googleLinkMax {
			return link, nil
		}
	}
	return "", nil
}

func (g *googleWallet) statement(serial string, c content) (*googleClass, *googleObject) {
	language := locale.Nearest(c.Language)
	text := func(value string) googleText { return googleText{googleTranslation{language, value}} }
	optional := func(value string) *googleText {
		if value == "" {
			return nil
		}
		t := text(value)
		return &t
	}
	class := &googleClass{
		ID: g.issuerID + "." + c.Event.ID, IssuerName: c.OrganizerName, EventName: text(c.Event.Name), ReviewStatus: "UNDER_REVIEW",
		DateTime: &googleTimes{Start: c.Event.StartTime.Format(time.RFC3339), End: c.Event.EndTime.Format(time.RFC3339)},
	}
	if c.Event.DoorsTime != nil {
		class.DateTime.DoorsOpen = c.Event.DoorsTime.Format(time.RFC3339)
	}
	if c.Event.VenueAddress != "" { // Google wants both or none
		class.Venue = &googleVenue{Name: text(c.Event.VenueName), Address: text(c.Event.VenueAddress)}
	}
	object := &googleObject{
		ID: g.issuerID + "." + serial, ClassID: class.ID, State: "ACTIVE", Barcode: googleBarcode{"QR_CODE", c.Code},
		Number: c.TicketID, HolderName: string(c.HolderName), TicketType: optional(c.ProductName + ", " + c.VariantName),
	}
	shown := c.shownSeat()
	seat := googleSeat{
		Seat: optional(shown.Label), Row: optional(shown.Row), Section: optional(shown.Section), Gate: optional(c.Staff["gate"]),
	}
	if seat != (googleSeat{}) {
		object.SeatInfo = &seat
	}
	return class, object
}

// sign returns the statement as a JWT with RS256 (RFC 7515).
func (g *googleWallet) sign(class *googleClass, object *googleObject) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": g.email, "aud": "google", "typ": "savetowallet", "iat": g.clock.Now().Unix(), "origins": []string{g.origin},
		"payload": map[string]any{"eventTicketClasses": []any{class}, "eventTicketObjects": []any{object}},
	}).SignedString(g.key)
	if err != nil {
		return "", fmt.Errorf("sign link: %w", err)
	}
	return token, nil
}
