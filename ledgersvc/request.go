package ledgersvc

import (
	"fmt"
	"math"
	"regexp"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
)

// positive reads an amount that must be above zero.
func positive(path string, m *moneyv1.Money) (money.Money, error) {
	return amountThat(path, m, "must be above zero", m.GetMinorUnits() > 0)
}

// notZero reads an amount of either sign.
func notZero(path string, m *moneyv1.Money) (money.Money, error) {
	return amountThat(path, m, "must not be zero", m.GetMinorUnits() != 0 && m.GetMinorUnits() != math.MinInt64)
}

// amountThat reads an amount that must fulfil a rule.
func amountThat(path string, m *moneyv1.Money, rule string, fulfils bool) (money.Money, error) {
	var wrong error
	if !fulfils {
		wrong = problem.InvalidField(path+".minor_units", rule)
	}
	amount, err := money.New(m.GetCurrency(), m.GetMinorUnits())
	if err != nil {
		err = problem.InvalidField(path+".currency", "must be an ISO 4217 code such as EUR")
	}
	if err := problem.All(err, wrong); err != nil {
		return money.Money{}, err
	}
	return amount, nil
}

// instant reads a time that the ledger can keep: the years 1 to 9999.
func instant(path string, t *timestamppb.Timestamp) (time.Time, error) {
	if !t.IsValid() {
		return time.Time{}, problem.InvalidField(path, "must be a time in the years 1 to 9999")
	}
	return t.AsTime(), nil
}

// segment is what may stand between the colons of an address.
var segment = regexp.MustCompile(`^[a-zA-Z0-9_-]*$`)

// addressable refuses an id that cannot be part of an account's address.
func addressable(path, id string) error {
	if !segment.MatchString(id) {
		return problem.InvalidField(path, "must consist of letters, digits, _ and -")
	}
	return nil
}

// organizerNeeded refuses a connected account whose organiser is not given: its money is the organiser's.
func organizerNeeded(stripeAccount, organizerID string) error {
	if stripeAccount != "" && organizerID == "" {
		return problem.InvalidField("organizer_id", "is required for a connected account")
	}
	return nil
}

// taxSum returns the sum of the taxes, and refuses parts that exceed the whole, unless that is not known. It subtracts instead of adding, so that
// no sum overflows.
func taxSum(whole money.Money, fee int64, shares []*ledgerv1.TaxShare) (int64, error) {
	if whole == (money.Money{}) {
		return 0, nil
	}
	rest := whole.MinorUnits - fee
	if rest < 0 {
		return 0, problem.InvalidField("application_fee_minor_units", fmt.Sprintf("must be at most the whole amount, %d", whole.MinorUnits))
	}
	var sum int64
	for i, t := range shares {
		rest -= t.GetMinorUnits()
		if rest < 0 {
			return 0, problem.InvalidField(fmt.Sprintf("taxes[%d].minor_units", i), fmt.Sprintf("fee and taxes must be at most the whole amount, %d", whole.MinorUnits))
		}
		sum += t.GetMinorUnits()
	}
	return sum, nil
}
