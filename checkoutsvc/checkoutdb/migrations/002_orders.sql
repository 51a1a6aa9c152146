-- What buyers submit, what they get, and the facts about their money.

create table orders (
    id text primary key,
    organizer_id text not null,
    event_id text not null references events,
    buyer_name text not null,
    buyer_email text not null,
    language text not null,
    currency text not null,
    total_minor_units bigint not null,
    -- Shares of the total, frozen with the quote: what RecordSale posts.
    application_fee_minor_units bigint not null,
    taxes jsonb not null,
    -- Derived from the payment facts whenever one of them changes.
    payment text not null default 'awaiting_payment',
    fulfilment text not null default 'none',
    -- The intent whose money this order is about; set once.
    paying_intent text,
    capture_time timestamptz,
    -- The order is its own scheduler: lease while somebody walks, backoff after a failure.
    attempt integer not null default 0,
    next_attempt_time timestamptz,
    walk_start_time timestamptz,
    last_error text not null default '',
    create_time timestamptz not null,
    complete_time timestamptz,
    -- How long the steps of the attempt took that completed the order.
    issue_passes_ms bigint not null default 0,
    record_sale_ms bigint not null default 0,
    receipt_sent_time timestamptz,
    constraint order_total_is_positive check (total_minor_units > 0),
    constraint order_payment_is_known check (payment in (
        'awaiting_payment', 'processing', 'authorized', 'paid', 'partially_refunded', 'refunded',
        'disputed', 'charged_back', 'canceled', 'expired', 'failed'
    )),
    constraint order_fulfilment_is_known check (fulfilment in (
        'none', 'in_progress', 'ledger_blocked', 'completed', 'unfulfillable'
    )),
    constraint order_walks_with_an_intent check (fulfilment = 'none' or (paying_intent is not null and capture_time is not null)),
    constraint order_in_a_walk_has_a_next_attempt check (
        fulfilment not in ('in_progress', 'ledger_blocked')
        or (next_attempt_time is not null and walk_start_time is not null)
    ),
    constraint order_completed_has_its_time check ((fulfilment = 'completed') = (complete_time is not null))
) with (fillfactor = 70);
create unique index order_of_a_paying_intent on orders (paying_intent) where paying_intent is not null;
create index order_due on orders (next_attempt_time) where fulfilment in ('in_progress', 'ledger_blocked');
create index order_by_creation on orders (create_time desc, id desc);

create table order_lines (
    order_id text not null references orders,
    position integer not null,
    variant_id text not null,
    variant_version integer not null,
    product_name text not null,
    variant_name text not null,
    quantity integer not null,
    unit_price_minor_units bigint not null,
    -- What was quoted: event, names, price and terms. Its tickets are sold with exactly this.
    snapshot jsonb not null,
    primary key (order_id, position),
    foreign key (variant_id, variant_version) references variant_versions (variant_id, version),
    constraint order_line_quantity_is_positive check (quantity > 0)
);

create table holds (
    order_id text primary key references orders,
    state text not null default 'active',
    expire_time timestamptz not null,
    end_time timestamptz,
    constraint hold_state_is_known check (state in ('active', 'consumed', 'released', 'expired')),
    constraint hold_ended_has_its_time check ((state = 'active') = (end_time is null))
);
create index hold_due on holds (expire_time) where state = 'active';

-- Columns that change come last in tables that are written in a checkout: Postgres logs what lies between the first and
-- the last changed byte of a row.
create table tickets (
    id text primary key,
    order_id text not null references orders,
    position integer not null,
    event_id text not null,
    variant_id text not null,
    variant_version integer not null,
    code_key_version integer not null,
    create_time timestamptz not null,
    -- What was sold, as it was sold; snapshot_schema says how to read it.
    snapshot_schema integer not null,
    snapshot jsonb not null,
    state text not null default 'reserved',
    pass_serial text not null default '',
    change_number bigint not null default 1,
    valid_time timestamptz,
    constraint ticket_of_an_order_once unique (order_id, position),
    constraint ticket_state_is_known check (state in ('reserved', 'valid', 'used', 'suspended', 'void')),
    constraint ticket_valid_has_a_pass check (state not in ('valid', 'used') or (pass_serial <> '' and valid_time is not null))
) with (fillfactor = 70);

