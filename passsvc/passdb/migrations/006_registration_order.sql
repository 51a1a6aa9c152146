-- When a device registered for a pass first: renewing its token does not make it a newcomer.
ALTER TABLE registrations ADD COLUMN first_time timestamptz;
UPDATE registrations SET first_time = register_time;
ALTER TABLE registrations ALTER COLUMN first_time SET NOT NULL;
-- A release before this one does not write it.
ALTER TABLE registrations ALTER COLUMN first_time SET DEFAULT now();
