package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/server"
)

// openAlert is an incident that is not over, as scripts and people read it.
type openAlert struct {
	ID         string         `json:"id"` // "checkout/3"
	Kind       string         `json:"kind"`
	Subject    string         `json:"subject"`
	Facts      map[string]any `json:"facts"`
	Link       string         `json:"link,omitempty"`
	OpenedTime string         `json:"opened_time"`
}

// alertsListed is how many alerts of each service a list shows.
const alertsListed = 200

func alertsCommand() command {
	return command{
		name: "alerts", about: "list what is wrong now: alerts that are not over", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				listed := []openAlert{}
				for _, service := range server.Services() {
					err := h.withDatabase(ctx, service, func(pool *pgxpool.Pool) error {
						open, err := alert.ListOpen(ctx, pool, alertsListed)
						for _, a := range open {
							listed = append(listed, openAlert{
								ID: service + "/" + strconv.FormatInt(a.ID, 10), Kind: a.Kind, Subject: a.Subject, Facts: a.Facts, Link: a.Link,
								OpenedTime: a.OpenedTime.UTC().Format(time.RFC3339),
							})
						}
						return err
					})
					if err != nil {
						return err
					}
				}
				return printList(h, listed, "no alerts: nothing is wrong that the services know of", func(a openAlert) string {
					facts, _ := json.Marshal(a.Facts) //nolint:errchkjson // it came from JSON
					return fmt.Sprintf("%s  %-14s  %-24s  %s  %s  %s", a.OpenedTime, a.ID, a.Kind, a.Subject, facts, a.Link)
				})
			}
		},
	}
}

// reviewCase is a decision that waits for a person, as scripts and people read it.
type reviewCase struct {
	ID              string            `json:"id"`
	Kind            string            `json:"kind"`
	OrderID         string            `json:"order_id,omitempty"`
	PaymentIntentID string            `json:"payment_intent_id,omitempty"`
	Facts           map[string]string `json:"facts"`
	Action          string            `json:"suggested_action"`
	CreateTime      string            `json:"create_time"`
	ResolveTime     string            `json:"resolve_time,omitempty"`
	Note            string            `json:"resolve_note,omitempty"`
}

func newReviewCase(c *checkoutv1.ReviewCase) reviewCase {
	out := reviewCase{
		ID: c.GetId(), Kind: c.GetKind(), OrderID: c.GetOrderId(), PaymentIntentID: c.GetPaymentIntentId(), Facts: c.GetFacts(),
		Action: c.GetSuggestedAction(), CreateTime: c.GetCreateTime().AsTime().Format(time.RFC3339), Note: c.GetResolveNote(),
	}
	if c.GetResolveTime() != nil {
		out.ResolveTime = c.GetResolveTime().AsTime().Format(time.RFC3339)
	}
	return out
}

func casesListCommand() command {
	return command{
		name: "cases list", args: "[-order ID] [-resolved]", about: "list the newest 100 decisions that wait for a person", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			order := flags.String("order", "", "only of the order of this `ID`")
			resolved := flags.Bool("resolved", false, "also those that were taken")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				page, err := system.Operations.ListReviewCases(ctx, &checkoutv1.ListReviewCasesRequest{
					OrderId: *order, IncludeResolved: *resolved, PageSize: ordersListed,
				})
				if err != nil {
					return err
				}
				listed := []reviewCase{}
				for _, c := range page.GetItems() {
					listed = append(listed, newReviewCase(c))
				}
				return printList(h, listed, "no cases: nothing waits for a person", func(c reviewCase) string {
					return fmt.Sprintf("%s  %s  %-22s  %s\n  %s", c.CreateTime, c.ID, c.Kind, c.OrderID, c.Action)
				})
			}
		},
	}
}

func casesResolveCommand() command {
	return command{
		name: "cases resolve", args: "ID -note TEXT", about: "note how a case was decided and close it", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			note := flags.String("note", "", "`TEXT` that says how it was decided")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the case's id"); err != nil {
					return err
				}
				if *note == "" {
					return usagef("-note is missing: say how it was decided")
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Operations.ResolveReviewCase(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()),
					&checkoutv1.ResolveReviewCaseRequest{ReviewCaseId: args[0], Note: *note})
				if err != nil {
					return err
				}
				return h.printJSON(newReviewCase(res.GetItem()))
			}
		},
	}
}
