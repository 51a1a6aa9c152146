package checkoutsvc

import (
	"context"

	"github.com/riverqueue/river"
)

// RemindOfDisputes runs the periodic look for disputes that want evidence.
func (s *Service) RemindOfDisputes(ctx context.Context) error { return s.remindOfDisputes(ctx) }

// SendRefund is the job that asks Stripe for a refund.
func SendRefund(refundID string) river.JobArgs { return sendRefundArgs{RefundID: refundID} }
