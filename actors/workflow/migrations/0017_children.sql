-- Children that go on are looked for by their parents.
CREATE INDEX executions_children ON executions (parent_id) WHERE parent_id <> '' AND ended_at = 0;
