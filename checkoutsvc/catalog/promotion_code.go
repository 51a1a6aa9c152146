package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
)

var errNoPromotionCode = problem.New(connect.CodeNotFound, string(order.ReasonPromotionNotFound), "there is no such promotion code")

// CreatePromotionCode implements CatalogService.
func (s *Service) CreatePromotionCode(ctx context.Context, req *checkoutv1.CreatePromotionCodeRequest) (*checkoutv1.CreatePromotionCodeResponse, error) {
	starts, ends := wire.TimeFromProto(req.GetStartTime()), wire.TimeFromProto(req.GetEndTime())
	if err := problem.InvalidFields(append(discountFaults(req), promotionWindowFaults("", starts, ends)...)...); err != nil {
		return nil, err
	}
	now, d := s.Clock.Now(), req.GetDiscount()
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetCode(), d.GetBasisPoints(), d.GetAmount().GetCurrency(), d.GetAmount().GetMinorUnits(), d.GetPerTicket(),
		req.GetVariantIds(), req.GetUnlockedVariantIds(), instant(req.GetStartTime()), instant(req.GetEndTime()), req.GetOrderLimit(), req.GetBuyerOrderLimit())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreatePromotionCodeResponse, error) {
		if err := s.keepEvent(ctx, tx, req.GetEventId()); err != nil {
			return nil, err
		}
		params := checkoutdb.InsertPromotionCodeParams{
			ID: s.NewID(), EventID: req.GetEventId(), Code: req.GetCode(), BasisPoints: limit(d.GetBasisPoints()), PerTicket: d.GetPerTicket(),
			StartTime: starts, EndTime: ends, OrderLimit: limit(req.GetOrderLimit()), BuyerOrderLimit: limit(req.GetBuyerOrderLimit()), CreateTime: now,
		}
		if a := d.GetAmount(); a != nil {
			params.AmountMinorUnits, params.Currency = new(a.GetMinorUnits()), a.GetCurrency()
		}
		err := s.q.InsertPromotionCode(ctx, tx, params)
		if pgdb.ConstraintName(err) == "promotion_code_of_an_event_once" {
			return nil, problem.New(connect.CodeAlreadyExists, "PROMOTION_CODE_EXISTS", "the event has this promotion code already, in upper or lower case, or archived")
		}
		if err != nil {
			return nil, fmt.Errorf("insert promotion code: %w", err)
		}
		if err := s.setPromotionVariants(ctx, tx, params.ID, params.EventID, req.GetVariantIds(), req.GetUnlockedVariantIds()); err != nil {
			return nil, err
		}
		p, err := s.promotionCode(ctx, tx, params.ID)
		return &checkoutv1.CreatePromotionCodeResponse{PromotionCode: p}, err
	})
}

// discountFaults lists what the schema cannot refuse of a discount.
func discountFaults(req *checkoutv1.CreatePromotionCodeRequest) []problem.Field {
	d := req.GetDiscount()
	var wrong []problem.Field
	add := func(path, description string) {
		wrong = append(wrong, problem.Field{Path: path, Description: description})
	}
	if a := d.GetAmount(); a != nil {
		amount := money.Money{Currency: a.GetCurrency(), MinorUnits: a.GetMinorUnits()}
		switch {
		case d.GetBasisPoints() > 0:
			add("discount.amount", "stands beside basis_points: a discount is one of them")
		case amount.MinorUnits <= 0 || amount.MinorUnits > priceMax:
			add("discount.amount.minor_units", fmt.Sprintf("must be from 1 to %d", int64(priceMax)))
		case !money.Supported(amount.Currency):
			add("discount.amount.currency", "Stripe charges nothing in this currency")
		case !amount.Chargeable():
			add("discount.amount.minor_units", "would leave what cannot be charged in this currency, such as a dinar amount whose last digit is not 0")
		}
	} else if d.GetPerTicket() {
		add("discount.per_ticket", "is about an amount, and there is none")
	}
	if d.GetBasisPoints() == 0 && d.GetAmount() == nil {
		if len(req.GetUnlockedVariantIds()) == 0 {
			add("discount", "is required of a code that unlocks nothing")
		}
		if len(req.GetVariantIds()) > 0 {
			add("variant_ids", "are those that a discount is for, and there is none")
		}
	}
	return wrong
}

func promotionWindowFaults(prefix string, starts, ends *time.Time) []problem.Field {
	if starts != nil && ends != nil && !ends.After(*starts) {
		return []problem.Field{{Path: prefix + "end_time", Description: "must be after start_time"}}
	}
	return nil
}

