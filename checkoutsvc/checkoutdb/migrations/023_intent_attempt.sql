-- An intent is asked for under one key at a time; the next key is written before Stripe is asked.
alter table payment_intents add column attempt int not null default 1;
alter table payment_intents add column attempt_time timestamptz;
alter table payment_intents add constraint payment_intent_attempt_counts check (attempt >= 1);
