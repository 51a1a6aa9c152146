-- Of which network the caller was who holds stock, as a keyed hash; null once the hold has ended, and where nobody is counted.
alter table holds add column network_key bigint;
