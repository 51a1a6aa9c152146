-- Fraud warnings and disputes name a charge.
---- tern: disable-tx ----
create index concurrently payment_intent_of_charge on payment_intents (charge_id, stripe_account) where charge_id <> '';
