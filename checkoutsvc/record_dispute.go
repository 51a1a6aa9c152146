package checkoutsvc

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// RecordDispute implements PaymentService.
func (s *Service) RecordDispute(ctx context.Context, req *checkoutv1.RecordDisputeRequest) (*checkoutv1.RecordDisputeResponse, error) {
	parts := []any{
		req.GetStripeAccount(), req.GetDisputeId(), req.GetPaymentIntentId(), req.GetChargeId(), req.GetStatus(),
		req.GetAmount().GetCurrency(), req.GetAmount().GetMinorUnits(), req.GetDisputeReason(), req.GetObservedTime().AsTime(),
	}
	for _, f := range req.GetFunds() {
		parts = append(parts, f.GetBalanceTransactionId(), f.GetMinorUnits(), f.GetFeeMinorUnits())
	}
	fingerprint := idem.Fingerprint(1, parts...)
	if req.GetPaymentIntentId() == "" {
		return nil, errNoOrder // the link to an intent may be known a moment later
	}
	var o *order
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		o, err = lockOrderForUpdate(ctx, tx, orderKey{StripeAccount: req.GetStripeAccount(), StripeID: req.GetPaymentIntentId()})
		if err != nil {
			return err
		}
		w := s.newWrites(o)
		if _, err := idem.QueueClaim(ctx, w.pipe.Batch(), w.now, fingerprint, o.ID); err != nil {
			return err
		}
		w.applyDispute(ctx, req)
		w.setPayment(ctx)
		w.settleTickets(ctx)
		return w.flush(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordDisputeResponse{OrderId: o.ID, PaymentState: paymentToProto[o.Payment]}, nil
}

// applyDispute merges an observation: the status of the highest rank wins, money is a set of balance transactions.
func (w *writes) applyDispute(ctx context.Context, req *checkoutv1.RecordDisputeRequest) {
	o, status := w.order, disputeStatusFromProto[req.GetStatus()]
	i := slices.IndexFunc(o.Disputes, func(d checkoutdb.Dispute) bool { return d.ID == req.GetDisputeId() })
	before := ""
	if i < 0 {
		o.Disputes = append(o.Disputes, checkoutdb.Dispute{
			ID: req.GetDisputeId(), OrderID: o.ID, PaymentIntent: req.GetPaymentIntentId(), Status: status,
			AmountMinorUnits: req.GetAmount().GetMinorUnits(), Currency: req.GetAmount().GetCurrency(),
			DisputeReason: req.GetDisputeReason(), CreateTime: w.now,
		})
		i = len(o.Disputes) - 1
	} else {
		before = o.Disputes[i].Status
	}
	d := &o.Disputes[i]
	if disputeRank[status] > disputeRank[d.Status] {
		d.Status = status
	}
	if t := req.GetEvidenceDueTime(); t != nil && d.EvidenceDueTime == nil {
		due := t.AsTime()
		d.EvidenceDueTime = &due
	}
	if disputeRank[d.Status] == disputeRank[disputeLost] && d.CloseTime == nil {
		closed := req.GetObservedTime().AsTime()
		d.CloseTime = &closed
	}
	must(w.q.UpsertDispute(ctx, &w.pipe, checkoutdb.UpsertDisputeParams{
		ID: d.ID, OrderID: d.OrderID, PaymentIntent: d.PaymentIntent, Status: d.Status, AmountMinorUnits: d.AmountMinorUnits,
		Currency: d.Currency, DisputeReason: d.DisputeReason, EvidenceDueTime: d.EvidenceDueTime, CloseTime: d.CloseTime, CreateTime: d.CreateTime,
	}))
	w.addDisputeFunds(ctx, d, req.GetFunds())
	if d.Status == before {
		return
	}
	w.note(ctx, "dispute_"+d.Status, d.ID)
	if d.Status != disputeNeedsResponse && d.Status != disputeWarningNeedsResponse {
		must(jobs.ResolveAlert(ctx, &w.pipe, alertEvidenceDue, d.ID))
	}
	// Raised for whatever is seen first, so that the same facts in another order raise the same.
	w.raise(ctx, reviewCase{
		Kind: "dispute", Subject: d.ID, Intent: d.PaymentIntent,
		Facts:  map[string]string{"dispute_id": d.ID, "dispute_reason": d.DisputeReason, "status": d.Status},
		Action: "While the dispute is open, send evidence at Stripe before it is due, or accept it; the tickets are suspended meanwhile.",
	})
	if d.Status == disputeLost {
		w.enqueue(postDisputeLossArgs{OrderID: o.ID, DisputeID: d.ID})
	}
}

// addDisputeFunds keeps balance transactions that are new and has them posted.
func (w *writes) addDisputeFunds(ctx context.Context, d *checkoutdb.Dispute, funds []*checkoutv1.DisputeFunds) {
	for _, f := range funds {
		if slices.ContainsFunc(w.order.Funds, func(k checkoutdb.DisputeFund) bool { return k.BalanceTransactionID == f.GetBalanceTransactionId() }) {
			continue
		}
		row := checkoutdb.DisputeFund{
			BalanceTransactionID: f.GetBalanceTransactionId(), DisputeID: d.ID, OrderID: d.OrderID,
			MinorUnits: f.GetMinorUnits(), FeeMinorUnits: f.GetFeeMinorUnits(), FundsTime: f.GetTime().AsTime(),
			Currency: f.GetCurrency(),
		}
		w.order.Funds = append(w.order.Funds, row)
		must(w.q.InsertDisputeFunds(ctx, &w.pipe, checkoutdb.InsertDisputeFundsParams(row)))
		w.enqueue(postDisputeFundsArgs{OrderID: d.OrderID, BalanceTransactionID: row.BalanceTransactionID})
	}
}
