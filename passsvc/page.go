package passsvc

import (
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/timezone"
	"github.com/dayof/dayof/passsvc/artwork"
	"github.com/dayof/dayof/passsvc/passdb"
)

// Pages for holders, behind signed links that open one ticket or one order, for ever or until Config.LinkLifetime after the
// event. They are never kept
// by a cache nor found by a search engine, and looking at them changes nothing: mail scanners do.

//go:embed pages/*.html
var pageFiles embed.FS

// pages renders the pages.
type pages struct {
	template *template.Template
	logo     template.URL // data URLs, so that a page is one request
	strip    template.URL
	badges   map[string]template.URL // Apple's, by language
}

func newPages(badgeDir string) (*pages, error) {
	parsed, err := template.ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	p := &pages{template: parsed, badges: map[string]template.URL{}}
	for name, into := range map[string]*template.URL{"logo@2x.png": &p.logo, "strip@3x.png": &p.strip} {
		data, err := fs.ReadFile(artwork.Images, name)
		if err != nil {
			return nil, fmt.Errorf("read image: %w", err)
		}
		*into = dataURL("image/png", data)
	}
	if badgeDir == "" {
		return p, nil
	}
	for _, language := range locale.Languages() {
		data, err := os.ReadFile(filepath.Join(badgeDir, language+".svg"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read badge: %w", err)
		}
		if err == nil {
			p.badges[language] = dataURL("image/svg+xml", data)
		}
	}
	return p, nil
}

func dataURL(mediaType string, data []byte) template.URL {
	return template.URL("data:" + mediaType + ";base64," + base64.StdEncoding.EncodeToString(data)) //nolint:gosec // our own files
}

// pageModel is what the template "page" shows.
type pageModel struct {
	Language string
	Title    string
	Logo     template.URL
	Bundles  []linkModel
	Tickets  []ticketModel
}

type linkModel struct{ Href, Label string }

type ticketModel struct {
	TicketID, EventName     string
	Strip                   template.URL
	Void                    string // why it does not admit; empty: it may
	OnHold                  string // why it does not admit for now; empty: it may
	NotValidYet             string // why it does not admit before a moment has passed; empty: it may
	Facts                   []factModel
	Code                    template.HTML // the QR code as SVG
	Badge                   template.URL
	AppleHref, AppleLabel   string
	GoogleHref, GoogleLabel string
}

type factModel struct{ Label, Value string }

// ticketPages are the pages that holders open from their receipt.
type ticketPages struct{ *Service }

// routes returns the pages by pattern.
func (s ticketPages) routes() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /t/{signed}":               private(s.serveTicket),
		"GET /t/{signed}/ticket.pkpass": private(s.serveTicketPass),
		"GET /o/{signed}":               private(s.serveOrder),
		"GET /o/{signed}/{bundle}":      private(s.serveBundle),
		// What is left of a link that was cut or extended.
		"GET /t":  private(s.wrongLink),
		"GET /t/": private(s.wrongLink),
		"GET /o":  private(s.wrongLink),
		"GET /o/": private(s.wrongLink),
	}
}

// private keeps answers out of caches, search engines and the headers of other sites.
func private(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "private, no-store")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
		next(w, r)
	})
}

// linkedPass returns the pass of the ticket whose link was opened, or answers.
func (s ticketPages) linkedPass(w http.ResponseWriter, r *http.Request) (passdb.Pass, bool) {
	serial, ok := s.keys.openLink(r.PathValue("signed"), purposeTicket)
	if !ok {
		s.wrongLink(w, r)
		return passdb.Pass{}, false
	}
	row, err := s.q.GetPass(r.Context(), s.Pool, serial)
	if err != nil {
		s.pageError(w, r, passNotFound(err))
		return passdb.Pass{}, false
	}
	return row, !s.refuseExpired(w, r, row)
}

// refuseExpired answers a link whose time is over, and says whether it did. Passes in wallets stay: they are not links.
func (s ticketPages) refuseExpired(w http.ResponseWriter, r *http.Request, row passdb.Pass) bool {
	if s.Config.LinkLifetime <= 0 {
		return false
	}
	c, err := decodeContent(row)
	if err != nil {
		s.pageError(w, r, err)
		return true
	}
	if s.Clock.Now().Before(c.Event.EndTime.Add(s.Config.LinkLifetime)) {
		return false
	}
	s.expiredLink(w, r, c)
	return true
}

// serveTicket serves the page to browsers and the pass itself to programs, which do not ask for HTML.
func (s ticketPages) serveTicket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.serveTicketPass(w, r)
		return
	}
	row, ok := s.linkedPass(w, r)
	if !ok {
		return
	}
	s.writePage(w, r, []passdb.Pass{row}, nil)
}

// notValidYetRetrySeconds is the Retry-After of a pass whose ticket is not valid yet: mostly its sale is booked by then.
const notValidYetRetrySeconds = "5"

// answerNotValidYet answers a program that wants passes of tickets that are not valid yet.
func (s ticketPages) answerNotValidYet(w http.ResponseWriter, r *http.Request, row passdb.Pass) {
	c, err := decodeContent(row)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	w.Header().Set("Retry-After", notValidYetRetrySeconds)
	http.Error(w, say(locale.Nearest(c.Language), phraseNotValidYet), http.StatusServiceUnavailable)
}

