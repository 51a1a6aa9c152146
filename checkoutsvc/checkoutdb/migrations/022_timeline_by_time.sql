-- Lines of timelines are deleted when they are old. Rows arrive in the order of time, so a BRIN index is enough.
---- tern: disable-tx ----
create index concurrently timeline_by_time on timeline using brin (time);
