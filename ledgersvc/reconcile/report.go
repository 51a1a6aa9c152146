package reconcile

import (
	"bytes"
	"context"
	_ "embed" // the report's template
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/riverqueue/river"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// sendReportArgs names a daily run whose report shall be mailed.
type sendReportArgs struct {
	RunID string `json:"run_id"`
}

// Kind implements river.JobArgs.
func (sendReportArgs) Kind() string { return "send_reconciliation_report" }

const (
	// reportTimeout bounds one attempt to send a report: two conversations with the mail server.
	reportTimeout = 40 * time.Second
	// reportLines is how many differences the mail shows; the file beside it has reportRowsMax.
	reportLines   = 20
	reportRowsMax = 5000
)

//go:embed report.txt.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report.txt").Parse(reportText))

// report is what the mail's template shows.
type report struct {
	Day, RunID, Error string
	Run               ledgerdb.ReconcileRun
	Open              int
	MoreThanOpen      bool
	Lines             []reportLine
	Further           int
	Foreign           string
	ConsoleURL        string
}

type reportLine struct{ Kind, Subject, Expected, Found, Cause string }

// sendReport mails the report of a daily run: what was compared, and all differences that are open now, as a file.
//
// Idempotent: running it again sends the same mail again, with the same message id.
func (s *Service) sendReport(ctx context.Context, job *river.Job[sendReportArgs]) error {
	if !s.mail.Enabled() || len(s.config.ReportTo) == 0 {
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
	err = s.mail.Send(ctx, message)
	if smtp.Undeliverable(err) {
		return jobs.Cancel(err) // a setting is wrong: the dead letter's alert says so
	}
	if err != nil {
		return fmt.Errorf("send report: %w", err)
	}
	return nil
}

func (s *Service) reportMessage(run ledgerdb.ReconcileRun, open []ledgerdb.ReconcileDifference, more bool) (smtp.Message, error) {
	r := report{
		Day: run.FromTime.UTC().Format(time.DateOnly), RunID: run.ID, Error: run.Error, Run: run, Open: len(open), MoreThanOpen: more, ConsoleURL: s.config.ConsoleURL,
	}
	for _, d := range open[:min(len(open), reportLines)] {
		r.Lines = append(r.Lines, reportLine{
			Kind: kindWord(ledgerv1.DifferenceKind(d.Kind)), Subject: d.Subject, Expected: orNothing(shownMoney(d.ExpectedCurrency, d.ExpectedAmount)),
			Found: orNothing(shownMoney(d.FoundCurrency, d.FoundAmount)), Cause: d.Cause,
		})
	}
	var foreign []string
	for _, m := range foreignMoney(run) {
		foreign = append(foreign, m.Format())
	}
	r.Foreign = strings.Join(foreign, " and ")
	r.Further = len(open) - len(r.Lines)
	var text bytes.Buffer
	if err := reportTemplate.Execute(&text, r); err != nil {
		return smtp.Message{}, fmt.Errorf("write report: %w", err)
	}
	file, err := differencesCSV(open, true)
	if err != nil {
		return smtp.Message{}, err
	}
	subject := "Books of " + r.Day + ": all agree"
	switch {
	case r.Error != "":
		subject = "Books of " + r.Day + ": could not be compared"
	case run.UnreadItems > 0:
		subject = fmt.Sprintf("Books of %s: %d open differences, %d unread", r.Day, len(open), run.UnreadItems)
	case len(open) > 0:
		subject = fmt.Sprintf("Books of %s: %d open differences", r.Day, len(open))
	}
	return smtp.Message{
		To: s.config.ReportTo, Subject: subject, Text: text.String(),
		ID:          "reconciliation." + run.ID + "@dayof", // a repeat after a crash is the same mail
		Attachments: []smtp.Attachment{{Name: "differences-" + r.Day + ".csv", ContentType: "text/csv", Content: file}},
	}, nil
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}
