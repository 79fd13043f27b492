-- What balancers were shown: one row for the decisions that were committed together.

CREATE TABLE shown (
    -- AUTOINCREMENT: the oldest go first, and a placement never points to another's.
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Of the modules that decided, a JSON array.
    digests TEXT    NOT NULL CONSTRAINT shown_digests_are_json CHECK (json_valid(digests)),
    size    INTEGER NOT NULL CONSTRAINT shown_size_is_a_size CHECK (size >= 0),
    content BLOB    NOT NULL
) STRICT;

CREATE INDEX shown_by_digests ON shown (digests);

-- The sum of shown.size.
ALTER TABLE cluster ADD COLUMN shown_size INTEGER NOT NULL DEFAULT 0
    CONSTRAINT cluster_shown_size_is_a_size CHECK (shown_size >= 0);

-- No foreign key: the row may have gone meanwhile.
ALTER TABLE placements ADD COLUMN shown INTEGER;
ALTER TABLE placements ADD COLUMN shown_position INTEGER;
