package stripe

import (
	"fmt"
	"slices"
	"strings"
)

var (
	zeroDecimalCurrencies = []string{
		"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
	}
	threeDecimalCurrencies = []string{"bhd", "jod", "kwd", "omr", "tnd"}
	// wholeUnitCurrencies are written with two decimals that must be zero.
	wholeUnitCurrencies  = []string{"isk", "ugx"}
	twoDecimalCurrencies = strings.Fields("aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd " +
		"cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr " +
		"jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd " +
		"pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs " +
		"uah usd uyu uzs wst xcd yer zar zmw")
	// amountMin holds the smallest charge per currency, in minor units, where Stripe publishes one.
	// Source: https://stripe.com/docs/currencies, "Minimum and maximum charge amounts".
	amountMin = map[string]int64{
		"usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50,
		"gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
		"ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
	}
)

// checkCurrency returns the lower-case code, or a refusal.
func checkCurrency(code string) (string, *apiError) {
	lower := strings.ToLower(code)
	if slices.Contains(twoDecimalCurrencies, lower) || slices.Contains(zeroDecimalCurrencies, lower) ||
		slices.Contains(threeDecimalCurrencies, lower) || slices.Contains(wholeUnitCurrencies, lower) {
		return lower, nil
	}
	return "", invalid("currency", "", "Invalid currency: %s. See https://stripe.com/docs/currencies for the supported ones.", code)
}

// checkAmount refuses what cannot be charged in the currency. largest is the most that one payment may be.
func checkAmount(amount int64, currency string, largest int64) *apiError {
	switch minimum := amountMin[currency]; {
	case amount < 1:
		return invalid("amount", "parameter_invalid_integer", "This value must be greater than or equal to 1.")
	case amount < minimum:
		return invalid("amount", "amount_too_small", "Amount must be at least %s %s", formatAmount(minimum, currency), currency)
	case amount > largest:
		return invalid("amount", "amount_too_large", "Amount must be no more than %s", formatAmount(largest, currency))
	case slices.Contains(threeDecimalCurrencies, currency) && amount%10 != 0,
		slices.Contains(wholeUnitCurrencies, currency) && amount%100 != 0:
		return invalid("amount", "", "Invalid amount for %s: the last digits must be zero.", strings.ToUpper(currency))
	}
	return nil
}

// formatAmount prints an amount as Stripe's messages do: €44.50, $10.00, 12.340 KWD.
func formatAmount(amount int64, currency string) string {
	digits := 2
	switch {
	case slices.Contains(zeroDecimalCurrencies, currency):
		digits = 0
	case slices.Contains(threeDecimalCurrencies, currency):
		digits = 3
	}
	text := fmt.Sprintf("%0*d", digits+1, amount)
	if digits > 0 {
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	switch currency {
	case "eur":
		return "€" + text
	case "usd":
		return "$" + text
	case "gbp":
		return "£" + text
	case "jpy":
		return "¥" + text
	}
	return text + " " + strings.ToUpper(currency)
}
