package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/money"
)

// reconcileTimeout is how long a comparison may take; a hundred thousand orders take minutes.
const reconcileTimeout = 15 * time.Minute

// foundDifference is an open difference, as scripts and people read it. Amounts are absent where there is nothing.
type foundDifference struct {
	ID                string       `json:"id"`
	Kind              string       `json:"kind"`
	Subject           string       `json:"subject"`
	OrderID           string       `json:"order_id"`
	Expected          *shownAmount `json:"expected,omitempty"`
	Found             *shownAmount `json:"found,omitempty"`
	Sides             string       `json:"sides"`
	SuggestedCause    string       `json:"suggested_cause"`
	FirstObservedTime string       `json:"first_observed_time"`
}

type shownAmount struct {
	Currency   string `json:"currency"`
	MinorUnits int64  `json:"minor_units"`
}

func reconcileCommand() command {
	return command{
		name: "reconcile", args: "[-day YYYY-MM-DD]", about: "compare orders, ledger and Stripe now; report what differs or cannot be read",
		driving: true, timeout: reconcileTimeout,
		build: func(flags *pflag.FlagSet) action {
			day := flags.String("day", "", "only this `DAY` in UTC; default: everything until now")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				from, until := time.Unix(0, 0), h.clock.Now()
				if *day != "" {
					var err error
					if from, err = time.Parse(time.DateOnly, *day); err != nil {
						return usagef("-day is YYYY-MM-DD")
					}
					until = from.AddDate(0, 0, 1)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				run, open, err := system.Reconcile(ctx, from, until)
				if err != nil {
					return err
				}
				return reportReconciliation(h, run, open)
			}
		},
	}
}

// reportReconciliation prints a line per open difference and per item that could not be read, and at last ok or how many there are.
func reportReconciliation(h host, run *ledgerv1.Run, open []*ledgerv1.Difference) error {
	found := make([]foundDifference, 0, len(open))
	for _, d := range open {
		found = append(found, foundDifference{
			ID: d.GetId(), Kind: client.Word(d.GetKind()), Subject: d.GetSubject(), OrderID: d.GetOrderId(), Expected: newShownAmount(d.GetExpected()),
			Found: newShownAmount(d.GetFound()), Sides: d.GetSides(), SuggestedCause: d.GetSuggestedCause(),
			FirstObservedTime: d.GetFirstObservedTime().AsTime().Format(time.RFC3339Nano),
		})
	}
	agree := len(found) == 0 && run.GetUnreadCount() == 0
	if h.json {
		if err := h.printJSON(struct {
			OK          bool              `json:"ok"`
			RunID       string            `json:"run_id"`
			OrderLines  int64             `json:"order_lines"`
			Ledger      int64             `json:"ledger_transactions"`
			Stripe      int64             `json:"stripe_transactions"`
			InFlight    int64             `json:"in_flight"`
			Foreign     int64             `json:"foreign"`
			Unread      int64             `json:"unread"`
			UnreadNames []string          `json:"unread_subjects"`
			Differences []foundDifference `json:"differences"`
		}{
			agree, run.GetId(), run.GetOrderLineCount(), run.GetLedgerTransactionCount(), run.GetStripeTransactionCount(),
			run.GetInFlightCount(), run.GetForeignCount(), run.GetUnreadCount(), append([]string{}, run.GetUnreadSubjects()...), found,
		}); err != nil {
			return err
		}
	} else {
		for _, d := range found {
			fmt.Fprintf(h.stdout, "DIFFERENCE %s %s order %s: %s\n  %s\n", d.Kind, d.Subject, orNone(d.OrderID), d.Sides, d.SuggestedCause)
		}
		for _, subject := range run.GetUnreadSubjects() {
			fmt.Fprintf(h.stdout, "UNREAD %s: it could not be read or compared; the log says why\n", subject)
		}
		compared := fmt.Sprintf("%d lines of orders, %d ledger transactions, %d balance transactions of Stripe, %d in flight",
			run.GetOrderLineCount(), run.GetLedgerTransactionCount(), run.GetStripeTransactionCount(), run.GetInFlightCount())
		if run.GetForeignCount() > 0 {
			compared += fmt.Sprintf(", %d of others on the same Stripe account", run.GetForeignCount())
		}
		if run.GetUnreadCount() > 0 {
			compared += fmt.Sprintf(", %d could not be read or compared", run.GetUnreadCount())
		}
		if agree {
			fmt.Fprintln(h.stdout, "ok", compared)
		} else {
			fmt.Fprintf(h.stdout, "%d differences; %s\n", len(found), compared)
		}
	}
	if !agree {
		return errReported
	}
	return nil
}

func newShownAmount(m *moneyv1.Money) *shownAmount {
	if m == nil {
		return nil
	}
	amount := money.Money{Currency: m.GetCurrency(), MinorUnits: m.GetMinorUnits()}
	return &shownAmount{Currency: amount.Currency, MinorUnits: amount.MinorUnits}
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}
