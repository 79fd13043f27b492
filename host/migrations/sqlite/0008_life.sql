-- When a session was last used, as far as its node has said so.
ALTER TABLE sessions ADD COLUMN last_activity INTEGER;

-- Why it was suspended or ended, where its user did not ask for that.
ALTER TABLE sessions ADD COLUMN note TEXT;
