package ledgersvc

import (
	"context"
	"errors"
	"fmt"
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

// RecordPayout implements LedgerService. Observations come in any order, so each is merged into the payout's row first;
// what is posted follows from the row alone:
//
//	platform    paid:             bank:platform:b -> clearing N                             payout:<po>
//	            back after paid:  the opposite                                          payout-fail:<po>
//	connected   observed at all:  organizers:g:connect (then :receivable) -> payouts:po payout-created:<po>
//	            paid:             organizers:g:payouts:po -> stripe:connect:acct N      payout:<po>
//	            back:             that undone if it was paid; payouts:po -> connect N   payout-fail:<po>
//
// A payout of a negative amount debits the bank: Stripe fetches what the balance lacks. It is posted once it is paid, the other way
// round, since nothing is on its way to somebody before that:
//
//	platform    paid:  clearing -> bank:platform:b N                                        payout:<po>
//	connected   paid:  stripe:connect:acct -> payouts:po -> organizers:g:connect N          payout:<po>
//	either      back after paid:  the opposite                                              payout-fail:<po>
//
// A payout that is observed to come back before it is observed as paid never was, as far as the books go: payout:<po> is then
// not posted, also when paid is reported later, and the balances end the same. All entries have the payout's own time, the
// only one that every observation has.
//
// Every call drives all entries that the row asks for, so a crash between two of them is healed by any later call, and
// two calls at once post the same references.
func (s *Service) RecordPayout(ctx context.Context, req *ledgerv1.RecordPayoutRequest) (*ledgerv1.RecordPayoutResponse, error) {
	amount, wrongAmount := notZero("amount", req.GetAmount())
	made, wrongTime := instant("payout_time", req.GetPayoutTime())
	if err := problem.All(wrongAmount, wrongTime, organizerNeeded(req.GetStripeAccount(), req.GetOrganizerId()),
		addressable("bank_account_id", req.GetBankAccountId())); err != nil {
		return nil, err
	}
	c, err := newCall(ctx, payoutFingerprint(req, amount, made))
	if err != nil {
		return nil, err
	}
	known, err := s.q.ObservePayout(ctx, s.pool, ledgerdb.ObservePayoutParams{
		PayoutID: req.GetPayoutId(), StripeAccount: req.GetStripeAccount(), OrganizerID: req.GetOrganizerId(),
		Status: int16(req.GetStatus()), Currency: amount.Currency, Amount: amount.MinorUnits,
		BankAccountID: req.GetBankAccountId(), PayoutTime: made,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(connect.CodeAlreadyExists, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_CONFLICT),
			"the payout was reported with another account, organiser or amount before; an operator must look at it")
	}
	if err != nil {
		return nil, fmt.Errorf("observe payout: %w", err)
	}
	var entries []journal.Entry
	for _, p := range payoutPlans(known) {
		e, err := s.post(ctx, c, p)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return &ledgerv1.RecordPayoutResponse{Status: ledgerv1.PayoutStatus(known.Status), Entries: entriesToProto(entries)}, nil
}

// payoutPlans returns the entries of a payout so far, in the order in which they are posted.
func payoutPlans(known ledgerdb.Payout) []plan {
	if known.Amount < 0 {
		return debitPlans(known)
	}
	var (
		f        = journal.Facts{OrganizerID: known.OrganizerID, StripeAccount: known.StripeAccount}
		asset    = money.Money{Currency: known.Currency}.FormanceAsset()
		clearing = platformClearing(known.PayoutID)
		out      = platformBank(known.BankAccountID) // what the payout leaves from
		direct   = known.StripeAccount != ""
		plans    []plan
	)
	entry := func(kind ledgerv1.EntryKind, prefix string, moves ...move) {
		plans = append(plans, newPlan(kind, prefix+known.PayoutID, known.PayoutTime, asset, f, moves...))
	}
	if direct {
		clearing, out = connectClearing(known.StripeAccount), organizerPayout(known.OrganizerID, known.PayoutID)
		entry(ledgerv1.EntryKind_ENTRY_KIND_PAYOUT_CREATED, "payout-created:",
			move{from: placeOf(known.StripeAccount, known.OrganizerID, "").organizer(), to: out, amount: known.Amount})
	}
	if known.Paid {
		entry(ledgerv1.EntryKind_ENTRY_KIND_PAYOUT, "payout:", send(out, clearing, known.Amount))
	}
	if !cameBack(known) {
		return plans
	}
	var moves []move
	if known.Paid {
		moves = append(moves, send(clearing, out, known.Amount))
	}
	if direct {
		moves = append(moves, send(out, organizerConnect(known.OrganizerID), known.Amount))
	}
	if len(moves) > 0 {
		entry(ledgerv1.EntryKind_ENTRY_KIND_PAYOUT_FAILURE, "payout-fail:", moves...)
	}
	return plans
}

// debitPlans returns the entries of a payout that debits the bank.
func debitPlans(known ledgerdb.Payout) []plan {
	if !known.Paid {
		return nil
	}
	var (
		f      = journal.Facts{OrganizerID: known.OrganizerID, StripeAccount: known.StripeAccount}
		asset  = money.Money{Currency: known.Currency}.FormanceAsset()
		amount = -known.Amount
		bank   = platformBank(known.BankAccountID)
		paid   = []move{send(platformClearing(known.PayoutID), bank, amount)}
		back   = []move{send(bank, platformClearing(known.PayoutID), amount)}
	)
	if known.StripeAccount != "" {
		at, transit := placeOf(known.StripeAccount, known.OrganizerID, ""), organizerPayout(known.OrganizerID, known.PayoutID)
		paid = []move{send(at.clearing, transit, amount), send(transit, at.owner, amount)}
		back = []move{{from: at.organizer(), to: transit, amount: amount}, send(transit, at.clearing, amount)}
	}
	plans := []plan{newPlan(ledgerv1.EntryKind_ENTRY_KIND_PAYOUT, "payout:"+known.PayoutID, known.PayoutTime, asset, f, paid...)}
	if cameBack(known) {
		plans = append(plans, newPlan(ledgerv1.EntryKind_ENTRY_KIND_PAYOUT_FAILURE, "payout-fail:"+known.PayoutID, known.PayoutTime, asset, f, back...))
	}
	return plans
}

func cameBack(known ledgerdb.Payout) bool {
	status := ledgerv1.PayoutStatus(known.Status)
	return status == ledgerv1.PayoutStatus_PAYOUT_STATUS_FAILED || status == ledgerv1.PayoutStatus_PAYOUT_STATUS_CANCELED
}

// payoutFingerprint says whether two requests are the same.
func payoutFingerprint(req *ledgerv1.RecordPayoutRequest, amount money.Money, made time.Time) []byte {
	return idem.Fingerprint(fingerprintVersion, req.GetPayoutId(), req.GetStripeAccount(), req.GetOrganizerId(),
		req.GetStatus(), amount.Currency, amount.MinorUnits, req.GetBankAccountId(), made)
}
