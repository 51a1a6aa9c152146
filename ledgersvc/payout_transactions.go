package ledgersvc

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// RecordPayoutTransactions implements LedgerService. Of two lists of one payout the later one counts.
func (s *Service) RecordPayoutTransactions(
	ctx context.Context, req *ledgerv1.RecordPayoutTransactionsRequest,
) (*ledgerv1.RecordPayoutTransactionsResponse, error) {
	amount, err := notZero("amount", req.GetAmount())
	if err != nil {
		return nil, err
	}
	complete, err := instant("complete_time", req.GetCompleteTime())
	if err != nil {
		return nil, err
	}
	net := req.GetNetMinorUnits()
	if amount.MinorUnits > 0 && net < math.MinInt64+amount.MinorUnits || amount.MinorUnits < 0 && net > math.MaxInt64+amount.MinorUnits {
		return nil, problem.InvalidField("net_minor_units", "is out of range")
	}
	fingerprint := payoutTransactionsFingerprint(req, amount, complete)
	return idem.Do(ctx, s.pool, s.clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*ledgerv1.RecordPayoutTransactionsResponse, error) {
		err := s.q.SetPayoutTransactions(ctx, tx, ledgerdb.SetPayoutTransactionsParams{
			PayoutID: req.GetPayoutId(), StripeAccount: req.GetStripeAccount(), Currency: amount.Currency, Amount: amount.MinorUnits,
			TransactionCount: req.GetTransactionCount(), Net: net, CompleteTime: complete,
		})
		if err != nil {
			return nil, fmt.Errorf("set payout transactions: %w", err)
		}
		return &ledgerv1.RecordPayoutTransactionsResponse{DifferenceMinorUnits: net - amount.MinorUnits}, nil
	})
}

// payoutTransactionsFingerprint says whether two requests are the same.
func payoutTransactionsFingerprint(req *ledgerv1.RecordPayoutTransactionsRequest, amount money.Money, complete time.Time) []byte {
	return idem.Fingerprint(fingerprintVersion, req.GetPayoutId(), req.GetStripeAccount(), amount.Currency, amount.MinorUnits,
		req.GetTransactionCount(), req.GetNetMinorUnits(), complete)
}
