package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/dayof/dayof/internal/chassis/deadletter"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/server"
)

// deadLetter is a job that ended without success, as scripts and people read it. Its id is that of its service:
// "checkout/3".
type deadLetter struct {
	ID       string          `json:"id"`
	JobID    int64           `json:"job_id"`
	Kind     string          `json:"kind"`
	Args     json.RawMessage `json:"args"`
	Reason   string          `json:"reason"`
	Error    string          `json:"error"`
	Attempts int             `json:"attempts"`
	DeadTime string          `json:"dead_time"`
	Closed   bool            `json:"closed"`
	Errors   json.RawMessage `json:"errors,omitempty"` // of all attempts; only for one letter
}

func newDeadLetter(service string, l deadletter.Letter) deadLetter {
	return deadLetter{
		ID: service + "/" + strconv.FormatInt(l.ID, 10), JobID: l.JobID, Kind: l.Kind, Args: l.Args, Reason: l.Reason,
		Error: l.Error, Attempts: l.Attempts, DeadTime: l.DeadTime.UTC().Format(time.RFC3339Nano),
		Closed: l.RetriedTime != nil || l.DismissedTime != nil,
	}
}

func dlqListCommand() command {
	return command{
		name: "dlq list", args: "[-service S] [-kind K] [-closed]", about: "list dead letters: jobs whose tries are used up",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			only := flags.String("service", "", "only `SERVICE`: "+strings.Join(server.Services(), ", "))
			kind := flags.String("kind", "", "only this `KIND`")
			closed := flags.Bool("closed", false, "also those that were retried or dismissed")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				services := server.Services()
				if *only != "" {
					if !slices.Contains(services, *only) {
						return usagef("no such service: %s", *only)
					}
					services = []string{*only}
				}
				listed := []deadLetter{}
				for _, service := range services {
					err := h.withDatabase(ctx, service, func(pool *pgxpool.Pool) error {
						letters, err := deadletter.List(ctx, pool, deadletter.Filter{Kind: *kind, Closed: *closed})
						if hasNoTable(err) {
							return nil // a service without background work
						}
						for _, l := range letters {
							listed = append(listed, newDeadLetter(service, l))
						}
						return err
					})
					if err != nil {
						return err
					}
				}
				return printList(h, listed, "no dead letters", func(l deadLetter) string {
					return fmt.Sprintf("%-14s  %s  %-32s  %s after %d attempts: %s", l.ID, l.DeadTime, l.Kind, l.Reason, l.Attempts, l.Error)
				})
			}
		},
	}
}

func dlqShowCommand() command {
	return command{
		name: "dlq show", args: "ID", about: "show a dead letter with the errors of its attempts", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the letter's id"); err != nil {
					return err
				}
				service, id, err := splitID(args[0])
				if err != nil {
					return err
				}
				return h.withDatabase(ctx, service, func(pool *pgxpool.Pool) error {
					letters, err := deadletter.List(ctx, pool, deadletter.Filter{ID: id, Closed: true})
					if err != nil {
						return err
					}
					if len(letters) == 0 {
						return fmt.Errorf("no dead letter %s", args[0])
					}
					shown := newDeadLetter(service, letters[0])
					shown.Errors = letters[0].Errors
					return h.printJSON(shown)
				})
			}
		},
	}
}

func dlqRetryCommand() command {
	return command{
		name: "dlq retry", args: "ID ...", about: "put dead letters back to work", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if len(args) == 0 {
					return usagef("the letter's id is missing")
				}
				for _, arg := range args {
					service, id, err := splitID(arg)
					if err != nil {
						return err
					}
					if err := h.withDatabase(ctx, service, func(pool *pgxpool.Pool) error {
						registry := jobs.New(pool, jobs.Config{Logger: slog.New(slog.DiscardHandler), Clock: h.clock, PollOnly: true})
						return registry.Retry(ctx, id)
					}); err != nil {
						return err
					}
				}
				return h.printJSON(struct {
					Retried int `json:"retried"`
				}{len(args)})
			}
		},
	}
}
