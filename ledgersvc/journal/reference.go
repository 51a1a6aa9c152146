package journal

// The references of a dispute's funds are these and the balance transaction.
const (
	WithdrawalPrefix    = "dispute-w:"
	ReinstatementPrefix = "dispute-r:"
)

// FreeSalePrefix and the order are the reference of a sale that moved nothing, which the ledger does not have.
const FreeSalePrefix = "free:"

// CaptureReference is the reference of captured money: it holds a sale or a bare receipt, never both.
func CaptureReference(paymentIntentID string) string { return "capture:" + paymentIntentID }

// RefundReference is the reference of a refund that left.
func RefundReference(stripeRefundID string) string { return "refund:" + stripeRefundID }

// LossReference is the reference of a lost dispute.
func LossReference(disputeID string) string { return "dispute-lost:" + disputeID }
