package checkoutsvc

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/refund"
)

// MoneyAttempts is how often work that money depends on fails before people are told.
const MoneyAttempts = moneyAttempts

// RemindOfDisputes runs the periodic search for disputes that want evidence.
func (s *Service) RemindOfDisputes(ctx context.Context) error { return s.reminder.Remind(ctx) }

// SendRefund is the job that asks Stripe for a refund.
func SendRefund(refundID string) river.JobArgs { return refund.SendRefundArgs{RefundID: refundID} }

// RunEventOperations carries on the operations of events that are due.
func (s *Service) RunEventOperations(ctx context.Context) error { return s.runner.Run(ctx) }
