// Package booking has the ledger follow what orders know of money. Each job is idempotent by the business key of its entry,
// and waits for the entries that must be in the ledger before its own.
package booking

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Jobs are the jobs that post to the ledger. All fields are required.
type Jobs struct {
	Orders *orderstore.Store
	Ledger ledgerv1connect.LedgerServiceClient
	Stripe stripecalls.Client
	// FetchRefunds asks Stripe for all refunds of an intent and has their order observe them.
	FetchRefunds func(ctx context.Context, intent order.IntentRef) error
	// Insert inserts a job outside of a transaction.
	Insert func(ctx context.Context, orderID string, work order.Work) error
}

const (
	// entryWait is the pause before an entry is posted once more that needs one which is not in the ledger yet.
	entryWait = 2 * time.Second
	// entryWaitMax is for how long it waits before that counts as a failure.
	entryWaitMax = time.Hour
)

// waitForEntry lets a job wait, without spending attempts, for an entry that must be in the ledger first.
func (j *Jobs) waitForEntry(err error, since time.Time, doing string) error {
	if err == nil {
		return nil
	}
	missing := problem.Is(err, ledgerv1.Reason_REASON_CAPTURE_NOT_POSTED) || problem.Is(err, ledgerv1.Reason_REASON_DISPUTE_NOT_WITHDRAWN) ||
		problem.Is(err, ledgerv1.Reason_REASON_CONVERSION_NOT_POSTED)
	if missing && j.Orders.Clock.Now().Sub(since) < entryWaitMax {
		return jobs.Snooze(entryWait)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Capture names captured money for the ledger.
func Capture(o *order.Order, p *order.PaymentIntent, at time.Time) *ledgerv1.Capture {
	return &ledgerv1.Capture{
		OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: p.StripeID, StripeAccount: p.StripeAccount,
		Gross: wire.MoneyToProto(o.Currency, p.CapturedMinorUnits), CaptureTime: timestamppb.New(at),
	}
}

// FreeSale names an order that costs nothing for the ledger.
func FreeSale(o *order.Order) *ledgerv1.FreeSale {
	return &ledgerv1.FreeSale{OrderId: o.ID, OrganizerId: o.OrganizerID, Currency: o.Currency, SaleTime: timestamppb.New(o.CreateTime)}
}

// TaxesToProto converts shares of tax.
func TaxesToProto(taxes []order.TaxShare) []*ledgerv1.TaxShare {
	var out []*ledgerv1.TaxShare
	for _, t := range taxes {
		out = append(out, &ledgerv1.TaxShare{Country: t.Country, Kind: t.Kind, MinorUnits: t.MinorUnits})
	}
	return out
}
