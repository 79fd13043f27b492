-- What limits of groups count, and what nodes may promise.

-- The groups of its user that `profiles` named when it was last placed: a JSON array.
ALTER TABLE sessions ADD COLUMN groups TEXT NOT NULL DEFAULT '[]'
    CONSTRAINT sessions_groups_are_json CHECK (json_valid(groups));

-- The most that may be promised to its sessions together; null where there is no limit.
ALTER TABLE nodes ADD COLUMN promise_cpus REAL
    CONSTRAINT nodes_promise_cpus_is_a_count CHECK (promise_cpus BETWEEN 0 AND 1e300);
ALTER TABLE nodes ADD COLUMN promise_memory INTEGER
    CONSTRAINT nodes_promise_memory_is_a_size CHECK (promise_memory >= 0);