// setPromotionVariants says which variants a code is about, in place of those before.
func (s *Service) setPromotionVariants(ctx context.Context, tx pgx.Tx, id, eventID string, discounted, unlocked []string) error {
	both := map[string]bool{}
	for _, variantID := range append(append([]string{}, discounted...), unlocked...) {
		both[variantID] = true
	}
	ids := make([]string, 0, len(both))
	for variantID := range both {
		ids = append(ids, variantID)
	}
	known, err := s.q.CountVariantsOfEvent(ctx, tx, eventID, ids)
	if err != nil {
		return fmt.Errorf("count variants: %w", err)
	}
	if int(known) != len(ids) {
		return problem.New(connect.CodeNotFound, "VARIANT_NOT_FOUND", "the event has not all of these variants")
	}
	if err := s.q.ClearPromotionCodeVariants(ctx, tx, id); err != nil {
		return fmt.Errorf("clear variants of promotion code: %w", err)
	}
	if err := s.q.SetPromotionCodeVariants(ctx, tx, list(discounted), list(unlocked), id); err != nil {
		return fmt.Errorf("set variants of promotion code: %w", err)
	}
	return nil
}

// promotionCode reads a promotion code.
func (s *Service) promotionCode(ctx context.Context, tx pgx.Tx, id string) (*checkoutv1.PromotionCode, error) {
	row, err := s.q.GetPromotionCode(ctx, tx, id)
	if err != nil {
		return nil, fmt.Errorf("get promotion code: %w", err)
	}
	return promotionCodeToProto(row.PromotionCode, row.Discounted, row.Unlocked), nil
}

// UpdatePromotionCode implements CatalogService. Sales with the code wait for it.
func (s *Service) UpdatePromotionCode(ctx context.Context, req *checkoutv1.UpdatePromotionCodeRequest) (*checkoutv1.UpdatePromotionCodeResponse, error) {
	f := req.GetPromotionCode()
	fingerprint := idem.Fingerprint(1, req.GetPromotionCodeId(), req.GetUpdateMask().GetPaths(), req.GetUpdateNumber(), f.GetVariantIds(), f.GetUnlockedVariantIds(),
		instant(f.GetStartTime()), instant(f.GetEndTime()), f.GetOrderLimit(), f.GetBuyerOrderLimit())
	return idem.Do(ctx, s.Pool, s.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UpdatePromotionCodeResponse, error) {
		p, err := s.lockPromotionCode(ctx, tx, req.GetPromotionCodeId())
		if err != nil {
			return nil, err
		}
		if err := checkNumber(req.GetUpdateNumber(), p.UpdateNumber); err != nil {
			return nil, err
		}
		row, err := s.q.GetPromotionCode(ctx, tx, p.ID)
		if err != nil {
			return nil, fmt.Errorf("get promotion code: %w", err)
		}
		discounted, unlocked := row.Discounted, row.Unlocked
		if err := setFields(req.GetUpdateMask(), map[string]func(){
			"variant_ids":          func() { discounted = f.GetVariantIds() },
			"unlocked_variant_ids": func() { unlocked = f.GetUnlockedVariantIds() },
			"start_time":           func() { p.StartTime = wire.TimeFromProto(f.GetStartTime()) },
			"end_time":             func() { p.EndTime = wire.TimeFromProto(f.GetEndTime()) },
			"order_limit":          func() { p.OrderLimit = limit(f.GetOrderLimit()) },
			"buyer_order_limit":    func() { p.BuyerOrderLimit = limit(f.GetBuyerOrderLimit()) },
		}); err != nil {
			return nil, err
		}
		wrong := promotionWindowFaults("promotion_code.", p.StartTime, p.EndTime)
		if p.BasisPoints == nil && p.AmountMinorUnits == nil {
			wrong = wanted(wrong, "promotion_code.unlocked_variant_ids", len(unlocked) > 0)
			if len(discounted) > 0 {
				wrong = append(wrong, problem.Field{Path: "promotion_code.variant_ids", Description: "are those that a discount is for, and there is none"})
			}
		}
		if err := problem.InvalidFields(wrong...); err != nil {
			return nil, err
		}
		if err := s.savePromotionCode(ctx, tx, p); err != nil {
			return nil, err
		}
		if err := s.setPromotionVariants(ctx, tx, p.ID, p.EventID, discounted, unlocked); err != nil {
			return nil, err
		}
		out, err := s.promotionCode(ctx, tx, p.ID)
		return &checkoutv1.UpdatePromotionCodeResponse{PromotionCode: out}, err
	})
}

