// Package account implements AccountService: the connected accounts of organisers at Stripe, and who may sell.
package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/reviewcase"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// The kinds of alerts about connected accounts; their subject is the account, of a changed bank account the item's.
const (
	alertAccountClosed       = "account_cannot_sell"
	alertAccountUnlinked     = "account_without_organizer"
	alertBankAccountChanged  = "bank_account_changed"
	bankAccountChangedAction = "Ask the organiser, by a way you know from before, whether they changed where their money goes. " +
		"If not, stop payouts of the account at Stripe: stolen accounts are emptied like this."
)

var errNoAccount = problem.New(connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "there is no such connected account")

// Service implements AccountService. All exported fields are required.
type Service struct {
	Pool   *pgxpool.Pool
	Clock  clock.Clock
	Stripe stripecalls.Client
	NewID  func() string
	// Link leads to an account in the console.
	Link func(stripeAccount string) string

	q checkoutdb.Queries
}

// RecordAccount implements AccountService. The fetch is numbered before it is made, and what it returned is written only
// if no later one was: Stripe returns the state of some instant after a fetch began, so the fetch that began last is never
// staler than the others, and whatever changes after it makes another event.
func (s *Service) RecordAccount(ctx context.Context, req *checkoutv1.RecordAccountRequest) (*checkoutv1.RecordAccountResponse, error) {
	id, change := req.GetStripeAccount(), req.GetBankAccountChange()
	if t := change.GetChangeTime(); t != nil && !t.IsValid() {
		return nil, problem.InvalidField("bank_account_change.change_time", "must be a time in the years 1 to 9999")
	}
	fingerprint := idem.Fingerprint(1, id, req.GetOrganizerId(), change != nil, change.GetBankAccountId(), change.GetChange(), change.GetChangeTime().AsTime())
	number, err := s.q.BeginAccountFetch(ctx, s.Pool, id, s.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("begin fetch of account: %w", err)
	}
	fetched, err := s.Stripe.GetAccount(ctx, id)
	if err != nil {
		return nil, stripecalls.Problem(fmt.Errorf("get account: %w", err))
	}
	var row checkoutdb.StripeAccount
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		now := s.Clock.Now()
		if _, _, err = idem.Claim(ctx, tx, now, fingerprint, id); err != nil {
			return err
		}
		if row, err = s.q.LockAccount(ctx, tx, id); err != nil {
			return fmt.Errorf("lock account: %w", err)
		}
		row = mergeAccount(row, fetched, number, now)
		if req.GetOrganizerId() != "" {
			row.OrganizerID, row.LinkedByHand = req.GetOrganizerId(), true
		}
		if err := s.setAccount(ctx, tx, row); err != nil {
			return err
		}
		if change == nil {
			return nil
		}
		return s.raiseBankAccountChange(ctx, tx, row, change, now)
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordAccountResponse{Account: accountToProto(row)}, nil
}

// mergeAccount merges what a fetch returned, unless a later one is merged already.
func mergeAccount(row checkoutdb.StripeAccount, fetched stripecalls.Account, number int64, now time.Time) checkoutdb.StripeAccount {
	if number <= row.FetchMerged {
		return row
	}
	row.FetchMerged, row.FetchTime = number, &now
	row.Disconnected = fetched.Disconnected
	row.ChargesEnabled, row.PayoutsEnabled, row.DisabledReason = fetched.ChargesEnabled, fetched.PayoutsEnabled, fetched.DisabledReason
	if fetched.OrganizerID != "" && !row.LinkedByHand {
		row.OrganizerID = fetched.OrganizerID
	}
	return row
}

