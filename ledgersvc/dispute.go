package ledgersvc

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// returnPrefix and the balance transaction of a reinstatement are the reference of its return to who bore the loss.
const returnPrefix = "dispute-back:"

// RecordDisputeFunds implements LedgerService.
//
//	withdrawn:  orders:o:disputes:dp -> clearing D;  platform:costs:dispute_fees -> clearing F
//	reinstated: clearing -> orders:o:disputes:dp D;  clearing -> platform:costs:dispute_fees F, if the fee comes back
//
// Where the balance is kept in another currency than the dispute's, the fee is in that, and RecordConversion reports what
// Stripe changed. On a connected account the fee is the organiser's: organizers:g:connect (then :receivable). Money that is reinstated
// although the dispute was lost goes back to who bore the loss; see returnLoss.
func (s *Service) RecordDisputeFunds(ctx context.Context, req *ledgerv1.RecordDisputeFundsRequest) (*ledgerv1.RecordDisputeFundsResponse, error) {
	m, wrongAmount := notZero("amount", req.GetAmount())
	happened, wrongTime := instant("funds_time", req.GetFundsTime())
	feeAsset, wrongFee := disputeFeeAsset(req)
	if err := problem.All(wrongAmount, wrongTime, wrongFee); err != nil {
		return nil, err
	}
	capture, err := s.capture(ctx, req.GetPaymentIntentId())
	if err != nil {
		return nil, err
	}
	p := disputeFundsPlan(capture.Facts, req, m, feeAsset, happened)
	c, err := newCall(ctx, p.fingerprint())
	if err != nil {
		return nil, err
	}
	e, err := s.post(ctx, c, p)
	if err != nil {
		return nil, err
	}
	if err := s.returnLoss(ctx, c, req.GetDisputeId()); err != nil {
		return nil, err
	}
	return &ledgerv1.RecordDisputeFundsResponse{Entry: entryToProto(e)}, nil
}

func disputeFundsPlan(f journal.Facts, req *ledgerv1.RecordDisputeFundsRequest, m money.Money, feeAsset string, happened time.Time) plan {
	f.DisputeID = req.GetDisputeId()
	at, dispute := placeOf(f.StripeAccount, f.OrganizerID, f.PaymentIntentID), orderDispute(f.OrderID, f.DisputeID)
	kind, reference := ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_WITHDRAWAL, journal.WithdrawalPrefix+req.GetBalanceTransactionId()
	funds := send(dispute, at.clearing, -m.MinorUnits)
	if m.MinorUnits > 0 {
		kind, reference = ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_REINSTATEMENT, journal.ReinstatementPrefix+req.GetBalanceTransactionId()
		funds = send(at.clearing, dispute, m.MinorUnits)
	}
	bearer := []account{cost(costDisputeFees)}
	if at.direct {
		bearer = at.organizer()
	}
	fee := move{from: bearer, to: at.clearing, amount: req.GetFeeMinorUnits()}
	if fee.amount < 0 {
		fee = send(at.clearing, bearer[0], -fee.amount)
	}
	fee.asset = feeAsset
	return newPlan(kind, reference, happened, m.FormanceAsset(), f, funds, fee)
}

// disputeFeeAsset is the asset of the fee where it is in another currency than the dispute; empty where it is not.
func disputeFeeAsset(req *ledgerv1.RecordDisputeFundsRequest) (string, error) {
	var wrong error
	if req.GetFeeMinorUnits() == math.MinInt64 {
		wrong = problem.InvalidField("fee_minor_units", "is out of range")
	}
	if req.GetFeeCurrency() == "" || req.GetFeeCurrency() == req.GetAmount().GetCurrency() {
		return "", wrong
	}
	charged, err := money.New(req.GetFeeCurrency(), req.GetFeeMinorUnits())
	if err != nil {
		return "", problem.All(wrong, problem.InvalidField("fee_currency", "must be an ISO 4217 code such as EUR"))
	}
	return charged.FormanceAsset(), wrong
}

