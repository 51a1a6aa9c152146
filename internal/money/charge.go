package money

import "strings"

// currencies are those that Stripe charges.
// Source: Stripe, "Supported currencies".
var currencies = func() map[string]bool {
	known := map[string]bool{}
	for code := range strings.FieldsSeq("AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD " +
		"CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS " +
		"INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN " +
		"NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB " +
		"TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW") {
		known[code] = true
	}
	return known
}()

// chargeMin are the smallest charges that Stripe publishes, in minor units.
// Source: Stripe, "Minimum and maximum charge amounts".
var chargeMin = map[string]int64{
	"USD": 50, "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50,
	"GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200,
	"RON": 200, "SEK": 300, "SGD": 50, "THB": 1000,
}

// Supported reports whether Stripe charges a currency at all.
func Supported(currency string) bool { return currencies[currency] }

// ChargeMin is the smallest amount that Stripe charges in a currency; 1 minor unit where it publishes none, which is no
// promise: the minimum of a currency that is converted is that of the balance's.
func ChargeMin(currency string) Money {
	return Money{Currency: currency, MinorUnits: max(chargeMin[currency], 1)}
}
