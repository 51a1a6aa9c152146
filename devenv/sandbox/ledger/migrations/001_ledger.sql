-- The books of the sandbox ledger. Every table is keyed by ledger first.
--
-- Addresses and assets compare bytewise, so that prefixes are ranges and lock
-- order does not depend on a locale.

create table ledgers (
    id       integer generated always as identity primary key,
    name     text        not null constraint ledger_name_is_unique unique,
    bucket   text        not null,
    metadata jsonb       not null,
    features jsonb       not null,
    added_at timestamptz not null
);

-- Ids come from the sequence transaction_id_<ledger>, made with the ledger.
create table transactions (
    ledger_id           integer     not null,
    id                  bigint      not null,
    timestamp           timestamptz not null,
    reference           text,
    postings            json        not null,
    metadata            jsonb       not null,
    post_commit_volumes json        not null,
    inserted_at         timestamptz not null,
    updated_at          timestamptz not null,
    reverted_at         timestamptz,
    constraint transaction_id_is_unique primary key (ledger_id, id)
);
create unique index transaction_reference_is_unique on transactions (ledger_id, reference) where reference is not null;

-- The present volumes of one account in one asset: the row that a post locks.
-- first_effective and last_effective bound the timestamps of its moves; a row
-- that was only looked at has them at +infinity and -infinity.
create table volumes (
    ledger_id       integer          not null,
    account         text collate "C" not null,
    asset           text collate "C" not null,
    input           numeric          not null,
    output          numeric          not null,
    first_effective timestamptz      not null,
    last_effective  timestamptz      not null,
    constraint volumes_are_unique primary key (ledger_id, account, asset)
) with (fillfactor = 70);

-- What one transaction moved in and out of one account in one asset: answers
-- filters by account and questions about the past.
create table moves (
    ledger_id      integer          not null,
    account        text collate "C" not null,
    asset          text collate "C" not null,
    effective_at   timestamptz      not null,
    transaction_id bigint           not null,
    inserted_at    timestamptz      not null,
    input          numeric          not null,
    output         numeric          not null,
    is_source      boolean          not null,
    is_destination boolean          not null,
    constraint move_is_unique primary key (ledger_id, account, asset, effective_at, transaction_id)
);

create table accounts (
    ledger_id      integer          not null,
    address        text collate "C" not null,
    metadata       jsonb            not null,
    first_usage    timestamptz      not null,
    insertion_date timestamptz      not null,
    updated_at     timestamptz      not null,
    constraint account_is_unique primary key (ledger_id, address)
);

-- Metadata as it was: a row per change, newest revision last.
create table account_metadata (
    ledger_id integer          not null,
    address   text collate "C" not null,
    revision  bigint generated always as identity,
    date      timestamptz      not null,
    metadata  jsonb            not null,
    primary key (ledger_id, address, revision)
);

-- Only transactions whose metadata changed after they were made have rows here.
create table transaction_metadata (
    ledger_id      integer     not null,
    transaction_id bigint      not null,
    revision       bigint generated always as identity,
    date           timestamptz not null,
    metadata       jsonb       not null,
    primary key (ledger_id, transaction_id, revision)
);

-- One row per successful write. Ids come from the sequence log_id_<ledger>.
-- The id of a transaction made by the write is in transaction_id, not in data.
-- hash is set when somebody reads the log, see log_chains.
create table logs (
    ledger_id        integer     not null,
    id               bigint      not null,
    type             text        not null,
    transaction_id   bigint,
    data             json        not null,
    date             timestamptz not null,
    idempotency_key  varchar(255),
    idempotency_hash text        not null,
    hash             bytea,
    constraint log_id_is_unique primary key (ledger_id, id)
);
create unique index log_idempotency_key_is_unique on logs (ledger_id, idempotency_key) where idempotency_key is not null;

-- How far the hash chain of a ledger's log has been computed.
create table log_chains (
    ledger_id integer primary key,
    log_id    bigint not null,
    hash      bytea
);
