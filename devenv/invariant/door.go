package invariant

// doorInvariants are about who was let in, all within checkoutsvc's database.
func doorInvariants() []invariant {
	const checkout = "checkout"
	return []invariant{
		query("used_ticket_has_a_stay", "somebody entered with a used ticket, and nobody took that back", checkout, `
			select format('ticket %s is used, and nobody has entered with it', t.id)
			from tickets t where t.state = 'used' and not exists (select from admissions a where a.ticket_id = t.id and a.undo_time is null)`),

		query("admitted_ticket_was_valid", "nobody enters with a ticket that never was valid, or that still is", checkout, `
			select format('somebody entered with ticket %s at gate %s, and it is %s, valid since %s', t.id, a.entry_gate, t.state, coalesce(t.valid_time::text, '(never)'))
			from admissions a join tickets t on t.id = a.ticket_id
			where a.undo_time is null and (t.valid_time is null or t.state not in ('used', 'void'))`),

		query("ticket_admits_once_per_policy", "a ticket admits once, or again after an exit where the event allowed that", checkout, `
			select format('ticket %s admitted for the %s. time at gate %s at %s; the stay before ended at %s, coming back was allowed: %s',
				a.ticket_id, a.entry_number, a.entry_gate, a.entry_time, coalesce(b.exit_time::text, '(never)'), a.reentry)
			from admissions a left join admissions b on b.ticket_id = a.ticket_id and b.entry_number = a.entry_number - 1 and b.undo_time is null
			where a.undo_time is null and a.entry_number > 1 and (not a.reentry or b.exit_time is null or b.exit_time > a.entry_time)`),

		query("stay_follows_from_its_scan", "each entry that counts is a stay, and each stay an entry that counts", checkout, `
			select format('scan %s of ticket %s is %s, and its stay is %s', coalesce(s.id, a.id), coalesce(s.ticket_id, a.ticket_id),
				coalesce(s.outcome, 'none'), case when a.id is null then 'missing' else 'there' end)
			from (select id, ticket_id, outcome from door_scans where counts and undo_time is null and outcome = 'entered') s
			full join (select id, ticket_id from admissions where undo_time is null) a using (id)
			where s.id is null or a.id is null`),
	}
}
