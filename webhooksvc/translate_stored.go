package webhooksvc

// storedHandlers lists the types that are known and stored, but that no RPC takes: other events or our own
// reconciliation report the same. Types that are not in the matrix at all are stored in the same way.
func storedHandlers() []handler {
	const stored = "Stored only."
	return []handler{
		{"balance.available", "Money became available for payouts; a snapshot without an id.", stored, "event", nil},
	}
}
