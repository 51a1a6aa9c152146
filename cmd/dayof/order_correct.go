package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

func orderCorrectCommand() command {
	return command{
		name: "order correct", args: "ID", about: "correct the buyer's name, mail address or language, and mail the receipt again", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			name := flags.String("name", "", "the buyer's name; empty: as it was")
			email := flags.String("email", "", "the buyer's mail address; empty: as it was")
			language := flags.String("language", "", "the buyer's language; empty: as it was")
			note := flags.String("note", "", "why, for the timeline, without personal data")
			overLimit := flags.Bool("over-limit", false, "whether the address may have more tickets than the event allows one")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the order's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				details, err := system.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: args[0]})
				if err != nil {
					return err
				}
				buyer := details.GetBuyer()
				for _, f := range []struct{ field, flag *string }{{&buyer.Name, name}, {&buyer.Email, email}, {&buyer.Language, language}} {
					if *f.flag != "" {
						*f.field = *f.flag
					}
				}
				_, err = system.Orders.CorrectBuyer(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.CorrectBuyerRequest{
					OrderId: args[0], Buyer: buyer, Note: *note, OverLimit: *overLimit,
				})
				if err != nil {
					return err
				}
				return h.printDone(args[0], true, "the buyer is corrected; the receipt is mailed within seconds")
			}
		},
	}
}
