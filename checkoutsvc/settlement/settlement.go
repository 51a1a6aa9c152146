// Package settlement implements SettlementService: what orders know of money, for who compares it with other books.
package settlement

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// orderMoneyPage is the size of a page of lines when the request does not say.
const orderMoneyPage = 500

// Service implements SettlementService. All exported fields are required.
type Service struct {
	Pool *pgxpool.Pool

	q checkoutdb.Queries
}

// ListOrderMoney implements SettlementService.
func (s *Service) ListOrderMoney(ctx context.Context, req *checkoutv1.ListOrderMoneyRequest) (*checkoutv1.ListOrderMoneyResponse, error) {
	named := len(req.GetIds()) > 0 || len(req.GetOrderIds()) > 0
	if named && (req.GetFromTime() != nil || req.GetUntilTime() != nil || req.GetPageToken() != "") {
		return nil, problem.InvalidField("ids", "stand alone, without a span of time and a page")
	}
	if named {
		return s.findOrderMoney(ctx, req)
	}
	params, err := orderMoneySpan(req)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.ListOrderMoney(ctx, s.Pool, params)
	if err != nil {
		return nil, fmt.Errorf("list order money: %w", err)
	}
	res := &checkoutv1.ListOrderMoneyResponse{}
	if size := int(params.PageSize) - 1; len(rows) > size {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(orderMoneyList(req), page.Cursor{Time: last.Time, ID: last.ID})
	}
	for _, row := range rows {
		res.Lines = append(res.Lines, orderMoneyToProto(row))
	}
	return res, nil
}

// findOrderMoney answers for ids, and says which orders exist.
func (s *Service) findOrderMoney(ctx context.Context, req *checkoutv1.ListOrderMoneyRequest) (*checkoutv1.ListOrderMoneyResponse, error) {
	res := &checkoutv1.ListOrderMoneyResponse{}
	if len(req.GetIds()) > 0 {
		rows, err := s.q.FindOrderMoney(ctx, s.Pool, req.GetIds())
		if err != nil {
			return nil, fmt.Errorf("find order money: %w", err)
		}
		for _, row := range rows {
			res.Lines = append(res.Lines, orderMoneyToProto(checkoutdb.ListOrderMoneyRow(row)))
		}
	}
	if len(req.GetOrderIds()) > 0 {
		known, err := s.q.KnownOrders(ctx, s.Pool, req.GetOrderIds())
		if err != nil {
			return nil, fmt.Errorf("find orders: %w", err)
		}
		res.KnownOrderIds = known
	}
	return res, nil
}

// orderMoneySpan reads times and page; it asks for a row more than the page has, to know whether there is a next one.
func orderMoneySpan(req *checkoutv1.ListOrderMoneyRequest) (checkoutdb.ListOrderMoneyParams, error) {
	p := checkoutdb.ListOrderMoneyParams{UntilTime: page.AfterAll.Time, PageSize: orderMoneyPage + 1}
	if req.GetPageSize() > 0 {
		p.PageSize = req.GetPageSize() + 1
	}
	for _, bound := range []struct {
		path string
		time *timestamppb.Timestamp
		into *time.Time
	}{{"from_time", req.GetFromTime(), &p.FromTime}, {"until_time", req.GetUntilTime(), &p.UntilTime}} {
		if bound.time == nil {
			continue
		}
		if !bound.time.IsValid() {
			return p, problem.InvalidField(bound.path, "must be a time in the years 1 to 9999")
		}
		*bound.into = bound.time.AsTime()
	}
	after, err := page.Parse(req.GetPageToken(), orderMoneyList(req), page.Cursor{Time: time.Time{}.AddDate(1, 0, 0)})
	p.AfterTime, p.AfterID = after.Time, after.ID
	return p, err
}

// orderMoneyList names the list that a page belongs to, span of time included.
func orderMoneyList(req *checkoutv1.ListOrderMoneyRequest) string {
	return page.List("order money", &checkoutv1.ListOrderMoneyRequest{FromTime: req.GetFromTime(), UntilTime: req.GetUntilTime()})
}

func orderMoneyToProto(row checkoutdb.ListOrderMoneyRow) *checkoutv1.OrderMoney {
	fulfilment := order.FulfilmentState(row.Fulfilment)
	beingFulfilled := fulfilment == order.FulfilmentInProgress || fulfilment == order.FulfilmentLedgerBlocked
	return &checkoutv1.OrderMoney{
		Kind: checkoutv1.OrderMoneyKind(row.Kind), Id: row.ID, OrderId: row.OrderID, OrganizerId: row.OrganizerID,
		PaymentIntentId: row.PaymentIntent, StripeAccount: row.StripeAccount, Amount: wire.MoneyToProto(row.Currency, row.MinorUnits),
		Time: timestamppb.New(row.Time), ChargeId: row.ChargeID, Mismatch: row.Mismatch, InProgress: row.Paying && beingFulfilled,
		FulfilmentState: orderproto.FulfilmentToProto[fulfilment], RefundState: orderproto.RefundStateToProto[order.RefundState(row.RefundState)],
		RefundAtStripe: row.RefundAtStripe, DisputeId: row.DisputeID,
	}
}
