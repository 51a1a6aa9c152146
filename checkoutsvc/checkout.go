package checkoutsvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// StartCheckout implements CheckoutService. The order, its hold and its intent row are written in one transaction
// together with the key; Stripe is called after it with a key of the row. A repeat finds the order by the key and goes
// on where the first call ended.
func (s *Service) StartCheckout(ctx context.Context, req *checkoutv1.StartCheckoutRequest) (*checkoutv1.StartCheckoutResponse, error) {
	orderID, err := s.insertOrder(ctx, req)
	if err != nil {
		return nil, err
	}
	crash.At(crash.CheckoutStartWritten)
	o, err := s.linkIntents(ctx, orderID)
	if err != nil {
		return nil, err
	}
	p := o.Intents[0]
	return &checkoutv1.StartCheckoutResponse{
		Order: s.buyerOrder(o), OrderAccessToken: s.tokens.sign(o.ID),
		PaymentIntentId: *p.StripeID, PaymentClientSecret: p.ClientSecret, StripeAccount: p.StripeAccount,
	}, nil
}

// quote is a cart with the versions and prices of now.
type quote struct {
	event checkoutdb.Event
	lines []quoteLine
	total int64
	fee   int64
	taxes []taxShare
	cur   string
}

type quoteLine struct {
	variant  checkoutdb.ListVariantsRow
	quantity int64
}

// taxShare is a tax contained in an order's total, as its row keeps it.
type taxShare struct {
	Country    string `json:"country"`
	Kind       string `json:"kind"`
	MinorUnits int64  `json:"minor_units"`
}

// quote looks the cart up and prices it. It checks all that does not depend on stock.
func (s *Service) quote(ctx context.Context, tx pgx.Tx, req *checkoutv1.StartCheckoutRequest, now time.Time) (*quote, error) {
	event, err := s.q.GetEvent(ctx, tx, req.GetEventId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")
	}
	if err != nil {
		return nil, fmt.Errorf("get event: %w", err)
	}
	variants, err := s.q.ListVariants(ctx, tx, &event.ID, nil)
	if err != nil {
		return nil, fmt.Errorf("list variants: %w", err)
	}
	q := &quote{event: event}
	taxes := map[[2]string]int64{}
	seen := map[string]bool{}
	for i, line := range req.GetLines() {
		at := slices.IndexFunc(variants, func(v checkoutdb.ListVariantsRow) bool { return v.ID == line.GetVariantId() })
		if at < 0 {
			return nil, problem.New(connect.CodeNotFound, "VARIANT_NOT_FOUND", fmt.Sprintf("lines[%d]: the event has no such variant", i))
		}
		v := variants[at]
		quantity := int64(line.GetQuantity())
		switch {
		case seen[v.ID]:
			return nil, problem.InvalidField(fmt.Sprintf("lines[%d].variant_id", i), "the variant is in another line already, add to its quantity")
		case v.SaleStartTime != nil && now.Before(*v.SaleStartTime), v.SaleEndTime != nil && !now.Before(*v.SaleEndTime):
			return nil, problem.New(connect.CodeFailedPrecondition, "SALE_NOT_OPEN", "this variant is not on sale now, see its sale times")
		case v.OrganizerCannotSell:
			return nil, problem.New(connect.CodeFailedPrecondition, "ORGANIZER_CANNOT_SELL",
				"the organiser cannot take money now, try again later with a new key")
		case quantity > int64(v.OrderTicketLimit):
			return nil, problem.New(connect.CodeResourceExhausted, "ORDER_TICKET_LIMIT",
				fmt.Sprintf("lines[%d]: one order may have at most %d tickets of this variant", i, v.OrderTicketLimit))
		case q.cur != "" && q.cur != v.Currency:
			return nil, problem.New(connect.CodeInvalidArgument, "CURRENCY_MISMATCH", "all lines of an order are of one currency, make an order per currency")
		}
		seen[v.ID], q.cur = true, v.Currency
		q.lines = append(q.lines, quoteLine{variant: v, quantity: quantity})
		q.total += v.PriceMinorUnits * quantity
		q.fee += v.ApplicationFeeMinorUnits * quantity
		if v.TaxMinorUnits > 0 {
			taxes[[2]string{v.TaxCountry, v.TaxKind}] += v.TaxMinorUnits * quantity
		}
	}
	for _, place := range slices.SortedFunc(maps.Keys(taxes), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		q.taxes = append(q.taxes, taxShare{Country: place[0], Kind: place[1], MinorUnits: taxes[place]})
	}
	if want := req.GetExpectedTotal(); want != nil {
		if want.GetCurrency() != q.cur {
			return nil, problem.New(connect.CodeInvalidArgument, "CURRENCY_MISMATCH", "expected_total.currency: the order is in "+q.cur)
		}
		if want.GetMinorUnits() != q.total {
			return nil, problem.New(connect.CodeFailedPrecondition, "TOTAL_CHANGED",
				fmt.Sprintf("the total is %d minor units now, show it to the buyer and try again with a new key", q.total))
		}
	}
	return q, nil
}

