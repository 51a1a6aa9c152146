-- The field's words: what each source has of a span of time are records, and what does not match are unmatched items.
-- Both tables are emptied when a run ends.
alter table reconcile_sightings rename to reconcile_records;
alter index reconcile_sightings_of_a_run rename to reconcile_records_of_a_run;
alter table reconcile_records rename column side to source;
alter table reconcile_suspects rename to reconcile_unmatched_items;
alter index reconcile_suspects_pkey rename to reconcile_unmatched_items_pkey;
