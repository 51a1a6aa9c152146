package receipt

import (
	"bytes"
	_ "embed" // the mails' templates
	"errors"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"

	"github.com/dayof/dayof/checkoutsvc/order"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/internal/personal"
	"github.com/dayof/dayof/internal/timezone"
)

//go:embed mail.txt.tmpl
var mailText string

//go:embed mail.html.tmpl
var mailHTML string

var (
	mailTextTemplate = texttemplate.Must(texttemplate.New("mail.txt").Parse(mailText))
	mailHTMLTemplate = htmltemplate.Must(htmltemplate.New("mail.html").Parse(mailHTML))
)

// letter is what all mails show. Language is one of locale.Languages.
type letter struct {
	Language, Subject, Hello string
	OrderID                  string // empty where it is not the reader's
	To                       personal.Text
	Words                    words
}

// receipt is the letter with the tickets.
type receipt struct {
	letter
	Ready, EventName, VenueName string
	VenueAddress, When          string
	Lines                       []receiptLine
	Discount, Code              string // of a promotion code; empty for none
	Total                       string
	OrderLink                   string   // to all tickets at once; empty when there is one
	Links                       []string // to each ticket
}

type receiptLine struct {
	Quantity         int32
	Product, Variant string
	Price            string
	Seats            []string
}

// notice is a letter of sentences.
type notice struct {
	letter
	Paragraphs []string
	Tickets    []string // that are void by now
	Links      []link
}

// link is a link with what it leads to.
type link struct{ Label, URL string }

// newLetter begins a letter to the buyer. The language is that of the order, or the nearest that we speak.
func newLetter(o *order.Order, subject func(words) string, fill *strings.Replacer) letter {
	return newLetterTo(order.Holder{Name: o.BuyerName, Email: o.BuyerEmail, Language: o.Language}, o.ID, subject, fill)
}

// newLetterTo begins a letter to somebody, in their language or the nearest that we speak.
func newLetterTo(to order.Holder, orderID string, subject func(words) string, fill *strings.Replacer) letter {
	language := locale.Nearest(to.Language)
	w := wordsOf(language)
	return letter{
		Language: language, Words: w, OrderID: orderID, To: to.Email, Subject: fill.Replace(subject(w)),
		Hello: strings.ReplaceAll(w.Hello, "{name}", string(to.Name)),
	}
}

// fillIn replaces what texts leave open.
func fillIn(eventName, amount string) *strings.Replacer {
	return strings.NewReplacer("{event}", eventName, "{amount}", amount)
}

// write renders a letter as a mail. A repeat after a crash with the same id is the same mail to a reader.
func write(id, template string, l letter, model any) (smtp.Message, error) {
	var text, html bytes.Buffer
	if err := errors.Join(mailTextTemplate.ExecuteTemplate(&text, template, model), mailHTMLTemplate.ExecuteTemplate(&html, template, model)); err != nil {
		return smtp.Message{}, fmt.Errorf("write mail: %w", err)
	}
	return smtp.Message{
		To: []string{string(l.To)}, Subject: l.Subject, ID: id + "@dayof", Language: l.Language, Text: text.String(), HTML: html.String(),
	}, nil
}

// receiptMessage writes the mail with the tickets. mailID tells a further one apart; empty for the first.
func receiptMessage(o *order.Order, passes *passv1.ListPassesResponse, mailID string) (smtp.Message, error) {
	snap, err := o.Tickets[0].ReadSnapshot()
	if err != nil {
		return smtp.Message{}, err
	}
	zone, err := timezone.Load(snap.Venue.TimeZone)
	if err != nil {
		return smtp.Message{}, fmt.Errorf("load zone of the venue: %w", err)
	}
	fill := fillIn(snap.EventName, "")
	r := receipt{
		letter:    newLetter(o, func(w words) string { return w.ReceiptSubject }, fill),
		EventName: snap.EventName, VenueName: snap.Venue.Name, VenueAddress: snap.Venue.Address,
	}
	// What was sold is as it was sold; when the event takes place is as it is now.
	r.Ready, r.When = fill.Replace(r.Words.Ready), locale.DateTime(o.Schedule.StartTime.In(zone), r.Language)
	r.Total = locale.Money(money.Money{Currency: o.Currency, MinorUnits: o.TotalMinorUnits}, r.Language)
	if o.DiscountMinorUnits > 0 {
		r.Code = o.PromotionCode
		r.Discount = locale.Money(money.Money{Currency: o.Currency, MinorUnits: -o.DiscountMinorUnits}, r.Language)
	}
	for _, l := range o.Lines {
		r.Lines = append(r.Lines, receiptLine{
			Quantity: l.Quantity, Product: l.ProductName, Variant: l.VariantName,
			Price: locale.Money(money.Money{Currency: o.Currency, MinorUnits: l.UnitPriceMinorUnits}, r.Language),
			Seats: seatsOf(o, l.VariantID, r.Words),
		})
	}
	if len(passes.GetPasses()) > 1 {
		r.OrderLink = passes.GetOrderDownloadUrl()
	}
	for _, p := range passes.GetPasses() {
		r.Links = append(r.Links, p.GetDownloadUrl())
	}
	id := "receipt." + o.ID
	if mailID != "" {
		id += "." + mailID
	}
	mail, err := write(id, "receipt", r.letter, r)
	mail.Attachments = []smtp.Attachment{calendarFile(o, snap, zone, o.CreateTime)}
	return mail, err
}
