package reconcile

import (
	"cmp"
	"context"
	"strconv"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/csvfile"
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
	size := cmp.Or(req.GetPageSize(), exportPageDefault)
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
			resolved = csvfile.Time(*d.ResolveTime)
		}
		lines = append(lines, []string{
			d.ID, kindWord(ledgerv1.DifferenceKind(d.Kind)), d.Subject,
			enumWord(ledgerv1.DifferenceState(d.State).String(), "DIFFERENCE_STATE_"), d.OrderID, d.OrganizerID, d.PaymentIntentID,
			d.StripeAccount, d.ExpectedCurrency, expected, d.FoundCurrency, found, d.Sides, d.Cause, csvfile.Time(d.FirstObservedTime),
			csvfile.Time(d.LastObservedTime), resolved, d.ResolvedBy, d.ResolveReason,
		})
	}
	head := differenceColumns
	if !withHead {
		head = nil
	}
	return csvfile.Write(head, lines)
}
