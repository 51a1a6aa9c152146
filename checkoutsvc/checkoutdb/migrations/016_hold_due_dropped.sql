-- hold_due_by_order does its work.
drop index hold_due;
