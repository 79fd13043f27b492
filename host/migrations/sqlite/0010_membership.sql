-- What the first node online has laid down for the cluster: NULL until then, and again after a reset.
ALTER TABLE cluster ADD COLUMN key_hash TEXT;
ALTER TABLE cluster ADD COLUMN protocol INTEGER;

-- Which daemon is behind the row: a digest of the machine, its boot and the data directory. Empty where none has said so.
ALTER TABLE nodes ADD COLUMN place TEXT NOT NULL DEFAULT '';
-- The digest of the key that the node registered with, and its protocol: it is a member while they are the cluster's.
ALTER TABLE nodes ADD COLUMN key_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN protocol INTEGER NOT NULL DEFAULT 1;
-- Why it stays out, and when it last tried. Such a node is `stopped` too, and `last_seen` is when it was last a member.
ALTER TABLE nodes ADD COLUMN stays_out TEXT
    CONSTRAINT nodes_stays_out_is_known CHECK (stays_out IN ('key', 'protocol', 'version'));
ALTER TABLE nodes ADD COLUMN tried INTEGER;
-- By how many milliseconds its clock is ahead of this database's.
ALTER TABLE nodes ADD COLUMN clock_ahead INTEGER;