-- The life of a ticket, kept by the database whatever the code does: void is final, and nothing becomes reserved again.
create function ticket_state_machine() returns trigger language plpgsql as $$
begin
    if new.state = old.state
        or (old.state = 'reserved' and new.state in ('valid', 'suspended', 'void'))
        or (old.state = 'valid' and new.state in ('used', 'suspended', 'void'))
        or (old.state = 'suspended' and new.state in ('valid', 'void'))
        or (old.state = 'used' and new.state in ('valid', 'void'))
    then
        return new;
    end if;
    raise exception 'a ticket cannot go from % to %', old.state, new.state
        using errcode = 'check_violation', constraint = 'ticket_state_moves_forward';
end
$$;
create trigger ticket_state_moves_forward before update of state on tickets
    for each row execute function ticket_state_machine();

create table payment_intents (
    id text primary key,
    order_id text not null references orders,
    number integer not null,
    stripe_account text not null,
    -- Null while Stripe's answer to our create call is awaited.
    stripe_id text,
    client_secret text not null default '',
    currency text not null,
    amount_minor_units bigint not null,
    -- Facts that merge in any order; see payment_intent.go.
    status text not null default 'requires_payment_method',
    status_time timestamptz not null,
    captured_minor_units bigint not null default 0,
    succeeded boolean not null default false,
    canceled boolean not null default false,
    charge_id text not null default '',
    balance_transaction_id text not null default '',
    failure_code text not null default '',
    surplus boolean not null default false,
    -- Why captured money does not fit the order; empty when it does.
    mismatch text not null default '',
    create_time timestamptz not null,
    constraint payment_intent_number_of_an_order_once unique (order_id, number),
    constraint payment_intent_captured_is_not_negative check (captured_minor_units >= 0)
);
create unique index payment_intent_at_stripe_once on payment_intents (stripe_id, stripe_account) where stripe_id is not null;
create index payment_intent_without_an_answer on payment_intents (create_time) where stripe_id is null;

create table refunds (
    id text primary key,
    order_id text not null references orders,
    payment_intent text not null,
    stripe_refund_id text,
    amount_minor_units bigint not null,
    application_fee_minor_units bigint not null default 0,
    taxes jsonb not null default '[]',
    currency text not null,
    state text not null,
    reason text not null,
    note text not null default '',
    ticket_ids text[] not null default '{}',
    failure_code text not null default '',
    refund_time timestamptz,
    create_time timestamptz not null,
    constraint refund_amount_is_positive check (amount_minor_units > 0),
    constraint refund_state_is_known check (state in ('requested', 'pending', 'succeeded', 'failed', 'canceled')),
    constraint refund_reason_is_known check (reason in ('requested', 'surplus', 'late', 'given_up', 'external')),
    constraint refund_at_stripe_has_its_time check ((stripe_refund_id is null) = (refund_time is null))
);
create index refund_of_order on refunds (order_id);
create unique index refund_at_stripe_once on refunds (stripe_refund_id) where stripe_refund_id is not null;
create unique index refund_of_unwanted_money_once on refunds (payment_intent) where reason in ('surplus', 'late', 'given_up');

create table disputes (
    id text primary key,
    order_id text not null references orders,
    payment_intent text not null,
    status text not null,
    amount_minor_units bigint not null,
    currency text not null,
    dispute_reason text not null,
    evidence_due_time timestamptz,
    close_time timestamptz,
    create_time timestamptz not null,
    constraint dispute_status_is_known check (status in (
        'warning_needs_response', 'warning_under_review', 'needs_response', 'under_review',
        'lost', 'won', 'warning_closed', 'prevented'
    ))
);
create index dispute_of_order on disputes (order_id);

create table dispute_funds (
    balance_transaction_id text primary key,
    dispute_id text not null references disputes,
    order_id text not null references orders,
    minor_units bigint not null,
    fee_minor_units bigint not null,
    funds_time timestamptz not null
);
create index dispute_funds_of_order on dispute_funds (order_id);

-- What happened to an order beyond what its rows say.
create table timeline (
    order_id text not null references orders,
    number bigint generated always as identity,
    time timestamptz not null,
    step text not null,
    attempt integer not null default 0,
    took_ms bigint not null default 0,
    error text not null default '',
    detail text not null default '',
    primary key (order_id, number)
);

create table operator_items (
    id text primary key,
    kind text not null,
    subject text not null,
    order_id text not null default '',
    payment_intent text not null default '',
    facts jsonb not null,
    suggested_action text not null,
    create_time timestamptz not null,
    resolve_time timestamptz,
    resolve_note text not null default '',
    constraint operator_item_once unique (kind, subject)
);
create index operator_item_by_creation on operator_items (create_time desc, id desc);
create index operator_item_of_order on operator_items (order_id);
