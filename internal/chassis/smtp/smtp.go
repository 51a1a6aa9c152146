// Package smtp sends mail through one server.
package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/dayof/dayof/internal/chassis/breaker"
)

// timeout ends one conversation with the mail server.
const timeout = 20 * time.Second

// Message is one mail. Its recipients see each other. It is about a person and does not log itself.
type Message struct {
	To      []string // as ParseAddress takes them
	Subject string
	// ID is the message id, "receipt.<order id>@dayof": a repeat after a crash
	// with the same id is the same mail to a reader.
	ID          string
	Language    string // BCP 47, of the text; empty: not said
	Text        string
	HTML        string // an alternative to Text; empty: none
	Attachments []Attachment
}

// LogValue keeps all but the id from slog.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.ID) }

// Format keeps every verb of fmt from all but the id.
func (m Message) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte("mail " + m.ID)) }

// Attachment is a file of a mail.
type Attachment struct {
	Name        string
	ContentType string
	Content     string
}

// Sender sends mail, behind a circuit breaker.
type Sender struct {
	config  Config
	client  *mail.Client // nil when mail is not configured
	breaker *breaker.Breaker
}

// New returns a sender, or what is wrong with its configuration. It does not connect.
func New(c Config) (*Sender, error) {
	s := &Sender{config: c, breaker: breaker.New(breaker.Config{Party: "mail", Logger: c.Logger, IsFailure: isFailure})}
	if c.Address == "" {
		return s, nil
	}
	var err error
	s.client, err = c.client()
	return s, err
}

// Enabled says whether there is a server to send through.
func (s *Sender) Enabled() bool { return s.client != nil }

// IsAway says whether the mail server does not answer.
func (s *Sender) IsAway() bool { return s.breaker.IsAway() }

// errDisabled is returned by Send without a server.
var errDisabled = errors.New("no mail server is configured")

// Undeliverable says whether an error of Send means that the mail will never reach a recipient: the server has no such mailbox, or
// the address is none.
func Undeliverable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Class == ClassAddress || e.Class == ClassRecipient && e.Code >= 500)
}

// isFailure says that an error speaks against the server, and not against one mail: a refusal of a recipient or of a content is about
// that mail alone.
func isFailure(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return true
	case e.Class == ClassRecipient:
		return e.Code == 0
	case e.Class == ClassContent:
		return e.Code < 500
	}
	return true
}

// Send delivers a mail to the server. After an error the outcome may be unknown: a repeat with the same ID is the same
// mail to a reader.
//
// Errors: *Error (see Undeliverable), or one that wraps breaker.ErrOpen while the circuit breaker is open.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if !s.Enabled() {
		return errDisabled
	}
	written, err := s.write(m)
	if err != nil {
		return err
	}
	return s.breaker.Do(ctx, func(ctx context.Context) error { return s.deliver(ctx, written) })
}

func (s *Sender) deliver(ctx context.Context, written *mail.Msg) error {
	conn, err := s.client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return failed(ClassConnect, err)
	}
	// How the connection ends says nothing about the mail.
	defer func() { _ = s.client.CloseWithSMTPClient(conn) }()
	return failed(ClassContent, s.client.SendWithSMTPClient(conn, written))
}

func (s *Sender) write(m Message) (*mail.Msg, error) {
	written := mail.NewMsg()
	var to []string
	for _, recipient := range m.To {
		address, err := ParseAddress(recipient)
		if err != nil {
			return nil, &Error{Class: ClassAddress}
		}
		to = append(to, address)
	}
	if err := written.From(s.config.From); err != nil {
		return nil, fmt.Errorf("address mail: %w", err) // a setting of ours
	}
	if err := written.To(to...); err != nil {
		return nil, &Error{Class: ClassAddress}
	}
	written.Subject(m.Subject)
	written.SetMessageIDWithValue(m.ID)
	if m.Language != "" {
		written.SetGenHeader(mail.HeaderContentLang, m.Language)
	}
	written.SetBodyString(mail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		written.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	for _, a := range m.Attachments {
		err := written.AttachReader(a.Name, strings.NewReader(a.Content), mail.WithFileContentType(mail.ContentType(a.ContentType)))
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", a.Name, err)
		}
	}
	return written, nil
}
