-- ObservePayout merges an observation into what is known of a payout and returns it. Statuses merge by rank: pending 1,
-- in transit 2, paid 3, failed 4 and canceled 5 are final, and the first of the two stays. It returns no row when
-- account, organiser or amount differ from what was observed before.
-- name: ObservePayout :one
insert into payouts as known (payout_id, stripe_account, organizer_id, status, paid, currency, amount, bank_account_id, payout_time)
values (@payout_id, @stripe_account, @organizer_id, @status::smallint, @status::smallint = 3, @currency, @amount, @bank_account_id, @payout_time)
on conflict (payout_id) do update set
    status = case when known.status >= 4 then known.status else greatest(known.status, excluded.status) end,
    paid = known.paid or (excluded.paid and known.status < 4),
    -- The bank account may be learnt until it is needed.
    bank_account_id = case when known.bank_account_id = '' and not known.paid then excluded.bank_account_id
                           else known.bank_account_id end
where known.stripe_account = excluded.stripe_account and known.organizer_id = excluded.organizer_id
  and known.currency = excluded.currency and known.amount = excluded.amount
returning payout_id, stripe_account, organizer_id, status, paid, currency, amount, bank_account_id, payout_time;
