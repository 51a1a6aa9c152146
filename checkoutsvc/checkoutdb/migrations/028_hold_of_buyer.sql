-- What one mail address holds or owns of an event.
---- tern: disable-tx ----
create index concurrently hold_of_buyer on holds (buyer_key) where state in ('active', 'consumed');
