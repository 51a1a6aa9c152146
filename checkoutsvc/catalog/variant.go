package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// orderTicketLimitDefault is the most tickets of a variant in one order when its maker does not say.
const orderTicketLimitDefault = 10

var errNoVariant = problem.New(connect.CodeNotFound, "VARIANT_NOT_FOUND", "there is no such variant")

// CreateVariant implements CatalogService.
func (s *Service) CreateVariant(ctx context.Context, req *checkoutv1.CreateVariantRequest) (*checkoutv1.CreateVariantResponse, error) {
	wrong := versionFaults(req.GetVersion())
	opens, closes := wire.TimeFromProto(req.GetSaleStartTime()), wire.TimeFromProto(req.GetSaleEndTime())
	wrong = append(wrong, windowFaults("", opens, closes)...)
	if req.GetVersion().GetEffectiveTime() != nil {
		wrong = append(wrong, problem.Field{Path: "version.effective_time", Description: "the first version has none, sale_start_time says when it is sold"})
	}
	if req.GetSeated() != (req.GetCapacityTicketCount() == 0) {
		wrong = append(wrong, problem.Field{Path: "capacity_ticket_count", Description: "must be at least 1, or 0 for a seated variant, whose seats are its capacity"})
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return nil, err
	}
	perOrder := cmp.Or(req.GetOrderTicketLimit(), orderTicketLimitDefault)
	state := order.VariantOnSale
	if req.GetState() != checkoutv1.VariantState_VARIANT_STATE_UNSPECIFIED {
		state = variantStateFromProto[req.GetState()]
	}
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, append([]any{
		req.GetProductId(), req.GetName(), req.GetCapacityTicketCount(), req.GetSaleStartTime().AsTime(), req.GetSaleEndTime().AsTime(), perOrder,
	}, versionParts(req.GetVersion())...)...)
	if req.GetBuyerTicketLimit() > 0 || state != order.VariantOnSale { // what older callers send has the fingerprint that it had
		fingerprint = idem.Fingerprint(2, fingerprint, req.GetBuyerTicketLimit(), string(state))
	}
	if req.GetSeated() {
		fingerprint = idem.Fingerprint(3, fingerprint, true)
	}
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateVariantResponse, error) {
		product, err := s.keepProduct(ctx, tx, req.GetProductId())
		if err != nil {
			return nil, err
		}
		id := s.NewID()
		err = s.q.InsertVariant(ctx, tx, checkoutdb.InsertVariantParams{
			ID: id, ProductID: product.ID, EventID: product.EventID, Name: req.GetName(), SaleStartTime: opens, SaleEndTime: closes,
			OrderTicketLimit: perOrder, CreateTime: now, State: string(state), BuyerTicketLimit: limit(req.GetBuyerTicketLimit()),
			Seated: req.GetSeated(),
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
		v, err := s.variant(ctx, tx, id, now)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.CreateVariantResponse{Variant: variantToProto(v)}, nil
	})
}

// keepProduct returns a product, and keeps its event from being deleted until the transaction has ended.
func (s *Service) keepProduct(ctx context.Context, tx pgx.Tx, id string) (checkoutdb.GetProductRow, error) {
	p, err := s.q.GetProduct(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, errNoProduct
	}
	if err != nil {
		return p, fmt.Errorf("get product: %w", err)
	}
	if err := s.keepEvent(ctx, tx, p.EventID); errors.Is(err, errNoEvent) { // deleted meanwhile, and the product with it
		return p, errNoProduct
	} else if err != nil {
		return p, err
	}
	return p, nil
}

// windowFaults refuses a sale that ends before it begins.
func windowFaults(prefix string, opens, closes *time.Time) []problem.Field {
	if opens != nil && closes != nil && !closes.After(*opens) {
		return []problem.Field{{Path: prefix + "sale_end_time", Description: "must be after sale_start_time"}}
	}
	return nil
}

