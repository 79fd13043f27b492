-- The user id that each user has on every node, as the first start of a session of theirs found it.
CREATE TABLE users (
    name TEXT    PRIMARY KEY CONSTRAINT users_have_a_name CHECK (name <> ''),
    uid  INTEGER NOT NULL CONSTRAINT users_uid_is_a_user_id CHECK (uid BETWEEN 0 AND 4294967295)
) STRICT, WITHOUT ROWID;