// setAccount writes an account, and opens or closes the alerts that follow from it.
func (s *Service) setAccount(ctx context.Context, tx pgx.Tx, row checkoutdb.StripeAccount) error {
	err := s.q.SetAccount(ctx, tx, checkoutdb.SetAccountParams{
		ID: row.ID, OrganizerID: row.OrganizerID, LinkedByHand: row.LinkedByHand, ChargesEnabled: row.ChargesEnabled,
		PayoutsEnabled: row.PayoutsEnabled, Disconnected: row.Disconnected, DisabledReason: row.DisabledReason,
		FetchMerged: row.FetchMerged, FetchTime: row.FetchTime,
	})
	if err != nil {
		return fmt.Errorf("set account: %w", err)
	}
	facts := map[string]any{
		"stripe_account": row.ID, "organizer_id": row.OrganizerID, "disconnected": row.Disconnected, "disabled_reason": row.DisabledReason,
	}
	for kind, open := range map[string]bool{
		alertAccountClosed: row.Disconnected || !row.ChargesEnabled, alertAccountUnlinked: row.OrganizerID == "",
	} {
		if open {
			err = alert.Raise(ctx, tx, kind, row.ID, facts, s.Link(row.ID))
		} else {
			err = alert.Resolve(ctx, tx, kind, row.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// raiseBankAccountChange tells people that payouts may go elsewhere now. What the event says of the bank account itself
// is personal data and is not kept. Reported twice, it is one case and one alert.
func (s *Service) raiseBankAccountChange(
	ctx context.Context, tx pgx.Tx, row checkoutdb.StripeAccount, change *checkoutv1.BankAccountChange, now time.Time,
) error {
	at := change.GetChangeTime().AsTime()
	subject := fmt.Sprintf("%s/%s/%s/%d", row.ID, change.GetBankAccountId(), change.GetChange(), at.Unix())
	facts := map[string]string{
		"stripe_account": row.ID, "organizer_id": row.OrganizerID, "bank_account_id": change.GetBankAccountId(),
		"change": change.GetChange(), "change_time": at.Format(time.RFC3339),
	}
	isNew, err := reviewcase.Raise(ctx, tx, s.NewID(), now, "", order.ReviewCase{Kind: alertBankAccountChanged, Subject: subject, Facts: facts, Action: bankAccountChangedAction})
	if err != nil || !isNew {
		return err
	}
	alerted := map[string]any{}
	for name, value := range facts {
		alerted[name] = value
	}
	return alert.Raise(ctx, tx, alertBankAccountChanged, subject, alerted, s.Link(row.ID))
}

// GetAccount implements AccountService.
func (s *Service) GetAccount(ctx context.Context, req *checkoutv1.GetAccountRequest) (*checkoutv1.GetAccountResponse, error) {
	row, err := s.q.GetAccount(ctx, s.Pool, req.GetStripeAccount())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoAccount
	}
	if err != nil {
		return nil, fmt.Errorf("get account: %w", err)
	}
	return &checkoutv1.GetAccountResponse{Account: accountToProto(row)}, nil
}

// ListAccounts implements AccountService.
func (s *Service) ListAccounts(ctx context.Context, req *checkoutv1.ListAccountsRequest) (*checkoutv1.ListAccountsResponse, error) {
	list := page.List("accounts", &checkoutv1.ListAccountsRequest{OrganizerId: req.GetOrganizerId()})
	after, err := page.Parse(req.GetPageToken(), list, page.Cursor{})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	rows, err := s.q.ListAccounts(ctx, s.Pool, after.ID, req.GetOrganizerId(), size+1)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	res := &checkoutv1.ListAccountsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		res.NextPageToken = page.Token(list, page.Cursor{ID: rows[size-1].ID})
	}
	for _, row := range rows {
		res.Accounts = append(res.Accounts, accountToProto(row))
	}
	return res, nil
}

func accountToProto(row checkoutdb.StripeAccount) *checkoutv1.Account {
	return &checkoutv1.Account{
		StripeAccount: row.ID, OrganizerId: row.OrganizerID, ChargesEnabled: row.ChargesEnabled, PayoutsEnabled: row.PayoutsEnabled,
		Disconnected: row.Disconnected, DisabledReason: row.DisabledReason, FetchTime: wire.TimeToProto(row.FetchTime),
	}
}
