-- What all users' objects take up together stands in the row of no user.
INSERT INTO object_usage (user_id, bytes) SELECT '', COALESCE(SUM(bytes), 0) FROM object_usage;
