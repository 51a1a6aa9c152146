// Package mail is a sink for mail: an SMTP server that delivers nothing and shows everything.
//
// Whatever is accepted stands in a log that answers GET as a JSON array, newest last, and forgets on DELETE.
package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const (
	messageMax    = 25 << 20 // bytes; what the large providers accept
	recipientsMax = 100
	idleTimeout   = 5 * time.Minute // RFC 5321 section 4.5.3.2
)

// Config is what a mail sink needs.
type Config struct {
	Clock  clock.Clock
	Logger *slog.Logger
	Addr   string        // where to listen; empty is a free port on loopback
	Faults *fault.Faults // party fault.Mail; nil for none
}

// Server is a running mail sink.
//
// Faults: refuse closes the connection before the greeting, 5xx answers 554 to DATA, 429 answers 451 (try again later),
// slow accepts after the latency, hang never answers DATA and does not keep the message, lost_reply keeps the message and
// closes instead of answering, half_body keeps it and sends half of the answer.
type Server struct {
	Log

	cfg      Config
	smtp     *smtp.Server
	listener net.Listener
	ctx      context.Context //nolint:containedctx // the life of the server, for what hangs
	cancel   context.CancelFunc
	served   chan error
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", cfg.Addr) //nolint:noctx // binding a port does not wait for anything
	if err != nil {
		return nil, fmt.Errorf("listen for mail: %w", err)
	}
	s := &Server{cfg: cfg, listener: listener, served: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c.Conn()}, nil
	}))
	s.smtp.Domain = "sandbox.invalid"
	s.smtp.MaxMessageBytes, s.smtp.MaxRecipients = messageMax, recipientsMax
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = idleTimeout, idleTimeout
	s.smtp.AllowInsecureAuth, s.smtp.EnableSMTPUTF8 = true, true
	s.smtp.ErrorLog = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)
	go func() { s.served <- s.smtp.Serve(refusing{Listener: listener, faults: cfg.Faults}) }()
	return s, nil
}

// Addr is the host:port of the SMTP server.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all connections and stops.
func (s *Server) Close() error {
	s.cancel()
	err := s.smtp.Close()
	return errors.Join(err, <-s.served)
}

// refusing closes connections before they begin while the fault says so.
type refusing struct {
	net.Listener
	faults *fault.Faults
}

func (l refusing) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.faults == nil || l.faults.Draw(fault.Mail, "CONNECT", fault.Refuse) == nil {
			return conn, err
		}
		_ = conn.Close() // that is the fault
	}
}

// session is one SMTP conversation. It accepts any credentials.
type session struct {
	server *Server
	conn   net.Conn
	from   string
	to     []string
}

func (ss *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (ss *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

func (ss *session) Mail(from string, _ *smtp.MailOptions) error {
	ss.from = from
	return nil
}

func (ss *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	ss.to = append(ss.to, to)
	return nil
}

func (ss *session) Reset() { ss.from, ss.to = "", nil }

func (ss *session) Logout() error { return nil }

var (
	errRefused   = &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 3, 0}, Message: "The sandbox was told to refuse mail"}
	errTryLater  = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "The sandbox was told to ask for patience"}
	errConnEnded = errors.New("connection cut on purpose")
)

// Data receives one message.
func (ss *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	hit := ss.draw()
	if hit == nil {
		ss.keep(raw)
		return nil
	}
	hit.Wait(ss.server.ctx)
	switch hit.Mode {
	case fault.ServerError:
		return errRefused
	case fault.TooMany:
		return errTryLater
	case fault.Slow:
		ss.keep(raw)
		return nil
	case fault.Hang:
		hit.Hold(ss.server.ctx)
	case fault.LostReply:
		ss.keep(raw)
	case fault.HalfBody:
		ss.keep(raw)
		_, _ = io.WriteString(ss.conn, "25") // half of "250 ..."; what follows is the cut
	case fault.Refuse: // struck at the connection
	case fault.Refusal, fault.StoredError, fault.StoredErrorDone: // of Stripe only
	}
	_ = ss.conn.Close() // that is the fault
	return errConnEnded
}

func (ss *session) draw() *fault.Hit {
	if ss.server.cfg.Faults == nil {
		return nil
	}
	call := "DATA " + ss.from + " " + strings.Join(ss.to, ",")
	return ss.server.cfg.Faults.Draw(fault.Mail, call,
		fault.ServerError, fault.TooMany, fault.Slow, fault.Hang, fault.LostReply, fault.HalfBody)
}

func (ss *session) keep(raw []byte) {
	ss.server.add(newMessage(ss.from, ss.to, ss.server.cfg.Clock.Now(), raw))
}
