package invariant

import (
	"context"
	"fmt"
	"time"
)

// scheduleInvariants say that events which were moved or canceled reached what was sold of them. Operations under way are passed over, and
// orders that were left to a person.
func scheduleInvariants() []invariant {
	return []invariant{
		query("ticket_has_its_events_schedule", "after an event was moved or canceled, no ticket shows an older schedule", "checkout", `
			select format('ticket %s is of schedule %s of event %s, which is at %s', t.id, t.schedule_number, e.id, e.schedule_number)
			from event_operations op
			join events e on e.id = op.event_id and e.schedule_number = op.schedule_number
			join orders o on o.event_id = e.id
			join tickets t on t.order_id = o.id
			where op.state = 'completed' and t.state <> 'void' and t.schedule_number < e.schedule_number
				and not exists (select from review_cases c where c.kind = 'schedule_failed' and c.subject = op.id || '/' || o.id)`),
		query("canceled_event_admits_nobody", "no ticket of a canceled event is valid", "checkout", `
			select format('ticket %s of event %s is %s', t.id, e.id, t.state)
			from event_operations op
			join events e on e.id = op.event_id and e.cancel_time is not null
			join orders o on o.event_id = e.id
			join tickets t on t.order_id = o.id
			where op.kind = 'cancel' and op.state = 'completed' and t.state in ('reserved', 'valid')
				and not exists (select from review_cases c where c.kind = 'schedule_failed' and c.subject = op.id || '/' || o.id)`),
		{name: "pass_shows_its_events_schedule", rule: "after an event was moved or canceled, each pass shows when it takes place, or that it does not", check: shownSchedules},
	}
}

// shownSchedules compares passes with the events that they show, as far as these were moved or canceled.
func shownSchedules(ctx context.Context, s *snapshot) ([]string, error) {
	type shown struct {
		serial   string
		start    time.Time
		canceled bool
	}
	shows := map[string]shown{} // by ticket
	var ticketID string
	var p shown
	err := each(ctx, s.pools["pass"], `select ticket_id, serial, (content->'event'->>'start_time')::timestamptz,
		coalesce((content->'event'->>'canceled')::boolean, false) from passes`,
		[]any{&ticketID, &p.serial, &p.start, &p.canceled}, func() { shows[ticketID] = p })
	if err != nil {
		return nil, err
	}
	var violations []string
	var eventID string
	var start time.Time
	var canceled bool
	err = each(ctx, s.pools["checkout"], `select t.id, e.id, date_trunc('second', e.start_time), e.cancel_time is not null
		from event_operations op
		join events e on e.id = op.event_id and e.schedule_number = op.schedule_number
		join orders o on o.event_id = e.id
		join tickets t on t.order_id = o.id
		where op.state = 'completed' and t.state <> 'void'
			and not exists (select from review_cases c where c.kind = 'schedule_failed' and c.subject = op.id || '/' || o.id)`,
		[]any{&ticketID, &eventID, &start, &canceled}, func() {
			pass, issued := shows[ticketID]
			switch {
			case !issued: // not yet: the sale is under way
			case !pass.start.Equal(start):
				violations = append(violations, fmt.Sprintf("pass %s of ticket %s shows %s, event %s starts at %s", pass.serial, ticketID,
					pass.start.UTC().Format(time.RFC3339), eventID, start.UTC().Format(time.RFC3339)))
			case pass.canceled != canceled:
				violations = append(violations, fmt.Sprintf("pass %s of ticket %s: canceled %t, event %s: %t", pass.serial, ticketID, pass.canceled, eventID, canceled))
			}
		})
	return violations, err
}
