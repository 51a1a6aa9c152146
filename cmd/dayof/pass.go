package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

func passSetCommand() command {
	return command{
		name: "pass set", args: "SERIAL key=value ...", about: "change fields of a pass that staff may set: gate, section, row, seat, note",
		driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if len(args) < 2 {
					return usagef("give the pass's serial and at least one key=value")
				}
				fields := map[string]string{}
				for _, pair := range args[1:] {
					key, value, ok := strings.Cut(pair, "=")
					if !ok || key == "" {
						return usagef("%q is not key=value", pair)
					}
					fields[key] = value
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Passes.UpdatePass(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()),
					&passv1.UpdatePassRequest{PassSerial: args[0], Fields: fields})
				if err != nil {
					return err
				}
				return h.printJSON(struct {
					Changed  bool  `json:"changed"`
					Revision int64 `json:"revision"`
				}{res.GetChanged(), res.GetPass().GetRevision()})
			}
		},
	}
}
