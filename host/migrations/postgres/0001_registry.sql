-- Nodes, sessions and placements: what migrations/sqlite has come to by its 0011. Every time is in milliseconds since the
-- Unix epoch, by this database's clock; JSON is text, so that it is read as it was written.

-- What there is once for the cluster. A transaction that may change what a placement is decided on locks this row first,
-- so that such transactions come one after the other.
CREATE TABLE cluster (
    one            BIGINT PRIMARY KEY CONSTRAINT cluster_has_one_row CHECK (one = 1),
    -- Raised by reservations and by changes of what a placement may be decided on.
    revision       BIGINT NOT NULL CONSTRAINT cluster_revision_counts_up CHECK (revision >= 0),
    -- When any node last wrote that it is there.
    last_heartbeat BIGINT NOT NULL,
    -- Since when heartbeats have arrived without a gap of a time-out. No session is lost within a time-out of it.
    in_use_since   BIGINT NOT NULL,
    -- The id that was given to a node last: that of a node that was removed is never another's.
    last_node      BIGINT NOT NULL CONSTRAINT cluster_last_node_counts_up CHECK (last_node >= 0),
    -- What the first node online has laid down for the cluster: null until then, and again after a reset.
    key_hash       TEXT,
    protocol       BIGINT
) WITH (fillfactor = 10);

COMMENT ON TABLE cluster IS 'The registry of Evenkeel.';

INSERT INTO cluster (one, revision, last_heartbeat, in_use_since, last_node) VALUES (1, 0, 0, 0, 0);

CREATE TABLE nodes (
    id               BIGINT PRIMARY KEY,
    name             TEXT   NOT NULL CONSTRAINT nodes_name_is_unique UNIQUE
                     CONSTRAINT nodes_have_a_name CHECK (name <> ''),
    address          TEXT   NOT NULL,
    ip               TEXT,
    version          TEXT   NOT NULL,
    balancer_digest  TEXT,
    cores            BIGINT NOT NULL CONSTRAINT nodes_have_cores CHECK (cores >= 1),
    memory_total     BIGINT NOT NULL CONSTRAINT nodes_memory_total_is_a_size CHECK (memory_total >= 0),
    weight           BIGINT NOT NULL CONSTRAINT nodes_have_weight CHECK (weight >= 1),
    capacity         BIGINT          CONSTRAINT nodes_capacity_is_a_count CHECK (capacity >= 0),
    labels           TEXT   NOT NULL CONSTRAINT nodes_labels_are_json CHECK (labels::json IS NOT NULL),
    kinds            TEXT   NOT NULL CONSTRAINT nodes_kinds_are_json CHECK (kinds::json IS NOT NULL),
    kind_versions    TEXT   NOT NULL DEFAULT '{}'
                     CONSTRAINT nodes_kind_versions_are_json CHECK (kind_versions::json IS NOT NULL),
    cordoned         BOOLEAN NOT NULL DEFAULT FALSE,
    -- It was stopped on purpose: offline, however young its last heartbeat.
    stopped          BOOLEAN NOT NULL DEFAULT FALSE,
    load1            DOUBLE PRECISION NOT NULL CONSTRAINT nodes_load1_is_a_load CHECK (load1 BETWEEN 0 AND 1e300),
    load5            DOUBLE PRECISION NOT NULL CONSTRAINT nodes_load5_is_a_load CHECK (load5 BETWEEN 0 AND 1e300),
    load15           DOUBLE PRECISION NOT NULL CONSTRAINT nodes_load15_is_a_load CHECK (load15 BETWEEN 0 AND 1e300),
    memory_available BIGINT NOT NULL CONSTRAINT nodes_memory_available_is_a_size CHECK (memory_available >= 0),
    -- What its administrator publishes for balancers: a JSON object of finite numbers by key, what is too old left out.
    metrics          TEXT   NOT NULL DEFAULT '{}' CONSTRAINT nodes_metrics_are_json CHECK (metrics::json IS NOT NULL),
    -- The most that may be promised to its sessions together; null where there is no limit.
    promise_cpus     DOUBLE PRECISION CONSTRAINT nodes_promise_cpus_is_a_count CHECK (promise_cpus BETWEEN 0 AND 1e300),
    promise_memory   BIGINT          CONSTRAINT nodes_promise_memory_is_a_size CHECK (promise_memory >= 0),
    last_seen        BIGINT NOT NULL,
    -- Which daemon is behind the row: a digest of the machine, its boot and the data directory. Empty where none has said so.
    place            TEXT   NOT NULL DEFAULT '',
    -- The digest of the key that the node registered with, and its protocol: it is a member while they are the cluster's.
    key_hash         TEXT   NOT NULL DEFAULT '',
    protocol         BIGINT NOT NULL DEFAULT 1,
    -- Why it stays out, and when it last tried. Such a node is `stopped` too, and `last_seen` is when it was last a member.
    stays_out        TEXT CONSTRAINT nodes_stays_out_is_known CHECK (stays_out IN ('key', 'protocol', 'version')),
    tried            BIGINT,
    -- By how many milliseconds its clock is ahead of this database's.
    clock_ahead      BIGINT,
    -- The node is being emptied: since when, until when its sessions go on (null: as long as they like), whether what would
    -- lose something is ended then, and whether that is maintenance. It is `cordoned` too.
    drain_since      BIGINT,
    drain_deadline   BIGINT,
    drain_end        BOOLEAN NOT NULL DEFAULT FALSE,
    maintenance      BOOLEAN NOT NULL DEFAULT FALSE,
    -- What goes before the node's own weight, capacity and labels.
    overrides        TEXT   NOT NULL DEFAULT '{}' CONSTRAINT nodes_overrides_are_json CHECK (overrides::json IS NOT NULL),
    -- It stopped for good: its row goes as soon as no live session is on it.
    leaving          BOOLEAN NOT NULL DEFAULT FALSE
) WITH (fillfactor = 50);

