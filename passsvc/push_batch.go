package passsvc

import (
	"cmp"
	"context"
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
	// that are this device's alone; while APNs is away, lanes rest and spend no attempts.
	pushAttemptsMax = 16
	pushRetryMax    = 10 * time.Minute
	// pushBusyWait is the least wait after APNs said that a device gets too many pushes.
	pushBusyWait = time.Minute
)

// delivery is what one device is told by one push: all rows that were claimed for its token.
type delivery struct {
	rows   []passdb.ClaimPushesRow // the newest first; its id is the apns-id
	result pushResult
	sentAt time.Time
}

func (d *delivery) token() string { return d.rows[0].PushToken }

// sendBatch claims due pushes, sends them, and writes down how they ended. It returns how many devices it tried.
func (l *lane) sendBatch(ctx context.Context) (int, error) {
	deliveries, err := l.claim(ctx)
	if err != nil || len(deliveries) == 0 {
		return 0, err
	}
	// From here on the rows are ours, also when the service stops meanwhile.
	ctx = context.WithoutCancel(ctx)
	time.Sleep(pushSettleWait)
	began := l.s.Clock.Now()
	l.sendAll(ctx, deliveries)
	crash.At(crash.PassPushed)
	if err := l.settle(ctx, deliveries); err != nil {
		return 0, err
	}
	if rate := l.s.Config.PushRate; rate > 0 {
		due := time.Duration(len(deliveries)) * time.Second / time.Duration(rate)
		time.Sleep(max(0, due-max(0, l.s.Clock.Now().Sub(began))))
	}
	return len(deliveries), nil
}

// claim leases due pushes and groups them by device. While the lane is not known to be well it takes a single one.
func (l *lane) claim(ctx context.Context) ([]*delivery, error) {
	count := pushClaim
	if rate := l.s.Config.PushRate; rate > 0 {
		count = min(count, rate) // a claim is sent within about a second
	}
	if l.health.probing() {
		count = 1
	}
	rows, err := l.s.q.ClaimPushes(ctx, l.s.Pool, pushLease.Seconds(), l.passType, int64(count))
	if err != nil {
		return nil, fmt.Errorf("claim pushes: %w", err)
	}
	slices.SortFunc(rows, func(a, b passdb.ClaimPushesRow) int {
		return cmp.Or(cmp.Compare(a.PushToken, b.PushToken), cmp.Compare(b.Revision, a.Revision), cmp.Compare(a.Serial, b.Serial))
	})
	var deliveries []*delivery
	for i, row := range rows {
		if i == 0 || row.PushToken != rows[i-1].PushToken {
			deliveries = append(deliveries, &delivery{})
		}
		d := deliveries[len(deliveries)-1]
		d.rows = append(d.rows, row)
	}
	return deliveries, nil
}

// sendAll pushes with bounded concurrency. When APNs refuses us or is away, the rest is not tried.
func (l *lane) sendAll(ctx context.Context, deliveries []*delivery) {
	work := make(chan *delivery)
	var wait sync.WaitGroup
	for range min(l.s.Config.PushStreams, len(deliveries)) {
		wait.Go(func() {
			for d := range work {
				if l.health.resting(l.s.Clock.Now()) {
					d.result = pushResult{err: errLaneRests}
					continue
				}
				d.sentAt = l.s.Clock.Now()
				d.result = l.client.push(ctx, d.rows[0].ID.String(), d.token(), d.sentAt)
				l.s.metrics.pushed(judge(d.result))
				l.health.note(d.result, l.s.Clock.Now(), l.s.Config.APNs.Pause)
			}
		})
	}
	for _, d := range deliveries {
		work <- d
	}
	close(work)
	wait.Wait()
}

// settle writes down how deliveries ended, forgets dead tokens, and opens or closes the lane's incident, all in one
// transaction.
func (l *lane) settle(ctx context.Context, deliveries []*delivery) error {
	params := passdb.SettlePushesParams{Now: l.s.Clock.Now()}
	var dead []*delivery
	for _, d := range deliveries {
		if d.result.err == errLaneRests { //nolint:errorlint // our own mark
			l.add(&params, d, pushStatePending, 0, 0)
			continue
		}
		switch v := judge(d.result); v {
		case verdictSent:
			l.add(&params, d, pushStateSent, 1, 0)
		case verdictGone:
			dead = append(dead, d)
		case verdictBad:
			l.suspects = append(l.suspects, d) // stays leased
		case verdictRefused:
			l.add(&params, d, pushStatePending, 0, 0)
		case verdictRetry, verdictBusy:
			l.addRetry(&params, d, v)
		}
	}
	told := l.health.incident()
	if told.massive {
		// Behind those of other devices, one of which may prove that only these are bad.
		for _, d := range l.suspects {
			l.addRetry(&params, d, verdictBusy)
		}
		l.suspects = nil
	} else if !l.health.distrusted() {
		dead = append(dead, l.suspects...)
		l.suspects = nil
	}
	if err := l.write(ctx, params, dead, told); err != nil {
		return err
	}
	l.health.told(told)
	return nil
}