// insertOrder writes the order, its lines, hold and intent row, and takes the stock, all in one transaction with the
// key. It returns the order of the key: this one, or that of an earlier call.
func (s *Service) insertOrder(ctx context.Context, req *checkoutv1.StartCheckoutRequest) (string, error) {
	id, now := newID(), s.Clock.Now()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		w := s.newWrites(&order{Order: checkoutdb.Order{ID: id}})
		first, replay, err := idem.Claim(ctx, tx, now, startCheckoutFingerprint(req), id)
		if err != nil {
			return err
		}
		if replay {
			id = first
			return nil
		}
		q, err := s.quote(ctx, tx, req, now)
		if err != nil {
			return err
		}
		must(w.q.InsertOrder(ctx, &w.pipe, checkoutdb.InsertOrderParams{
			ID: id, OrganizerID: q.event.OrganizerID, EventID: q.event.ID,
			BuyerName: req.GetBuyer().GetName(), BuyerEmail: req.GetBuyer().GetEmail(), Language: req.GetBuyer().GetLanguage(),
			Currency: q.cur, TotalMinorUnits: q.total, ApplicationFeeMinorUnits: q.fee, Taxes: writeTaxes(q.taxes), CreateTime: now,
		}))
		for i, l := range q.lines {
			must(w.q.InsertOrderLine(ctx, &w.pipe, checkoutdb.InsertOrderLineParams{
				OrderID: id, Position: int32(i + 1), VariantID: l.variant.ID, VariantVersion: l.variant.Version,
				ProductName: l.variant.ProductName, VariantName: l.variant.Name, Quantity: int32(l.quantity),
				UnitPriceMinorUnits: l.variant.PriceMinorUnits, Snapshot: newSnapshot(q.event, l.variant),
			}))
		}
		must(w.q.InsertHold(ctx, &w.pipe, id, s.Config.HoldDuration.Seconds()))
		w.insertFirstIntent(ctx, q)
		w.takeStock(q.lines)
		return w.pipe.Flush(ctx, tx)
	})
	return id, err
}

// insertFirstIntent writes down which intent we are going to ask Stripe for.
func (w *writes) insertFirstIntent(ctx context.Context, q *quote) {
	must(w.q.InsertPaymentIntent(ctx, &w.pipe, checkoutdb.InsertPaymentIntentParams{
		ID: newID(), OrderID: w.order.ID, Number: 1, Currency: q.cur, AmountMinorUnits: q.total,
		Status: intentRequiresPaymentMethod, StatusTime: zeroTime, CreateTime: w.now,
	}))
}

// takeStock takes the lines' tickets, in the order of variants. It is queued last: everybody who buys of a variant
// waits for its row until the one before has committed.
func (w *writes) takeStock(lines []quoteLine) {
	sorted := slices.SortedFunc(slices.Values(lines), func(a, b quoteLine) int {
		if a.variant.ID < b.variant.ID {
			return -1
		}
		return 1
	})
	for _, l := range sorted {
		w.pipe.ExecThen(func(rows int64) error {
			if rows == 1 {
				return nil
			}
			return problem.New(connect.CodeResourceExhausted, "SOLD_OUT",
				"there are not enough tickets of "+l.variant.Name+" left; holds of others may end, try again later with a new key")
		}, takeStockSQL, l.variant.ID, l.quantity)
	}
}

// takeStockSQL is TakeStock of variant.sql, for a pipeline that looks at the number of rows.
const takeStockSQL = `update stock set taken = taken + $2 where variant_id = $1 and taken + $2 <= capacity`

// linkIntents asks Stripe for the intents of an order whose id is not known yet and writes the answers down. Asking
// twice, or at once, returns the same intent: the key is of the row. It returns the order with all its intents known.
//
// Problems: ORDER_NOT_FOUND, PAYMENT_PROVIDER_UNAVAILABLE.
func (s *Service) linkIntents(ctx context.Context, orderID string) (*order, error) {
	o, err := readOrder(ctx, s.Pool, orderKey{ID: orderID})
	if err != nil {
		return nil, err
	}
	for i := range o.Intents {
		p := &o.Intents[i]
		if p.StripeID != nil {
			continue
		}
		pi, err := s.stripe.createIntent(ctx, createIntentOrder{
			OrderID: p.OrderID, Number: p.Number, StripeAccount: p.StripeAccount,
			Currency: p.Currency, AmountMinorUnits: p.AmountMinorUnits,
		})
		if err != nil {
			return nil, stripeProblem(fmt.Errorf("create payment intent: %w", err))
		}
		crash.At(crash.CheckoutStartAsked)
		if err := s.q.LinkPaymentIntent(ctx, s.Pool, p.ID, &pi.ID, pi.ClientSecret); err != nil {
			return nil, fmt.Errorf("link payment intent: %w", err)
		}
		p.StripeID, p.ClientSecret = &pi.ID, pi.ClientSecret
	}
	return o, nil
}

