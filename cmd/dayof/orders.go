package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/money"
)

// listedOrder is an order in a list, as scripts and people read it.
type listedOrder struct {
	ID              string `json:"order_id"`
	EventID         string `json:"event_id"`
	PaymentState    string `json:"payment_state"`
	FulfilmentState string `json:"fulfilment_state"`
	Currency        string `json:"currency"`
	TotalMinorUnits int64  `json:"total_minor_units"`
	Tickets         int    `json:"tickets"`
	WaitsFor        string `json:"waits_for,omitempty"`
	CreateTime      string `json:"create_time"`
}

// ordersListed is how many orders a list shows.
const ordersListed = 100

func ordersCommand() command {
	return command{
		name: "orders", args: "[-state S] [-event E] [-buyer TEXT]", about: "list the newest 100 orders", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			state := flags.String("state", "", "only `STATE` of fulfilment: "+strings.Join(fulfilmentWords(), ", "))
			event := flags.String("event", "", "only of the event of this `ID`")
			buyer := flags.String("buyer", "", "only whose buyer's name or mail address contains `TEXT`")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				request := &checkoutv1.ListOrdersRequest{EventId: *event, Buyer: *buyer, PageSize: ordersListed}
				if *state != "" {
					at := slices.Index(fulfilmentWords(), *state)
					if at < 0 {
						return usagef("no such state: %s; one of %s", *state, strings.Join(fulfilmentWords(), ", "))
					}
					request.FulfilmentState = checkoutv1.FulfilmentState(at + 1)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				page, err := system.Orders.ListOrders(ctx, request)
				if err != nil {
					return err
				}
				listed := []listedOrder{}
				for _, o := range page.GetOrders() {
					listed = append(listed, listedOrder{
						ID: o.GetId(), EventID: o.GetEventId(), PaymentState: client.Word(o.GetPaymentState()),
						FulfilmentState: client.Word(o.GetFulfilmentState()), Currency: o.GetTotal().GetCurrency(),
						TotalMinorUnits: o.GetTotal().GetMinorUnits(), Tickets: len(o.GetTickets()), WaitsFor: client.WaitsFor(o),
						CreateTime: o.GetCreateTime().AsTime().Format(time.RFC3339),
					})
				}
				return printList(h, listed, "no orders", func(o listedOrder) string {
					line := fmt.Sprintf("%s  %s  %-18s  %-14s  %s", o.CreateTime, o.ID, o.PaymentState, o.FulfilmentState,
						money.Money{Currency: o.Currency, MinorUnits: o.TotalMinorUnits}.Format())
					if o.WaitsFor != "" {
						line += "  waits for " + o.WaitsFor
					}
					return line
				})
			}
		},
	}
}

// fulfilmentWords are the words of -state, in the order of the enum's numbers from 1.
func fulfilmentWords() []string {
	var words []string
	for n := int32(1); ; n++ {
		if _, known := checkoutv1.FulfilmentState_name[n]; !known {
			return words
		}
		words = append(words, client.Word(checkoutv1.FulfilmentState(n)))
	}
}

func orderRetryCommand() command {
	return command{
		name: "order retry", args: "ID", about: "attempt to fulfil an order now that waits for its next attempt", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the order's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Orders.RetryOrder(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.RetryOrderRequest{OrderId: args[0]})
				if err != nil {
					return err
				}
				does := "an attempt begins within seconds; see: " + h.call("order show "+args[0])
				if !res.GetRetried() {
					does = "nothing is retried: the order is " + client.Word(res.GetOrder().GetFulfilmentState()) + " and waits for no attempt"
				}
				return h.printDone(args[0], res.GetRetried(), does)
			}
		},
	}
}

func orderResendCommand() command {
	return command{
		name: "order resend", args: "ID", about: "mail the receipt with the tickets to the buyer once more", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the order's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				_, err = system.Orders.ResendReceipt(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.ResendReceiptRequest{OrderId: args[0]})
				if err != nil {
					return err
				}
				return h.printDone(args[0], true, "the receipt is mailed within seconds")
			}
		},
	}
}

// printDone says what a command did about an order.
func (h host) printDone(orderID string, done bool, does string) error {
	if h.json {
		return h.printJSON(struct {
			OrderID string `json:"order_id"`
			Done    bool   `json:"done"`
			Does    string `json:"does"`
		}{orderID, done, does})
	}
	_, err := fmt.Fprintf(h.stdout, "order %s: %s\n", orderID, does)
	return err
}
