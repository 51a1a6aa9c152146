package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

func orderShowCommand() command {
	return command{
		name: "order show", args: "ID", about: "show an order with its money, passes, postings and timeline",
		driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the order's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				order, err := system.Order(ctx, args[0])
				if err != nil {
					return err
				}
				return h.printJSON(order)
			}
		},
	}
}

func orderRefundCommand() command {
	return command{
		name: "order refund", args: "ID [-ticket T] [-amount N] [-payment P]", about: "send money of an order back and wait until Stripe has it",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			ticket := flags.String("ticket", "", "`ID` of the ticket to refund and void; default: by amount")
			amount := flags.Int64("amount", 0, "minor units to send back; default: the ticket's price, or all that is left")
			intent := flags.String("payment", "", "`ID` at Stripe of the payment whose money goes back, such as a duplicate one; default: the order's")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the order's id"); err != nil {
					return err
				}
				if *amount < 0 {
					return usagef("-amount is above zero")
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				order, err := refund(ctx, system, args[0], *ticket, *intent, *amount)
				if err != nil {
					return err
				}
				return h.printJSON(order)
			}
		},
	}
}

// refund asks for a refund, waits until Stripe has taken it, and returns the order as it then is.
func refund(ctx context.Context, system *client.Client, orderID, ticketID, intentID string, amount int64) (client.Order, error) {
	request := &checkoutv1.RefundOrderRequest{OrderId: orderID, Note: "dayof order refund", PaymentIntentId: intentID}
	if ticketID != "" {
		request.TicketIds = []string{ticketID}
	}
	if amount > 0 {
		order, err := system.Order(ctx, orderID)
		if err != nil {
			return client.Order{}, err
		}
		request.Amount = &moneyv1.Money{Currency: order.Payment.Currency, MinorUnits: amount}
	}
	res, err := system.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), request)
	if err != nil {
		return client.Order{}, err
	}
	id, state := res.GetRefund().GetId(), checkoutv1.RefundState_REFUND_STATE_REQUESTED
	_, err = system.Await(ctx, orderID, func(o *checkoutv1.Order) bool {
		for _, r := range o.GetRefunds() {
			if r.GetId() == id {
				state = r.GetState()
			}
		}
		return state > checkoutv1.RefundState_REFUND_STATE_PENDING
	})
	if err != nil {
		return client.Order{}, fmt.Errorf("refund %s is %s: %w", id, client.Word(state), err)
	}
	if state != checkoutv1.RefundState_REFUND_STATE_SUCCEEDED {
		return client.Order{}, errors.New("refund " + id + " is " + client.Word(state))
	}
	return system.Order(ctx, orderID)
}
