package webhooksvc

// balanceTransaction is what we read of Stripe's BalanceTransaction.
type balanceTransaction struct {
	ID         string      `json:"id"`
	Amount     int64       `json:"amount"`
	Created    seconds     `json:"created"`
	Currency   text        `json:"currency"`
	Fee        int64       `json:"fee"`
	FeeDetails []feeDetail `json:"fee_details"`
}

// feeDetail is a part of a fee.
type feeDetail struct {
	Amount int64 `json:"amount"`
	Type   text  `json:"type"`
}

// kept is the part of the fee that Stripe keeps; that of the platform is in it, too.
//
// Source: Stripe API reference, Balance transaction, fee_details.
func (t balanceTransaction) kept() int64 {
	kept := t.Fee
	for _, detail := range t.FeeDetails {
		if detail.Type == "application_fee" {
			kept -= detail.Amount
		}
	}
	return kept
}
