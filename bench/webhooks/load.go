package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// answerTimeout ends a request that nobody answers.
const answerTimeout = 30 * time.Second

// load posts events over a number of connections that stay open, as Stripe's do. It is as lean as can be: it shares the cores
// with what it measures.
type load struct {
	events      *events
	connections int
	clock       clock.Clock
}

// measured is the result of one round of load.
type measured struct {
	requests int             // that were answered with 200
	rate     float64         // of them, per second
	took     []time.Duration // sorted
}

// run posts for warm-up and length, of which only the latter counts. rate is requests per second over all connections; then
// the time of a request begins when it was due, so that the result shows when a server falls behind. Rate 0 is a closed loop:
// each connection posts as soon as it has its answer.
func (l *load) run(ctx context.Context, warmUp, length time.Duration, rate int) (measured, int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu       sync.Mutex
		all      measured
		answered int
		failures []error
		wg       sync.WaitGroup
	)
	start := l.clock.Now()
	from, until := start.Add(warmUp), start.Add(warmUp+length)
	for n := range l.connections {
		wg.Go(func() {
			c := &caller{load: l, start: start, from: from, until: until, rate: rate, number: n}
			err := c.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			all.took = append(all.took, c.took...)
			answered += c.answered
			if err != nil {
				failures = append(failures, err)
				cancel()
			}
		})
	}
	wg.Wait()
	if len(failures) > 0 {
		return measured{}, answered, failures[0]
	}
	slices.Sort(all.took)
	all.requests = len(all.took)
	all.rate = float64(all.requests) / length.Seconds()
	return all, answered, nil
}

// caller is one connection.
type caller struct {
	*load
	start, from, until time.Time
	rate, number       int

	took     []time.Duration
	answered int
}

func (c *caller) run(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.events.host)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	var buffer []byte
	for turn := 0; ctx.Err() == nil; turn++ {
		due := c.clock.Now()
		if c.rate > 0 {
			due = c.start.Add(time.Duration(turn*c.connections+c.number) * time.Second / time.Duration(c.rate))
			if err := sleepUntil(ctx, c.clock, due); err != nil {
				return nil // another connection has failed and says so
			}
		}
		if !due.Before(c.until) {
			return nil
		}
		buffer = c.events.request(buffer)
		if err := conn.SetDeadline(c.clock.Now().Add(answerTimeout)); err != nil {
			return err
		}
		if _, err := conn.Write(buffer); err != nil {
			return fmt.Errorf("post: %w", err)
		}
		if err := readAnswer(answers); err != nil {
			return err
		}
		c.answered++
		done := c.clock.Now()
		if !due.Before(c.from) && (c.rate > 0 || done.Before(c.until)) {
			c.took = append(c.took, done.Sub(due))
		}
	}
	return nil
}

func sleepUntil(ctx context.Context, now clock.Clock, due time.Time) error {
	timer := time.NewTimer(due.Sub(now.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readAnswer reads one answer to its end. All but 200 is an error.
func readAnswer(answers *bufio.Reader) error {
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", res.Status)
	}
	return nil
}

// quantile of sorted times; 0 without any.
func (m measured) quantile(q float64) time.Duration {
	if len(m.took) == 0 {
		return 0
	}
	return m.took[min(int(float64(len(m.took))*q), len(m.took)-1)]
}
