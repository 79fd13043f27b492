-- What a second balancer, asked beside the one that decides, would have done.
CREATE TABLE shadows (
    placement INTEGER PRIMARY KEY CONSTRAINT shadows_have_a_placement REFERENCES placements (id) ON DELETE CASCADE,
    answer    TEXT    NOT NULL CONSTRAINT shadows_answer_is_json CHECK (json_valid(answer))
) STRICT;
