package checkoutsvc

// disputeRank orders the statuses of a dispute: the highest seen wins, whatever arrives first.
// Source: specs of Stripe events, "facts".
var disputeRank = map[string]int{
	disputeWarningNeedsResponse: 0, disputeWarningUnderReview: 1, disputeNeedsResponse: 2, disputeUnderReview: 3,
	disputeLost: 4, disputeWon: 4, disputeWarningClosed: 4, disputePrevented: 4,
}

// The statuses of a dispute.
const (
	disputeWarningNeedsResponse = "warning_needs_response"
	disputeWarningUnderReview   = "warning_under_review"
	disputeNeedsResponse        = "needs_response"
	disputeUnderReview          = "under_review"
	disputeLost                 = "lost"
	disputeWon                  = "won"
	disputeWarningClosed        = "warning_closed"
	disputePrevented            = "prevented"
)

// disputeOpen says whether the paying money is disputed and undecided; an inquiry is no dispute yet.
func (o *order) disputeOpen() bool {
	return o.anyDispute(disputeNeedsResponse, disputeUnderReview)
}

func (o *order) disputeLost() bool { return o.anyDispute(disputeLost) }

func (o *order) anyDispute(statuses ...string) bool {
	for _, d := range o.Disputes {
		for _, s := range statuses {
			if d.Status == s && o.PayingIntent != nil && d.PaymentIntent == *o.PayingIntent {
				return true
			}
		}
	}
	return false
}
