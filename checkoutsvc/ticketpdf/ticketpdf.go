// Package ticketpdf draws tickets on paper: a page each, with the code that doors scan. It is for holders without a wallet.
package ticketpdf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/text/encoding/charmap"
	"rsc.io/qr"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/timezone"
)

// TicketsMax is how many tickets a file has at most.
const TicketsMax = 50

// ErrNone says that no ticket admits, so that there is nothing to print.
var ErrNone = errors.New("no valid ticket")

// Write draws those tickets that are valid now, in their order, in the language of their holders. Others have no page: paper does not
// change, and what is printed should admit. The bytes depend on nothing but the order and the tickets, so that a repeat is the same file.
//
// Western European text is written in a font that each reader has, for a tenth of the time and the bytes; any other brings fonts along, which
// have Latin, Greek and Cyrillic letters and draw others as boxes.
func Write(o *order.Order, ticketIDs []string, codes ticketcode.Keys) ([]byte, error) {
	doc := newDocument(o.CreateTime, false)
	file, err := doc.write(o, ticketIDs, codes)
	if err == nil && doc.foreign {
		return newDocument(o.CreateTime, true).write(o, ticketIDs, codes)
	}
	return file, err
}

func (d *document) write(o *order.Order, ticketIDs []string, codes ticketcode.Keys) ([]byte, error) {
	pages := 0
	for _, id := range ticketIDs {
		t := o.Ticket(id)
		if t == nil || t.State != order.TicketValid || pages == TicketsMax {
			continue
		}
		if err := d.ticket(o, t, codes.Sign(t.ID, t.EventID, t.CodeKeyVersion)); err != nil {
			return nil, err
		}
		pages++
	}
	if pages == 0 {
		return nil, ErrNone
	}
	var file bytes.Buffer
	if err := d.pdf.Output(&file); err != nil {
		return nil, fmt.Errorf("write pdf: %w", err)
	}
	return file.Bytes(), nil
}

// FileName is what a file of tickets is called.
func FileName(id string) string { return "tickets-" + id + ".pdf" }

// Sizes in millimetres, of A4, whose width letter paper has within 6 mm.
const (
	margin    = 18.0
	codeSize  = 70.0
	lineShort = 5.0
	lineTall  = 9.0
)

type document struct {
	pdf      *fpdf.Fpdf
	font     string
	embedded bool // the fonts are in the file
	foreign  bool // there was text that the fonts which are not in the file lack
}

func newDocument(made time.Time, embedded bool) *document {
	pdf := fpdf.New("P", "mm", "A4", "")
	d := &document{pdf: pdf, font: "Helvetica", embedded: embedded}
	if embedded {
		d.font = "go"
		pdf.AddUTF8FontFromBytes(d.font, "", goregular.TTF)
		pdf.AddUTF8FontFromBytes(d.font, "B", gobold.TTF)
	}
	pdf.SetMargins(margin, margin, margin)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetCreationDate(made.UTC())
	pdf.SetModificationDate(made.UTC())
	pdf.SetCatalogSort(true)
	pdf.SetCreator("dayof", true)
	return d
}

// text draws a text at the left margin, on as many lines as it takes.
func (d *document) text(style string, size, lineHeight float64, text string) {
	d.pdf.SetFont(d.font, style, size)
	if !d.embedded {
		encoded, err := charmap.Windows1252.NewEncoder().String(text)
		if err != nil {
			d.foreign = true
			return
		}
		text = encoded
	}
	d.pdf.MultiCell(0, lineHeight, text, "", "L", false)
}

// ticket draws one ticket on a page of its own.
func (d *document) ticket(o *order.Order, t *order.Ticket, code string) error {
	sold, err := t.ReadSnapshot()
	if err != nil {
		return err
	}
	zone, err := timezone.Load(sold.Venue.TimeZone)
	if err != nil {
		return fmt.Errorf("load zone of the venue: %w", err)
	}
	holder := o.Holder(t)
	language := locale.Nearest(holder.Language)
	w := wordsOf(language)
	d.pdf.AddPage()
	d.text("", 10, lineShort, sold.OrganizerName)
	d.text("B", 20, lineTall, shortened(sold.EventName))
	d.pdf.Ln(lineShort)
	d.fact(w.When, locale.DateTime(o.Schedule.StartTime.In(zone), language))
	if doors := o.Schedule.DoorsTime; doors != nil {
		d.fact(w.Doors, locale.DateTime(doors.In(zone), language))
	}
	d.fact(w.Where, strings.Join(nonEmpty(sold.Venue.Name, sold.Venue.Address), ", "))
	d.fact(w.Ticket, sold.ProductName+", "+sold.VariantName)
	if s := sold.Seat; s != nil {
		d.fact(w.Place, fmt.Sprintf("%s, %s %s, %s %s", s.Section, w.Row, s.Row, w.Seat, s.Label))
	}
	d.fact(w.Name, string(holder.Name))
	d.pdf.Ln(lineShort)
	if err := d.code(code); err != nil {
		return err
	}
	d.text("", 10, lineShort, w.Show)
	d.pdf.SetTextColor(100, 100, 100)
	small := w.Number + " " + t.ID
	if !t.Transferred() { // else the order is not the holder's
		small += " · " + w.Order + " " + o.ID
	}
	d.text("", 8, lineShort, small)
	d.pdf.SetTextColor(0, 0, 0)
	return nil
}

// textMax keeps the longest name and address on the page.
const textMax = 240

func shortened(text string) string {
	if runes := []rune(text); len(runes) > textMax {
		return string(runes[:textMax]) + "…"
	}
	return text
}

func nonEmpty(texts ...string) []string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// fact draws a label and what it labels.
func (d *document) fact(label, text string) {
	d.pdf.SetTextColor(100, 100, 100)
	d.text("", 8, lineShort, label)
	d.pdf.SetTextColor(0, 0, 0)
	d.text("B", 12, lineShort+1, shortened(text))
	d.pdf.Ln(1.5)
}

// code draws the code as squares, which stay sharp at any size.
func (d *document) code(text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return fmt.Errorf("encode the code: %w", err)
	}
	const quiet = 4 // modules around it. Source: ISO/IEC 18004, 6.3.8
	module := codeSize / float64(code.Size+2*quiet)
	left, top := margin, d.pdf.GetY()
	d.pdf.SetFillColor(0, 0, 0)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) { // a row's neighbours are one bar: between squares would be hairlines
				x++
			}
			if x > from {
				d.pdf.Rect(left+float64(quiet+from)*module, top+float64(quiet+y)*module, float64(x-from)*module, module*1.02, "F")
			}
		}
	}
	d.pdf.SetY(top + codeSize)
	return nil
}
