-- Holds the number of another change of the catalogue until both are merged.
select 1;
