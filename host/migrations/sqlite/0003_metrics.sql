-- What a node's administrator publishes for balancers: a JSON object of finite numbers by key, what is too old left out.
ALTER TABLE nodes ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT nodes_metrics_are_json CHECK (json_valid(metrics));
