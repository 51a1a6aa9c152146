package checkoutsvc_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"image"
	"image/color"
	"image/draw"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"connectrpc.com/connect"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/dayof/dayof/devenv/sandbox/mail"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// drawnPage is what a page of a PDF says and shows.
type drawnPage struct {
	content string
	scanned string // the code, as a scanner reads it
}

// says looks for a text, which is in UTF-16 where the fonts are in the file.
func (p drawnPage) says(text string) bool {
	if strings.Contains(p.content, "("+text) || strings.Contains(p.content, " "+text) {
		return true
	}
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		b.WriteByte(byte(unit >> 8))
		b.WriteByte(byte(unit))
	}
	return strings.Contains(p.content, b.String())
}

var (
	pdfStream = regexp.MustCompile(`(?s)stream\r?\n(.*?)\r?\nendstream`)
	pdfBar    = regexp.MustCompile(`(-?[\d.]+) (-?[\d.]+) (-?[\d.]+) (-?[\d.]+) re f`)
)

// readPDF takes a file apart: the pages are the streams that draw bars, each of which is scanned.
func readPDF(t *testing.T, file []byte) (pages []drawnPage) {
	t.Helper()
	if !bytes.HasPrefix(file, []byte("%PDF-")) {
		t.Fatalf("the file begins with %q", file[:min(len(file), 8)])
	}
	for _, stream := range pdfStream.FindAllSubmatch(file, -1) {
		reader, err := zlib.NewReader(bytes.NewReader(stream[1]))
		if err != nil {
			continue // a font that is not compressed
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if bars := pdfBar.FindAllStringSubmatch(string(content), -1); len(bars) > 100 {
			pages = append(pages, drawnPage{content: string(content), scanned: scanBars(t, bars)})
		}
	}
	return pages
}

// scanBars draws the bars of a page, four dots a point, and reads the code that they are.
func scanBars(t *testing.T, bars [][]string) string {
	t.Helper()
	const dots = 4
	picture := image.NewGray(image.Rect(0, 0, 600*dots, 850*dots))
	draw.Draw(picture, picture.Bounds(), image.White, image.Point{}, draw.Src)
	for _, bar := range bars {
		var at [4]float64
		for i := range at {
			at[i], _ = strconv.ParseFloat(bar[i+1], 64)
		}
		x, y := int(at[0]*dots), int((850-at[1])*dots)
		draw.Draw(picture, image.Rect(x, y, x+int(at[2]*dots+0.5), y-int(at[3]*dots-0.5)), image.NewUniform(color.Black), image.Point{}, draw.Src)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("no code can be read: %v", err)
	}
	return found.GetText()
}

// TestTicketPDF prints a ticket, scans the paper, and is let in. What does not admit is not printed.
func TestTicketPDF(t *testing.T) {
	w, server := newMailHarness(t)
	o, token := w.boughtBy("paper", 2)
	ticket := o.GetTickets()[0]
	print := func(key string) ([]byte, error) {
		res, err := w.holders().GetTicketPdf(w.as(token, key), &checkoutv1.GetTicketPdfRequest{TicketId: ticket.GetId()})
		if err == nil && res.GetFileName() != "tickets-"+ticket.GetId()+".pdf" {
			t.Errorf("the file is called %s", res.GetFileName())
		}
		return res.GetPdf(), err
	}
	file, err := print("first")
	if err != nil {
		t.Fatal(err)
	}
	pages := readPDF(t, file)
	if len(pages) != 1 || pages[0].scanned != ticket.GetCode() {
		t.Fatalf("the paper has %d pages, and the code is not the ticket's", len(pages))
	}
	if !pages[0].says("Erika") || !pages[0].says(ticket.GetId()) || !pages[0].says("Wann") {
		t.Errorf("the paper does not name holder, ticket or time:\n%q", pages[0].content)
	}
	if again, err := print("again"); err != nil || !bytes.Equal(again, file) {
		t.Errorf("the same ticket is other bytes, or %v", err)
	}
	mailed := paperOf(t, w.mailTo(server, "erika@example.test", 1))
	if pages := readPDF(t, mailed); len(pages) != 2 || pages[1].scanned != o.GetTickets()[1].GetCode() {
		t.Errorf("the receipt has %d pages of paper", len(pages))
	}
	if got := w.admission(ticket); got != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("the ticket: %v", got)
	}
	if _, err := w.holders().SetTicketHolder(w.as(token, "name"), &checkoutv1.SetTicketHolderRequest{TicketId: ticket.GetId(), HolderName: "Ελένη Жукова"}); err != nil {
		t.Fatal(err)
	}
	if file, err = print("another name"); err != nil {
		t.Fatal(err)
	}
	if pages := readPDF(t, file); len(pages) != 1 || pages[0].scanned != ticket.GetCode() || !pages[0].says("Ελένη") || !pages[0].says("Жукова") {
		t.Errorf("a name in Greek and Cyrillic letters: %d pages", len(pages))
	}
	if _, err := w.holders().ReissueTicket(w.as(token, "reissue"), &checkoutv1.ReissueTicketRequest{TicketId: ticket.GetId()}); err != nil {
		t.Fatal(err)
	}
	_, err = print("replaced")
	wantProblem(t, err, connect.CodeFailedPrecondition, "TICKET_VOID")
	_, err = w.holders().GetTicketPdf(w.as("", "nobody"), &checkoutv1.GetTicketPdfRequest{TicketId: ticket.GetId()})
	wantProblem(t, err, connect.CodeNotFound, "TICKET_NOT_FOUND")
}

// paperOf is the file of tickets that is attached to a mail.
func paperOf(t *testing.T, m mail.Message) []byte {
	t.Helper()
	for _, part := range m.Parts {
		if strings.HasPrefix(part.ContentType, "application/pdf") {
			file, err := base64.StdEncoding.DecodeString(part.Content)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
	}
	t.Fatalf("the mail %q has no paper", m.Subject)
	return nil
}
