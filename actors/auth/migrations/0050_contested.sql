-- Registered more than once before it was verified: the password may be a stranger's (ownership.go).
ALTER TABLE users ADD COLUMN contested BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE users SET contested = TRUE WHERE NOT email_verified AND EXISTS (
    SELECT 1 FROM letters
    WHERE letters.user_id = users.id AND letters.password_hash <> '' AND letters.password_hash <> users.password_hash
);
ALTER TABLE letters DROP COLUMN password_hash;
