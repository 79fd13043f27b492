-- Nodes, sessions and placements. Every time is in milliseconds since the Unix epoch, by this database's clock.

-- What there is once for the cluster.
CREATE TABLE cluster (
    one            INTEGER PRIMARY KEY CONSTRAINT cluster_has_one_row CHECK (one = 1),
    -- Raised by reservations and by changes of what a placement may be decided on.
    revision       INTEGER NOT NULL CONSTRAINT cluster_revision_counts_up CHECK (revision >= 0),
    -- When any node last wrote that it is there.
    last_heartbeat INTEGER NOT NULL,
    -- Since when heartbeats have arrived without a gap of a time-out. No session is lost within a time-out of it.
    in_use_since   INTEGER NOT NULL
) STRICT;

INSERT INTO cluster (one, revision, last_heartbeat, in_use_since) VALUES (1, 0, 0, 0);

CREATE TABLE nodes (
    -- AUTOINCREMENT: the id of a node that was removed is never another's.
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    name             TEXT    NOT NULL CONSTRAINT nodes_name_is_unique UNIQUE
                     CONSTRAINT nodes_have_a_name CHECK (name <> ''),
    address          TEXT    NOT NULL,
    ip               TEXT,
    version          TEXT    NOT NULL,
    balancer_digest  TEXT,
    cores            INTEGER NOT NULL CONSTRAINT nodes_have_cores CHECK (cores >= 1),
    memory_total     INTEGER NOT NULL CONSTRAINT nodes_memory_total_is_a_size CHECK (memory_total >= 0),
    weight           INTEGER NOT NULL CONSTRAINT nodes_have_weight CHECK (weight >= 1),
    capacity         INTEGER          CONSTRAINT nodes_capacity_is_a_count CHECK (capacity >= 0),
    labels           TEXT    NOT NULL CONSTRAINT nodes_labels_are_json CHECK (json_valid(labels)),
    kinds            TEXT    NOT NULL CONSTRAINT nodes_kinds_are_json CHECK (json_valid(kinds)),
    cordoned         INTEGER NOT NULL DEFAULT 0 CONSTRAINT nodes_cordoned_is_a_flag CHECK (cordoned IN (0, 1)),
    -- It was stopped on purpose: offline, however young its last heartbeat.
    stopped          INTEGER NOT NULL DEFAULT 0 CONSTRAINT nodes_stopped_is_a_flag CHECK (stopped IN (0, 1)),
    load1            REAL    NOT NULL CONSTRAINT nodes_load1_is_a_load CHECK (load1 BETWEEN 0 AND 1e300),
    load5            REAL    NOT NULL CONSTRAINT nodes_load5_is_a_load CHECK (load5 BETWEEN 0 AND 1e300),
    load15           REAL    NOT NULL CONSTRAINT nodes_load15_is_a_load CHECK (load15 BETWEEN 0 AND 1e300),
    memory_available INTEGER NOT NULL CONSTRAINT nodes_memory_available_is_a_size CHECK (memory_available >= 0),
    last_seen        INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id           TEXT    PRIMARY KEY CONSTRAINT sessions_id_has_eight_characters CHECK (length(id) = 8),
    user         TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    state        TEXT    NOT NULL CONSTRAINT sessions_state_is_known
                 CHECK (state IN ('starting', 'active', 'suspended', 'ended', 'failed', 'lost')),
    wanted       TEXT             CONSTRAINT sessions_wanted_is_known CHECK (wanted IN ('suspended', 'ended')),
    -- No foreign key: what is over outlives the row of the node it was on.
    node         INTEGER NOT NULL,
    epoch        INTEGER NOT NULL CONSTRAINT sessions_epoch_counts_from_one CHECK (epoch >= 1),
    claimed      INTEGER NOT NULL CONSTRAINT sessions_claimed_is_a_flag CHECK (claimed IN (0, 1)),
    pid          INTEGER          CONSTRAINT sessions_pid_is_a_process_id CHECK (pid >= 0),
    cpus         REAL    NOT NULL CONSTRAINT sessions_cpus_are_a_count CHECK (cpus BETWEEN 0 AND 1e300),
    memory       INTEGER NOT NULL CONSTRAINT sessions_memory_is_a_size CHECK (memory >= 0),
    labels       TEXT    NOT NULL CONSTRAINT sessions_labels_are_json CHECK (json_valid(labels)),
    candidates   TEXT    NOT NULL CONSTRAINT sessions_candidates_are_json CHECK (json_valid(candidates)),
    failed_nodes TEXT    NOT NULL CONSTRAINT sessions_failed_nodes_are_json CHECK (json_valid(failed_nodes)),
    failure      TEXT,
    created      INTEGER NOT NULL,
    changed      INTEGER NOT NULL,
    -- When the present start was reserved.
    placed       INTEGER NOT NULL,
    CONSTRAINT sessions_wanted_only_while_live CHECK (wanted IS NULL OR state IN ('starting', 'active')),
    CONSTRAINT sessions_active_are_claimed CHECK (state <> 'active' OR claimed = 1)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_live ON sessions (node) WHERE state IN ('starting', 'active');
CREATE INDEX sessions_lost ON sessions (node) WHERE state = 'lost';
CREATE INDEX sessions_by_age ON sessions (created, id);
CREATE INDEX sessions_by_user ON sessions (user, created, id);

CREATE TABLE placements (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    session  TEXT    NOT NULL CONSTRAINT placements_have_a_session REFERENCES sessions (id),
    user     TEXT    NOT NULL,
    epoch    INTEGER NOT NULL CONSTRAINT placements_epoch_counts_from_one CHECK (epoch >= 1),
    decision TEXT    NOT NULL CONSTRAINT placements_decision_is_json CHECK (json_valid(decision)),
    attempts TEXT    NOT NULL CONSTRAINT placements_attempts_are_json CHECK (json_valid(attempts)),
    decided  INTEGER NOT NULL
) STRICT;

CREATE INDEX placements_by_session ON placements (session, id);
