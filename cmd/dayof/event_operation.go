package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/money"
)

// eventChange is what a move or a cancellation of an event touches, or would.
type eventChange struct {
	EventID string `json:"event_id"`
	Passes  int64  `json:"passes"`
	Orders  int64  `json:"orders"`
	Mails   int64  `json:"mails"`
	// AmountMinorUnits is what all refunds would come to, over all currencies; an event is mostly sold in one.
	AmountMinorUnits int64 `json:"amount_minor_units"`
	// OperationID is empty with -preview.
	OperationID string `json:"operation_id"`

	amounts []string
}

func newEventChange(p *checkoutv1.EventOperationPreview, op *checkoutv1.EventOperation) eventChange {
	c := eventChange{
		EventID: p.GetEventId(), Passes: p.GetPassCount(), Orders: p.GetOrderCount(), Mails: p.GetMailCount(), OperationID: op.GetId(),
	}
	for _, m := range p.GetRefundableAmounts() {
		c.AmountMinorUnits += m.GetMinorUnits()
		c.amounts = append(c.amounts, money.Money{Currency: m.GetCurrency(), MinorUnits: m.GetMinorUnits()}.Format())
	}
	return c
}

func (h host) printEventChange(c eventChange) error {
	if h.json {
		return h.printJSON(c)
	}
	text := fmt.Sprintf("%d passes of %d orders, %d mails; refunds would come to %s", c.Passes, c.Orders, c.Mails,
		cmp.Or(strings.Join(c.amounts, " and "), "nothing"))
	if c.OperationID == "" {
		_, err := fmt.Fprintln(h.stdout, "would change: "+text)
		return err
	}
	_, err := fmt.Fprintf(h.stdout, "operation %s changes: %s\n", c.OperationID, text)
	return err
}

func eventMoveCommand() command {
	return command{
		name: "event move", args: "ID -start T [-doors T] [-end T] [-preview]", about: "move an event to another time, with all that was sold of it",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			start := flags.String("start", "", "when it starts, as RFC 3339 `TIME` such as 2027-03-08T19:30:00+01:00")
			doors := flags.String("doors", "", "when doors open, as RFC 3339 `TIME`; default: as long before the start as now")
			end := flags.String("end", "", "when it ends, as RFC 3339 `TIME`; default: it lasts as long as now")
			preview := flags.Bool("preview", false, "change nothing, and say what would change")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				if *start == "" {
					return usagef("-start is needed")
				}
				req := &checkoutv1.MoveEventRequest{EventId: args[0], Preview: true}
				for _, flag := range []struct {
					name, text string
					into       **timestamppb.Timestamp
				}{{"start", *start, &req.StartTime}, {"doors", *doors, &req.DoorsTime}, {"end", *end, &req.EndTime}} {
					if flag.text == "" {
						continue
					}
					at, err := time.Parse(time.RFC3339, flag.text)
					if err != nil {
						return usagef("-%s is a time such as 2027-03-08T19:30:00+01:00", flag.name)
					}
					*flag.into = timestamppb.New(at)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				seen, err := system.Events.MoveEvent(operatorCall(ctx), req)
				if err != nil {
					return err
				}
				var op *checkoutv1.EventOperation
				if !*preview {
					req.Preview, req.ConfirmationToken = false, seen.GetPreview().GetConfirmationToken()
					res, err := system.Events.MoveEvent(operatorCall(ctx), req)
					if err != nil {
						return err
					}
					op = res.GetOperation()
				}
				return h.printEventChange(newEventChange(seen.GetPreview(), op))
			}
		},
	}
}

func eventCancelCommand() command {
	return command{
		name: "event cancel", args: "ID [-preview]", about: "cancel an event for good; its tickets admit nobody any more",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			preview := flags.Bool("preview", false, "change nothing, and say what would change")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				seen, err := system.Events.CancelEvent(operatorCall(ctx), &checkoutv1.CancelEventRequest{EventId: args[0], Preview: true})
				if err != nil {
					return err
				}
				var op *checkoutv1.EventOperation
				if !*preview {
					res, err := system.Events.CancelEvent(operatorCall(ctx), &checkoutv1.CancelEventRequest{
						EventId: args[0], ConfirmationToken: seen.GetPreview().GetConfirmationToken(),
					})
					if err != nil {
						return err
					}
					op = res.GetOperation()
				}
				return h.printEventChange(newEventChange(seen.GetPreview(), op))
			}
		},
	}
}

// operatorCall is a context for one changing call.
func operatorCall(ctx context.Context) context.Context {
	return rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey())
}

// shownOperation is an operation as scripts read it.
type shownOperation struct {
	OperationID    string `json:"operation_id"`
	EventID        string `json:"event_id"`
	Kind           string `json:"kind"`
	State          string `json:"state"`
	ScheduleNumber int64  `json:"schedule_number"`
	TotalTickets   int64  `json:"total_tickets"`
	DoneTickets    int64  `json:"done_tickets"`
	FailedOrders   int64  `json:"failed_orders"`
	Mails          int64  `json:"mails"`
	VisitedPasses  int64  `json:"visited_passes"`
	ChangedPasses  int64  `json:"changed_passes"`
	Pushes         int64  `json:"pushes"`
	LastError      string `json:"last_error"`
}

func operationShowCommand() command {
	return command{
		name: "operation show", args: "ID", about: "show how far the move or cancellation of an event is",
		driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the operation's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Events.GetEventOperation(ctx, &checkoutv1.GetEventOperationRequest{EventOperationId: args[0]})
				if err != nil {
					return err
				}
				op := res.GetOperation()
				shown := shownOperation{
					OperationID: op.GetId(), EventID: op.GetEventId(), Kind: client.Word(op.GetKind()), State: client.Word(op.GetState()),
					ScheduleNumber: op.GetScheduleNumber(), TotalTickets: op.GetTotalTicketCount(), DoneTickets: op.GetDoneTicketCount(),
					FailedOrders: op.GetFailedOrderCount(), Mails: op.GetMailCount(), VisitedPasses: op.GetVisitedPassCount(),
					ChangedPasses: op.GetChangedPassCount(), Pushes: op.GetPushedCount(), LastError: op.GetLastError(),
				}
				if h.json {
					return h.printJSON(shown)
				}
				_, err = fmt.Fprintf(h.stdout, "%s of event %s: %s, %d of %d tickets, %d passes changed, %d mails\n", shown.Kind, shown.EventID,
					shown.State, shown.DoneTickets, shown.TotalTickets, shown.ChangedPasses, shown.Mails)
				if shown.LastError != "" {
					_, lineErr := fmt.Fprintln(h.stdout, shown.LastError)
					err = errors.Join(err, lineErr)
				}
				return err
			}
		},
	}
}
