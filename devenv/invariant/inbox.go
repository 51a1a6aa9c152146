package invariant

// inboxInvariants are about webhooks and background work.
func inboxInvariants() []invariant {
	out := []invariant{
		query("open_webhook_event_is_tried", "no stored webhook event is forgotten", "webhook", `
			select format('event %s/%s is %s and was due at %s', e.endpoint, e.event_id, e.state, e.next_try_time)
			from webhook_events e
			where e.state in ('received', 'deferred') and e.next_try_time < clock_timestamp() - interval '1 minute'`),
		query("dead_webhook_event_has_an_alert", "somebody was alerted of every event that could not be processed", "webhook", `
			select format('event %s/%s is dead and has no alert', e.endpoint, e.event_id)
			from webhook_events e
			where e.state = 'dead' and not exists (
				select from alerts a where a.kind = 'webhook_event_dead' and a.subject = e.endpoint || '/' || e.event_id)`),
		query("running_reconciliation_has_a_job", "somebody works on every reconciliation run that counts as running", "ledger", `
			select format('run %s is running and has no job', r.id)
			from reconcile_runs r
			where r.state = 1 and not exists (
				select from river_job j where j.kind = 'reconcile' and j.state in ('available', 'running', 'retryable', 'scheduled', 'pending')
					and j.args->>'run_id' = r.id)`),
	}
	for _, service := range []string{"checkout", "pass", "ledger", "webhook"} {
		out = append(out, query("dead_"+service+"_job_has_an_alert", "somebody was alerted of every job whose tries are used up", service, `
			select format('dead letter %s (%s) has no alert', d.id, d.kind)
			from dead_letters d
			where d.retried_time is null and d.dismissed_time is null and not exists (
				select from alerts a where a.kind = 'dead_job' and (a.subject = d.id::text or a.subject = d.kind))`))
	}
	return out
}
