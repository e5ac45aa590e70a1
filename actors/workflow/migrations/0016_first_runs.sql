-- The events that an execution is first written with stand beside it: most executions have no others. Those of before are where
-- they were.
ALTER TABLE executions ADD COLUMN history TEXT NOT NULL DEFAULT '';
