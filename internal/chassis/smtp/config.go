package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/dayof/dayof/internal/chassis/config"
)

// Config says through which server mail leaves, and from whom.
type Config struct {
	Address  string // host:port; empty: no mail is sent, see Enabled
	User     string // empty: without authentication
	Password config.Secret
	// TLS is how the conversation is encrypted; empty is TLSAuto.
	TLS TLS
	// RootsFile is a PEM file of roots to trust instead of the system's; empty: the system's.
	RootsFile string
	From      string
	// Logger gets a line when the circuit breaker changes. Nil logs nothing.
	Logger *slog.Logger
}

// TLS is how a conversation with a mail server is encrypted.
type TLS string

// The ways of encryption. Sources: RFC 3207 (STARTTLS), RFC 8314, section 3.3 (implicit TLS on port 465).
const (
	// TLSAuto is TLSImplicit on port 465 and TLSStart elsewhere, but TLSOptional at a server on loopback.
	TLSAuto     TLS = "auto"
	TLSImplicit TLS = "implicit" // from the first byte
	TLSStart    TLS = "starttls" // by STARTTLS; a server that does not offer it gets no mail
	TLSOptional TLS = "optional" // by STARTTLS where the server offers it: who is between can take the offer away
	TLSNone     TLS = "none"     // in the clear
)

// implicitPort is the port of mail submission over implicit TLS.
const implicitPort = 465

// LoadConfig reads the settings of the mail server, which services share; the caller adds From and Logger. Problems are
// reported by the loader.
func LoadConfig(l *config.Loader) Config {
	return Config{
		Address:  l.String("DAYOF_SMTP_ADDRESS", "", "host:port of the mail server; empty sends no mail"),
		User:     l.String("DAYOF_SMTP_USER", "", "user at the mail server; empty logs in as nobody"),
		Password: l.Secret("DAYOF_SMTP_PASSWORD", "password at the mail server"),
		TLS: TLS(l.String("DAYOF_SMTP_TLS", string(TLSAuto),
			"encryption to the mail server: implicit (from the first byte), starttls (required), optional (starttls if it is offered) or none;"+
				" auto is implicit on port 465, optional on loopback and starttls elsewhere")),
		RootsFile: l.String("DAYOF_SMTP_ROOTS_FILE", "", "PEM file of roots to trust at the mail server instead of the system's"),
	}
}

// mode resolves TLSAuto.
func (c Config) mode(host string, port int) (TLS, error) {
	switch c.TLS {
	case TLSImplicit, TLSStart:
		return c.TLS, nil
	case TLSOptional, TLSNone:
		if c.User != "" && !isLoopback(host) {
			return "", fmt.Errorf("DAYOF_SMTP_TLS is %s: a password is sent beyond loopback with implicit or starttls only", c.TLS)
		}
		return c.TLS, nil
	case TLSAuto, "":
	default:
		return "", errors.New("DAYOF_SMTP_TLS: must be auto, implicit, starttls, optional or none")
	}
	switch {
	case port == implicitPort:
		return TLSImplicit, nil
	case isLoopback(host):
		return TLSOptional, nil
	}
	return TLSStart, nil
}

func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// client makes the library's client of the server. It does not connect.
func (c Config) client() (*mail.Client, error) {
	host, portText, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("DAYOF_SMTP_ADDRESS: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("DAYOF_SMTP_ADDRESS: read the port: %w", err)
	}
	if _, err := netmail.ParseAddress(c.From); c.From != "" && err != nil {
		return nil, fmt.Errorf("the sender %q is not a mail address", c.From)
	}
	mode, err := c.mode(host, port)
	if err != nil {
		return nil, err
	}
	tlsConfig := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.RootsFile != "" {
		roots, err := os.ReadFile(c.RootsFile)
		if err != nil {
			return nil, fmt.Errorf("DAYOF_SMTP_ROOTS_FILE: %w", err)
		}
		if tlsConfig.RootCAs = x509.NewCertPool(); !tlsConfig.RootCAs.AppendCertsFromPEM(roots) {
			return nil, errors.New("DAYOF_SMTP_ROOTS_FILE: no certificate in it")
		}
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(timeout), mail.WithTLSConfig(tlsConfig)}
	switch mode {
	case TLSImplicit:
		options = append(options, mail.WithSSL(), mail.WithTLSPolicy(mail.NoTLS))
	case TLSStart:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case TLSOptional:
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case TLSNone, TLSAuto:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if c.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.User), mail.WithPassword(c.Password.Reveal()))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare mail: %w", err)
	}
	return client, nil
}
