package stripe

// conversion changes a movement into the currency that the balance is kept in. The zero value changes nothing.
type conversion struct {
	currency string
	ppm      int64 // minor units for a million
}

// settlement is how a charge in a currency is settled now.
func (c *change) settlement(currency string) conversion {
	st := c.s.settings
	if st.SettlementCurrency == "" || st.SettlementCurrency == currency {
		return conversion{}
	}
	return conversion{currency: st.SettlementCurrency, ppm: st.SettlementRatePPM}
}

// settlementOf is how what happens to a charge later is settled: where the charge was, at the rate of another day.
func (c *change) settlementOf(chargeID string) conversion {
	ch, ok := find[*Charge](c.store, c.account, chargeID)
	if !ok {
		return conversion{}
	}
	t, ok := find[*BalanceTransaction](c.store, c.account, ch.BalanceTransaction.id)
	if !ok || t.Currency == ch.Currency {
		return conversion{}
	}
	return conversion{currency: t.Currency, ppm: c.s.settings.SettlementReturnRatePPM}
}

// rate is the exchange_rate of a balance transaction; nil where nothing was changed.
func (x conversion) rate() *float64 {
	if x.currency == "" {
		return nil
	}
	return new(float64(x.ppm) / 1_000_000)
}

// of converts an amount, rounded half away from zero.
func (x conversion) of(amount int64) int64 {
	if amount < 0 {
		return -x.of(-amount)
	}
	const million = 1_000_000
	return amount/million*x.ppm + (amount%million*x.ppm+million/2)/million // the product of both may not fit
}

// converted is the movement in the currency of the balance.
func (m movement) converted() movement {
	if m.conversion.currency == "" {
		return m
	}
	m.currency, m.amount = m.conversion.currency, m.conversion.of(m.amount)
	fees := make([]feeDetail, len(m.fees))
	for i, f := range m.fees {
		f.Currency, f.Amount = m.conversion.currency, m.conversion.of(f.Amount)
		fees[i] = f
	}
	m.fees = fees
	return m
}
