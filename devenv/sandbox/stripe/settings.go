package stripe

// Settings shape what the sandbox does; the control API reads and changes them while it runs.
type Settings struct {
	// FeeBasisPoints and FeeFixedMinorUnits make Stripe's fee: amount * bp / 10000, rounded half up, plus the fixed part.
	FeeBasisPoints     int64 `json:"fee_basis_points"`
	FeeFixedMinorUnits int64 `json:"fee_fixed_minor_units"`
	// AmountMaxMinorUnits is the largest amount of one payment: eight digits, and more where Stripe has agreed to it.
	AmountMaxMinorUnits int64 `json:"amount_max_minor_units"`
	// FailedPaymentFeeMinorUnits is what a debit that fails later costs. With it, a failed debit leaves two balance transactions: what it
	// was to bring, and its return.
	FailedPaymentFeeMinorUnits int64 `json:"failed_payment_fee_minor_units"`
	// DisputeFeeMinorUnits is taken with the disputed amount.
	DisputeFeeMinorUnits int64 `json:"dispute_fee_minor_units"`
	// SettlementCurrency is what charges in other currencies are converted into, in lower case; empty settles each in its own.
	// SettlementRatePPM is how many minor units of it come for a million; SettlementReturnRatePPM is the same for what leaves
	// or comes back later, refunds and disputes: the rate of another day.
	SettlementCurrency      string `json:"settlement_currency"`
	SettlementRatePPM       int64  `json:"settlement_rate_ppm"`
	SettlementReturnRatePPM int64  `json:"settlement_return_rate_ppm"`
	// AsyncFees leaves a charge's balance_transaction null at first; it comes with charge.updated after AsyncFeesDelayMS,
	// as with capture_method automatic_async.
	AsyncFees        bool `json:"async_fees"`
	AsyncFeesDelayMS int  `json:"async_fees_delay_ms"`
	// AvailableDelaySeconds passes until pending money is available for payouts and transfers.
	AvailableDelaySeconds int64 `json:"available_delay_seconds"`
	// ListLagMS passes until a new object is in lists; it can be fetched at once.
	ListLagMS int `json:"list_lag_ms"`
	// LockTimeoutMS is how long a call waits for another one that changes the same payment, before it is refused with lock_timeout.
	LockTimeoutMS int `json:"lock_timeout_ms"`
	// CallsPerSecond and CallsPerEndpoint are how many calls an account may make in a second, of all kinds and of one; 0 is no
	// limit. Stripe's are 100 (25 in its test mode) and 25.
	CallsPerSecond   int `json:"calls_per_second"`
	CallsPerEndpoint int `json:"calls_per_endpoint"`
	// RefundsNeedBalance refuses refunds of more than is available with balance_insufficient, as accounts do whose bank Stripe
	// may not debit.
	RefundsNeedBalance bool `json:"refunds_need_balance"`
	// LegacyRefundEvents sends charge.refunded and charge.refund.updated only, as accounts do that are older than refund.created.
	LegacyRefundEvents bool `json:"legacy_refund_events"`
	// Withhold keeps every webhook back until it is released.
	Withhold bool `json:"withhold"`
	// DropRate, DuplicateRate are 0..1: events never sent, events sent twice. ShuffleMS delays each delivery by a random
	// time up to so many milliseconds, which mixes their order.
	DropRate      float64 `json:"drop_rate"`
	DuplicateRate float64 `json:"duplicate_rate"`
	ShuffleMS     int     `json:"shuffle_ms"`
}

// DefaultSettings are 1.5 % + 25 minor units, a dispute fee of 1500, two days until money is available, lists without lag, and deliveries
// without interference.
func DefaultSettings() Settings {
	return Settings{
		FeeBasisPoints: 150, FeeFixedMinorUnits: 25, DisputeFeeMinorUnits: 1500, AmountMaxMinorUnits: 99_999_999,
		AsyncFeesDelayMS: 20, AvailableDelaySeconds: 2 * 24 * 60 * 60, SettlementRatePPM: 1_100_000, SettlementReturnRatePPM: 1_120_000,
		LockTimeoutMS: 1000,
	}
}

// fee is Stripe's share of a captured amount.
func (st Settings) fee(amount int64) int64 {
	return (amount*st.FeeBasisPoints+5000)/10000 + st.FeeFixedMinorUnits
}

// amountMax is the largest amount of one payment now.
func (s *Server) amountMax() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings.AmountMaxMinorUnits
}
