-- What one mail address holds or owns of an event.
---- tern: disable-tx ----
create index concurrently order_of_buyer on order_lines (buyer_key) where buyer_key is not null;