CREATE TABLE sessions (
    -- Bytewise order, as in the other database.
    id            TEXT COLLATE "C" PRIMARY KEY CONSTRAINT sessions_id_has_eight_characters CHECK (length(id) = 8),
    "user"        TEXT   NOT NULL,
    -- The groups of its user that `profiles` named when it was last placed: a JSON array.
    groups        TEXT   NOT NULL DEFAULT '[]' CONSTRAINT sessions_groups_are_json CHECK (groups::json IS NOT NULL),
    kind          TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    state         TEXT   NOT NULL CONSTRAINT sessions_state_is_known
                  CHECK (state IN ('starting', 'active', 'suspended', 'ended', 'failed', 'lost')),
    wanted        TEXT            CONSTRAINT sessions_wanted_is_known CHECK (wanted IN ('suspended', 'ended')),
    -- No foreign key: what is over outlives the row of the node it was on.
    node          BIGINT NOT NULL,
    epoch         BIGINT NOT NULL CONSTRAINT sessions_epoch_counts_from_one CHECK (epoch >= 1),
    claimed       BOOLEAN NOT NULL,
    pid           BIGINT          CONSTRAINT sessions_pid_is_a_process_id CHECK (pid >= 0),
    cpus          DOUBLE PRECISION NOT NULL CONSTRAINT sessions_cpus_are_a_count CHECK (cpus BETWEEN 0 AND 1e300),
    memory        BIGINT NOT NULL CONSTRAINT sessions_memory_is_a_size CHECK (memory >= 0),
    labels        TEXT   NOT NULL CONSTRAINT sessions_labels_are_json CHECK (labels::json IS NOT NULL),
    candidates    TEXT   NOT NULL CONSTRAINT sessions_candidates_are_json CHECK (candidates::json IS NOT NULL),
    failed_nodes  TEXT   NOT NULL CONSTRAINT sessions_failed_nodes_are_json CHECK (failed_nodes::json IS NOT NULL),
    failure       TEXT,
    -- Why it was suspended or ended, where its user did not ask for that.
    note          TEXT,
    is_job        BOOLEAN NOT NULL DEFAULT FALSE,
    -- How a job's program ended, as a shell tells it: 128 and the number of the signal where one ended it.
    exit_status   BIGINT          CONSTRAINT sessions_exit_status_is_a_byte CHECK (exit_status BETWEEN 0 AND 255),
    -- When a session was last used, as far as its node has said so.
    last_activity BIGINT,
    created       BIGINT NOT NULL,
    changed       BIGINT NOT NULL,
    -- When the present start was reserved.
    placed        BIGINT NOT NULL,
    CONSTRAINT sessions_wanted_only_while_live CHECK (wanted IS NULL OR state IN ('starting', 'active')),
    CONSTRAINT sessions_active_are_claimed CHECK (state <> 'active' OR claimed)
) WITH (fillfactor = 70);

