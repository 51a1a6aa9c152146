package checkoutsvc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/booking"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/payment"
	"github.com/dayof/dayof/checkoutsvc/receipt"
	"github.com/dayof/dayof/checkoutsvc/refund"
	"github.com/dayof/dayof/checkoutsvc/ticketpass"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// outsideTimeout ends one attempt of a job that calls one outside party once or twice.
const outsideTimeout = 40 * time.Second

// moneyAttempts is how often jobs that move or book money are tried before people are told: with the usual backoff, about two hours. They are
// tried on every five minutes: money that moved is booked however long the ledger is away.
const moneyAttempts = 32

// queueCancels is where orders wait whose holds have ended, and mails about an event that is moved or canceled. Thousands may come together,
// and none of them is in a hurry: money that comes in between is late money. cancelsAtOnce leaves Stripe and the processors to those who buy.
const (
	queueCancels  = "cancels"
	cancelsAtOnce = 4
)

// workers are the parts of the service that do jobs.
type workers struct {
	booking  *booking.Jobs
	refunds  *refund.Refunds
	payments *payment.Payments
	passes   *ticketpass.Jobs
	mailer   *receipt.Mailer
	delayed  delayedWork
}

// register names the policy of every kind of job. Each is safe to run twice.
func (w workers) register(r *jobs.Registry) {
	money := jobs.Policy{MaxAttempts: moneyAttempts, Endless: true, Delayed: w.delayed.report, Timeout: outsideTimeout}
	jobs.Register(r, money, w.booking.SettleReceipt)
	jobs.Register(r, money, w.booking.PostRefund)
	jobs.Register(r, money, w.booking.RecordFee)
	jobs.Register(r, money, w.booking.PostDisputeFunds)
	jobs.Register(r, money, w.booking.PostDisputeLoss)
	jobs.Register(r, money, w.refunds.SendRefund)
	jobs.Register(r, money, w.refunds.RefundFraud)
	jobs.Register(r, money, w.refunds.MatchRefunds)
	jobs.Register(r, jobs.Policy{MaxAttempts: moneyAttempts, Timeout: outsideTimeout, Queue: queueCancels}, w.payments.CancelIntents)
	jobs.Register(r, jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout}, w.passes.VoidPass)
	jobs.Register(r, jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout}, w.passes.SuspendPass)
	jobs.Register(r, jobs.Policy{MaxAttempts: moneyAttempts, Timeout: outsideTimeout}, w.passes.IssuePass)
	jobs.Register(r, jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout}, w.passes.NamePass)
	mail := jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout, Queue: "mail"}
	jobs.Register(r, mail, w.mailer.SendReceipt)
	jobs.Register(r, mail, w.mailer.MailRefund)
	jobs.Register(r, mail, w.mailer.MailGivenUp)
	jobs.Register(r, mail, w.mailer.MailTransfer)
	jobs.Register(r, mail, w.mailer.MailTicket)
	mail.Queue = queueCancels // as many as the event has orders: receipts do not wait for them
	jobs.Register(r, mail, w.mailer.MailSchedule)
}

// jobOf is the job that does an order's work. Arguments are ids, never state.
func jobOf(orderID string, w order.Work) river.JobArgs {
	switch w.Kind {
	case order.WorkRecordFee:
		return booking.RecordFeeArgs{OrderID: orderID, PaymentIntentRow: w.ID}
	case order.WorkSendReceipt:
		args := receipt.SendReceiptArgs{OrderID: orderID}
		if w.ID != orderID {
			args.MailID = w.ID
		}
		return args
	case order.WorkMailRefund:
		return receipt.MailRefundArgs{RefundID: w.ID}
	case order.WorkMailGivenUp:
		return receipt.MailGivenUpArgs{OrderID: orderID}
	case order.WorkSendRefund:
		return refund.SendRefundArgs{RefundID: w.ID}
	case order.WorkPostRefund:
		return booking.PostRefundArgs{RefundID: w.ID}
	case order.WorkSettleReceipt:
		return booking.SettleReceiptArgs{RefundID: w.ID}
	case order.WorkPostDisputeFunds:
		return booking.PostDisputeFundsArgs{OrderID: orderID, BalanceTransactionID: w.ID}
	case order.WorkPostDisputeLoss:
		return booking.PostDisputeLossArgs{OrderID: orderID, DisputeID: w.ID}
	case order.WorkCancelIntents:
		return payment.CancelIntentsArgs{OrderID: orderID}
	case order.WorkMatchRefunds:
		return refund.MatchRefundsArgs{OrderID: orderID, PaymentIntentRow: w.ID}
	case order.WorkRefundFraud:
		return refund.FraudArgs{FraudWarningID: w.ID}
	case order.WorkVoidPass:
		return ticketpass.VoidPassArgs{TicketID: w.ID}
	case order.WorkMailSchedule:
		return receipt.MailScheduleArgs{OrderID: orderID, ScheduleNumber: w.ID}
	case order.WorkSuspendPass:
		return ticketpass.SuspendPassArgs{TicketID: w.ID}
	case order.WorkIssuePass:
		return ticketpass.IssuePassArgs{TicketID: w.ID}
	case order.WorkNamePass:
		return ticketpass.NamePassArgs{TicketID: w.ID}
	case order.WorkMailTransfer:
		return receipt.MailTransferArgs{OrderID: orderID, TransferID: w.ID}
	case order.WorkMailTicket:
		return receipt.MailTicketArgs{OrderID: orderID, TicketID: w.ID}
	}
	panic("no job does the work " + string(w.Kind))
}

// enqueue inserts the jobs of orders' work in the transaction of the rows that it follows from.
func (s *Service) enqueue(ctx context.Context, tx pgx.Tx, tasks ...orderstore.Task) error {
	args := make([]river.JobArgs, len(tasks))
	for i, t := range tasks {
		args[i] = jobOf(t.OrderID, t.Work)
	}
	return s.Jobs.InsertTx(ctx, tx, args...)
}

// insert inserts the job of an order's work outside of a transaction.
func (s *Service) insert(ctx context.Context, orderID string, w order.Work) error {
	return s.Jobs.Insert(ctx, jobOf(orderID, w))
}
