package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/money"
)

// orderTicketLimitDefault is the most tickets of a variant in one order when its maker does not say.
const orderTicketLimitDefault = 10

// priceMax keeps the total of any order below the end of int64: an order has at most 2,000 tickets, 20 lines of 100.
const priceMax = 4_000_000_000_000_000

var errNoVariant = problem.New(connect.CodeNotFound, "VARIANT_NOT_FOUND", "there is no such variant")

// CreateProduct implements CatalogService.
func (s *Service) CreateProduct(ctx context.Context, req *checkoutv1.CreateProductRequest) (*checkoutv1.CreateProductResponse, error) {
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetName())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateProductResponse, error) {
		if _, err := s.q.GetEvent(ctx, tx, req.GetEventId()); errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoEvent
		} else if err != nil {
			return nil, fmt.Errorf("get event: %w", err)
		}
		id := s.NewID()
		if err := s.q.InsertProduct(ctx, tx, id, req.GetEventId(), req.GetName(), now); err != nil {
			return nil, fmt.Errorf("insert product: %w", err)
		}
		return &checkoutv1.CreateProductResponse{Product: &checkoutv1.Product{
			Id: id, EventId: req.GetEventId(), Name: req.GetName(), CreateTime: timestamppb.New(now),
		}}, nil
	})
}

// CreateVariant implements CatalogService.
func (s *Service) CreateVariant(ctx context.Context, req *checkoutv1.CreateVariantRequest) (*checkoutv1.CreateVariantResponse, error) {
	wrong := versionFaults(req.GetVersion())
	opens, closes := wire.TimeFromProto(req.GetSaleStartTime()), wire.TimeFromProto(req.GetSaleEndTime())
	if opens != nil && closes != nil && !closes.After(*opens) {
		wrong = append(wrong, problem.Field{Path: "sale_end_time", Description: "must be after sale_start_time"})
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return nil, err
	}
	limit := req.GetOrderTicketLimit()
	if limit == 0 {
		limit = orderTicketLimitDefault
	}
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, append([]any{
		req.GetProductId(), req.GetName(), req.GetCapacityTicketCount(), req.GetSaleStartTime().AsTime(), req.GetSaleEndTime().AsTime(), limit,
	}, versionParts(req.GetVersion())...)...)
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateVariantResponse, error) {
		product, err := s.q.GetProduct(ctx, tx, req.GetProductId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, problem.New(connect.CodeNotFound, "PRODUCT_NOT_FOUND", "there is no such product")
		}
		if err != nil {
			return nil, fmt.Errorf("get product: %w", err)
		}
		id := s.NewID()
		err = s.q.InsertVariant(ctx, tx, checkoutdb.InsertVariantParams{
			ID: id, ProductID: product.ID, EventID: product.EventID, Name: req.GetName(), SaleStartTime: opens, SaleEndTime: closes,
			OrderTicketLimit: limit, CreateTime: now,
		})
		if err != nil {
			return nil, fmt.Errorf("insert variant: %w", err)
		}
		if err := s.insertVersion(ctx, tx, id, 1, req.GetVersion(), now); err != nil {
			return nil, err
		}
		if err := s.q.InsertStock(ctx, tx, id, req.GetCapacityTicketCount(), stockShards(req.GetCapacityTicketCount())); err != nil {
			return nil, fmt.Errorf("insert stock: %w", err)
		}
		v, err := s.variant(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.CreateVariantResponse{Variant: v}, nil
	})
}

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
		current, err := s.q.LockVariant(ctx, tx, req.GetVariantId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoVariant
		}
		if err != nil {
			return nil, fmt.Errorf("lock variant: %w", err)
		}
		if got := req.GetVersion().GetPrice().GetCurrency(); got != current.Currency {
			return nil, problem.InvalidField("version.price.currency", "the variant is sold in "+current.Currency+", make a new variant for another currency")
		}
		next := current.CurrentVersion + 1
		if err := s.insertVersion(ctx, tx, req.GetVariantId(), next, req.GetVersion(), now); err != nil {
			return nil, err
		}
		if err := s.q.SetCurrentVersion(ctx, tx, req.GetVariantId(), next); err != nil {
			return nil, fmt.Errorf("set current version: %w", err)
		}
		v, err := s.variant(ctx, tx, req.GetVariantId())
		if err != nil {
			return nil, err
		}
		return &checkoutv1.CreateVariantVersionResponse{Variant: v}, nil
	})
}

// GetVariant implements CatalogService.
func (s *Service) GetVariant(ctx context.Context, req *checkoutv1.GetVariantRequest) (*checkoutv1.GetVariantResponse, error) {
	v, err := s.variant(ctx, s.Pool, req.GetVariantId())
	if err != nil {
		return nil, err
	}
	return &checkoutv1.GetVariantResponse{Variant: forCaller(ctx, v)}, nil
}

// variantsMax is the largest page of variants, and what callers get who do not say.
const variantsMax = 500