// forgetSuspects gives up tokens that APNs called bad: few, though nothing has proved yet that we ask rightly.
func (l *lane) forgetSuspects(ctx context.Context) error {
	if len(l.suspects) == 0 {
		return nil
	}
	err := l.write(ctx, passdb.SettlePushesParams{Now: l.s.Clock.Now()}, l.suspects, incident{})
	if err == nil {
		l.suspects = nil
	}
	return err
}

// write settles pushes, and those of dead tokens with their registrations.
func (l *lane) write(ctx context.Context, params passdb.SettlePushesParams, dead []*delivery, told incident) error {
	for _, d := range dead {
		l.add(&params, d, pushStateGone, 1, 0)
	}
	return pgx.BeginFunc(ctx, l.s.Pool, func(tx pgx.Tx) error {
		for _, d := range dead {
			since := d.result.timestamp
			if since.IsZero() {
				since = d.sentAt // APNs says when a token died only if it was alive once
			}
			if err := l.forget(ctx, tx, d.token(), since); err != nil {
				return err
			}
		}
		if err := l.s.q.SettlePushes(ctx, tx, params); err != nil {
			return fmt.Errorf("settle pushes: %w", err)
		}
		return l.report(ctx, tx, told, slices.Contains(params.States, pushStateFailed))
	})
}

// add writes the rows of a delivery: the newest is what APNs answered to, the others went with it.
func (l *lane) add(p *passdb.SettlePushesParams, d *delivery, state string, spent int32, wait time.Duration) {
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
func (d *delivery) reason() string {
	if d.result.err != nil && d.result.err != errLaneRests { //nolint:errorlint // our own mark
		return "NoAnswer"
	}
	return d.result.reason
}

// addRetry schedules the next attempt, or gives the delivery up.
func (l *lane) addRetry(p *passdb.SettlePushesParams, d *delivery, v verdict) {
	attempt := int(d.rows[0].AttemptCount)
	if attempt >= pushAttemptsMax {
		l.add(p, d, pushStateFailed, 1, 0)
		return
	}
	wait := backoff.Policy{First: l.s.Config.PushRetry, Max: pushRetryMax}.Delay(attempt)
	if v == verdictBusy {
		wait = max(wait, pushBusyWait)
	}
	// Devices that failed together do not come back together.
	wait = max(wait/2+rand.N(wait/2+1), d.result.retryAfter)
	l.add(p, d, pushStatePending, 1, wait)
}

// forget deletes the registrations with a token that has been dead since a time, unless the device told it again after
// that.
func (l *lane) forget(ctx context.Context, tx pgx.Tx, pushToken string, since time.Time) error {
	count, err := l.s.q.DeleteToken(ctx, tx, l.passType, pushToken, since.Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("delete registrations: %w", err)
	}
	l.s.Logger.LogAttrs(ctx, slog.LevelInfo, "push token forgotten",
		slog.String("pass_type", l.passType), slog.Int64("registration_count", count))
	return nil
}

// What operators are told of.
const (
	alertPushesRefused = "pass_pushes_refused"
	alertPushesStalled = "pass_pushes_stalled"
	alertPushFailed    = "pass_push_failed"
)

// report opens or closes incidents of the lane.
func (l *lane) report(ctx context.Context, tx pgx.Tx, now incident, failed bool) error {
	facts := map[string]any{"apns_status": now.status, "apns_reason": now.reason}
	if failed {
		err := alert.Raise(ctx, tx, alertPushFailed, l.passType, map[string]any{
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
		return alert.Raise(ctx, tx, alertPushesRefused, l.passType, facts, "")
	case now.away:
		facts["advice"] = "APNs does not answer. Pushes are kept and sent once it does."
		return alert.Raise(ctx, tx, alertPushesStalled, l.passType, facts, "")
	case now.recovered:
		for _, kind := range []string{alertPushesRefused, alertPushesStalled, alertPushFailed} {
			if err := alert.Resolve(ctx, tx, kind, l.passType); err != nil {
				return err
			}
		}
	}
	return nil
}
