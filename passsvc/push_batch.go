package passsvc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/backoff"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/passsvc/passdb"
)

const (
	pushStatePending   = "pending"
	pushStateSent      = "sent"
	pushStateCoalesced = "coalesced"
	pushStateGone      = "gone"
	pushStateFailed    = "failed"
)

const (
	// pushAttemptsMax with a wait that doubles from a second to ten minutes is about an hour and a half of failures
	// that are this device's alone; while APNs is away, the breaker is open and no attempts are spent.
	pushAttemptsMax = 16
	pushRetryMax    = 10 * time.Minute
	// pushBusyWait is the least wait after APNs said that a device gets too many pushes.
	pushBusyWait = time.Minute
)

// devicePush is one push to a device, for all rows that were claimed for its token.
type devicePush struct {
	rows    []passdb.ClaimPushesRow // the newest first; its id is the apns-id
	result  pushResult
	outcome outcome // what the result means, beside the others
	sentAt  time.Time
}

func (d *devicePush) token() string { return d.rows[0].PushToken }

// sendBatch claims due pushes, sends them, and records how they ended. It returns how many devices it tried. While they are sent it claims
// the next, so that those have waited pushSettleWait when their turn comes.
func (w *pushWorker) sendBatch(ctx context.Context) (int, error) {
	pushes := w.ahead
	w.ahead = nil
	if len(pushes) == 0 {
		var err error
		if pushes, err = w.claim(ctx); err != nil || len(pushes) == 0 {
			return 0, err
		}
		time.Sleep(pushSettleWait)
	}
	var next sync.WaitGroup
	var nextErr error
	if len(pushes) == pushClaim && w.s.Config.PushRate == 0 && w.health.isClosed(w.s.Clock.Now()) {
		next.Go(func() {
			w.ahead, nextErr = w.claim(ctx)
			time.Sleep(pushSettleWait)
		})
	}
	began := w.s.Clock.Now()
	// From here on the rows are ours, also when the service stops meanwhile.
	err := w.sendAndSettle(context.WithoutCancel(ctx), pushes)
	next.Wait()
	if err = errors.Join(err, nextErr); err != nil {
		return 0, err
	}
	if rate := w.s.Config.PushRate; rate > 0 {
		due := time.Duration(len(pushes)) * time.Second / time.Duration(rate)
		time.Sleep(max(0, due-max(0, w.s.Clock.Now().Sub(began))))
	}
	return len(pushes), nil
}

// sendAndSettle sends claimed pushes. When the breaker has become half-open since the claim, only one of them is tried.
func (w *pushWorker) sendAndSettle(ctx context.Context, pushes []*devicePush) error {
	tried := pushes
	if w.health.isHalfOpen() {
		tried = pushes[:1]
		for _, d := range pushes[1:] {
			d.result = pushResult{err: errBreakerOpen}
		}
	}
	w.sendAll(ctx, tried)
	crash.At(crash.PassPushed)
	return w.settle(ctx, pushes)
}

// claim leases due pushes and groups them by device. While the breaker is half-open it takes a single one.
func (w *pushWorker) claim(ctx context.Context) ([]*devicePush, error) {
	count := pushClaim
	if rate := w.s.Config.PushRate; rate > 0 {
		count = min(count, rate) // a claim is sent within about a second
	}
	if w.health.isHalfOpen() {
		count = 1
	}
	rows, err := w.s.q.ClaimPushes(ctx, w.s.Pool, pushLease.Seconds(), w.passType, int64(count))
	if err != nil {
		return nil, fmt.Errorf("claim pushes: %w", err)
	}
	slices.SortFunc(rows, func(a, b passdb.ClaimPushesRow) int {
		return cmp.Or(cmp.Compare(a.PushToken, b.PushToken), cmp.Compare(b.Revision, a.Revision), cmp.Compare(a.Serial, b.Serial))
	})
	var pushes []*devicePush
	for i, row := range rows {
		if i == 0 || row.PushToken != rows[i-1].PushToken {
			pushes = append(pushes, &devicePush{})
		}
		d := pushes[len(pushes)-1]
		d.rows = append(d.rows, row)
	}
	return pushes, nil
}