func (s *Service) lockPromotionCode(ctx context.Context, tx pgx.Tx, id string) (checkoutdb.PromotionCode, error) {
	row, err := s.q.LockPromotionCode(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return checkoutdb.PromotionCode{}, errNoPromotionCode
	}
	if err != nil {
		return checkoutdb.PromotionCode{}, fmt.Errorf("lock promotion code: %w", err)
	}
	return row.PromotionCode, nil
}

func (s *Service) savePromotionCode(ctx context.Context, tx pgx.Tx, p checkoutdb.PromotionCode) error {
	err := s.q.UpdatePromotionCode(ctx, tx, checkoutdb.UpdatePromotionCodeParams{
		ID: p.ID, StartTime: p.StartTime, EndTime: p.EndTime, OrderLimit: p.OrderLimit, BuyerOrderLimit: p.BuyerOrderLimit, ArchiveTime: p.ArchiveTime,
	})
	if pgdb.ConstraintName(err) == "promotion_code_is_not_used_beyond_its_limit" {
		return problem.New(connect.CodeFailedPrecondition, "PROMOTION_CODE_LIMIT_BELOW_USED", fmt.Sprintf("%d orders use the promotion code already", p.UsedOrderCount))
	}
	if err != nil {
		return fmt.Errorf("update promotion code: %w", err)
	}
	return nil
}

// ArchivePromotionCode implements CatalogService.
func (s *Service) ArchivePromotionCode(ctx context.Context, req *checkoutv1.ArchivePromotionCodeRequest) (*checkoutv1.ArchivePromotionCodeResponse, error) {
	now := s.Clock.Now()
	return idem.Do(ctx, s.Pool, now, idem.Fingerprint(1, req.GetPromotionCodeId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ArchivePromotionCodeResponse, error) {
		p, err := s.lockPromotionCode(ctx, tx, req.GetPromotionCodeId())
		if err != nil {
			return nil, err
		}
		if p.ArchiveTime == nil {
			p.ArchiveTime = &now
			if err := s.savePromotionCode(ctx, tx, p); err != nil {
				return nil, err
			}
		}
		out, err := s.promotionCode(ctx, tx, p.ID)
		return &checkoutv1.ArchivePromotionCodeResponse{PromotionCode: out}, err
	})
}

// ListPromotionCodes implements CatalogService.
func (s *Service) ListPromotionCodes(ctx context.Context, req *checkoutv1.ListPromotionCodesRequest) (*checkoutv1.ListPromotionCodesResponse, error) {
	if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
		return nil, err
	}
	name := page.List("promotion codes", &checkoutv1.ListPromotionCodesRequest{EventId: req.GetEventId()})
	after, err := page.Parse(req.GetPageToken(), name, page.Cursor{Time: time.Unix(0, 0)})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	rows, err := s.q.ListPromotionCodes(ctx, s.Pool, req.GetEventId(), after.Time, after.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list promotion codes: %w", err)
	}
	res := &checkoutv1.ListPromotionCodesResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1].PromotionCode
		res.NextPageToken = page.Token(name, page.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, row := range rows {
		res.PromotionCodes = append(res.PromotionCodes, promotionCodeToProto(row.PromotionCode, row.Discounted, row.Unlocked))
	}
	return res, nil
}

func promotionCodeToProto(p checkoutdb.PromotionCode, discounted, unlocked []string) *checkoutv1.PromotionCode {
	out := &checkoutv1.PromotionCode{
		Id: p.ID, EventId: p.EventID, Code: p.Code, VariantIds: discounted, UnlockedVariantIds: unlocked,
		StartTime: wire.TimeToProto(p.StartTime), EndTime: wire.TimeToProto(p.EndTime), OrderLimit: orderstore.Number(p.OrderLimit),
		BuyerOrderLimit: orderstore.Number(p.BuyerOrderLimit), UsedOrderCount: p.UsedOrderCount, CreateTime: timestamppb.New(p.CreateTime),
		ArchiveTime: wire.TimeToProto(p.ArchiveTime), UpdateNumber: p.UpdateNumber,
	}
	if p.BasisPoints != nil || p.AmountMinorUnits != nil {
		out.Discount = &checkoutv1.PromotionDiscount{BasisPoints: orderstore.Number(p.BasisPoints), PerTicket: p.PerTicket}
		if p.AmountMinorUnits != nil {
			out.Discount.Amount = wire.MoneyToProto(p.Currency, *p.AmountMinorUnits)
		}
	}
	return out
}
