package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// transferred is a transfer as scripts read it.
type transferred struct {
	TransferID string    `json:"transfer_id"`
	TicketID   string    `json:"ticket_id"`
	State      string    `json:"state"`
	ExpireTime time.Time `json:"expire_time"`
}

// reissued is a ticket in the place of another one, as scripts read it.
type reissued struct {
	TicketID    string `json:"ticket_id"`
	Replaces    string `json:"replaces_ticket_id"`
	State       string `json:"state"`
	Code        string `json:"code"`
	DownloadURL string `json:"download_url"`
}

func ticketTransferCommand() command {
	return command{
		name: "ticket transfer", args: "ID -name N -email E [-language L]", about: "offer a ticket to somebody, who accepts it by a mail",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			name := flags.String("name", "", "`NAME` of the recipient, as it shall stand on the ticket")
			email := flags.String("email", "", "mail `ADDRESS` of the recipient")
			language := flags.String("language", "", "`LANGUAGE` of the recipient, such as de; default: that of the order")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the ticket's id"); err != nil {
					return err
				}
				if *name == "" || *email == "" {
					return usagef("-name and -email are required")
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				held, err := system.Tickets.GetTicket(ctx, &checkoutv1.GetTicketRequest{TicketId: args[0]})
				if err != nil {
					return err
				}
				res, err := system.Tickets.TransferTicket(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.TransferTicketRequest{
					OrderId: held.GetHeldTicket().GetTicket().GetOrderId(), TicketId: args[0], RecipientName: *name, RecipientEmail: *email, Language: *language,
				})
				if err != nil {
					return err
				}
				x := res.GetTransfer()
				return h.printJSON(transferred{TransferID: x.GetId(), TicketID: x.GetTicketId(), State: client.Word(x.GetState()), ExpireTime: x.GetExpireTime().AsTime()})
			}
		},
	}
}

func ticketReissueCommand() command {
	return command{
		name: "ticket reissue", args: "ID", about: "give a ticket's holder another one, so that the old code admits nobody",
		driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the ticket's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Tickets.ReissueTicket(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.ReissueTicketRequest{TicketId: args[0]})
				if err != nil {
					return err
				}
				t := res.GetHeldTicket().GetTicket()
				return h.printJSON(reissued{
					TicketID: t.GetId(), Replaces: t.GetReplacesTicketId(), State: client.Word(t.GetState()), Code: t.GetCode(),
					DownloadURL: res.GetHeldTicket().GetDownloadUrl(),
				})
			}
		},
	}
}
