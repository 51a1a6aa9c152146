package ledgersvc

import (
	"context"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// RecordTransfer implements LedgerService.
//
//	organizers:g:payable (then :receivable) -> organizers:g:connect N;  stripe:connect:acct -> platform clearing N
//
// The money has moved at Stripe already, so what exceeds the payable is an advance by the platform and not a refusal:
// the sums are the same in whatever order sales and transfers are reported.
func (s *Service) RecordTransfer(ctx context.Context, req *ledgerv1.RecordTransferRequest) (*ledgerv1.RecordTransferResponse, error) {
	amount, wrongAmount := positive("amount", req.GetAmount())
	made, wrongTime := instant("transfer_time", req.GetTransferTime())
	if err := problem.All(wrongAmount, wrongTime); err != nil {
		return nil, err
	}
	f := journal.Facts{OrganizerID: req.GetOrganizerId(), StripeAccount: req.GetStripeAccount()}
	e, err := s.postFor(ctx, newPlan(ledgerv1.EntryKind_ENTRY_KIND_TRANSFER, transferReference(req.GetTransferId()), made, amount.FormanceAsset(), f,
		move{from: placeOf("", f.OrganizerID, "").organizer(), to: organizerConnect(f.OrganizerID), amount: amount.MinorUnits},
		send(connectClearing(f.StripeAccount), platformClearing(req.GetTransferId()), amount.MinorUnits),
	))
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordTransferResponse{Entry: entryToProto(e)}, nil
}

func transferReference(transferID string) string { return "transfer:" + transferID }

// RecordTransferReversal implements LedgerService: the opposite of the transfer, for a part of it.
//
//	organizers:g:connect (then :receivable) -> organizers:g:payable N;  platform clearing -> stripe:connect:acct N
func (s *Service) RecordTransferReversal(ctx context.Context, req *ledgerv1.RecordTransferReversalRequest) (*ledgerv1.RecordTransferReversalResponse, error) {
	amount, wrongAmount := positive("amount", req.GetAmount())
	made, wrongTime := instant("reverse_time", req.GetReverseTime())
	if err := problem.All(wrongAmount, wrongTime); err != nil {
		return nil, err
	}
	transfer, found, err := s.posted(ctx, transferReference(req.GetTransferId()))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notPosted(ledgerv1.Reason_REASON_TRANSFER_NOT_POSTED, "the transfer is not in the ledger yet; try again later")
	}
	f := transfer.Facts
	p := newPlan(ledgerv1.EntryKind_ENTRY_KIND_TRANSFER_REVERSAL, "transfer-rev:"+req.GetTransferReversalId(), made, amount.FormanceAsset(), f,
		move{from: placeOf(f.StripeAccount, f.OrganizerID, "").organizer(), to: organizerPayable(f.OrganizerID), amount: amount.MinorUnits},
		send(platformClearing(req.GetTransferId()), connectClearing(f.StripeAccount), amount.MinorUnits),
	)
	p.notes = map[string]string{journal.MetaReverses: transfer.Reference}
	e, err := s.postFor(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordTransferReversalResponse{Entry: entryToProto(e)}, nil
}
