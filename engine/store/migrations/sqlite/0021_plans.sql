-- Calls promised, moved and taken back on a lead's card, with how the lead was before.
CREATE TABLE callback_changes (
  id             INTEGER PRIMARY KEY,
  lead_id        INTEGER NOT NULL REFERENCES leads (id),
  at_ms          INTEGER NOT NULL,
  login          TEXT    NOT NULL,
  was_state      TEXT    NOT NULL,
  was_next_at_ms INTEGER NOT NULL,
  was_owner      TEXT,
  due_at_ms      INTEGER,  -- NULL: taken back
  owner          TEXT,
  UNIQUE (lead_id, at_ms)
) STRICT;