// ListVariants implements CatalogService.
func (s *Service) ListVariants(ctx context.Context, req *checkoutv1.ListVariantsRequest) (*checkoutv1.ListVariantsResponse, error) {
	if _, err := s.q.GetEvent(ctx, s.Pool, req.GetEventId()); errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoEvent
	} else if err != nil {
		return nil, fmt.Errorf("get event: %w", err)
	}
	list := page.List("variants", &checkoutv1.ListVariantsRequest{EventId: req.GetEventId()})
	after, err := page.Parse(req.GetPageToken(), list, page.Cursor{Time: time.Unix(0, 0)})
	if err != nil {
		return nil, err
	}
	size := cmp.Or(req.GetPageSize(), variantsMax)
	rows, err := s.q.ListVariants(ctx, s.Pool, checkoutdb.ListVariantsParams{
		EventID: &req.EventId, AfterTime: after.Time, AfterID: after.ID, VariantCount: size + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list variants: %w", err)
	}
	res := &checkoutv1.ListVariantsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(list, page.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, row := range rows {
		res.Variants = append(res.Variants, forCaller(ctx, variantToProto(row)))
	}
	return res, nil
}

func (s *Service) variant(ctx context.Context, db checkoutdb.DBTX, id string) (*checkoutv1.Variant, error) {
	rows, err := s.q.ListVariants(ctx, db, checkoutdb.ListVariantsParams{VariantIds: []string{id}, VariantCount: 1})
	if err != nil {
		return nil, fmt.Errorf("get variant: %w", err)
	}
	if len(rows) == 0 {
		return nil, errNoVariant
	}
	return variantToProto(rows[0]), nil
}

// stockShardsMax is the most shards that a variant's stock has, and shardTicketsMin the fewest tickets of one: few buyers of a small
// variant ever meet, and its last tickets are sold faster from one row.
const stockShardsMax, shardTicketsMin = 32, 64

// stockShards is the number of rows that the stock of a variant is divided among: see docs/performance.md.
func stockShards(capacity int64) int32 {
	return int32(min(max(capacity/shardTicketsMin, 1), stockShardsMax))
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
	case price.MinorUnits <= 0 || price.MinorUnits > priceMax:
		add("price.minor_units", fmt.Sprintf("must be from 1 to %d", int64(priceMax)))
	case !money.Supported(price.Currency):
		add("price.currency", "Stripe charges nothing in this currency")
	case price.MinorUnits < money.ChargeMin(price.Currency).MinorUnits:
		add("price.minor_units", "is below the smallest charge of Stripe, "+money.ChargeMin(price.Currency).Format())
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

func versionParts(v *checkoutv1.VariantVersion) []any {
	return []any{
		v.GetPrice().GetCurrency(), v.GetPrice().GetMinorUnits(), v.GetApplicationFeeMinorUnits(), v.GetTaxMinorUnits(),
		v.GetTaxCountry(), v.GetTaxKind(), v.GetTerms(),
	}
}

func (s *Service) insertVersion(ctx context.Context, tx pgx.Tx, variantID string, number int32, v *checkoutv1.VariantVersion, now time.Time) error {
	err := s.q.InsertVariantVersion(ctx, tx, checkoutdb.InsertVariantVersionParams{
		VariantID: variantID, Version: number, Currency: v.GetPrice().GetCurrency(), PriceMinorUnits: v.GetPrice().GetMinorUnits(),
		ApplicationFeeMinorUnits: v.GetApplicationFeeMinorUnits(), TaxMinorUnits: v.GetTaxMinorUnits(), TaxCountry: v.GetTaxCountry(),
		TaxKind: v.GetTaxKind(), Terms: v.GetTerms(), CreateTime: now,
	})
	if err != nil {
		return fmt.Errorf("insert variant version: %w", err)
	}
	return nil
}

// availableMax is the most that everybody but staff is told of what is left.
const availableMax = 100

// forCaller leaves out what is between organiser and platform for everybody but staff.
func forCaller(ctx context.Context, v *checkoutv1.Variant) *checkoutv1.Variant {
	if rpc.CallerFrom(ctx).Role >= rpc.RoleOperator {
		return v
	}
	v.CapacityTicketCount, v.CurrentVersion.ApplicationFeeMinorUnits = 0, 0
	v.AvailableTicketCount = min(v.GetAvailableTicketCount(), availableMax)
	return v
}

func variantToProto(v checkoutdb.ListVariantsRow) *checkoutv1.Variant {
	return &checkoutv1.Variant{
		Id: v.ID, ProductId: v.ProductID, EventId: v.EventID, Name: v.Name,
		CapacityTicketCount: v.Capacity, AvailableTicketCount: v.Capacity - v.Taken,
		SaleStartTime: wire.TimeToProto(v.SaleStartTime), SaleEndTime: wire.TimeToProto(v.SaleEndTime), OrderTicketLimit: v.OrderTicketLimit,
		OrganizerCannotSell: v.OrganizerCannotSell,
		CurrentVersion: &checkoutv1.VariantVersion{
			Version: v.Version, Price: wire.MoneyToProto(v.Currency, v.PriceMinorUnits), ApplicationFeeMinorUnits: v.ApplicationFeeMinorUnits,
			TaxMinorUnits: v.TaxMinorUnits, TaxCountry: v.TaxCountry, TaxKind: v.TaxKind, Terms: v.Terms,
			CreateTime: timestamppb.New(v.VersionCreateTime),
		},
	}
}
