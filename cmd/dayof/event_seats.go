package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
)

func eventSeatsCommand() command {
	return command{
		name: "event seats", args: "ID [-file F] [-section S]", about: "show an event's seats, or set those of a CSV or JSON file", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			file := flags.String("file", "", "`FILE` with the seats of whole sections: a JSON list, or CSV with the columns section, row, block, label, "+
				"variant_id, quality_rank, x, y and accessible")
			variant := flags.String("variant", "", "`ID` of the seated variant that seats are of which name none")
			section := flags.String("section", "", "only seats of this section, by its `NAME`")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				if *file != "" {
					text, err := os.ReadFile(*file)
					if err != nil {
						return err
					}
					seats, err := client.ReadSeats(text)
					if err != nil {
						return usagef("%s: %v", *file, err)
					}
					if err := system.SetSeats(ctx, args[0], *variant, seats); err != nil {
						return err
					}
				}
				seats, err := system.Seats(ctx, args[0], *section)
				if err != nil {
					return err
				}
				return printList(h, seats, "no seats", func(s client.Seat) string {
					line := fmt.Sprintf("%s  %s  row %s  seat %s  rank %d  %s", s.ID, s.Section, s.Row, s.Label, s.QualityRank, s.State)
					if s.OrderID != "" {
						line += "  " + s.OrderID
					}
					return line
				})
			}
		},
	}
}