// sendAll pushes with bounded concurrency. When APNs refuses us or is away, the others are not tried.
func (w *pushWorker) sendAll(ctx context.Context, pushes []*devicePush) {
	work := make(chan *devicePush)
	var wait sync.WaitGroup
	for range min(w.s.Config.PushStreams, len(pushes)) {
		wait.Go(func() {
			for d := range work {
				if w.health.isOpen(w.s.Clock.Now()) {
					d.result = pushResult{err: errBreakerOpen}
					continue
				}
				d.sentAt = w.s.Clock.Now()
				d.result = w.client.push(ctx, d.rows[0].ID.String(), d.token(), d.sentAt)
				w.s.metrics.pushed(classify(d.result))
				d.outcome = w.health.record(d.result, w.s.Clock.Now(), w.s.Config.APNs.Pause)
			}
		})
	}
	for _, d := range pushes {
		work <- d
	}
	close(work)
	wait.Wait()
}

// settle records how pushes ended, forgets dead tokens, and opens or closes the incident of the pass type, all in one
// transaction.
func (w *pushWorker) settle(ctx context.Context, pushes []*devicePush) error {
	params := passdb.SettlePushesParams{Now: w.s.Clock.Now()}
	var dead []*devicePush
	for _, d := range pushes {
		if d.result.err == errBreakerOpen { //nolint:errorlint // our own mark
			w.add(&params, d, pushStatePending, 0, 0)
			continue
		}
		switch v := d.outcome; v {
		case outcomeSent:
			w.add(&params, d, pushStateSent, 1, 0)
		case outcomeGone:
			dead = append(dead, d)
		case outcomeBad:
			w.unconfirmed = append(w.unconfirmed, d) // stays leased
		case outcomeRefused:
			w.add(&params, d, pushStatePending, 0, 0)
		case outcomeRetry, outcomeBusy:
			w.addRetry(&params, d, v)
		}
	}
	now := w.health.incident()
	if now.massive {
		// Behind those of other devices, one of which may prove that only these are bad.
		for _, d := range w.unconfirmed {
			w.addRetry(&params, d, outcomeBusy)
		}
		w.unconfirmed = nil
	} else if w.health.isVerified() {
		dead = append(dead, w.unconfirmed...)
		w.unconfirmed = nil
	}
	if err := w.write(ctx, params, dead, now); err != nil {
		return err
	}
	w.health.reported(now)
	return nil
}

// forgetUnconfirmed gives up tokens that APNs called bad: few, though nothing has proved yet that we ask rightly.
func (w *pushWorker) forgetUnconfirmed(ctx context.Context) error {
	if len(w.unconfirmed) == 0 {
		return nil
	}
	err := w.write(ctx, passdb.SettlePushesParams{Now: w.s.Clock.Now()}, w.unconfirmed, incident{})
	if err == nil {
		w.unconfirmed = nil
	}
	return err
}

// write settles pushes, and those of dead tokens with their registrations.
func (w *pushWorker) write(ctx context.Context, params passdb.SettlePushesParams, dead []*devicePush, now incident) error {
	for _, d := range dead {
		w.add(&params, d, pushStateGone, 1, 0)
	}
	return pgx.BeginFunc(ctx, w.s.Pool, func(tx pgx.Tx) error {
		for _, d := range dead {
			since := d.result.timestamp
			if since.IsZero() {
				since = d.sentAt // APNs says when a token died only if it was alive once
			}
			if err := w.forget(ctx, tx, d.token(), since); err != nil {
				return err
			}
		}
		if err := w.s.q.SettlePushes(ctx, tx, params); err != nil {
			return fmt.Errorf("settle pushes: %w", err)
		}
		return w.report(ctx, tx, now, slices.Contains(params.States, pushStateFailed))
	})
}