// UpdateVariant implements CatalogService. The stock's row, which sales wait for, is written last.
func (s *Service) UpdateVariant(ctx context.Context, req *checkoutv1.UpdateVariantRequest) (*checkoutv1.UpdateVariantResponse, error) {
	f := req.GetVariant()
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetVariantId(), req.GetUpdateMask().GetPaths(), req.GetUpdateNumber(), f.GetName(), f.GetCapacityTicketCount(),
		instant(f.GetSaleStartTime()), instant(f.GetSaleEndTime()), f.GetOrderTicketLimit(), f.GetBuyerTicketLimit(), f.GetState())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UpdateVariantResponse, error) {
		row, err := s.q.LockVariant(ctx, tx, req.GetVariantId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoVariant
		}
		if err != nil {
			return nil, fmt.Errorf("lock variant: %w", err)
		}
		v := row.Variant
		if err := checkNumber(req.GetUpdateNumber(), v.UpdateNumber); err != nil {
			return nil, err
		}
		capacity, err := setVariant(&v, req)
		if err != nil {
			return nil, err
		}
		if capacity > 0 && v.Seated {
			return nil, problem.New(connect.CodeFailedPrecondition, "SEATED_VARIANT", "the capacity of a seated variant is its seats: set the seat map")
		}
		if err := s.q.UpdateVariant(ctx, tx, checkoutdb.UpdateVariantParams{
			ID: v.ID, Name: v.Name, SaleStartTime: v.SaleStartTime, SaleEndTime: v.SaleEndTime, OrderTicketLimit: v.OrderTicketLimit,
			BuyerTicketLimit: v.BuyerTicketLimit, State: v.State,
		}); err != nil {
			return nil, fmt.Errorf("update variant: %w", err)
		}
		if err := s.setCapacity(ctx, tx, v.ID, capacity); err != nil {
			return nil, err
		}
		out, err := s.variantWithSchedule(ctx, tx, v.ID, now)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.UpdateVariantResponse{Variant: out}, nil
	})
}

// setVariant sets the fields that the request names, and returns the new capacity; 0 leaves it.
func setVariant(v *checkoutdb.Variant, req *checkoutv1.UpdateVariantRequest) (capacity int64, err error) {
	f := req.GetVariant()
	var wrong []problem.Field
	err = setFields(req.GetUpdateMask(), map[string]func(){
		"name": func() {
			v.Name = f.GetName()
			wrong = wanted(wrong, "variant.name", v.Name != "")
		},
		"capacity_ticket_count": func() {
			capacity = f.GetCapacityTicketCount()
			wrong = wanted(wrong, "variant.capacity_ticket_count", capacity > 0)
		},
		"sale_start_time": func() { v.SaleStartTime = wire.TimeFromProto(f.GetSaleStartTime()) },
		"sale_end_time":   func() { v.SaleEndTime = wire.TimeFromProto(f.GetSaleEndTime()) },
		"order_ticket_limit": func() {
			v.OrderTicketLimit = f.GetOrderTicketLimit()
			wrong = wanted(wrong, "variant.order_ticket_limit", v.OrderTicketLimit > 0)
		},
		"buyer_ticket_limit": func() { v.BuyerTicketLimit = limit(f.GetBuyerTicketLimit()) },
		"state": func() {
			v.State = string(variantStateFromProto[f.GetState()])
			wrong = wanted(wrong, "variant.state", v.State != "")
		},
	})
	if err != nil {
		return 0, err
	}
	return capacity, problem.InvalidFields(append(wrong, windowFaults("variant.", v.SaleStartTime, v.SaleEndTime)...)...)
}

// setCapacity sets how many tickets exist; 0 leaves it. It waits for a sale that takes from the stock.
func (s *Service) setCapacity(ctx context.Context, tx pgx.Tx, variantID string, capacity int64) error {
	if capacity == 0 {
		return nil
	}
	set, err := s.q.SetCapacity(ctx, tx, variantID, capacity, stockShards(capacity))
	if err != nil {
		return fmt.Errorf("set capacity: %w", err)
	}
	if set > 0 {
		return nil
	}
	taken, err := s.q.GetTaken(ctx, tx, variantID)
	if err != nil {
		return fmt.Errorf("get taken: %w", err)
	}
	return problem.New(connect.CodeFailedPrecondition, "CAPACITY_BELOW_TAKEN",
		fmt.Sprintf("%d tickets are held or sold, so the capacity cannot be %d; holds that expire give theirs back", taken, capacity))
}

// GetVariant implements CatalogService.
func (s *Service) GetVariant(ctx context.Context, req *checkoutv1.GetVariantRequest) (*checkoutv1.GetVariantResponse, error) {
	now := s.Clock.Now()
	if isStaff(ctx) {
		v, err := s.variantWithSchedule(ctx, s.Pool, req.GetVariantId(), now)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.GetVariantResponse{Variant: v}, nil
	}
	row, err := s.variant(ctx, s.Pool, req.GetVariantId(), now)
	if err != nil {
		return nil, err
	}
	if !visible(ctx, row.Publication) {
		return nil, errNoVariant
	}
	return &checkoutv1.GetVariantResponse{Variant: forCaller(ctx, variantToProto(row))}, nil
}

// variantsMax is the largest page of variants, and what callers get who do not say.
const variantsMax = 500

