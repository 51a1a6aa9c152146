package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The kinds of follow-up jobs: the receipt by mail, and Stripe's fee. They do nothing but being counted: what is measured is what it costs
// to enqueue them with the last commit and to run them.
const (
	mailKind = "mail"
	feeKind  = "fee"
)

// mailArgs and feeArgs are the jobs as River has them.
type (
	mailArgs struct {
		OrderID string `json:"order_id"`
	}
	feeArgs struct {
		OrderID string `json:"order_id"`
	}
)

// Kind is River's name of the job.
func (mailArgs) Kind() string { return mailKind }

// Kind is River's name of the job.
func (feeArgs) Kind() string { return feeKind }

// tally counts jobs that have run.
type tally struct {
	mu  sync.Mutex
	ran map[string]int // how often, by kind and order
}

func (t *tally) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ran = map[string]int{}
}

func (t *tally) count(kind, orderID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ran[kind+" "+orderID]++
}

// drainTimeout is how long jobs may take after the last attempt.
const drainTimeout = 2 * time.Minute

// drain waits until so many jobs have run, each exactly once.
func (t *tally) drain(ctx context.Context, jobs int) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		t.mu.Lock()
		ran := len(t.ran)
		for job, times := range t.ran {
			if times > 1 {
				t.mu.Unlock()
				return fmt.Errorf("job %s ran %d times", job, times)
			}
		}
		t.mu.Unlock()
		if ran == jobs {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d follow-up jobs have run: %w", ran, jobs, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
