package order

// TaxShare is a tax contained in an order's total.
type TaxShare struct {
	Country    string `json:"country"` // ISO 3166-1 alpha-2
	Kind       string `json:"kind"`    // such as vat
	MinorUnits int64  `json:"minor_units"`
}
