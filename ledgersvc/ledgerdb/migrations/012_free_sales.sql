-- Sales of orders that cost nothing. They move no money, and the ledger keeps no transaction without postings: the row is the entry.
create table free_sales (
    order_id text primary key constraint free_sale_of_an_order check (order_id <> ''),
    organizer_id text not null,
    currency text not null,
    sale_time timestamptz not null,   -- when the order was made
    record_time timestamptz not null
);