// serveTicketPass serves the package behind a ticket's link.
func (s ticketPages) serveTicketPass(w http.ResponseWriter, r *http.Request) {
	row, ok := s.linkedPass(w, r)
	if !ok {
		return
	}
	if !s.validity.known(r.Context(), []passdb.Pass{row}) {
		s.answerNotValidYet(w, r, row)
		return
	}
	pass, err := s.cache.get(r.Context(), row.PassType, row.Serial)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="ticket.pkpass"`)
	s.writePass(w, r, pass)
}

// writePage renders tickets, each with its own link, and bundles.
func (s ticketPages) writePage(w http.ResponseWriter, r *http.Request, rows []passdb.Pass, bundles []linkModel) {
	valid := s.validity.known(r.Context(), rows)
	model := pageModel{Logo: s.pages.logo}
	if valid {
		model.Bundles = bundles
	}
	for _, row := range rows {
		c, err := decodeContent(row)
		if err == nil && model.Language == "" {
			model.Language = locale.Nearest(c.Language)
			model.Title = describe(model.Language, c.Event.Name)
		}
		var ticket ticketModel
		if err == nil {
			ticket, err = s.ticketModel(row, c, valid)
		}
		if err != nil {
			s.pageError(w, r, err)
			return
		}
		model.Tickets = append(model.Tickets, ticket)
	}
	var out bytes.Buffer
	if err := s.pages.template.ExecuteTemplate(&out, "page", model); err != nil {
		s.pageError(w, r, fmt.Errorf("render page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes())
}

func (s ticketPages) ticketModel(row passdb.Pass, c content, valid bool) (ticketModel, error) {
	language := locale.Nearest(c.Language)
	link, err := s.keys.link(int(row.TokenKeyVersion), purposeTicket, row.Serial)
	if err != nil {
		return ticketModel{}, err
	}
	zone, err := timezone.Load(c.Event.TimeZone)
	if err != nil {
		return ticketModel{}, fmt.Errorf("time zone of event: %w", err)
	}
	at := func(t time.Time) string { return t.In(zone).Format(dateLayout(language) + ", " + timeOfDay) }
	t := ticketModel{
		TicketID: c.TicketID, EventName: c.Event.Name, Strip: s.pages.strip, Badge: s.pages.badges[language],
		AppleHref: "../t/" + link + "/ticket.pkpass", AppleLabel: say(language, phraseAddToApple),
	}
	add := func(label phrase, value string) {
		if value != "" {
			t.Facts = append(t.Facts, factModel{say(language, label), value})
		}
	}
	add(phraseDate, at(c.Event.StartTime))
	if c.Event.DoorsTime != nil {
		doors := at(*c.Event.DoorsTime)
		if isSameDay(c.Event.DoorsTime.In(zone), c.Event.StartTime.In(zone)) {
			doors = c.Event.DoorsTime.In(zone).Format(timeOfDay)
		}
		add(phraseDoors, doors)
	}
	add(phraseVenue, strings.Trim(c.Event.VenueName+", "+c.Event.VenueAddress, ", "))
	add(phraseTicket, c.ProductName)
	add(phrasePlace, c.VariantName)
	add(phraseHolder, string(c.HolderName))
	seat := c.shownSeat()
	add(phraseGate, c.Staff["gate"])
	add(phraseSection, seat.Section)
	add(phraseRow, seat.Row)
	add(phraseSeat, seat.Label)
	add(phraseNote, c.Staff["note"])
	if c.admitsNobody() {
		t.Void = say(language, c.whyNobody())
		return t, nil
	}
	if !valid {
		t.NotValidYet = say(language, phraseNotValidYet)
		return t, nil
	}
	if t.Code, err = qrSVG(c.Code); err != nil {
		return ticketModel{}, err
	}
	if c.onHold() {
		t.OnHold = say(language, phraseSuspended)
		return t, nil
	}
	if c.isUsed() {
		t.OnHold = say(language, phraseUsedTicket)
		return t, nil
	}
	if t.GoogleHref, err = s.google.saveLink(row.Serial, c); err != nil {
		return ticketModel{}, err
	}
	t.GoogleLabel = say(language, phraseAddToGoogle)
	return t, nil
}

const timeOfDay = "15:04"

// dateLayout writes a date in numbers, as people who read language do.
func dateLayout(language string) string {
	switch language {
	case "de":
		return "02.01.2006"
	case "es", "fr", "it":
		return "02/01/2006"
	case "nl":
		return "02-01-2006"
	default:
		return "2 Jan 2006"
	}
}

// isSameDay compares days of one time zone.
func isSameDay(a, b time.Time) bool {
	return a.Year() == b.Year() && a.YearDay() == b.YearDay()
}

// qrSVG draws text as a QR code, one path of unit squares with the quiet zone that scanners need.
func qrSVG(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("encode QR code: %w", err)
	}
	const quiet = 4
	var path strings.Builder
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	size := strconv.Itoa(code.Size + 2*quiet)
	return template.HTML(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + size + ` ` + size + //nolint:gosec // numbers only
		`" shape-rendering="crispEdges"><path d="` + path.String() + `"/></svg>`), nil
}

// pageError answers a person whose page cannot be shown.
func (s ticketPages) pageError(w http.ResponseWriter, r *http.Request, err error) {
	if problem.Reason(err) == reasonPassNotFound {
		s.wrongLink(w, r)
		return
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelError, "page failed", slog.String("pattern", r.Pattern), slog.Any("error", err))
	s.failedLink(w, r)
}
