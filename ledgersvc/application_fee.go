package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// Where the money lies of a charge that an application fee was taken of.
const (
	feeOfDirectCharge      = "direct"      // in the connected account; the sale holds the fee already
	feeOfDestinationCharge = "destination" // on the platform's balance, and a transfer brings it to the account
	feeOfChargeElsewhere   = "elsewhere"   // in the connected account, and no order of ours knows it
)

// RecordApplicationFee implements LedgerService. Observations come in any order, so each is merged into the fee's row
// first; what is posted follows from the rows alone:
//
//	direct       what the sale does not hold of it:   organizers:g:connect -> platform:revenue;  platform clearing -> stripe:connect
//	destination  the account pays back a part of what it was transferred, and revenue is in the sale already:
//	                                                  organizers:g:connect -> organizers:g:payable;  platform clearing -> stripe:connect
//	elsewhere    all of it:                           organizers:g:connect -> platform:revenue;  platform clearing -> stripe:connect
//
// under appfee:<fee>, and the opposite under appfee-ref:<fee>:<cumulative> for each growth of what went back, but for
// direct charges of ours, whose refunds hold it. Every call drives all entries that the rows ask for, so a crash between
// two of them is healed by any later call.
func (s *Service) RecordApplicationFee(ctx context.Context, req *ledgerv1.RecordApplicationFeeRequest) (*ledgerv1.RecordApplicationFeeResponse, error) {
	refunded := req.GetRefundedMinorUnits()
	amount, wrongAmount := positive("amount", req.GetAmount())
	taken, wrongTime := instant("fee_time", req.GetFeeTime())
	var wrongRefund error
	if wrongAmount == nil && refunded > amount.MinorUnits {
		wrongRefund = problem.InvalidField("refunded_minor_units", fmt.Sprintf("must be at most the fee, %d", amount.MinorUnits))
	}
	if err := problem.All(wrongAmount, wrongTime, wrongRefund); err != nil {
		return nil, err
	}
	c, err := newCall(ctx, applicationFeeFingerprint(req, amount, taken))
	if err != nil {
		return nil, err
	}
	params := ledgerdb.LockApplicationFeeParams{
		FeeID: req.GetApplicationFeeId(), StripeAccount: req.GetStripeAccount(), OrganizerID: req.GetOrganizerId(),
		PaymentIntentID: req.GetPaymentIntentId(), Source: feeOfChargeElsewhere, Currency: amount.Currency, Amount: amount.MinorUnits, FeeTime: taken,
	}
	if req.GetPaymentIntentId() != "" {
		capture, err := s.capture(ctx, req.GetPaymentIntentId())
		if err != nil {
			return nil, err
		}
		params.OrderID, params.Source = capture.Facts.OrderID, feeOfDestinationCharge
		if capture.Facts.StripeAccount != "" {
			params.Source, params.Booked = feeOfDirectCharge, revenueOf(capture)
		}
	}
	known, refunds, err := s.observeApplicationFee(ctx, params, refunded)
	if err != nil {
		return nil, err
	}
	var entries []journal.Entry
	for _, p := range applicationFeePlans(known, refunds) {
		e, err := s.post(ctx, c, p)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return &ledgerv1.RecordApplicationFeeResponse{Entries: entriesToProto(entries), RefundedMinorUnits: known.Refunded}, nil
}

// applicationFeeFingerprint says whether two requests are the same.
func applicationFeeFingerprint(req *ledgerv1.RecordApplicationFeeRequest, amount money.Money, taken time.Time) []byte {
	return idem.Fingerprint(fingerprintVersion, req.GetApplicationFeeId(), req.GetStripeAccount(), req.GetOrganizerId(),
		req.GetPaymentIntentId(), amount.Currency, amount.MinorUnits, req.GetRefundedMinorUnits(), taken)
}

// observeApplicationFee merges an observation under the lock of the fee's row. A refunded sum that is not the highest
// adds nothing: whoever observed the higher one wrote the whole growth down.
func (s *Service) observeApplicationFee(
	ctx context.Context, params ledgerdb.LockApplicationFeeParams, refunded int64,
) (known ledgerdb.ApplicationFee, refunds []ledgerdb.ApplicationFeeRefund, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		known, err = s.q.LockApplicationFee(ctx, tx, params)
		if errors.Is(err, pgx.ErrNoRows) {
			return problem.New(connect.CodeAlreadyExists, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_CONFLICT),
				"the fee was reported with another account, organiser or amount before; an operator must look at it")
		}
		if err != nil {
			return fmt.Errorf("lock application fee: %w", err)
		}
		if refunded > known.Refunded {
			if err := s.q.InsertApplicationFeeRefund(ctx, tx, known.FeeID, refunded, refunded-known.Refunded); err != nil {
				return fmt.Errorf("insert application fee refund: %w", err)
			}
			if err := s.q.SetApplicationFeeRefunded(ctx, tx, known.FeeID, refunded); err != nil {
				return fmt.Errorf("set application fee: %w", err)
			}
			known.Refunded = refunded
		}
		refunds, err = s.q.ApplicationFeeRefunds(ctx, tx, known.FeeID)
		return err
	})
	return known, refunds, err
}

// applicationFeePlans returns the entries of a fee so far, in the order in which they are posted.
func applicationFeePlans(known ledgerdb.ApplicationFee, refunds []ledgerdb.ApplicationFeeRefund) []plan {
	var (
		f = journal.Facts{
			OrderID: known.OrderID, OrganizerID: known.OrganizerID, PaymentIntentID: known.PaymentIntentID, StripeAccount: known.StripeAccount,
		}
		asset    = money.Money{Currency: known.Currency}.FormanceAsset()
		at       = placeOf(known.StripeAccount, known.OrganizerID, "")
		platform = platformClearing(known.FeeID)
		to       = revenue(known.FeeID)
		from     = []account{to} // of what goes back
		lacking  = cost(costFeesReturned)
		plans    []plan
	)
	if known.Source == feeOfDestinationCharge {
		to, from, lacking = organizerPayable(known.OrganizerID), placeOf("", known.OrganizerID, "").organizer(), account{}
	}
	entry := func(kind ledgerv1.EntryKind, reference string, moves ...move) {
		if p := newPlan(kind, reference, known.FeeTime, asset, f, moves...); len(p.moves) > 0 {
			plans = append(plans, p)
		}
	}
	if taken := known.Amount - known.Booked; taken > 0 {
		entry(ledgerv1.EntryKind_ENTRY_KIND_APPLICATION_FEE, "appfee:"+known.FeeID,
			move{from: at.organizer(), to: to, amount: taken}, send(platform, at.clearing, taken))
	} else {
		entry(ledgerv1.EntryKind_ENTRY_KIND_APPLICATION_FEE, "appfee:"+known.FeeID,
			move{from: from, lacking: lacking, to: at.owner, amount: -taken}, send(at.clearing, platform, -taken))
	}
	if known.Source == feeOfDirectCharge {
		return plans
	}
	for _, r := range refunds {
		entry(ledgerv1.EntryKind_ENTRY_KIND_APPLICATION_FEE_REFUND, fmt.Sprintf("appfee-ref:%s:%d", known.FeeID, r.Cumulative),
			move{from: from, lacking: lacking, to: at.owner, amount: r.Amount}, send(at.clearing, platform, r.Amount))
	}
	return plans
}

// revenueOf is what an entry brought the platform.
func revenueOf(e journal.Entry) int64 {
	var sum int64
	for _, p := range e.Postings {
		if strings.HasPrefix(p.Destination, "platform:revenue:") {
			sum += p.Amount
		}
	}
	return sum
}
