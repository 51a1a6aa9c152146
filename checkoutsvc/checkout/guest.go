package checkout

import (
	"context"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/personal"
)

const (
	// guestTicketsMax is how many tickets one guest gets, and invitedTicketsMax how many all of a batch: as many as the largest order has.
	guestTicketsMax, invitedTicketsMax = 10, 2000
)

// Invite is ImportGuests of OrderService. A check has no effect and keeps no key. All orders are written in one transaction with the key; the sweep for due orders fulfils them.
func (s *Service) Invite(ctx context.Context, req *checkoutv1.ImportGuestsRequest) (*checkoutv1.ImportGuestsResponse, error) {
	faults, tickets, err := guestFaults(req)
	if err != nil {
		return nil, err
	}
	if req.GetCheckOnly() {
		return &checkoutv1.ImportGuestsResponse{Faults: faults}, nil
	}
	wrong := make([]problem.Field, len(faults))
	for i, f := range faults {
		wrong[i] = problem.Field{Path: f.GetField(), Description: f.GetDescription()}
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return nil, err
	}
	if tickets > invitedTicketsMax {
		return nil, problem.InvalidField("guests", fmt.Sprintf("have %d tickets together, more than %d: import them in several batches", tickets, invitedTicketsMax))
	}
	now := s.Orders.Clock.Now()
	res, err := idem.Do(ctx, s.Orders.Pool, now, guestFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ImportGuestsResponse, error) {
		event, offers, err := s.offers(ctx, tx, &checkoutv1.StartCheckoutRequest{
			EventId: req.GetEventId(), Lines: []*checkoutv1.CartLine{{VariantId: req.GetVariantId()}},
		}, now)
		if err != nil {
			return nil, err
		}
		if len(offers) == 0 {
			return nil, problem.New(connect.CodeNotFound, string(order.ReasonVariantNotFound), "the event has no such variant")
		}
		res := &checkoutv1.ImportGuestsResponse{}
		orders := make([]order.Order, len(req.GetGuests()))
		for i, g := range req.GetGuests() {
			orders[i], err = order.Invite(event, offers[0], order.Guest{
				OrderID: s.Orders.Policy.NewID(), Name: personal.Text(g.GetName()), Email: personal.Text(g.GetEmail()), Language: g.GetLanguage(), Quantity: g.GetQuantity(),
			}, s.Orders.Policy, now)
			if err != nil {
				return nil, orderstore.ToProblem(err)
			}
			res.OrderIds = append(res.OrderIds, orders[i].ID)
		}
		return res, s.Orders.InsertInvited(ctx, tx, orders, order.NothingToPay{Later: true, By: rpc.CallerFrom(ctx).Name, Note: req.GetNote()})
	})
	if err == nil {
		s.Payments.Fulfilment.SweepNow()
	}
	return res, err
}

// guestFaults says what is wrong with the guests of a request: what would be wrong with buyers, and their numbers of tickets.
func guestFaults(req *checkoutv1.ImportGuestsRequest) (faults []*checkoutv1.GuestFault, tickets int64, err error) {
	for i, g := range req.GetGuests() {
		add := func(field, description string) {
			faults = append(faults, &checkoutv1.GuestFault{GuestIndex: int32(i), Field: fmt.Sprintf("guests[%d].%s", i, field), Description: description})
		}
		err := protovalidate.Validate(&checkoutv1.Buyer{Name: g.GetName(), Email: g.GetEmail(), Language: g.GetLanguage()})
		invalid, isInvalid := errors.AsType[*protovalidate.ValidationError](err)
		switch _, badAddress := smtp.ParseAddress(g.GetEmail()); {
		case isInvalid:
			for _, v := range invalid.Violations {
				add(protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetMessage())
			}
		case err != nil:
			return nil, 0, fmt.Errorf("validate guest: %w", err)
		case badAddress != nil:
			add("email", badAddress.Error())
		}
		if n := g.GetQuantity(); n < 1 || n > guestTicketsMax {
			add("quantity", fmt.Sprintf("must be from 1 to %d", guestTicketsMax))
		}
		tickets += int64(g.GetQuantity())
	}
	return faults, tickets, nil
}

// guestFingerprint covers who is given what.
func guestFingerprint(req *checkoutv1.ImportGuestsRequest) []byte {
	parts := []any{req.GetEventId(), req.GetVariantId(), req.GetNote()}
	for _, g := range req.GetGuests() {
		parts = append(parts, g.GetName(), g.GetEmail(), g.GetLanguage(), g.GetQuantity())
	}
	return idem.Fingerprint(1, parts...)
}
