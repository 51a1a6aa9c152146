package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
)

// priceMax keeps the total of any order below the end of int64: an order has at most 2,000 tickets, 20 lines of 100.
const priceMax = 4_000_000_000_000_000

// CreateVariantVersion implements CatalogService.
func (s *Service) CreateVariantVersion(
	ctx context.Context, req *checkoutv1.CreateVariantVersionRequest,
) (*checkoutv1.CreateVariantVersionResponse, error) {
	if err := problem.InvalidFields(versionFaults(req.GetVersion())...); err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, append([]any{req.GetVariantId()}, versionParts(req.GetVersion())...)...)
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateVariantVersionResponse, error) {
		variant, err := s.q.LockVariant(ctx, tx, req.GetVariantId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoVariant
		}
		if err != nil {
			return nil, fmt.Errorf("lock variant: %w", err)
		}
		latest, err := s.q.LatestVersion(ctx, tx, req.GetVariantId())
		if err != nil {
			return nil, fmt.Errorf("get latest version: %w", err)
		}
		if got := req.GetVersion().GetPrice().GetCurrency(); got != latest.Currency {
			return nil, problem.InvalidField("version.price.currency", "the variant is sold in "+latest.Currency+", make a new variant for another currency")
		}
		effective := wire.TimeFromProto(req.GetVersion().GetEffectiveTime())
		if effective != nil && effective.Before(now) {
			return nil, problem.InvalidField("version.effective_time", "is over; leave it out to sell the version at once")
		}
		created := now
		if latest.CreateTime.After(created) { // by the clock of another replica: versions are as old as their numbers say
			created = latest.CreateTime
		}
		next, current := latest.Version+1, variant.Variant.CurrentVersion
		if effective == nil {
			current = next
		}
		if err := s.insertVersion(ctx, tx, req.GetVariantId(), next, req.GetVersion(), created); err != nil {
			return nil, err
		}
		if err := s.q.SetCurrentVersion(ctx, tx, req.GetVariantId(), current); err != nil {
			return nil, fmt.Errorf("set current version: %w", err)
		}
		v, err := s.variantWithSchedule(ctx, tx, req.GetVariantId(), created)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.CreateVariantVersionResponse{Variant: v}, nil
	})
}

// versionFaults lists what the schema cannot refuse: shares above the price, a tax without a place, a price that Stripe
// cannot charge.
func versionFaults(v *checkoutv1.VariantVersion) []problem.Field {
	var wrong []problem.Field
	add := func(path, description string) {
		wrong = append(wrong, problem.Field{Path: "version." + path, Description: description})
	}
	price := money.Money{Currency: v.GetPrice().GetCurrency(), MinorUnits: v.GetPrice().GetMinorUnits()}
	switch {
	case price.MinorUnits < 0 || price.MinorUnits > priceMax:
		add("price.minor_units", fmt.Sprintf("must be from 0 to %d", int64(priceMax)))
	case !money.Supported(price.Currency):
		add("price.currency", "Stripe charges nothing in this currency")
	case price.MinorUnits > 0 && price.MinorUnits < money.ChargeMin(price.Currency).MinorUnits:
		add("price.minor_units", "is neither 0 nor the smallest charge of Stripe or more, "+money.ChargeMin(price.Currency).Format())
	case !price.Chargeable():
		add("price.minor_units", "cannot be charged in this currency, such as a dinar amount whose last digit is not 0")
	case v.GetApplicationFeeMinorUnits() > price.MinorUnits || v.GetTaxMinorUnits() > price.MinorUnits-v.GetApplicationFeeMinorUnits():
		add("application_fee_minor_units", "fee and tax together are above the price")
	}
	if v.GetTaxMinorUnits() > 0 && (v.GetTaxCountry() == "" || v.GetTaxKind() == "") {
		add("tax_country", "a tax needs its country and kind")
	}
	return wrong
}

// versionParts are the parts of a fingerprint. What older callers send has the fingerprint that it had.
func versionParts(v *checkoutv1.VariantVersion) []any {
	parts := []any{
		v.GetPrice().GetCurrency(), v.GetPrice().GetMinorUnits(), v.GetApplicationFeeMinorUnits(), v.GetTaxMinorUnits(),
		v.GetTaxCountry(), v.GetTaxKind(), v.GetTerms(),
	}
	if t := v.GetEffectiveTime(); t != nil {
		parts = append(parts, t.AsTime())
	}
	return parts
}

func (s *Service) insertVersion(ctx context.Context, tx pgx.Tx, variantID string, number int32, v *checkoutv1.VariantVersion, created time.Time) error {
	err := s.q.InsertVariantVersion(ctx, tx, checkoutdb.InsertVariantVersionParams{
		VariantID: variantID, Version: number, Currency: v.GetPrice().GetCurrency(), PriceMinorUnits: v.GetPrice().GetMinorUnits(),
		ApplicationFeeMinorUnits: v.GetApplicationFeeMinorUnits(), TaxMinorUnits: v.GetTaxMinorUnits(), TaxCountry: v.GetTaxCountry(),
		TaxKind: v.GetTaxKind(), Terms: v.GetTerms(), CreateTime: created, EffectiveTime: wire.TimeFromProto(v.GetEffectiveTime()),
	})
	if err != nil {
		return fmt.Errorf("insert variant version: %w", err)
	}
	return nil
}

// variantWithSchedule returns a variant as staff see it, with the versions whose time has not come.
func (s *Service) variantWithSchedule(ctx context.Context, db checkoutdb.DBTX, id string, now time.Time) (*checkoutv1.Variant, error) {
	row, err := s.variant(ctx, db, id, now)
	if err != nil {
		return nil, err
	}
	scheduled, err := s.q.ListScheduledVersions(ctx, db, id, now)
	if err != nil {
		return nil, fmt.Errorf("list scheduled versions: %w", err)
	}
	v := variantToProto(row)
	for _, x := range scheduled {
		v.ScheduledVersions = append(v.ScheduledVersions, versionToProto(x.VariantVersion))
	}
	return v, nil
}

func versionToProto(v checkoutdb.VariantVersion) *checkoutv1.VariantVersion {
	return &checkoutv1.VariantVersion{
		Version: v.Version, Price: wire.MoneyToProto(v.Currency, v.PriceMinorUnits), ApplicationFeeMinorUnits: v.ApplicationFeeMinorUnits,
		TaxMinorUnits: v.TaxMinorUnits, TaxCountry: v.TaxCountry, TaxKind: v.TaxKind, Terms: v.Terms,
		CreateTime: timestamppb.New(v.CreateTime), EffectiveTime: wire.TimeToProto(v.EffectiveTime),
	}
}
