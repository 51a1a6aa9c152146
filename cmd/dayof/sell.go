package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
)

// ticketsMax is the most that one order line may ask for.
const ticketsMax = 100

func sellCommand() command {
	return command{
		name: "sell", args: "[-event E] [-variant V] [-tickets N] [-via ui|webhook|both]",
		about: "make one sale and wait for its tickets", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			event := flags.String("event", "", "`ID` of the event; default: the first with tickets left")
			variant := flags.String("variant", "", "`ID` of the variant; default: the first with tickets left")
			tickets := flags.Int("tickets", 1, "number of tickets, 1 to 100")
			via := flags.String("via", "both", "how the payment becomes known: ui, webhook or both")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				way, err := client.ParseVia(*via)
				if err != nil {
					return usagef("%v", err)
				}
				if *tickets < 1 || *tickets > ticketsMax {
					return usagef("-tickets is 1 to %d", ticketsMax)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				sale, err := system.Sell(ctx, client.Purchase{
					EventID: *event, VariantID: *variant, Tickets: int32(*tickets), Via: way,
				})
				if err != nil {
					return err
				}
				return h.printJSON(sale)
			}
		},
	}
}
