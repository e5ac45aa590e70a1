-- default, required or optional: whether the account needs a second factor (mfa_policy.go).
ALTER TABLE users ADD COLUMN second_factor TEXT NOT NULL DEFAULT 'default';