CREATE INDEX sessions_live ON sessions (node) WHERE state IN ('starting', 'active');
CREATE INDEX sessions_lost ON sessions (node) WHERE state = 'lost';
CREATE INDEX sessions_by_age ON sessions (created, id);
CREATE INDEX sessions_by_user ON sessions ("user", created, id);

CREATE TABLE placements (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session        TEXT COLLATE "C" NOT NULL CONSTRAINT placements_have_a_session REFERENCES sessions (id),
    "user"         TEXT   NOT NULL,
    epoch          BIGINT NOT NULL CONSTRAINT placements_epoch_counts_from_one CHECK (epoch >= 1),
    decision       TEXT   NOT NULL CONSTRAINT placements_decision_is_json CHECK (decision::json IS NOT NULL),
    attempts       TEXT   NOT NULL CONSTRAINT placements_attempts_are_json CHECK (attempts::json IS NOT NULL),
    decided        BIGINT NOT NULL,
    -- What the balancer was shown. No foreign key: the row may have gone meanwhile.
    shown          BIGINT,
    shown_position BIGINT
);

CREATE INDEX placements_by_session ON placements (session, id);

-- What a second balancer, asked beside the one that decides, would have done.
CREATE TABLE shadows (
    placement BIGINT PRIMARY KEY CONSTRAINT shadows_have_a_placement REFERENCES placements (id) ON DELETE CASCADE,
    answer    TEXT   NOT NULL CONSTRAINT shadows_answer_is_json CHECK (answer::json IS NOT NULL)
);

-- What balancers were shown: one row for the decisions that were committed together.
CREATE TABLE shown (
    -- The oldest go first, and a placement never points to another's.
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Of the modules that decided, a JSON array.
    digests TEXT   NOT NULL CONSTRAINT shown_digests_are_json CHECK (digests::json IS NOT NULL),
    size    BIGINT NOT NULL CONSTRAINT shown_size_is_a_size CHECK (size >= 0),
    content BYTEA  NOT NULL
);

CREATE INDEX shown_by_digests ON shown (digests);

-- The sum of shown.size, and what those who write there lock: in a row of its own, since nobody who places need wait.
CREATE TABLE shown_total (
    one  BIGINT PRIMARY KEY CONSTRAINT shown_total_has_one_row CHECK (one = 1),
    size BIGINT NOT NULL CONSTRAINT shown_total_is_a_size CHECK (size >= 0)
) WITH (fillfactor = 10);

INSERT INTO shown_total (one, size) VALUES (1, 0);

-- The user id that each user has on every node, as the first start of a session of theirs found it.
CREATE TABLE users (
    name TEXT   PRIMARY KEY CONSTRAINT users_have_a_name CHECK (name <> ''),
    uid  BIGINT NOT NULL CONSTRAINT users_uid_is_a_user_id CHECK (uid BETWEEN 0 AND 4294967295)
);

-- Sign-ins that were ended before their time, for every node to refuse. A row goes when what it refuses would be worth
-- nothing anyway.
CREATE TABLE sign_outs (
    -- What a node has not read yet is always above what it has read: who writes here locks `cluster` first.
    number  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The sign-in's own number, as its cookies carry it.
    sign_in BYTEA  NOT NULL CONSTRAINT sign_outs_are_of_one_sign_in_each UNIQUE
            CONSTRAINT sign_outs_sign_in_has_16_bytes CHECK (length(sign_in) = 16),
    -- From when on no cookie of it is worth anything.
    until   BIGINT NOT NULL
);

CREATE INDEX sign_outs_by_end ON sign_outs (until);

-- What each job is to run, which may hold secrets: kept for no longer than it may be needed.
CREATE TABLE jobs (
    session TEXT COLLATE "C" PRIMARY KEY CONSTRAINT jobs_have_a_session REFERENCES sessions (id),
    job     TEXT NOT NULL CONSTRAINT jobs_job_is_json CHECK (job::json IS NOT NULL)
);

CREATE FUNCTION jobs_end_with_their_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM jobs WHERE session = new.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER jobs_end_with_their_sessions AFTER UPDATE OF state ON sessions
FOR EACH ROW WHEN (new.is_job AND new.state NOT IN ('starting', 'active'))
EXECUTE FUNCTION jobs_end_with_their_sessions();