// CompleteCheckout implements CheckoutService. The browser's claim starts nothing by itself: the intent is fetched from
// Stripe, and what Stripe says is recorded like a webhook's observation.
func (s *Service) CompleteCheckout(ctx context.Context, req *checkoutv1.CompleteCheckoutRequest) (*checkoutv1.CompleteCheckoutResponse, error) {
	if err := s.authorizeBuyer(ctx, req.GetOrderId()); err != nil {
		return nil, err
	}
	o, err := readOrder(ctx, s.Pool, orderKey{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId(), req.GetPaymentIntentId())
	if o.PayingIntent != nil && *o.PayingIntent == req.GetPaymentIntentId() {
		o, err = s.joinCompletion(ctx, o, fingerprint)
	} else {
		o, err = s.complete(ctx, o, req.GetPaymentIntentId(), fingerprint)
	}
	if err != nil {
		return nil, err
	}
	return &checkoutv1.CompleteCheckoutResponse{Order: s.buyerOrder(o)}, nil
}

// joinCompletion stores the key of a claim that is known to be true already, and waits for the walk if it goes on.
func (s *Service) joinCompletion(ctx context.Context, o *order, fingerprint []byte) (*order, error) {
	var b pgx.Batch
	if _, err := idem.QueueClaim(ctx, &b, s.Clock.Now(), fingerprint, o.ID); err != nil {
		return nil, err
	}
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	if o.inWalk() {
		return s.walkOrJoin(ctx, o, false)
	}
	return o, nil
}

// complete checks the claim that an intent of the order succeeded and goes on with the order.
func (s *Service) complete(ctx context.Context, o *order, intentID string, fingerprint []byte) (*order, error) {
	account := o.Intents[0].StripeAccount
	pi, err := s.stripe.getIntent(ctx, account, intentID)
	if stripeNotFound(err) {
		return nil, errNotOurIntent
	}
	if err != nil {
		return nil, stripeProblem(fmt.Errorf("get payment intent: %w", err))
	}
	ob := observed(pi, account, s.Clock.Now())
	if ob.OrderID != o.ID {
		return nil, errNotOurIntent
	}
	if !ob.captured() {
		return nil, paymentProblem("PAYMENT_NOT_SUCCEEDED", "the payment is %s at Stripe; confirm it, or wait for it, and try again", ob.Status)
	}
	merged := checkoutdb.PaymentIntent{CapturedMinorUnits: ob.ReceivedMinorUnits}
	if mismatch := s.intentMismatch(o, merged, ob); mismatch != "" {
		return nil, paymentProblem("PAYMENT_MISMATCH", "the payment's %s does not fit the order; staff will look at it", mismatch)
	}
	return s.observe(ctx, ob, fingerprint)
}

// errNotOurIntent hides whether somebody else's intent exists.
var errNotOurIntent = problem.New(connect.CodeNotFound, "PAYMENT_INTENT_NOT_FOUND", "the order has no such payment intent")

// GetOrder implements CheckoutService.
func (s *Service) GetOrder(ctx context.Context, req *checkoutv1.GetOrderRequest) (*checkoutv1.GetOrderResponse, error) {
	if err := s.authorizeBuyer(ctx, req.GetOrderId()); err != nil {
		return nil, err
	}
	o, err := readOrder(ctx, s.Pool, orderKey{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.GetOrderResponse{Order: s.buyerOrder(o)}, nil
}

// writeTaxes and readTaxes move tax shares into and out of their column.
func writeTaxes(taxes []taxShare) json.RawMessage {
	if len(taxes) == 0 {
		return json.RawMessage("[]")
	}
	b, err := json.Marshal(taxes)
	if err != nil {
		panic("taxes cannot be written: " + err.Error())
	}
	return b
}

func readTaxes(column json.RawMessage) ([]taxShare, error) {
	var taxes []taxShare
	if err := json.Unmarshal(column, &taxes); err != nil {
		return nil, fmt.Errorf("read taxes: %w", err)
	}
	return taxes, nil
}

// startCheckoutFingerprint covers all fields that decide what is bought by whom.
func startCheckoutFingerprint(req *checkoutv1.StartCheckoutRequest) []byte {
	parts := []any{req.GetEventId(), req.GetBuyer().GetName(), req.GetBuyer().GetEmail(), req.GetBuyer().GetLanguage()}
	for _, l := range req.GetLines() {
		parts = append(parts, l.GetVariantId(), l.GetQuantity())
	}
	if t := req.GetExpectedTotal(); t != nil {
		parts = append(parts, t.GetCurrency(), t.GetMinorUnits())
	}
	return idem.Fingerprint(1, parts...)
}
