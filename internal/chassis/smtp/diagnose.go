package smtp

import (
	"context"

	"github.com/dayof/dayof/internal/chassis/diagnosis"
)

// Diagnose begins a conversation with the mail server, logs in where there is a user, and sends nothing.
func Diagnose(ctx context.Context, c Config) diagnosis.Findings {
	var f diagnosis.Findings
	s, err := New(c)
	switch {
	case err != nil:
		f.Problem("mail server", "%v", err)
		return f
	case !s.Enabled():
		f.Problem("mail server", "DAYOF_SMTP_ADDRESS is not set: no mail is sent")
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosis.Timeout)
	defer cancel()
	client, err := s.client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		f.Problem("mail server", "%s: %v", c.Address, plainCause(err))
		return f
	}
	_ = s.client.CloseWithSMTPClient(client) // nothing was sent
	f.OK("mail server", "%s takes mail", c.Address)
	return f
}
