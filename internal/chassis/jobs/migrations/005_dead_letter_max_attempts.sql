-- A letter can be retried by a program that does not know its kind, the command line: it keeps how often to try.
ALTER TABLE dead_letters ADD COLUMN max_attempts integer;
UPDATE dead_letters SET max_attempts = greatest(attempts, 1);
ALTER TABLE dead_letters ALTER COLUMN max_attempts SET NOT NULL;
