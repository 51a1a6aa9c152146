package ledgersvc

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// exportPageDefault is the size of a page of CSV when the request does not say.
const exportPageDefault = 1000

// differenceColumns are the first line of a file of differences. Amounts are in minor units, exact to the last digit.
var differenceColumns = []string{
	"difference_id", "kind", "subject", "state", "order_id", "organizer_id", "payment_intent_id", "stripe_account",
	"expected_currency", "expected_minor_units", "found_currency", "found_minor_units", "sides", "suggested_cause",
	"first_observed_time", "last_observed_time", "resolve_time", "resolved_by", "resolve_reason",
}

// ExportDifferences implements ReconciliationService.
func (s *Service) ExportDifferences(ctx context.Context, req *ledgerv1.ExportDifferencesRequest) (*ledgerv1.ExportDifferencesResponse, error) {
	size := req.GetPageSize()
	if size == 0 {
		size = exportPageDefault
	}
	rows, next, err := s.differences(ctx, req.GetFilter(), size, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	text, err := differencesCSV(rows, req.GetPageToken() == "")
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ExportDifferencesResponse{Csv: text, NextPageToken: next}, nil
}

func differencesCSV(rows []ledgerdb.ReconcileDifference, withHead bool) (string, error) {
	lines := make([][]string, 0, len(rows))
	for _, d := range rows {
		expected, found := "", ""
		if d.ExpectedCurrency != "" {
			expected = strconv.FormatInt(d.ExpectedAmount, 10)
		}
		if d.FoundCurrency != "" {
			found = strconv.FormatInt(d.FoundAmount, 10)
		}
		resolved := ""
		if d.ResolveTime != nil {
			resolved = stamp(*d.ResolveTime)
		}
		lines = append(lines, []string{
			d.ID, kindWord(ledgerv1.DifferenceKind(d.Kind)), d.Subject,
			enumWord(ledgerv1.DifferenceState(d.State).String(), "DIFFERENCE_STATE_"), d.OrderID, d.OrganizerID, d.PaymentIntentID,
			d.StripeAccount, d.ExpectedCurrency, expected, d.FoundCurrency, found, d.Sides, d.Cause, stamp(d.FirstObservedTime),
			stamp(d.LastObservedTime), resolved, d.ResolvedBy, d.ResolveReason,
		})
	}
	head := differenceColumns
	if !withHead {
		head = nil
	}
	return writeCSV(head, lines)
}

// writeCSV writes lines as RFC 4180 has them.
func writeCSV(head []string, lines [][]string) (string, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	for _, line := range lines {
		for i := range line {
			line[i] = harmless(line[i])
		}
	}
	if head != nil {
		lines = append([][]string{head}, lines...)
	}
	if err := w.WriteAll(lines); err != nil {
		return "", fmt.Errorf("write csv: %w", err)
	}
	return out.String(), nil
}

// harmless keeps spreadsheets from taking a text for a formula. Numbers stay as they are.
func harmless(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseInt(cell, 10, 64); err == nil {
		return cell
	}
	return "'" + cell
}

// stamp is a time in a file.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
