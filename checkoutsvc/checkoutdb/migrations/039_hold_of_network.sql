-- What one network holds. A replica of the version before ends holds without clearing the network, so that the state counts too.
---- tern: disable-tx ----
create index concurrently hold_of_network on holds (network_key) where network_key is not null and state = 'active';
