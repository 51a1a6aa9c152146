package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/spf13/pflag"

	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/server"
)

// jobsListed is how many jobs of a service are listed.
const jobsListed = 200

// job is a background job as scripts and people read it. Its id is that of its service's queue: "checkout/17".
type job struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	State       string          `json:"state"`
	Attempt     int             `json:"attempt"`
	AttemptsMax int             `json:"attempts_max"`
	Args        json.RawMessage `json:"args"`
	CreateTime  string          `json:"create_time"`
	DueTime     string          `json:"due_time"`
	Errors      []string        `json:"errors"`
}

func newJob(service string, row *rivertype.JobRow) job {
	out := job{
		ID: service + "/" + strconv.FormatInt(row.ID, 10), Kind: row.Kind, State: string(row.State), Attempt: row.Attempt,
		AttemptsMax: row.MaxAttempts, Args: row.EncodedArgs, CreateTime: row.CreatedAt.UTC().Format(time.RFC3339Nano),
		DueTime: row.ScheduledAt.UTC().Format(time.RFC3339Nano), Errors: []string{},
	}
	for _, e := range row.Errors {
		out.Errors = append(out.Errors, e.Error)
	}
	return out
}

// jobClient is River's client for looking at a service's jobs.
type jobClient = *river.Client[pgx.Tx]

// withDatabase opens a service's database for the length of f.
func (h host) withDatabase(ctx context.Context, service string, f func(pool *pgxpool.Pool) error) error {
	file, err := h.file(ctx)
	if err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, file.DatabaseURLs[service], pgdb.Options{MaxConns: 2, ApplicationName: "dayof"})
	if err != nil {
		return fmt.Errorf("database of %s: %w", service, err)
	}
	defer pool.Close()
	return f(pool)
}

// withJobs gives f River's client for a service's jobs.
func (h host) withJobs(ctx context.Context, service string, f func(client jobClient) error) error {
	return h.withDatabase(ctx, service, func(pool *pgxpool.Pool) error {
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
		if err != nil {
			return fmt.Errorf("jobs of %s: %w", service, err)
		}
		return f(client)
	})
}

// hasNoTable says that a statement named a table that does not exist.
func hasNoTable(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "42P01"
}

// splitID reads "checkout/17".
func splitID(text string) (service string, id int64, err error) {
	service, number, ok := strings.Cut(text, "/")
	id, parseErr := strconv.ParseInt(number, 10, 64)
	if !ok || parseErr != nil || !slices.Contains(server.Services(), service) {
		return "", 0, usagef("%q is not an id such as checkout/17", text)
	}
	return service, id, nil
}

func jobsListCommand() command {
	return command{
		name: "jobs list", args: "[-service S] [-state S] [-kind K]", about: "list background jobs, the newest 200 of each service",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			only := flags.String("service", "", "only `SERVICE`: "+strings.Join(server.Services(), ", "))
			state := flags.String("state", "", "only `STATE`: available, running, retryable, scheduled, completed, cancelled or discarded")
			kind := flags.String("kind", "", "only this `KIND`")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				params := river.NewJobListParams().First(jobsListed).OrderBy(river.JobListOrderByID, river.SortOrderDesc)
				if *state != "" {
					if !slices.Contains(rivertype.JobStates(), rivertype.JobState(*state)) {
						return usagef("no such state: %s", *state)
					}
					params = params.States(rivertype.JobState(*state))
				}
				if *kind != "" {
					params = params.Kinds(*kind)
				}
				listed, err := h.listJobs(ctx, *only, params)
				if err != nil {
					return err
				}
				return printList(h, listed, "no jobs", func(j job) string {
					return fmt.Sprintf("%-14s  %-9s  %-32s  attempt %d of %d  due %s  %s", j.ID, j.State, j.Kind, j.Attempt, j.AttemptsMax, j.DueTime, j.Args)
				})
			}
		},
	}
}

func (h host) listJobs(ctx context.Context, only string, params *river.JobListParams) ([]job, error) {
	services := server.Services()
	if only != "" {
		if !slices.Contains(services, only) {
			return nil, usagef("no such service: %s", only)
		}
		services = []string{only}
	}
	listed := []job{}
	for _, service := range services {
		err := h.withJobs(ctx, service, func(client jobClient) error {
			res, err := client.JobList(ctx, params)
			if hasNoTable(err) {
				return nil // a service without background work
			}
			if err != nil {
				return fmt.Errorf("list jobs of %s: %w", service, err)
			}
			for _, row := range res.Jobs {
				listed = append(listed, newJob(service, row))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return listed, nil
}

func jobsShowCommand() command {
	return command{
		name: "jobs show", args: "ID", about: "show a background job with the errors of its attempts", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				return h.oneJob(ctx, args, func(client jobClient, id int64) (*rivertype.JobRow, error) { return client.JobGet(ctx, id) })
			}
		},
	}
}

func jobsRetryCommand() command {
	return command{
		name: "jobs retry", args: "ID", about: "run a job now that waits or failed; one that is completed is not run again", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				return h.oneJob(ctx, args, func(client jobClient, id int64) (*rivertype.JobRow, error) {
					row, err := client.JobGet(ctx, id)
					if err != nil {
						return nil, err
					}
					switch row.State {
					case rivertype.JobStateCompleted:
						return nil, errors.New("it is completed: its work is done, and it will not be done again")
					case rivertype.JobStateRunning:
						return nil, errors.New("it is running: wait for how that ends")
					}
					return client.JobRetry(ctx, id)
				})
			}
		},
	}
}

// oneJob does something with the job that args name and prints it.
func (h host) oneJob(ctx context.Context, args []string, f func(client jobClient, id int64) (*rivertype.JobRow, error)) error {
	if err := wantArgs(args, "the job's id"); err != nil {
		return err
	}
	service, id, err := splitID(args[0])
	if err != nil {
		return err
	}
	return h.withJobs(ctx, service, func(client jobClient) error {
		row, err := f(client, id)
		if err != nil {
			return fmt.Errorf("job %s: %w", args[0], err)
		}
		return h.printJSON(newJob(service, row))
	})
}
