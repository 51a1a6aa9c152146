-- Who asked for what a line of the timeline tells; empty for our own work and for what Stripe reports.
alter table timeline add column actor text not null default '';
