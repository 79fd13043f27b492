-- Jobs: sessions that run something to its end. And the versions of the programs that nodes offer.

ALTER TABLE nodes ADD COLUMN kind_versions TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT nodes_kind_versions_are_json CHECK (json_valid(kind_versions));

ALTER TABLE sessions ADD COLUMN is_job INTEGER NOT NULL DEFAULT 0
    CONSTRAINT sessions_is_job_is_a_flag CHECK (is_job IN (0, 1));
-- How a job's program ended, as a shell tells it: 128 and the number of the signal where one ended it.
ALTER TABLE sessions ADD COLUMN exit_status INTEGER
    CONSTRAINT sessions_exit_status_is_a_byte CHECK (exit_status BETWEEN 0 AND 255);

-- What each is to run, which may hold secrets: kept for no longer than it may be needed.
CREATE TABLE jobs (
    session TEXT PRIMARY KEY CONSTRAINT jobs_have_a_session REFERENCES sessions (id),
    job     TEXT NOT NULL CONSTRAINT jobs_job_is_json CHECK (json_valid(job))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_end_with_their_sessions AFTER UPDATE OF state ON sessions
WHEN new.is_job = 1 AND new.state NOT IN ('starting', 'active')
BEGIN
    DELETE FROM jobs WHERE session = new.id;
END;
