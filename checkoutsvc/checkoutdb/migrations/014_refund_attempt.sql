-- A refund is asked for under one key at a time; the next key is written before Stripe is asked.
alter table refunds add column attempt int not null default 1;
alter table refunds add column attempt_time timestamptz;
alter table refunds add constraint refund_attempt_counts check (attempt >= 1);