// add writes the rows of a push: the newest is what APNs answered to, the others went with it.
func (w *pushWorker) add(p *passdb.SettlePushesParams, d *devicePush, state string, spent int32, wait time.Duration) {
	for i, row := range d.rows {
		rowState := state
		if state == pushStateSent && i > 0 {
			rowState = pushStateCoalesced
		}
		p.Ids = append(p.Ids, row.ID)
		p.PushTokens = append(p.PushTokens, row.PushToken)
		p.States = append(p.States, rowState)
		p.ApnsStatuses = append(p.ApnsStatuses, int32(d.result.status))
		p.ApnsReasons = append(p.ApnsReasons, d.reason())
		p.SpentCounts = append(p.SpentCounts, spent)
		p.WaitSeconds = append(p.WaitSeconds, wait.Seconds())
	}
}

// reason is APNs' word, or ours when it did not answer.
func (d *devicePush) reason() string {
	if d.result.err != nil && d.result.err != errBreakerOpen { //nolint:errorlint // our own mark
		return "NoAnswer"
	}
	return d.result.reason
}

// addRetry schedules the next attempt, or gives the push up.
func (w *pushWorker) addRetry(p *passdb.SettlePushesParams, d *devicePush, v outcome) {
	attempt := int(d.rows[0].AttemptCount)
	if attempt >= pushAttemptsMax {
		w.add(p, d, pushStateFailed, 1, 0)
		return
	}
	wait := backoff.Policy{First: w.s.Config.PushRetry, Max: pushRetryMax}.Delay(attempt)
	if v == outcomeBusy {
		wait = max(wait, pushBusyWait)
	}
	// Devices that failed together do not come back together.
	wait = max(wait/2+rand.N(wait/2+1), d.result.retryAfter)
	w.add(p, d, pushStatePending, 1, wait)
}

// forget deletes the registrations with a token that has been dead since a time, unless the device registered it again after
// that.
func (w *pushWorker) forget(ctx context.Context, tx pgx.Tx, pushToken string, since time.Time) error {
	count, err := w.s.q.DeleteToken(ctx, tx, w.passType, pushToken, since.Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("delete registrations: %w", err)
	}
	w.s.Logger.LogAttrs(ctx, slog.LevelInfo, "push token forgotten",
		slog.String("pass_type", w.passType), slog.Int64("registration_count", count))
	return nil
}

// Kinds of alerts; the subject is the pass type.
const (
	alertPushesRefused = "pass_pushes_refused"
	alertPushesStalled = "pass_pushes_stalled"
	alertPushFailed    = "pass_push_failed"
)

// report opens or closes incidents of the pass type.
func (w *pushWorker) report(ctx context.Context, tx pgx.Tx, now incident, failed bool) error {
	facts := map[string]any{"apns_status": now.status, "apns_reason": now.reason}
	if failed {
		err := alert.Raise(ctx, tx, alertPushFailed, w.passType, map[string]any{
			"advice": "A push was given up after its last attempt, see ListPushes. The device learns of the change when it asks by itself.",
		}, "")
		if err != nil {
			return err
		}
	}
	switch {
	case now.refused:
		facts["all_tokens"] = now.massive
		facts["advice"] = "APNs refuses this pass type, not single devices: check certificate, topic and host. Pushes are kept and sent once it accepts one."
		return alert.Raise(ctx, tx, alertPushesRefused, w.passType, facts, "")
	case now.away:
		w.s.stalled.Store(w.passType, true)
		facts["advice"] = "APNs does not answer. Pushes are kept and sent once it does."
		return alert.Raise(ctx, tx, alertPushesStalled, w.passType, facts, "")
	case now.recovered:
		w.s.stalled.Delete(w.passType)
		for _, kind := range []string{alertPushesRefused, alertPushesStalled, alertPushFailed} {
			if err := alert.Resolve(ctx, tx, kind, w.passType); err != nil {
				return err
			}
		}
	}
	return nil
}
