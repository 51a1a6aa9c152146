-- The sweep of holds asks which payments are on their way; few are.
---- tern: disable-tx ----
create index concurrently payment_intent_processing on payment_intents (order_id) where status = 'processing';
