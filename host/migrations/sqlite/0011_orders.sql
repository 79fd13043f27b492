-- The node is being emptied: since when, until when its sessions go on (NULL: as long as they like), whether what would lose
-- something is ended then, and whether that is maintenance. It is `cordoned` too.
ALTER TABLE nodes ADD COLUMN drain_since INTEGER;
ALTER TABLE nodes ADD COLUMN drain_deadline INTEGER;
ALTER TABLE nodes ADD COLUMN drain_end INTEGER NOT NULL DEFAULT 0
    CONSTRAINT nodes_drain_end_is_a_flag CHECK (drain_end IN (0, 1));
ALTER TABLE nodes ADD COLUMN maintenance INTEGER NOT NULL DEFAULT 0
    CONSTRAINT nodes_maintenance_is_a_flag CHECK (maintenance IN (0, 1));
-- What goes before the node's own weight, capacity and labels.
ALTER TABLE nodes ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT nodes_overrides_are_json CHECK (json_valid(overrides));
-- It stopped for good: its row goes as soon as no live session is on it.
ALTER TABLE nodes ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0
    CONSTRAINT nodes_leaving_is_a_flag CHECK (leaving IN (0, 1));
