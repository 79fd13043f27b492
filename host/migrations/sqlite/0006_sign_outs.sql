-- Sign-ins that were ended before their time, for every node to refuse. A row goes when what it refuses would be worth
-- nothing anyway.
CREATE TABLE sign_outs (
    -- AUTOINCREMENT: what a node has not read yet is always above what it has read.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The sign-in's own number, as its cookies carry it.
    sign_in BLOB   NOT NULL CONSTRAINT sign_outs_are_of_one_sign_in_each UNIQUE
                   CONSTRAINT sign_outs_sign_in_has_16_bytes CHECK (length(sign_in) = 16),
    -- From when on no cookie of it is worth anything.
    until  INTEGER NOT NULL
) STRICT;

CREATE INDEX sign_outs_by_end ON sign_outs (until);
