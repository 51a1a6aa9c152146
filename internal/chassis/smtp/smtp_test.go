package smtp_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	server "github.com/emersion/go-smtp"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/smtp"
)

// inbox is a mail server that keeps what it gets.
type inbox struct {
	from string
	to   []string
	raw  chan string
}

func (b *inbox) NewSession(*server.Conn) (server.Session, error) { return b, nil }
func (b *inbox) Reset()                                          { b.to = nil }
func (b *inbox) Logout() error                                   { return nil }

func (b *inbox) Mail(from string, _ *server.MailOptions) error {
	b.from = from
	return nil
}

func (b *inbox) Rcpt(to string, _ *server.RcptOptions) error {
	b.to = append(b.to, to)
	return nil
}

func (b *inbox) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	b.raw <- b.from + " to " + strings.Join(b.to, " ") + "\n" + string(raw)
	return err
}

func TestSend(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := &inbox{raw: make(chan string, 1)}
	s := server.NewServer(got)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })

	sender, err := smtp.New(smtp.Config{Address: listener.Addr().String(), From: "tickets@example.test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil || !sender.Enabled() {
		t.Fatalf("enabled %t, %v", sender.Enabled(), err)
	}
	err = sender.Send(t.Context(), smtp.Message{
		To: []string{"erika@example.test", "otto@example.test"}, Subject: "Books of 2026-05-01", ID: "report.1@dayof",
		Text: "all agree", HTML: "<p>all agree</p>", Attachments: []smtp.Attachment{{Name: "differences.csv", ContentType: "text/csv", Content: "a,b\r\n"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw := <-got.raw
	for _, want := range []string{
		"tickets@example.test to erika@example.test otto@example.test\n", "Subject: Books of 2026-05-01", "Message-ID: <report.1@dayof>",
		"text/plain", "text/html", `filename="differences.csv"`, "text/csv",
	} {
		if !strings.Contains(raw, want) {
			t.Errorf("the mail lacks %q:\n%s", want, raw)
		}
	}
	for range 10 { // more than open the breaker
		err := sender.Send(t.Context(), smtp.Message{To: []string{"nobody"}})
		if !smtp.Undeliverable(err) || errors.Is(err, breaker.ErrOpen) {
			t.Errorf("a recipient that is none: %v", err)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"mail", "mail:submission-port", "mail:99999"} {
		if _, err := smtp.New(smtp.Config{Address: address}); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
	sender, err := smtp.New(smtp.Config{})
	if err != nil || sender.Enabled() {
		t.Errorf("without an address: enabled %t, %v", sender.Enabled(), err)
	}
	if err := sender.Send(t.Context(), smtp.Message{}); err == nil {
		t.Error("mail is sent without a server")
	}
}

// refusing is a mail server whose refusals repeat the recipient, as those of most servers do.
type refusing struct{ inbox }

func (b *refusing) NewSession(*server.Conn) (server.Session, error) { return b, nil }

func (b *refusing) Rcpt(to string, _ *server.RcptOptions) error {
	return &server.SMTPError{Code: 550, EnhancedCode: server.EnhancedCode{5, 1, 1}, Message: "<" + to + ">: user unknown"}
}

// TestErrors says that errors may be logged and stored: they name class and code, and no address.
func TestErrors(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.NewServer(&refusing{})
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	sender, err := smtp.New(smtp.Config{Address: listener.Addr().String(), From: "tickets@example.test"})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]smtp.Error{
		"erika@example.test":   {Class: smtp.ClassRecipient, Code: 550, Enhanced: "5.1.1"},
		"erika @ example.test": {Class: smtp.ClassAddress},
	} {
		message := smtp.Message{To: []string{to}, ID: "receipt.1@dayof", Text: "Hello Erika"}
		err := sender.Send(t.Context(), message)
		got, ok := errors.AsType[*smtp.Error](err)
		if !ok || got.Class != want.Class || got.Code != want.Code || got.Enhanced != want.Enhanced {
			t.Errorf("%s: %v", to, err)
		}
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("mail", slog.Any("error", err), slog.Any("message", message))
		fmt.Fprintf(&logged, "%v %+v %#v", err, err, message)
		for unwrapped := err; unwrapped != nil; unwrapped = errors.Unwrap(unwrapped) {
			fmt.Fprint(&logged, unwrapped)
		}
		if strings.Contains(strings.ToLower(logged.String()), "erika") {
			t.Errorf("an address is logged: %s", logged.String())
		}
	}
	_ = listener.Close()
	_ = s.Close()
	if err := sender.Send(t.Context(), smtp.Message{To: []string{"erika@example.test"}}); !strings.Contains(err.Error(), "at connect") {
		t.Errorf("without a server: %v", err)
	}
}
