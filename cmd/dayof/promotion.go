package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

func promotionCreateCommand() command {
	return command{
		name: "promotion create", args: "EVENT -code C (-percent P | -amount N [-per-ticket]) ...", about: "make a promotion code of an event",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			code := flags.String("code", "", "`CODE` that buyers type")
			percent := flags.Float64("percent", 0, "`PERCENT` of the price that is off, with at most two decimals")
			amount := flags.Int64("amount", 0, "minor `UNITS` that are off the order")
			currency := flags.String("currency", "EUR", "`CURRENCY` of the amount")
			perTicket := flags.Bool("per-ticket", false, "the amount is off each ticket")
			variants := flags.StringArray("variant", nil, "`ID` of a variant that it is for, may be repeated; default: all of the event")
			orders := flags.Int32("orders", 0, "`NUMBER` of orders that may use it; default: any")
			perBuyer := flags.Int32("buyer-orders", 0, "`NUMBER` of orders of one mail address that may use it; default: any")
			start := flags.String("start", "", "`TIME` at which it begins to hold; default: now")
			end := flags.String("end", "", "`TIME` at which it holds no more; default: never")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				if *code == "" || (*percent > 0) == (*amount > 0) {
					return usagef("-code is missing, or not one of -percent and -amount is given")
				}
				request := &checkoutv1.CreatePromotionCodeRequest{
					EventId: args[0], Code: *code, VariantIds: *variants, OrderLimit: *orders, BuyerOrderLimit: *perBuyer,
					Discount: &checkoutv1.PromotionDiscount{BasisPoints: int32(math.Round(*percent * 100)), PerTicket: *perTicket},
				}
				if *amount > 0 {
					request.Discount.Amount = &moneyv1.Money{Currency: *currency, MinorUnits: *amount}
				}
				for _, t := range []struct {
					flag, text string
					into       **timestamppb.Timestamp
				}{{"-start", *start, &request.StartTime}, {"-end", *end, &request.EndTime}} {
					if t.text == "" {
						continue
					}
					at, err := time.Parse(time.RFC3339, t.text)
					if err != nil {
						return usagef("%s is a time with its distance from UTC, such as 2030-06-01T20:00:00+02:00", t.flag)
					}
					*t.into = timestamppb.New(at)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				made, err := system.Catalog.CreatePromotionCode(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), request)
				if err != nil {
					return err
				}
				return h.printJSON(client.PromotionOf(made.GetPromotionCode()))
			}
		},
	}
}

func promotionArchiveCommand() command {
	return command{
		name: "promotion archive", args: "ID", about: "end a promotion code for good", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the promotion code's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				ended, err := system.Catalog.ArchivePromotionCode(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()),
					&checkoutv1.ArchivePromotionCodeRequest{PromotionCodeId: args[0]})
				if err != nil {
					return err
				}
				return h.printJSON(client.PromotionOf(ended.GetPromotionCode()))
			}
		},
	}
}

func promotionListCommand() command {
	return command{
		name: "promotion list", args: "EVENT", about: "list the first 100 promotion codes of an event, the oldest first", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				page, err := system.Catalog.ListPromotionCodes(ctx, &checkoutv1.ListPromotionCodesRequest{EventId: args[0], PageSize: 100})
				if err != nil {
					return err
				}
				codes := []client.Promotion{}
				for _, p := range page.GetPromotionCodes() {
					codes = append(codes, client.PromotionOf(p))
				}
				return printList(h, codes, "no promotion codes", func(p client.Promotion) string {
					off := fmt.Sprintf("%g %%", float64(p.BasisPoints)/100)
					if p.AmountMinorUnits > 0 {
						off = fmt.Sprintf("%d %s in minor units", p.AmountMinorUnits, p.Currency)
					}
					return fmt.Sprintf("%s  %s  %s off, used by %d orders", p.ID, p.Code, off, p.UsedOrderCount)
				})
			}
		},
	}
}
