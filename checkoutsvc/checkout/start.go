package checkout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/personal"
)

// insertTimeout bounds the transaction of an order. It is long for a queue at the row of a variant's stock.
const insertTimeout = 15 * time.Second

// StartCheckout implements CheckoutService. The order, its hold and its intent row are written in one transaction
// together with the key; Stripe is called after it with a key of the row. A repeat finds the order by the key and goes
// on where the first call ended. A free order is written with its tickets, and fulfilled.
func (s *Service) StartCheckout(ctx context.Context, req *checkoutv1.StartCheckoutRequest) (*checkoutv1.StartCheckoutResponse, error) {
	if _, err := smtp.ParseAddress(req.GetBuyer().GetEmail()); err != nil {
		return nil, problem.InvalidField("buyer.email", err.Error())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// From here on a caller that hangs up ends its own waiting and nothing else: stock that is taken gets its intent.
	insertCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	o, replay, err := s.insertOrder(insertCtx, req)
	if err != nil {
		return nil, err
	}
	crash.At(crash.CheckoutStartWritten)
	if o.Free() {
		if o.BeingFulfilled() {
			o = s.Payments.Fulfilment.AttemptOrJoin(ctx, o, !replay)
		}
		return &checkoutv1.StartCheckoutResponse{Order: orderproto.BuyerOrderToProto(&o, s.Codes), OrderAccessToken: s.Tokens.Sign(o.ID)}, nil
	}
	o, err = s.Payments.FinishIntents(ctx, o)
	if err != nil {
		return nil, err
	}
	p := o.Intents[0]
	if p.Refused() {
		return nil, stripecalls.Refused(p.FailureCode)
	}
	return &checkoutv1.StartCheckoutResponse{
		Order: orderproto.BuyerOrderToProto(&o, s.Codes), OrderAccessToken: s.Tokens.Sign(o.ID),
		PaymentIntentId: p.StripeID, PaymentClientSecret: p.ClientSecret, StripeAccount: p.StripeAccount,
	}, nil
}

// insertOrder writes the order, its lines, hold and intent row, and takes the stock, all in one transaction with the
// key. It returns the order of the key: this one, or, for a replay, that of an earlier call.
func (s *Service) insertOrder(ctx context.Context, req *checkoutv1.StartCheckoutRequest) (o order.Order, replay bool, err error) {
	policy, now := s.Orders.Policy, s.Orders.Clock.Now()
	id := policy.NewID()
	err = pgx.BeginFunc(ctx, s.Orders.Pool, func(tx pgx.Tx) (err error) {
		if id, replay, err = idem.Claim(ctx, tx, now, fingerprint(req), id); err != nil || replay {
			return err
		}
		event, offers, err := s.offers(ctx, tx, req, now)
		if err != nil {
			return err
		}
		place, err := s.placeOf(ctx, event, req.GetWaitingRoomToken(), now)
		if err != nil {
			return err
		}
		cart := cartFromProto(id, req)
		if cart.Promotion, err = s.promotion(ctx, tx, req); err != nil {
			return orderstore.ToProblem(err)
		}
		if o, err = order.Quote(event, offers, cart, policy, now); err != nil {
			return orderstore.ToProblem(err)
		}
		o.WaitingRoomNumber = place
		return s.Orders.Insert(ctx, tx, &o, s.holdTerms(ctx))
	})
	if err == nil && replay {
		o, err = s.Orders.Read(ctx, orderstore.Key{ID: id})
	}
	return o, replay, err
}

// holdTerms are the terms on which the order of the caller of ctx keeps stock. Nobody in a private network is counted by it.
func (s *Service) holdTerms(ctx context.Context) orderstore.HoldTerms {
	terms := s.HoldTerms
	if n := rpc.NetworkFrom(ctx); n.Known() && !n.Private() {
		terms.NetworkKey = new(s.Tokens.NetworkKey(n))
	}
	return terms
}

// placeOf is the number in the event's waiting room that the checkout is of; nil where nobody waits, and for staff.
//
// Problems: WAITING_ROOM_REQUIRED.
func (s *Service) placeOf(ctx context.Context, e order.Event, token string, now time.Time) (*int64, error) {
	if !e.WaitingRoom || rpc.CallerFrom(ctx).Role >= rpc.RoleOperator {
		return nil, nil
	}
	number, err := s.Places.Admission(token, e.ID, now)
	return &number, err
}

// offers loads an event and those of its variants that a cart names: an event may have more than a cart can. Drafts are there for staff
// only, who are told that they are not on sale.
func (s *Service) offers(ctx context.Context, tx pgx.Tx, req *checkoutv1.StartCheckoutRequest, now time.Time) (order.Event, []order.Offer, error) {
	e, err := s.q.KeepEventForSale(ctx, tx, req.GetEventId())
	draft := err == nil && order.Publication(e.Publication) == order.EventDraft
	if errors.Is(err, pgx.ErrNoRows) || draft && rpc.CallerFrom(ctx).Role < rpc.RoleOperator {
		return order.Event{}, nil, problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")
	}
	if err != nil {
		return order.Event{}, nil, fmt.Errorf("get event: %w", err)
	}
	ids := make([]string, len(req.GetLines()))
	for i, line := range req.GetLines() {
		ids[i] = line.GetVariantId()
	}
	variants, err := s.q.ListVariants(ctx, tx, checkoutdb.ListVariantsParams{Now: now, VariantIds: ids, VariantCount: int32(len(ids))})
	if err != nil {
		return order.Event{}, nil, fmt.Errorf("list variants: %w", err)
	}
	var offers []order.Offer
	for _, v := range variants {
		if v.EventID == e.ID { // else it is not on sale here
			offers = append(offers, offerFromRow(v))
		}
	}
	return eventFromRow(e), offers, nil
}

func eventFromRow(e checkoutdb.KeepEventForSaleRow) order.Event {
	return order.Event{
		ID: e.ID, OrganizerID: e.OrganizerID, OrganizerName: e.OrganizerName, Name: e.Name,
		Venue: order.SnapshotVenue{
			Name: e.VenueName, Address: e.VenueAddress, TimeZone: e.TimeZone, Latitude: e.Latitude, Longitude: e.Longitude,
		},
		Schedule: order.Schedule{
			Number: e.ScheduleNumber, DoorsTime: e.DoorsTime, StartTime: e.StartTime, EndTime: e.EndTime, CancelTime: e.CancelTime,
		},
		Publication: order.Publication(e.Publication), BuyerTicketLimit: orderstore.Number(e.BuyerTicketLimit),
		WaitingRoom:  e.WaitingRoom,
		RefundPolicy: orderstore.RefundPolicy(e.BuyerRefundSeconds, e.RefundKeptBasisPoints, e.RefundApplicationFee),
	}
}

func offerFromRow(v checkoutdb.ListVariantsRow) order.Offer {
	return order.Offer{
		VariantID: v.ID, Version: v.Version, ProductName: v.ProductName, Name: v.Name, Currency: v.Currency, Price: v.PriceMinorUnits,
		ApplicationFee: v.ApplicationFeeMinorUnits, Tax: v.TaxMinorUnits, TaxCountry: v.TaxCountry, TaxKind: v.TaxKind, Terms: v.Terms,
		SaleStartTime: v.SaleStartTime, SaleEndTime: v.SaleEndTime, OrderTicketLimit: v.OrderTicketLimit,
		OrganizerCannotSell: v.OrganizerCannotSell, State: order.VariantState(v.State), BuyerTicketLimit: orderstore.Number(v.BuyerTicketLimit),
		Seated: v.Seated, NeedsCode: v.NeedsCode,
	}
}

func cartFromProto(orderID string, req *checkoutv1.StartCheckoutRequest) order.Cart {
	cart := order.Cart{
		OrderID: orderID, Language: req.GetBuyer().GetLanguage(),
		BuyerName: personal.Text(req.GetBuyer().GetName()), BuyerEmail: personal.Text(req.GetBuyer().GetEmail()),
	}
	for _, l := range req.GetLines() {
		cart.Lines = append(cart.Lines, order.CartLine{VariantID: l.GetVariantId(), Quantity: l.GetQuantity(), SeatIDs: l.GetSeatIds()})
	}
	if t := req.GetExpectedTotal(); t != nil {
		cart.ExpectedTotal = &order.Amount{Currency: t.GetCurrency(), MinorUnits: t.GetMinorUnits()}
	}
	return cart
}

// fingerprint covers all fields that decide what is bought by whom.
func fingerprint(req *checkoutv1.StartCheckoutRequest) []byte {
	parts := []any{req.GetEventId(), req.GetBuyer().GetName(), req.GetBuyer().GetEmail(), req.GetBuyer().GetLanguage()}
	for _, l := range req.GetLines() {
		parts = append(parts, l.GetVariantId(), l.GetQuantity())
	}
	if t := req.GetExpectedTotal(); t != nil {
		parts = append(parts, t.GetCurrency(), t.GetMinorUnits())
	}
	if code := req.GetPromotionCode(); code != "" { // carts of before there were codes have the fingerprint that they had
		parts = append(parts, strings.ToLower(code))
	}
	base := idem.Fingerprint(1, parts...)
	var seats []any
	for i, l := range req.GetLines() {
		if len(l.GetSeatIds()) > 0 {
			seats = append(seats, i, l.GetSeatIds())
		}
	}
	if len(seats) == 0 { // what callers send who choose no seats has the fingerprint that it had
		return base
	}
	return idem.Fingerprint(2, append([]any{base}, seats...)...)
}
