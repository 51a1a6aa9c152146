package ledgersvc

import (
	"context"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// RecordRecovery implements LedgerService: what is owed to the organiser pays back what was advanced.
//
//	organizers:g:payable -> organizers:g:receivable N
//
// The payable cannot be overdrawn: that would be the same advance again (INSUFFICIENT_FUNDS).
func (s *Service) RecordRecovery(ctx context.Context, req *ledgerv1.RecordRecoveryRequest) (*ledgerv1.RecordRecoveryResponse, error) {
	amount, err := positive("amount", req.GetAmount())
	if err != nil {
		return nil, err
	}
	decided, err := instant("recovery_time", req.GetRecoveryTime())
	if err != nil {
		return nil, err
	}
	organizer := req.GetOrganizerId()
	e, err := s.postFor(ctx, newPlan(ledgerv1.EntryKind_ENTRY_KIND_RECOVERY, "recovery:"+req.GetRecoveryId(), decided, amount.FormanceAsset(),
		journal.Facts{OrganizerID: organizer}, send(organizerPayable(organizer), organizerReceivable(organizer), amount.MinorUnits)))
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordRecoveryResponse{Entry: entryToProto(e)}, nil
}