// RecordDisputeLoss implements LedgerService: who bears the loss fills the hole that the withdrawal left.
//
//	sale:    organizers:g:payable (then :receivable) -> orders:o:disputes:dp D-A;  platform:revenue -> A
//	direct:  organizers:g:connect (then :receivable) -> D-A;  platform:revenue -> A, and Stripe moves A to the account
//	receipt: orders:o:payment, where the money waits, then platform:costs:dispute_losses -> D
//
// Revenue that was withdrawn comes from platform:costs:application_fees.
func (s *Service) RecordDisputeLoss(ctx context.Context, req *ledgerv1.RecordDisputeLossRequest) (*ledgerv1.RecordDisputeLossResponse, error) {
	amount, wrongAmount := positive("amount", req.GetAmount())
	closed, wrongTime := instant("close_time", req.GetCloseTime())
	_, wrongFee := taxSum(amount, req.GetApplicationFeeMinorUnits(), nil)
	if err := problem.All(wrongAmount, wrongTime, wrongFee); err != nil {
		return nil, err
	}
	known, err := s.q.EntriesOfDispute(ctx, s.pool, req.GetDisputeId())
	if err != nil {
		return nil, fmt.Errorf("read entries of dispute: %w", err)
	}
	if !anyOfKind(known, ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_WITHDRAWAL) {
		return nil, notPosted(ledgerv1.Reason_REASON_DISPUTE_NOT_WITHDRAWN, "the withdrawal is not in the ledger yet; try again later")
	}
	capture, err := s.capture(ctx, req.GetPaymentIntentId())
	if err != nil {
		return nil, err
	}
	f := capture.Facts
	f.DisputeID = req.GetDisputeId()
	p := newPlan(ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_LOSS, journal.LossReference(req.GetDisputeId()), closed, amount.FormanceAsset(), f,
		lossMoves(capture.Kind, f, amount.MinorUnits, req.GetApplicationFeeMinorUnits())...)
	c, err := newCall(ctx, p.fingerprint())
	if err != nil {
		return nil, err
	}
	e, err := s.post(ctx, c, p)
	if err != nil {
		return nil, err
	}
	if err := s.returnLoss(ctx, c, req.GetDisputeId()); err != nil {
		return nil, err
	}
	return &ledgerv1.RecordDisputeLossResponse{Entry: entryToProto(e)}, nil
}

func lossMoves(capture ledgerv1.EntryKind, f journal.Facts, whole, fee int64) []move {
	at, dispute := placeOf(f.StripeAccount, f.OrganizerID, f.PaymentIntentID), orderDispute(f.OrderID, f.DisputeID)
	if capture == ledgerv1.EntryKind_ENTRY_KIND_RECEIPT {
		return []move{{from: []account{orderPayment(f.OrderID), cost(costDisputeLosses)}, to: dispute, amount: whole}}
	}
	moves := []move{
		{from: at.organizer(), to: dispute, amount: whole - fee},
		giveBack(revenue(f.PaymentIntentID), cost(costFeesReturned), dispute, fee),
	}
	if at.direct {
		moves = append(moves, send(at.clearing, platformClearing(f.PaymentIntentID), fee))
	}
	return moves
}

// returnLoss gives money that was reinstated after a loss, or before it was reported, back to who bore it:
//
//	orders:o:disputes:dp -> as the loss was borne                        reference dispute-back:<txn>
//
// Loss and reinstatement may come in any order, so both call this after their own posting: whoever is second reads the
// other's copy. Running it again posts nothing new. Without it the account of the dispute would not return to zero.
func (s *Service) returnLoss(ctx context.Context, c call, disputeID string) error {
	rows, err := s.q.EntriesOfDispute(ctx, s.pool, disputeID)
	if err != nil {
		return fmt.Errorf("read entries of dispute: %w", err)
	}
	if !anyOfKind(rows, ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_LOSS) || !anyOfKind(rows, ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_REINSTATEMENT) {
		return nil
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, rows)
	if err != nil {
		return err
	}
	var loss journal.Entry
	for _, e := range entries {
		if e.Reference == journal.LossReference(disputeID) {
			loss = e
		}
	}
	for _, e := range entries {
		txn, reinstated := strings.CutPrefix(e.Reference, journal.ReinstatementPrefix)
		if !reinstated || loss.Reference == "" {
			continue
		}
		if p, any := returnPlan(loss, e, returnPrefix+txn); any {
			if _, err := s.post(ctx, c, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// returnPlan returns a reinstatement to those who bore the loss, in the order in which they did. A connected account
// gets all of it: what the platform bore of its loss was moved to the account already.
func returnPlan(loss, reinstatement journal.Entry, reference string) (p plan, any bool) {
	dispute := orderDispute(loss.Facts.OrderID, loss.Facts.DisputeID)
	var rest int64
	for _, line := range reinstatement.Postings {
		if line.Destination == dispute.address && line.Asset == loss.Postings[0].Asset {
			rest += line.Amount
		}
	}
	var moves []move
	for _, line := range loss.Postings {
		if line.Destination != dispute.address || rest == 0 {
			continue
		}
		amount := min(rest, line.Amount)
		rest -= amount
		to := accountAt(line.Source)
		if loss.Facts.StripeAccount != "" {
			to = organizerConnect(loss.Facts.OrganizerID)
		}
		moves = append(moves, send(dispute, to, amount))
	}
	p = newPlan(ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_REINSTATEMENT, reference, reinstatement.EffectiveTime,
		loss.Postings[0].Asset, loss.Facts, moves...)
	p.notes = map[string]string{journal.MetaReverses: loss.Reference}
	return p, len(p.moves) > 0
}

func anyOfKind(rows []ledgerdb.Entry, kind ledgerv1.EntryKind) bool {
	return slices.ContainsFunc(rows, func(row ledgerdb.Entry) bool { return row.Kind == journal.KindName(kind) })
}
