package checkoutsvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// The kinds of alerts about connected accounts; their subject is the account, of a changed bank account the item's.
const (
	alertAccountClosed       = "account_cannot_sell"
	alertAccountUnlinked     = "account_without_organizer"
	alertBankAccountChanged  = "bank_account_changed"
	metadataOrganizer        = "organizer_id"
	bankAccountChangedAction = "Ask the organiser, by a way you know from before, whether they changed where their money goes. " +
		"If not, stop payouts of the account at Stripe: stolen accounts are emptied like this."
)

var errNoAccount = problem.New(connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "there is no such connected account")

// accountSeen is what a look at Stripe showed of an account.
type accountSeen struct {
	organizerID                    string // of the metadata; empty when it names none
	chargesEnabled, payoutsEnabled bool
	disconnected                   bool
	disabledReason                 string
}

// RecordAccount implements AccountService. The look is numbered before it is made, and what it showed is written only if
// no later one was: Stripe shows the state of some instant after a look began, so the look that began last is never
// staler than the others, and whatever changes after it makes another event.
func (s *Service) RecordAccount(ctx context.Context, req *checkoutv1.RecordAccountRequest) (*checkoutv1.RecordAccountResponse, error) {
	id, change := req.GetStripeAccount(), req.GetBankAccountChange()
	if t := change.GetChangeTime(); t != nil && !t.IsValid() {
		return nil, problem.InvalidField("bank_account_change.change_time", "must be a time in the years 1 to 9999")
	}
	fingerprint := idem.Fingerprint(1, id, req.GetOrganizerId(), change != nil, change.GetBankAccountId(), change.GetChange(), change.GetChangeTime().AsTime())
	look, err := s.q.BeginAccountLook(ctx, s.Pool, id, s.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("begin look at account: %w", err)
	}
	seen, err := s.stripe.seeAccount(ctx, id)
	if err != nil {
		return nil, stripeProblem(fmt.Errorf("get account: %w", err))
	}
	var row checkoutdb.StripeAccount
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		now := s.Clock.Now()
		if _, _, err = idem.Claim(ctx, tx, now, fingerprint, id); err != nil {
			return err
		}
		if row, err = s.q.LockAccount(ctx, tx, id); err != nil {
			return fmt.Errorf("lock account: %w", err)
		}
		row = mergeAccount(row, seen, look, now)
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

// mergeAccount merges what a look showed, unless a later one is merged already.
func mergeAccount(row checkoutdb.StripeAccount, seen accountSeen, look int64, now time.Time) checkoutdb.StripeAccount {
	if look <= row.FetchMerged {
		return row
	}
	row.FetchMerged, row.FetchTime = look, &now
	row.Disconnected = seen.disconnected
	row.ChargesEnabled, row.PayoutsEnabled, row.DisabledReason = seen.chargesEnabled, seen.payoutsEnabled, seen.disabledReason
	if seen.organizerID != "" && !row.LinkedByHand {
		row.OrganizerID = seen.organizerID
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
			err = jobs.RaiseAlert(ctx, tx, kind, row.ID, facts, s.Config.ConsoleURL+"/accounts/"+row.ID)
		} else {
			err = jobs.ResolveAlert(ctx, tx, kind, row.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// raiseBankAccountChange tells people that payouts may go elsewhere now. What the event says of the bank account itself
// is personal data and is not kept. Told twice, it is one item and one alert.
func (s *Service) raiseBankAccountChange(
	ctx context.Context, tx pgx.Tx, row checkoutdb.StripeAccount, change *checkoutv1.BankAccountChange, now time.Time,
) error {
	at := change.GetChangeTime().AsTime()
	subject := fmt.Sprintf("%s/%s/%s/%d", row.ID, change.GetBankAccountId(), change.GetChange(), at.Unix())
	facts := map[string]string{
		"stripe_account": row.ID, "organizer_id": row.OrganizerID, "bank_account_id": change.GetBankAccountId(),
		"change": change.GetChange(), "change_time": at.Format(time.RFC3339),
	}
	isNew, err := s.raiseItem(ctx, tx, now, "", reviewCase{Kind: alertBankAccountChanged, Subject: subject, Facts: facts, Action: bankAccountChangedAction})
	if err != nil || !isNew {
		return err
	}
	told := map[string]any{}
	for name, value := range facts {
		told[name] = value
	}
	return jobs.RaiseAlert(ctx, tx, alertBankAccountChanged, subject, told, s.Config.ConsoleURL+"/accounts/"+row.ID)
}

// raiseItem raises a review case outside of an order's writes. It reports whether the item is new.
func (s *Service) raiseItem(ctx context.Context, tx pgx.Tx, now time.Time, orderID string, item reviewCase) (bool, error) {
	facts, err := json.Marshal(item.Facts)
	if err != nil || item.Facts == nil {
		facts = []byte("{}")
	}
	raised, err := s.q.RaiseReviewCase(ctx, tx, checkoutdb.RaiseReviewCaseParams{
		ID: newID(), Kind: item.Kind, Subject: item.Subject, OrderID: orderID, PaymentIntent: item.Intent,
		Facts: facts, SuggestedAction: item.Action, CreateTime: now,
	})
	if err != nil {
		return false, fmt.Errorf("raise review case: %w", err)
	}
	return raised > 0, nil
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
	after, err := page.Parse(req.GetPageToken(), "accounts", cursor{})
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	rows, err := s.q.ListAccounts(ctx, s.Pool, after.ID, req.GetOrganizerId(), size+1)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	res := &checkoutv1.ListAccountsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		res.NextPageToken = page.Token("accounts", cursor{Time: zeroTime, ID: rows[size-1].ID})
	}
	for _, row := range rows {
		res.Accounts = append(res.Accounts, accountToProto(row))
	}
	return res, nil
}

func accountToProto(row checkoutdb.StripeAccount) *checkoutv1.Account {
	return &checkoutv1.Account{
		StripeAccount: row.ID, OrganizerId: row.OrganizerID, ChargesEnabled: row.ChargesEnabled, PayoutsEnabled: row.PayoutsEnabled,
		Disconnected: row.Disconnected, DisabledReason: row.DisabledReason, FetchTime: toTimestamp(row.FetchTime),
	}
}

// organizerIDPattern is what an organiser's id may be; metadata can hold anything.
var organizerIDPattern = regexp.MustCompile(`^[A-Za-z0-9_]{16,64}$`)

// accountInvalid is Stripe's code for an account that left us. A key that lacks a permission is refused with another one.
const accountInvalid = "account_invalid"

// seeAccount looks at an account. One that left us, or that is gone, is disconnected: that is an answer.
func (a stripeAPI) seeAccount(ctx context.Context, id string) (accountSeen, error) {
	params := &stripe.AccountParams{}
	params.Context = ctx
	var account *stripe.Account
	err := a.call(ctx, func() (err error) {
		account, err = a.client.Accounts.GetByID(id, params)
		return err
	})
	if stripeNotFound(err) || stripeCode(err) == accountInvalid {
		return accountSeen{disconnected: true}, nil
	}
	if err != nil {
		return accountSeen{}, err
	}
	seen := accountSeen{chargesEnabled: account.ChargesEnabled, payoutsEnabled: account.PayoutsEnabled}
	if organizer := account.Metadata[metadataOrganizer]; organizerIDPattern.MatchString(organizer) {
		seen.organizerID = organizer
	}
	if account.Requirements != nil {
		seen.disabledReason = string(account.Requirements.DisabledReason)
	}
	return seen, nil
}
