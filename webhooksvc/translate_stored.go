package webhooksvc

// storedHandlers lists the types that are known and stored, but that no RPC takes: they tell what other events or our
// own reconciliation tell as well. Types that are not in the matrix at all are stored in the same way.
func storedHandlers() []handler {
	const stored = "Stored only."
	return []handler{
		{"account.application.authorized", "An organiser connected their account.", stored, "event", nil},
		{"account.application.deauthorized", "An organiser disconnected; the object is the application.", stored, "(account, event)", nil},
		{"account.external_account.created", "A bank account was added.", stored, "(bank account, event)", nil},
		{"account.external_account.deleted", "A bank account was removed.", stored, "(bank account, event)", nil},
		{"account.external_account.updated", "A bank account changed.", stored, "(bank account, event)", nil},
		{"account.updated", "Capabilities or requirements of an account changed.", stored, "(account, event)", nil},
		{"application_fee.created", "The platform kept its fee of a direct charge.", stored, "(fee, amount refunded)", nil},
		{"application_fee.refund.updated", "A refund of a platform fee changed.", stored, "(fee, amount refunded)", nil},
		{"application_fee.refunded", "A platform fee was given back.", stored, "(fee, amount refunded)", nil},
		{"balance.available", "Money became available for payouts; a snapshot without an id.", stored, "event", nil},
		{"payout.reconciliation_completed", "The list of transactions of a payout is complete.", stored + " Reconciliation fetches it.", "(payout, reconciled)", nil},
		{"radar.early_fraud_warning.created", "The card's issuer suspects fraud.", stored, "warning", nil},
		{"radar.early_fraud_warning.updated", "A fraud warning changed.", stored, "warning", nil},
		{"review.closed", "A manual review ended.", stored, "(review, closed)", nil},
		{"review.opened", "A payment waits for a manual review.", stored, "(review, opened)", nil},
	}
}
