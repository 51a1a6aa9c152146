// Package smtp sends mail through one server.
package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
)

// timeout ends one conversation with the mail server.
const timeout = 20 * time.Second

// Config says through which server mail leaves, and from whom.
type Config struct {
	Address  string // host:port; empty: no mail is sent, see Enabled
	User     string // empty: without authentication, and with TLS only if the server offers it
	Password config.Secret
	From     string
	// Logger gets a line when the circuit breaker changes. Nil logs nothing.
	Logger *slog.Logger
}

// Message is one mail. Its recipients see each other.
type Message struct {
	To      []string
	Subject string
	// ID is the message id, "receipt.<order id>@dayof": a repeat after a crash
	// with the same id is the same mail to a reader.
	ID          string
	Text        string
	HTML        string // an alternative to Text; empty: none
	Attachments []Attachment
}

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

// New returns a sender, or what is wrong with the address. It does not connect.
func New(c Config) (*Sender, error) {
	s := &Sender{config: c, breaker: breaker.New(breaker.Config{Party: "mail", Logger: c.Logger, IsFailure: isFailure})}
	if c.Address == "" {
		return s, nil
	}
	host, portText, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("read the address of the mail server: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("read the port of the mail server: %w", err)
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(timeout), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if c.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithTLSPolicy(mail.TLSMandatory),
			mail.WithUsername(c.User), mail.WithPassword(c.Password.Reveal()))
	}
	if s.client, err = mail.NewClient(host, options...); err != nil {
		return nil, fmt.Errorf("prepare mail: %w", err)
	}
	return s, nil
}

// Enabled says whether there is a server to send through.
func (s *Sender) Enabled() bool { return s.client != nil }

// errDisabled is returned by Send without a server.
var errDisabled = errors.New("no mail server is configured")

// UndeliverableError says that a mail will never reach a recipient: the server has
// no such mailbox, or the address cannot be written into a mail. It does not show
// the address.
type UndeliverableError struct {
	Code int // the server's reply, 550 for instance; 0: it was not asked
}

// Error implements error.
func (e *UndeliverableError) Error() string {
	if e.Code == 0 {
		return "a recipient's address cannot be written into a mail"
	}
	return fmt.Sprintf("the mail server refuses a recipient for good (%d)", e.Code)
}

// isFailure says that an error speaks against the server, and not against one
// mail: a refusal of a recipient or of a content is about that mail alone.
func isFailure(err error) bool {
	refused, ok := errors.AsType[*mail.SendError](err)
	if !ok {
		return true
	}
	switch refused.Reason {
	case mail.ErrSMTPRcptTo:
		return false
	case mail.ErrSMTPData, mail.ErrSMTPDataClose, mail.ErrWriteContent:
		return refused.IsTemp() || refused.ErrorCode() == 0
	default:
		return true
	}
}

// Send delivers a mail to the server. After an error the outcome may be unknown;
// an *UndeliverableError is final. While the breaker is open the error wraps
// breaker.ErrOpen.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if !s.Enabled() {
		return errDisabled
	}
	written, err := s.write(m)
	if err != nil {
		return err
	}
	err = s.breaker.Do(ctx, func(ctx context.Context) error { return s.client.DialAndSendWithContext(ctx, written) })
	refused, ok := errors.AsType[*mail.SendError](err)
	if ok && refused.Reason == mail.ErrSMTPRcptTo && refused.ErrorCode() >= 500 {
		return &UndeliverableError{Code: refused.ErrorCode()}
	}
	return err
}

func (s *Sender) write(m Message) (*mail.Msg, error) {
	written := mail.NewMsg()
	if err := written.From(s.config.From); err != nil {
		return nil, fmt.Errorf("address mail: %w", err)
	}
	if err := written.To(m.To...); err != nil {
		return nil, &UndeliverableError{}
	}
	written.Subject(m.Subject)
	written.SetMessageIDWithValue(m.ID)
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
