package reconcile

import (
	"bytes"
	"context"
	_ "embed" // the report's template
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/riverqueue/river"
	"github.com/wneessen/go-mail"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// sendReportArgs names a daily run whose report shall be mailed.
type sendReportArgs struct {
	RunID string `json:"run_id"`
}

// Kind implements river.JobArgs.
func (sendReportArgs) Kind() string { return "send_reconciliation_report" }

const (
	// mailTimeout ends one conversation with the mail server.
	mailTimeout = 20 * time.Second
	// reportLines is how many differences the mail shows; the file beside it has reportRowsMax.
	reportLines   = 20
	reportRowsMax = 5000
)

//go:embed report.txt.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report.txt").Parse(reportText))

// report is what the mail's template shows.
type report struct {
	Day, RunID, State, Error   string
	Run                        ledgerdb.ReconcileRun
	Open                       int
	MoreThanOpen               bool
	Lines                      []reportLine
	Further                    int
	ConsoleURL                 string
	OrderLines, Ledger, Stripe int64
}

type reportLine struct{ Kind, Subject, Expected, Found, Cause string }

// sendReport mails the report of a daily run: what was compared, and all differences that are open now, as a file.
//
// Idempotent: running it twice sends the same mail again, with the same message id.
func (s *Service) sendReport(ctx context.Context, job *river.Job[sendReportArgs]) error {
	if s.config.SMTPAddress == "" || len(s.config.ReportTo) == 0 {
		return nil
	}
	run, err := s.q.GetRun(ctx, s.pool, job.Args.RunID)
	if err != nil {
		return fmt.Errorf("get run: %w", err)
	}
	open, next, err := s.differences(ctx, &ledgerv1.DifferenceFilter{State: ledgerv1.DifferenceState_DIFFERENCE_STATE_OPEN}, reportRowsMax, "")
	if err != nil {
		return err
	}
	message, err := s.reportMessage(run, open, next != "")
	if err != nil {
		return err
	}
	if err := s.mailBreaker.Do(ctx, func(ctx context.Context) error { return s.deliver(ctx, message) }); err != nil {
		return fmt.Errorf("send report: %w", err)
	}
	return nil
}

func (s *Service) reportMessage(run ledgerdb.ReconcileRun, open []ledgerdb.ReconcileDifference, more bool) (*mail.Msg, error) {
	r := report{
		Day: run.FromTime.UTC().Format(time.DateOnly), RunID: run.ID, State: enumWord(ledgerv1.RunState(run.State).String(), "RUN_STATE_"),
		Error: run.Error, Run: run, Open: len(open), MoreThanOpen: more, ConsoleURL: s.config.ConsoleURL,
	}
	for _, d := range open[:min(len(open), reportLines)] {
		r.Lines = append(r.Lines, reportLine{
			Kind: kindWord(ledgerv1.DifferenceKind(d.Kind)), Subject: d.Subject, Expected: orNothing(shownMoney(d.ExpectedCurrency, d.ExpectedAmount)),
			Found: orNothing(shownMoney(d.FoundCurrency, d.FoundAmount)), Cause: d.Cause,
		})
	}
	r.Further = len(open) - len(r.Lines)
	var text bytes.Buffer
	if err := reportTemplate.Execute(&text, r); err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	file, err := differencesCSV(open, true)
	if err != nil {
		return nil, err
	}
	m := mail.NewMsg()
	if err := errors.Join(m.From(s.config.MailFrom), m.To(s.config.ReportTo...)); err != nil {
		return nil, fmt.Errorf("address report: %w", err)
	}
	subject := "Books of " + r.Day + ": all agree"
	switch {
	case r.Error != "":
		subject = "Books of " + r.Day + ": could not be compared"
	case len(open) > 0:
		subject = fmt.Sprintf("Books of %s: %d open differences", r.Day, len(open))
	}
	m.Subject(subject)
	m.SetMessageIDWithValue("reconciliation." + run.ID + "@dayof") // a repeat after a crash is the same mail
	m.SetBodyString(mail.TypeTextPlain, text.String())
	if err := m.AttachReader("differences-"+r.Day+".csv", strings.NewReader(file), mail.WithFileContentType("text/csv")); err != nil {
		return nil, fmt.Errorf("attach differences: %w", err)
	}
	return m, nil
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

func (s *Service) deliver(ctx context.Context, message *mail.Msg) error {
	c := s.config
	host, port, err := mailServer(c.SMTPAddress)
	if err != nil {
		return fmt.Errorf("read DAYOF_SMTP_ADDRESS: %w", err)
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTimeout), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if c.SMTPUser != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithTLSPolicy(mail.TLSMandatory),
			mail.WithUsername(c.SMTPUser), mail.WithPassword(c.SMTPPassword.Reveal()))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return fmt.Errorf("prepare mail: %w", err)
	}
	return client.DialAndSendWithContext(ctx, message)
}
