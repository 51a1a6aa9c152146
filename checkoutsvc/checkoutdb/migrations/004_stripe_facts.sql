-- What Stripe tells beyond payments: connected accounts, warnings, reviews, and the currency of disputed money.

create table stripe_accounts (
    id text primary key,
    organizer_id text not null default '', -- empty while nobody said whose it is
    linked_by_hand boolean not null default false, -- the organiser was named by a person, and metadata no longer decides
    charges_enabled boolean not null default false,
    payouts_enabled boolean not null default false,
    disconnected boolean not null default false,
    disabled_reason text not null default '',
    -- Looks at Stripe are numbered as they begin; the facts are those of the one that began last of the answered ones.
    looks_begun bigint not null default 0,
    look_seen bigint not null default 0, -- 0: none was answered yet
    fetch_time timestamptz,
    create_time timestamptz not null,
    constraint stripe_account_that_was_seen_has_its_time check ((look_seen = 0) = (fetch_time is null))
);
create index stripe_account_of_organizer on stripe_accounts (organizer_id) where organizer_id <> '';

create table fraud_warnings (
    id text primary key,
    order_id text not null references orders,
    payment_intent text not null,
    charge_id text not null,
    fraud_type text not null,
    actionable boolean not null, -- false once, false for good
    create_time timestamptz not null
);
create index fraud_warning_of_order on fraud_warnings (order_id);

create table reviews (
    id text primary key,
    order_id text not null references orders,
    payment_intent text not null,
    open boolean not null, -- false once, false for good
    closed_reason text not null,
    create_time timestamptz not null
);
create index review_of_order on reviews (order_id);

-- Whether a review holds the order's tickets back: open, or refunded (it ended in a refund that may not be told yet).
alter table orders add column review text not null default '';
alter table orders add constraint order_review_is_known check (review in ('', 'open', 'refunded'));

-- Empty means the dispute's: rows of before, and money that moved in it.
alter table dispute_funds add column currency text not null default '';

-- Which warnings about the end of the time for evidence were given.
create table dispute_reminders (
    dispute_id text not null references disputes,
    seconds_before bigint not null,
    raise_time timestamptz not null,
    primary key (dispute_id, seconds_before)
);
create index dispute_with_evidence_due on disputes (evidence_due_time) where status in ('warning_needs_response', 'needs_response');

alter table refunds drop constraint refund_reason_is_known;
alter table refunds add constraint refund_reason_is_known
    check (reason in ('requested', 'surplus', 'late', 'given_up', 'external', 'fraud'));
