package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// admitted is what a scan came to, as scripts read it.
type admitted struct {
	Admission      string     `json:"admission"`
	TicketID       string     `json:"ticket_id"`
	AdmitTime      *time.Time `json:"admit_time"`
	Gate           string     `json:"gate"`
	FirstAdmitTime *time.Time `json:"first_admit_time"`
	FirstGate      string     `json:"first_gate"`
}

func admitCommand() command {
	return command{
		name: "admit", args: "CODE [-event E] [-gate G] [-undo]", about: "scan a ticket at a door, or take its latest entry back",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			event := flags.String("event", "", "`ID` of the event at whose door it is scanned; default: the ticket's own")
			gate := flags.String("gate", "", "`NAME` of the gate; default: staff")
			undo := flags.Bool("undo", false, "take the latest entry back, as after a scan by mistake")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the ticket's code"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				ctx = rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey())
				var out admitted
				if *undo {
					out, err = undoAdmission(ctx, system, args[0], *event)
				} else {
					out, err = admit(ctx, system, args[0], *event, *gate)
				}
				if err != nil {
					return err
				}
				return h.printJSON(out)
			}
		},
	}
}

func admit(ctx context.Context, system *client.Client, code, event, gate string) (admitted, error) {
	res, err := system.Admission.Admit(ctx, &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_Code{Code: code}, EventId: event, Gate: gate})
	if err != nil {
		return admitted{}, err
	}
	out := admitted{
		Admission: client.Word(res.GetAdmission()), TicketID: res.GetTicket().GetId(), Gate: res.GetGate(), FirstGate: res.GetFirstGate(),
	}
	if t := res.GetAdmitTime(); t != nil {
		out.AdmitTime = new(t.AsTime())
	}
	if t := res.GetFirstAdmitTime(); t != nil {
		out.FirstAdmitTime = new(t.AsTime())
	}
	return out, nil
}

// undoAdmission takes an entry back, and asks what the ticket says then.
func undoAdmission(ctx context.Context, system *client.Client, code, event string) (admitted, error) {
	res, err := system.Admission.UndoAdmission(ctx, &checkoutv1.UndoAdmissionRequest{Subject: &checkoutv1.UndoAdmissionRequest_Code{Code: code}, EventId: event})
	if err != nil {
		return admitted{}, err
	}
	now, err := system.Admission.CheckTicket(ctx, &checkoutv1.CheckTicketRequest{Code: code, EventId: event})
	if err != nil {
		return admitted{}, err
	}
	out := admitted{Admission: client.Word(now.GetAdmission()), TicketID: res.GetTicket().GetId(), Gate: res.GetStay().GetEntryGate(), FirstGate: now.GetFirstGate()}
	if t := now.GetFirstAdmitTime(); t != nil {
		out.FirstAdmitTime = new(t.AsTime())
	}
	return out, nil
}
