-- The oldest version of the schema that a program may know and still work with this one. A migration that a program which
-- does not know it cannot live with raises it to its own number; one that only adds leaves it.
ALTER TABLE cluster ADD COLUMN works_from BIGINT NOT NULL DEFAULT 3
    CONSTRAINT cluster_works_from_counts_up CHECK (works_from >= 3);