// ListVariants implements CatalogService.
func (s *Service) ListVariants(ctx context.Context, req *checkoutv1.ListVariantsRequest) (*checkoutv1.ListVariantsResponse, error) {
	if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
		return nil, err
	}
	name := page.List("variants", &checkoutv1.ListVariantsRequest{EventId: req.GetEventId()})
	after, err := page.Parse(req.GetPageToken(), name, page.Cursor{Time: time.Unix(0, 0)})
	if err != nil {
		return nil, err
	}
	states := []string{string(order.VariantOnSale)}
	if isStaff(ctx) {
		states = append(states, string(order.VariantHidden), string(order.VariantArchived))
	}
	size := cmp.Or(req.GetPageSize(), variantsMax)
	rows, err := s.q.ListVariants(ctx, s.Pool, checkoutdb.ListVariantsParams{
		Now: s.Clock.Now(), EventID: &req.EventId, AfterTime: after.Time, AfterID: after.ID, States: states, VariantCount: size + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list variants: %w", err)
	}
	res := &checkoutv1.ListVariantsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(name, page.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, row := range rows {
		res.Variants = append(res.Variants, forCaller(ctx, variantToProto(row)))
	}
	return res, nil
}

// variant loads one variant with the version that is sold at a time.
func (s *Service) variant(ctx context.Context, db checkoutdb.DBTX, id string, now time.Time) (checkoutdb.ListVariantsRow, error) {
	rows, err := s.q.ListVariants(ctx, db, checkoutdb.ListVariantsParams{Now: now, VariantIds: []string{id}, VariantCount: 1})
	if err != nil {
		return checkoutdb.ListVariantsRow{}, fmt.Errorf("get variant: %w", err)
	}
	if len(rows) == 0 {
		return checkoutdb.ListVariantsRow{}, errNoVariant
	}
	return rows[0], nil
}

// stockShardsMax is the most shards that a variant's stock has, and shardTicketsMin the fewest tickets of one: few buyers of a small
// variant ever meet, and its last tickets are sold faster from one row.
const stockShardsMax, shardTicketsMin = 32, 64

// stockShards is the number of rows that the stock of a variant is divided among: see docs/performance.md.
func stockShards(capacity int64) int32 {
	return int32(min(max(capacity/shardTicketsMin, 1), stockShardsMax))
}

// availableMax is the most that everybody but staff is told of what is left.
const availableMax = 100

// forCaller leaves out what is between organiser and platform for everybody but staff.
func forCaller(ctx context.Context, v *checkoutv1.Variant) *checkoutv1.Variant {
	if isStaff(ctx) {
		return v
	}
	v.CapacityTicketCount, v.CurrentVersion.ApplicationFeeMinorUnits = 0, 0
	v.AvailableTicketCount = min(v.GetAvailableTicketCount(), availableMax)
	return v
}

// variantStateToProto has the message of each state.
var variantStateToProto = map[order.VariantState]checkoutv1.VariantState{
	order.VariantOnSale:   checkoutv1.VariantState_VARIANT_STATE_ON_SALE,
	order.VariantHidden:   checkoutv1.VariantState_VARIANT_STATE_HIDDEN,
	order.VariantArchived: checkoutv1.VariantState_VARIANT_STATE_ARCHIVED,
}

// variantStateFromProto has the state of each message.
var variantStateFromProto = map[checkoutv1.VariantState]order.VariantState{
	checkoutv1.VariantState_VARIANT_STATE_ON_SALE:  order.VariantOnSale,
	checkoutv1.VariantState_VARIANT_STATE_HIDDEN:   order.VariantHidden,
	checkoutv1.VariantState_VARIANT_STATE_ARCHIVED: order.VariantArchived,
}

func variantToProto(v checkoutdb.ListVariantsRow) *checkoutv1.Variant {
	return &checkoutv1.Variant{
		Id: v.ID, ProductId: v.ProductID, EventId: v.EventID, Name: v.Name, ProductName: v.ProductName,
		CapacityTicketCount: v.Capacity, AvailableTicketCount: v.Capacity - v.Taken,
		SaleStartTime: wire.TimeToProto(v.SaleStartTime), SaleEndTime: wire.TimeToProto(v.SaleEndTime), OrderTicketLimit: v.OrderTicketLimit,
		OrganizerCannotSell: v.OrganizerCannotSell, NeedsPromotionCode: v.NeedsCode, State: variantStateToProto[order.VariantState(v.State)],
		BuyerTicketLimit: orderstore.Number(v.BuyerTicketLimit), UpdateNumber: v.UpdateNumber,
		Seated: v.Seated,
		CurrentVersion: versionToProto(checkoutdb.VariantVersion{
			VariantID: v.ID, Version: v.Version, Currency: v.Currency, PriceMinorUnits: v.PriceMinorUnits,
			ApplicationFeeMinorUnits: v.ApplicationFeeMinorUnits, TaxMinorUnits: v.TaxMinorUnits, TaxCountry: v.TaxCountry, TaxKind: v.TaxKind,
			Terms: v.Terms, CreateTime: v.VersionCreateTime, EffectiveTime: v.EffectiveTime,
		}),
	}
}
